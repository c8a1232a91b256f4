package proxy

import (
	"time"

	"holdfast/backend/command"
)

// givenUp reports whether nobody waits any more for what is owed. A client that has
// closed its half still reads the answers, which takes no longer than one may; one
// that blocks has gone for good, as for Redis. The lock is held.
func (r *relay) givenUp(gone <-chan struct{}) bool {
	if !isDone(gone) {
		return false
	}
	if r.left.IsZero() {
		r.left = time.Now()
	}
	return r.blocks() || time.Since(r.left) >= r.c.s.cfg.CommandTimeout
}

// awaitOwed waits until what was sent is answered, within the command time-out.
func awaitOwed(r *relay) {
	over := false
	timer := time.AfterFunc(r.c.s.cfg.CommandTimeout, func() {
		r.mu.Lock()
		over = true
		r.cond.Broadcast()
		r.mu.Unlock()
	})
	defer timer.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.owed > 0 && !over && !r.gone && r.sess != nil {
		r.cond.Wait()
	}
}

// blocks reports whether the next answer may take for ever. The lock is held.
func (r *relay) blocks() bool {
	if len(r.queue) == 0 {
		return false
	}
	e := &r.queue[0]
	return e.stream || e.cmd != nil && !r.multi && command.Blocks(e.argv, e.cmd)
}

// finish lets what is owed be answered before the connection of a client that has
// sent its last command closes.
func (r *relay) finish(gone <-chan struct{}) {
	defer r.wakeOn(gone)()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.owed > 0 && !r.givenUp(gone) {
		r.cond.Wait()
	}
}

// wakeOn has those who wait look again when the client hangs up, and when it has
// had its time since.
func (r *relay) wakeOn(gone <-chan struct{}) (stop func()) {
	r.mu.Lock()
	idle := r.owed == 0
	r.mu.Unlock()
	if idle {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		select {
		case <-gone:
		case <-done:
			return
		}
		r.mu.Lock()
		r.givenUp(gone)
		timer := time.NewTimer(r.c.s.cfg.CommandTimeout - time.Since(r.left))
		r.cond.Broadcast()
		r.mu.Unlock()
		defer timer.Stop()
		select {
		case <-timer.C:
			r.mu.Lock()
			r.cond.Broadcast()
			r.mu.Unlock()
		case <-done:
		}
	}()
	return func() { close(done) }
}

func isDone(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// expectSoon sees to it that a Redis that does not answer is noticed in time: the
// watchdog of the shared connections does not know this one. The lock is held.
func (r *relay) expectSoon() {
	if r.checking || r.owed == 0 {
		return
	}
	r.checking = true
	pause := r.c.s.cfg.CommandTimeout / slowPart
	if r.checker == nil {
		r.checker = time.AfterFunc(pause, r.check)
	} else {
		r.checker.Reset(pause)
	}
}

// slowPart of a CommandTimeout is when an answer is slow.
const slowPart = 20

// check asks Redis whether it is there while an answer is slow, except one that may
// take for ever.
func (r *relay) check() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checking = false
	if r.owed > 0 && r.sess != nil && !r.gone && !r.blocks() {
		r.sess.Check()
		r.expectSoon()
	}
}
