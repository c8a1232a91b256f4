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
	offset atomic.Int64 // server clock minus local, nanoseconds
}

func (c *serverClock) start(cfg *Config) {
	c.wall, c.local = cfg.Now, cfg.Now
	if !cfg.Embedded {
		base, from := cfg.Now().Round(0), cfg.Elapsed()
		c.local = func() time.Time { return base.Add(cfg.Elapsed() - from) }
	}
}

func (c *serverClock) now() time.Time { return c.local().Add(time.Duration(c.offset.Load())) }

func (c *serverClock) set(server time.Time) { c.offset.Store(int64(server.Sub(c.local()))) }

// fromWall is the server's clock minus the wall clock: what a restart needs, when
// the wall clock is all there is.
func (c *serverClock) fromWall() time.Duration { return c.now().Sub(c.wall()) }

// sleepEvery is how often to look whether the machine was asleep: a look costs more
// than the time. The clock that it is measured by stands still meanwhile.
const sleepEvery = 100 * time.Millisecond

// newElapsed gives the time since this call: Go's monotonic clock, which nobody can
// set, and the time that the machine was asleep, which that clock leaves out.
// asleep gives that sleep, or less, and what it missed the next time.
func newElapsed(asleep func() time.Duration) func() time.Duration {
	begin := time.Now()
	var looked, slept atomic.Int64
	return func() time.Duration {
		awake := time.Since(begin)
		if last := looked.Load(); awake-time.Duration(last) > sleepEvery && looked.CompareAndSwap(last, int64(awake)) {
			slept.Store(max(slept.Load(), int64(asleep())))
		}
		return awake + time.Duration(slept.Load())
	}
}
