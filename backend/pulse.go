package backend

import (
	"runtime"
	"time"
)

// pulse are the ticks by which the silence of a server is counted. A tick that came late
// measures that this process, or this machine, had no time: the answer may be here and
// not read yet, so that tick does not count. It belongs to one goroutine.
type pulse struct {
	every   time.Duration
	now     func() time.Time
	ticker  *time.Ticker
	last    time.Time
	skipped int // ticks that did not count, less those that did since
}

// maxSkipped is how many more late ticks than punctual ones do not count: however busy
// the machine, a silence ends.
const maxSkipped = 3 * timeoutTicks

func newPulse(every time.Duration) *pulse {
	p := &pulse{every: every, now: time.Now, ticker: time.NewTicker(every)}
	p.last = p.now()
	return p
}

func (p *pulse) stop() { p.ticker.Stop() }

// counts is called at each tick. It reports whether that is a measure of silence.
func (p *pulse) counts() bool {
	// Whoever waits for a timer runs before those who wait for the network; behind all of
	// them it is as late as they are.
	runtime.Gosched()
	now := p.now()
	late := now.Sub(p.last)-p.every > p.every/2
	p.last = now
	switch {
	case late && p.skipped < maxSkipped:
		p.skipped++
		return false
	case !late && p.skipped > 0:
		p.skipped--
	}
	return true
}
