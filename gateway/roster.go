package gateway

import (
	"sync"
	"time"
)

// roster chooses accounts and remembers how they did. What it knows lives in
// this process only: a new process gives every account a new chance. Safe for
// concurrent use.
type roster struct {
	tokens *tokens

	mu    sync.Mutex
	seq   uint64
	marks map[accountID]*mark
}

// mark is one account's record since the process started.
type mark struct {
	lastUse   uint64 // order of choices; 0: never chosen
	errors    int    // in a row
	coolUntil time.Time
}

func newRoster(t *tokens) *roster { return &roster{tokens: t, marks: map[accountID]*mark{}} }

// shortage says why nobody could be chosen.
type shortage struct {
	total, disabled, unhealthy, cooling, noEndpoint, noModel, signedOut int
	// recovery is when the first cooling account is back; zero: none is cooling.
	recovery time.Time
}

// cools counts an account that rests.
func (s *shortage) cools(until time.Time) {
	s.cooling++
	if s.recovery.IsZero() || until.Before(s.recovery) {
		s.recovery = until
	}
}

// without counts an account that has no access token and cannot get one now.
func (s *shortage) without(e *tokenError, now time.Time) {
	if e.kind == signedOut {
		s.signedOut++
	} else {
		s.cools(now.Add(e.retry))
	}
}

// pick chooses the account of p that was used longest ago among those that are
// enabled, healthy, have an endpoint, serve the model and were not tried yet.
// Taking turns follows from it: an account goes to the end when it is chosen.
func (r *roster) pick(p *pool, model string, tried map[accountID]bool, now time.Time) (*account, shortage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var best *account
	var bestMark *mark
	var why shortage
	for _, a := range p.accounts {
		why.total++
		m := r.mark(a.id)
		switch {
		case tried[a.id]:
		case !a.valid || a.disabled:
			why.disabled++
		case !a.serves(model):
			why.noModel++
		case a.baseURL == "" || a.key == "" && !a.oauth:
			why.noEndpoint++
		case a.marked(now):
			why.unhealthy++
		case now.Before(m.coolUntil):
			why.cools(m.coolUntil)
		default:
			if e := r.tokens.standing(a, now); e != nil {
				why.without(e, now)
			} else if best == nil || m.lastUse < bestMark.lastUse {
				best, bestMark = a, m
			}
		}
	}
	if best != nil {
		r.seq++
		bestMark.lastUse = r.seq
	}
	return best, why
}

func (r *roster) mark(id accountID) *mark {
	m := r.marks[id]
	if m == nil {
		m = &mark{}
		r.marks[id] = m
	}
	return m
}

// succeeded clears an account's errors.
func (r *roster) succeeded(id accountID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.mark(id)
	m.errors, m.coolUntil = 0, time.Time{}
}

// failed records an error. limit errors in a row (0: no limit) put the account
// aside for cool; a positive atOnce (a provider's 429) does so at the first. It reports whether the account was put aside by this call.
func (r *roster) failed(id accountID, limit int, cool, atOnce time.Duration, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.mark(id)
	m.errors++
	until := time.Time{}
	if atOnce > 0 {
		until = now.Add(atOnce)
	} else if limit > 0 && m.errors >= limit {
		// Not reset: after its rest one more error puts it aside again.
		until = now.Add(cool)
	}
	if !until.After(m.coolUntil) {
		return false
	}
	fresh := !now.Before(m.coolUntil)
	m.coolUntil = until
	return fresh
}

// keep forgets accounts that no longer exist, so the record cannot grow with
// every account that ever was.
func (r *roster) keep(s *snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	alive := make(map[accountID]*mark, len(r.marks))
	for _, p := range s.pools {
		for _, a := range p.accounts {
			if m := r.marks[a.id]; m != nil {
				alive[a.id] = m
			}
		}
	}
	r.marks = alive
}
