package backend

import (
	"sync"
	"sync/atomic"
	"time"
)

// beats numbers the PINGs on the tracking connection. Redis writes pushes, and all
// replies, at the end of the turn of its event loop that made the change. So
// whatever change shows in a reply that we have was pushed before the answer to a
// PING that we send then, and Invalidate has been called for it once that answer
// is there. Numbers go on over reconnects.
type beats struct {
	started atomic.Uint64
	passed  atomic.Uint64

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when passed rises
}

// begin numbers a PING that is about to be sent.
func (b *beats) begin() uint64 { return b.started.Add(1) }

// end notes that PING n was answered.
func (b *beats) end(n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.passed.Store(n)
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

func (b *beats) next() chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

// NextBeat is the number of a PING on the tracking connection that is sent after
// this call; 0 when the server announces no changes, or is not there.
func (u *Upstream) NextBeat() uint64 {
	if g := u.live.Load(); g == nil || !g.ctl.info.Coherent {
		return 0
	}
	return u.beats.started.Load() + 1
}

// PassedBeat is the newest PING that was answered: whatever change showed in a
// reply received before it was sent has been passed to Events.Invalidate.
func (u *Upstream) PassedBeat() uint64 { return u.beats.passed.Load() }

// AwaitBeat waits until PING n was answered, and has it sent now. False: the
// link ended, or limit is over.
func (u *Upstream) AwaitBeat(n uint64, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		changed := u.beats.next()
		if u.beats.passed.Load() >= n {
			return true
		}
		g := u.live.Load()
		if g == nil {
			return false
		}
		g.want()
		select {
		case <-changed:
		case <-g.ctx.Done():
			return false
		case <-timer.C:
			return false
		}
	}
}
