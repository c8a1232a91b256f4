package backend

import (
	"sync/atomic"
	"time"
)

// What is beyond ordinaryBytes and ordinaryCommands in one call is a unit that
// may keep the server busy, and earns time at a rate that a slow server reaches.
const (
	ordinaryBytes    = 1 << 20
	ordinaryCommands = 1000
	floorBytes       = 16 << 20 // a second
	floorCommands    = 20_000   // a second
	maxAllowance     = time.Minute
)

// ExpectSilence notes that the server was told to answer nobody for d, from now on. If
// that is no longer than CommandTimeout, the link is not given up before it is over: what
// waits gets the server's own answer. The end of a pause is seen by the server's timer,
// up to a tenth of a second late, and is waited for a little longer than that.
func (u *Upstream) ExpectSilence(d time.Duration) {
	if d > u.cfg.CommandTimeout {
		return
	}
	const timer = 100 * time.Millisecond
	until := time.Now().Add(d + timer + u.cfg.tick()).UnixNano()
	for {
		was := u.silent.Load()
		if was >= until || u.silent.CompareAndSwap(was, until) {
			return
		}
	}
}

// silence reports whether the server is expected to say nothing now.
func (u *Upstream) silence() bool { return time.Now().UnixNano() < u.silent.Load() }

// allowance is how long c may keep the server silent beyond CommandTimeout.
func (c *Call) allowance() time.Duration {
	bytes, commands := len(c.Payload)-ordinaryBytes, c.N-ordinaryCommands
	d := time.Duration(max(bytes, 0)) * time.Second / floorBytes
	d += time.Duration(max(commands, 0)) * time.Second / floorCommands
	return min(d, maxAllowance)
}

// patience is with the large calls of one trunk that were sent as a whole and
// not yet answered: from then on, EXEC may be running, during which a server says
// nothing to anybody. Before, it takes bytes and answers, which is seen; so a
// server that hangs while a unit is being sent is noticed as fast as ever.
//
// For as long as their allowance lasts, the ticks of the time-outs do not count.
type patience struct {
	given atomic.Int64 // allowances of the calls sent so far, in ns
	back  atomic.Int64 // of those of them that were answered

	// Of the watchdog alone.
	seen int64         // back, at the last tick
	used time.Duration // by the calls that are under way
}

// sent is called by the writer once all of c is written, before its half.
func (p *patience) sent(c *Call) {
	if d := c.allowance(); d > 0 {
		p.given.Add(int64(d))
	}
}

// answered is called by the reader after the last reply, before its half.
func (p *patience) answered(c *Call) {
	if d := c.allowance(); d > 0 {
		p.back.Add(int64(d))
	}
}

// tick uses up one tick. It reports whether the tick is within the allowance.
func (p *patience) tick(d time.Duration) bool {
	back := p.back.Load()
	if back != p.seen {
		p.seen, p.used = back, 0
	}
	left := time.Duration(p.given.Load()-back) - p.used
	if left <= 0 {
		return false
	}
	p.used += d
	return true
}
