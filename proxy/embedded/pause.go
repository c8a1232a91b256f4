// Package embedded has what a store without any Redis behind it needs to stand as a
// server: CLIENT PAUSE, the statistics of what the proxy answers itself, and the texts of
// MONITOR and LATENCY HISTOGRAM. It knows no clients.
package embedded

import (
	"sync"
	"sync/atomic"
	"time"
)

// Pause is CLIENT PAUSE. The zero value holds nothing up. Safe for concurrent use.
type Pause struct {
	on      atomic.Bool  // looked at without the lock
	waiting atomic.Int64 // commands

	mu    sync.Mutex
	until time.Time
	all   bool          // reads as well
	ended chan struct{} // closed by End, and replaced
}

// Set is CLIENT PAUSE: a second one does not shorten the first, nor let through what it
// holds up.
func (p *Pause) Set(d time.Duration, all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = make(chan struct{})
	}
	now := time.Now()
	over := !now.Before(p.until)
	if until := now.Add(d); over || until.After(p.until) {
		p.until = until
	}
	p.all = all || p.all && !over
	p.on.Store(true)
}

// End is CLIENT UNPAUSE.
func (p *Pause) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.on.Load() {
		p.on.Store(false)
		p.until = time.Time{}
		close(p.ended)
		p.ended = nil
	}
}

// On reports whether there may be a pause. It costs next to nothing.
func (p *Pause) On() bool { return p.on.Load() }

// Waiting is how many commands are held up.
func (p *Pause) Waiting() int64 { return p.waiting.Load() }

// left is how long a command is held up from now on; 0 or less: it is not.
func (p *Pause) left(writes bool) (left time.Duration, ended <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.on.Load() || !p.all && !writes {
		return 0, nil
	}
	return time.Until(p.until), p.ended
}

// Await waits while a command is held up, which writes or does not. False: closing was
// closed meanwhile.
func (p *Pause) Await(writes bool, closing <-chan struct{}) bool {
	if left, _ := p.left(writes); left <= 0 {
		return true
	}
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	for {
		left, ended := p.left(writes)
		if left <= 0 {
			return true
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-ended:
		case <-closing:
			timer.Stop()
			return false
		}
		timer.Stop()
	}
}
