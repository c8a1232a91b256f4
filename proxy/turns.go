package proxy

import (
	"sync"
	"sync/atomic"
	"time"
)

// turns brings the calls of a link that died into the order in which they went
// over the wire. Each is settled by its own client's goroutine, and Redis may
// have executed several of them: the local state has to do it in the same order,
// or it would show another last value than Redis has.
//
// Nobody goes before everybody has come: a call with writes counts as under way
// (Server.fencing) from before it is sent until it is settled.
type turns struct {
	here atomic.Int64 // waiting, or having its turn; part of what is under way
	mu   sync.Mutex
	line map[[2]int]*line // by protocol and database: each has one connection
}

type line struct {
	waiting []*turn
	busy    bool // somebody has its turn
}

type turn struct {
	order uint64
	came  chan struct{} // closed when it is its turn
}

// beginCall notes a call with writes that is about to be sent.
func (s *Server) beginCall() { s.fencing.Add(1) }

// endCall notes that its writes have their outcome.
func (s *Server) endCall() {
	s.fencing.Add(-1)
	if s.turns.here.Load() > 0 {
		s.turns.grant(&s.fencing)
	}
}

// takeTurn waits until every call that went over the same connection before has
// been settled, for at most limit. The result ends the turn.
func (s *Server) takeTurn(proto, db int, order uint64, limit time.Duration) (done func()) {
	t, key := &turn{order: order, came: make(chan struct{})}, [2]int{proto, db}
	s.turns.join(key, t)
	had := true
	s.turns.here.Add(1)
	s.turns.grant(&s.fencing)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-t.came:
	case <-timer.C:
		had = !s.turns.leave(key, t)
	}
	return func() {
		if had {
			s.turns.pass(key)
		}
		s.turns.here.Add(-1)
	}
}

func (ts *turns) join(key [2]int, t *turn) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.line == nil {
		ts.line = map[[2]int]*line{}
	}
	if ts.line[key] == nil {
		ts.line[key] = &line{}
	}
	ts.line[key].waiting = append(ts.line[key].waiting, t)
}

// leave takes a turn that did not come out of the line; false: it came just now.
func (ts *turns) leave(key [2]int, t *turn) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	l := ts.line[key]
	for i, w := range l.waiting {
		if w == t {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			return true
		}
	}
	return false
}

func (ts *turns) pass(key [2]int) {
	ts.mu.Lock()
	ts.line[key].busy = false
	ts.mu.Unlock()
}

// grant lets the first of each line go, once everybody is here.
func (ts *turns) grant(underWay *atomic.Int64) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.here.Load() < underWay.Load() {
		return
	}
	for _, l := range ts.line {
		if l.busy || len(l.waiting) == 0 {
			continue
		}
		first := 0
		for i, w := range l.waiting {
			if w.order < l.waiting[first].order {
				first = i
			}
		}
		t := l.waiting[first]
		l.waiting = append(l.waiting[:first], l.waiting[first+1:]...)
		l.busy = true
		close(t.came)
	}
}
