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
	reason    string    // of the rest
	rested    bool      // the provider itself asked for the rest
	goodAt    time.Time // last success
	checkedAt time.Time // last health check that said anything
	// healed is the entry that is marked unhealthy and passed a health check. An
	// entry that changes is believed again.
	healed string
}

func newRoster(t *tokens) *roster { return &roster{tokens: t, marks: map[accountID]*mark{}} }

// ailment is what keeps an account from being chosen.
type ailment int

const (
	fit ailment = iota
	unreadable
	noEndpoint
	unhealthy // marked so in the store
	resting
	unsigned // no access token, and none to be had without a new sign-in
)

// diagnosis is an ailment, when it ends (zero: not by itself) and what to tell.
type diagnosis struct {
	ailment
	until   time.Time
	text    string
	limited bool // the provider asked for the rest
}

// shortage says why nobody could be chosen.
type shortage struct {
	total, disabled, unhealthy, cooling, noEndpoint, noModel, signedOut int
	limited                                                             int // of the cooling ones, those whose provider gave a 429
	// recovery is when the first cooling account is back; zero: none is cooling.
	recovery time.Time
}

func (s *shortage) count(d diagnosis) {
	switch d.ailment {
	case unreadable:
		s.disabled++
	case noEndpoint:
		s.noEndpoint++
	case unhealthy:
		s.unhealthy++
	case unsigned:
		s.signedOut++
	case resting:
		s.cooling++
		if d.limited {
			s.limited++
		}
		if s.recovery.IsZero() || d.until.Before(s.recovery) {
			s.recovery = d.until
		}
	}
}

// pick chooses the account of p that was used longest ago among those that are
// enabled, fit, serve the model and were not tried yet, or the preferred one. Taking turns follows
// from it: an account goes to the end when it is chosen.
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
		case a.disabled:
			why.disabled++
		case a.valid && !a.serves(model):
			why.noModel++
		default:
			if d := r.diagnose(a, m, now); d.ailment != fit {
				why.count(d)
			} else if best == nil || a.id == p.preferred || best.id != p.preferred && m.lastUse < bestMark.lastUse {
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

// diagnose says what ails an account that is not disabled; r.mu is held.
func (r *roster) diagnose(a *account, m *mark, now time.Time) diagnosis {
	switch {
	case !a.valid:
		return diagnosis{ailment: unreadable, text: "the entry is not a JSON object"}
	case a.badProxy != "":
		return diagnosis{ailment: noEndpoint, text: a.badProxy}
	case a.baseURL == "" || a.key == "" && !a.oauth:
		return diagnosis{ailment: noEndpoint, text: "no endpoint configured"}
	case a.marked(now) && m.healed != a.raw:
		return diagnosis{ailment: unhealthy, until: a.recoverAt, text: "marked unhealthy in its entry"}
	case now.Before(m.coolUntil):
		return diagnosis{resting, m.coolUntil, "resting after: " + m.reason, m.rested}
	}
	switch e := r.tokens.standing(a, now); {
	case e == nil:
		return diagnosis{}
	case e.kind == signedOut:
		return diagnosis{ailment: unsigned, text: e.text}
	default:
		return diagnosis{ailment: resting, until: now.Add(e.retry), text: e.text}
	}
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
func (r *roster) succeeded(id accountID, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.mark(id)
	m.errors, m.coolUntil, m.goodAt = 0, time.Time{}, now
}

// failed records an error. limit errors in a row (0: no limit) put the account
// aside for cool; a positive atOnce (a provider's 429 or 402) does so at the
// first. It reports whether the account was put aside by this call.
func (r *roster) failed(id accountID, reason string, limit int, cool, atOnce time.Duration, now time.Time) bool {
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
	m.coolUntil, m.reason, m.rested = until, reason, reason == outcomeRateLimited
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
