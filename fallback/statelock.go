package fallback

import (
	"sync"
	"time"

	"holdfast/fallback/engine"
)

// stateLock guards the store. In an embedded store a script may run for long: then
// the state goes on belonging to it while the lock is free, so that others are not
// kept waiting but told that it is busy, and SCRIPT KILL gets through.
type stateLock struct {
	mu   sync.Mutex
	busy *engine.Running // whose the state is although mu is free; guarded by mu
	free chan struct{}   // closed when it is nobody's again; guarded by mu
}

// Lock waits until nobody else has the state.
func (l *stateLock) Lock() {
	for {
		l.mu.Lock()
		if l.busy == nil {
			return
		}
		free := l.free
		l.mu.Unlock()
		<-free
	}
}

// Unlock gives the state back.
func (l *stateLock) Unlock() { l.mu.Unlock() }

// LockOrBusy is Lock, but gives up for a script that has the state for long, and
// returns it.
func (l *stateLock) LockOrBusy() *engine.Running {
	l.mu.Lock()
	if r := l.busy; r != nil {
		l.mu.Unlock()
		return r
	}
	return nil
}

// lend frees the lock after a time while a script runs, which the caller holds it
// for; the state stays the script's. takeBack is called when the script is over, and
// leaves the lock held.
func (l *stateLock) lend(r *engine.Running, after time.Duration) (takeBack func()) {
	var mu sync.Mutex // orders the timer and the end of the script
	lent, over := false, false
	timer := time.AfterFunc(after, func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		lent = true
		l.busy, l.free = r, make(chan struct{})
		l.mu.Unlock()
	})
	return func() {
		timer.Stop()
		mu.Lock()
		over = true
		mu.Unlock()
		if !lent {
			return
		}
		l.mu.Lock()
		l.busy = nil
		close(l.free)
	}
}
