// Package clock tells the server's time: set by what Redis says, and going on by the time
// elapsed since, sleep of the machine included.
package clock

import (
	"sync/atomic"
	"time"
)

// Clock is the clock that deadlines are in: the server's. It is set while
// Redis is there and goes on by the time elapsed since, so that setting the clock
// of this machine makes no key expire early or late. Embedded, where this machine
// is the server, it follows the wall clock, as a Redis does.
type Clock struct {
	local  func() time.Time // goes on evenly, but may be wrong
	wall   func() time.Time
	look   func()       // makes local know of a sleep that has just ended; nil: it does
	offset atomic.Int64 // server clock minus local, nanoseconds
}

// FollowWall makes it the wall clock.
func (c *Clock) FollowWall(wall func() time.Time) { c.wall, c.local = wall, wall }

// Start lets it begin at the wall clock and go on by what elapses. look makes elapsed
// know of a sleep that has just ended; nil: it does.
func (c *Clock) Start(wall func() time.Time, elapsed func() time.Duration, look func()) {
	base, from := wall().Round(0), elapsed()
	c.wall, c.look = wall, look
	c.local = func() time.Time { return base.Add(elapsed() - from) }
}

// Now is the server's time.
func (c *Clock) Now() time.Time { return c.local().Add(time.Duration(c.offset.Load())) }

// Steady is a clock that goes on evenly and may be wrong: for how long something took.
func (c *Clock) Steady() time.Time { return c.local() }

// Ahead is the server's clock minus the steady one.
func (c *Clock) Ahead() time.Duration { return time.Duration(c.offset.Load()) }

// SetAhead sets that, to what a snapshot remembers.
func (c *Clock) SetAhead(d time.Duration) { c.offset.Store(int64(d)) }

// Set sets it. A sleep that local learns of only afterwards would count twice.
func (c *Clock) Set(server time.Time) {
	if c.look != nil {
		c.look()
	}
	c.offset.Store(int64(server.Sub(c.local())))
}

// FromWall is the server's clock minus the wall clock: what a restart needs, when
// the wall clock is all there is.
func (c *Clock) FromWall() time.Duration { return c.Now().Sub(c.wall()) }

// lookEvery is how often to look whether the machine was asleep: a look costs more
// than the time. The clock that it is measured by stands still meanwhile.
const lookEvery = 100 * time.Millisecond

// NewElapsed gives the time since this call: Go's monotonic clock, which nobody can
// set, and the time that the machine was asleep, which that clock leaves out; and a
// function that looks for sleep now. asleep gives that sleep, or less, and what it
// missed the next time.
func NewElapsed(asleep func() time.Duration) (elapsed func() time.Duration, look func()) {
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
		if last := looked.Load(); awake-time.Duration(last) > lookEvery && looked.CompareAndSwap(last, int64(awake)) {
			look()
		}
		return awake + time.Duration(slept.Load())
	}, look
}
