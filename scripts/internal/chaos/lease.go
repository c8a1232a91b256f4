package main

import (
	"fmt"
	"sync"
	"time"
)

// leaseTime is how long a lock is taken for.
const leaseTime = 1500 * time.Millisecond

// release deletes a lock that is still the client's own.
const release = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

// lease is a lock as its holder knows it: held for certain from the answer on,
// until its time is over, counted from when it was asked for.
type lease struct {
	key, token  string
	asked       time.Time
	from, until time.Time
}

// leases finds two clients that hold one lock at the same time.
type leases struct {
	mu   sync.Mutex
	list map[string][]*lease // by key
}

// take notes a lock that was granted, and says who else holds it.
func (s *leases) take(l *lease) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = map[string][]*lease{}
	}
	kept := s.list[l.key][:0]
	problem := ""
	for _, o := range s.list[l.key] {
		// The grant fell between asking and the answer: all of that is in o's time.
		if (!l.asked.Before(o.from) && !l.from.After(o.until)) || (!o.asked.Before(l.from) && !o.from.After(l.until)) {
			problem = fmt.Sprintf("%s was given to %s and to %s while each of them held it", l.key, o.token, l.token)
		}
		if time.Since(o.until) < 10*leaseTime+answerBound { // the answer of another may be on its way
			kept = append(kept, o)
		}
	}
	s.list[l.key] = append(kept, l)
	return problem
}

// giveUp ends a lease before its release is sent.
func (s *leases) giveUp(l *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Before(l.until) {
		l.until = now
	}
}

// lock takes one of a few locks that all clients want, or releases its own.
func (k *keys) lock() op {
	if l := k.held; l != nil {
		k.held = nil
		live := l.until
		k.wk.w.leases.giveUp(l)
		return op{cmds: [][]string{{"EVAL", release, "1", l.key, l.token}}, settle: func(o outcome, val any) {
			if n, err := number(val); o == acked && err == nil && n == 0 && k.wk.gotAt.Before(live) && k.wk.whole() {
				k.wk.check(fmt.Sprintf("%s was taken as %s and was gone %v before its time", l.key, l.token, live.Sub(k.wk.gotAt)))
			}
		}}
	}
	l := &lease{key: fmt.Sprintf("%slock%d.%d", prefix, k.wk.db, k.wk.rand.Intn(3)), token: k.id()}
	cmd := []string{"SET", l.key, l.token, "NX", "PX", fmt.Sprint(leaseTime.Milliseconds())}
	return op{cmds: [][]string{cmd}, settle: func(o outcome, val any) {
		if o != acked || val == nil {
			return
		}
		l.asked, l.from, l.until = k.wk.sentAt, k.wk.gotAt, k.wk.sentAt.Add(leaseTime)
		k.held = l
		k.wk.check(k.wk.w.leases.take(l))
	}}
}
