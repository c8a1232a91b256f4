package fallback

import (
	"sync/atomic"
	"time"
)

// serverClock is the clock that deadlines are in: the server's. It is set while
// Redis is there and goes on by the time elapsed since, so that setting the clock
// of this machine makes no key expire early or late. Embedded, where this machine
// is the server, it follows the wall clock, as a Redis does.
type serverClock struct {
	local  func() time.Time // goes on evenly, but may be wrong
	wall   func() time.Time
	look   func()       // makes local know of a sleep that has just ended; nil: it does
	offset atomic.Int64 // server clock minus local, nanoseconds
}

func (c *serverClock) start(cfg *Config) {
	c.wall, c.local = cfg.Now, cfg.Now
	if !cfg.Embedded {
		base, from := cfg.Now().Round(0), cfg.Elapsed()
		c.local = func() time.Time { return base.Add(cfg.Elapsed() - from) }
		c.look = cfg.look
	}
}

func (c *serverClock) now() time.Time { return c.local().Add(time.Duration(c.offset.Load())) }

// set sets it. A sleep that local learns of only afterwards would count twice.
func (c *serverClock) set(server time.Time) {
	if c.look != nil {
		c.look()
	}
	c.offset.Store(int64(server.Sub(c.local())))
}

// fromWall is the server's clock minus the wall clock: what a restart needs, when
// the wall clock is all there is.
func (c *serverClock) fromWall() time.Duration { return c.now().Sub(c.wall()) }

// sleepEvery is how often to look whether the machine was asleep: a look costs more
// than the time. The clock that it is measured by stands still meanwhile.
const sleepEvery = 100 * time.Millisecond

// newElapsed gives the time since this call: Go's monotonic clock, which nobody can
// set, and the time that the machine was asleep, which that clock leaves out; and a
// function that looks for sleep now. asleep gives that sleep, or less, and what it
// missed the next time.
func newElapsed(asleep func() time.Duration) (elapsed func() time.Duration, look func()) {
	begin := time.Now()
	var looked, slept atomic.Int64
	look = func() {
		for n := int64(asleep()); ; {
			if old := slept.Load(); n <= old || slept.CompareAndSwap(old, n) {
				return
			}
		}
	}
	return func() time.Duration {
		awake := time.Since(begin)
		if last := looked.Load(); awake-time.Duration(last) > sleepEvery && looked.CompareAndSwap(last, int64(awake)) {
			look()
		}
		return awake + time.Duration(slept.Load())
	}, look
}
