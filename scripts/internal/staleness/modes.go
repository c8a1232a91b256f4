package main

import (
	"context"
	"slices"
	"sync"
	"time"
)

// sample is one read of a foreign key.
type sample struct {
	client        int
	cmd, key      string
	version, told int // what it gave; the newest version that any client had been given before
	start, end    time.Time
	age           time.Duration // for how long a newer version had been acknowledged
}

// modes knows when the proxy was online, from its own status: two looks that
// tell the same mode since the same time mean that it did not change between.
type modes struct {
	mu      sync.Mutex
	samples []sample // of which it is not known yet
	looks   []look   // the oldest one first
	online  []time.Duration
	offline int // reads that were answered while offline, or around a change
	older   int // of these, answers older than what some client was given before
}

type look struct {
	before, after time.Time // around the question
	mode, since   string
}

func (m *modes) add(s sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.samples = append(m.samples, s)
}

// steady reports whether the proxy was online from start to end; known says
// whether that can be told yet. The lock is held.
func (m *modes) steady(start, end time.Time) (online, known bool) {
	n := len(m.looks)
	if n == 0 || !m.looks[n-1].before.After(end) {
		return false, false
	}
	first := n - 1
	for first >= 0 && !m.looks[first].after.Before(start) {
		first--
	}
	if first < 0 || m.looks[first].mode != "online" {
		return false, true
	}
	for _, l := range m.looks[first:] {
		if l.mode != "online" || l.since != m.looks[first].since {
			return false, true
		}
		if l.before.After(end) {
			break
		}
	}
	return true, true
}

// watchModes looks at the proxy's status all the time and judges the reads whose
// time is known by then.
func (j *judge) watchModes(ctx context.Context) {
	m := &j.modes
	for ctx.Err() == nil {
		before := time.Now()
		st, err := j.holdfast.Status(ctx)
		if err == nil {
			l := look{before: before, after: time.Now(), mode: st.Mode, since: st.Since}
			m.mu.Lock()
			m.looks = append(m.looks, l)
			m.settle(j)
			m.mu.Unlock()
		}
		sleep(ctx, 4*time.Millisecond)
	}
}

// settle judges what can be judged. The lock is held.
func (m *modes) settle(j *judge) {
	var rest []sample
	for _, s := range m.samples {
		online, known := m.steady(s.start, s.end)
		if !known {
			rest = append(rest, s)
			continue
		}
		if !online {
			m.offline++
			if s.version < s.told {
				m.older++
				j.logf("client %d: %s %s gave version %d, older than %d told before; not online all the time", s.client, s.cmd, s.key, s.version, s.told)
			}
			continue
		}
		m.online = append(m.online, s.age)
		if s.version < s.told {
			j.violate("client %d: %s %s gave version %d while online, older than %d which some client was given before", s.client, s.cmd, s.key, s.version, s.told)
		}
		if s.age > bound+slack {
			j.violate("client %d: %s gave version %d while online, %v after a newer one was acknowledged", s.client, s.key, s.version, s.age)
		}
	}
	m.samples = rest
	if len(m.looks) > 10_000 { // far more than any read takes
		m.looks = slices.Clone(m.looks[5_000:])
	}
}
