package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"holdfast/gateway/store"
)

const (
	// rejectGap is how long after a renewal a 401 is taken for the provider's
	// last word, and not for a token that ended early.
	rejectGap = 30 * time.Second
	// maxBackoff bounds the pause after renewals that fail.
	maxBackoff = 5 * time.Minute
	// sweepEvery is how often tokens are looked over in the background, saveEvery
	// how often an unsaved one is written again.
	sweepEvery, saveEvery = 2 * time.Second, 200 * time.Millisecond
)

// tokens holds the OAuth credentials of the accounts that have no key, and
// renews them. Many gateways share the accounts, so what is renewed here is
// agreed on in Redis:
//
//	lease      token-lock:<type>:<uuid>, for as long as a renewal may take
//	re-read    somebody else may have renewed it meanwhile
//	grant      the refresh token goes to the token endpoint, and may be spent by it
//	swap       the new token is stored where the old one still stands
//
// From the grant on, the new token exists only here until the swap has landed:
// it is used at once, and written again until Redis has it (unsaved.go).
//
// Safe for concurrent use.
type tokens struct {
	store    *store.Store
	redis    func(context.Context) linkHealth
	noticed  func(error) bool // an error of a command, for what redis tells
	client   *http.Client
	counters *counters
	metrics  *metrics
	log      *slog.Logger
	timeout  time.Duration // for one Redis command
	wait     time.Duration // how long a request waits at most
	grant    time.Duration // for one answer of a token endpoint; less than a lease
	grace    time.Duration // after Redis returned, before anything is renewed

	wake chan struct{} // something is unsaved
	stop chan struct{} // closed when no lease is to be waited for any more
	wg   sync.WaitGroup

	mu   sync.Mutex
	byID map[accountID]*token
	// doubtful are leases that may be ours still: taking or releasing them got no
	// answer. They are released before the account's next renewal.
	doubtful map[accountID]string
	seq      uint64 // counts renewals, so that a slow poll cannot undo one
	stopped  bool
}

// token is one account's credentials. tokens.mu guards it.
type token struct {
	raw      string // as it is stored; "" where there is none
	cred     store.Credentials
	since    time.Time // when it replaced another one; zero: it was found so
	renewed  uint64    // tokens.seq when it was renewed here
	rejected bool      // the provider refused the access token

	flight  *flight
	unsaved *unsaved
	fails   int // renewals in a row
	nextTry time.Time
	trouble *tokenError // of the last renewal
	refused string      // the entry that a token endpoint refused for good; "" for none
}

// flight is a renewal under way. ready is closed when a new token can be used,
// done at the end; err is set then.
type flight struct {
	ready, done chan struct{}
	err         *tokenError
}

func newTokens(cfg Config, s *store.Store, client *http.Client) *tokens {
	return &tokens{
		store: s, log: cfg.Logger,
		client:  &http.Client{Transport: sayJSON{client.Transport}, CheckRedirect: client.CheckRedirect},
		timeout: cfg.ConnectTimeout + cfg.CommandTimeout, wait: cfg.TokenWait, grant: cfg.TokenTimeout, grace: 3 * time.Second,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), byID: map[accountID]*token{}, doubtful: map[accountID]string{},
	}
}

// live reports whether the access token can be sent.
func (k *token) live(now time.Time) bool {
	return k.cred.Access != "" && !k.rejected && (k.cred.Expiry.IsZero() || now.Before(k.cred.Expiry))
}

// near reports whether the access token ends within window. One that lives less
// than twice that is renewed at half its life, or it would be all the time.
func (k *token) near(now time.Time, window time.Duration) bool {
	if k.cred.Expiry.IsZero() {
		return false
	}
	if !k.since.IsZero() {
		window = min(window, k.cred.Expiry.Sub(k.since)/2)
	}
	return !now.Before(k.cred.Expiry.Add(-window))
}

// hopeless says why no renewal is worth a try now; nil: it is.
func (k *token) hopeless(a *account, now time.Time) *tokenError {
	switch {
	case k.raw == "":
		return errNoToken
	case a.badProxy != "":
		return &tokenError{kind: failing, text: a.badProxy}
	case k.cred.Refresh == "":
		return errNoRefresh
	case a.sign.or(k.cred).tokenURL == "":
		return errNoURL
	case k.refused != "" && k.refused == a.raw, now.Before(k.nextTry):
		return k.trouble
	}
	return nil
}

// set takes over a text. A new one gets a new chance.
func (k *token) set(raw string, now time.Time) {
	if raw == k.raw {
		return
	}
	cred := store.ParseCredentials([]byte(raw))
	if cred.Access != k.cred.Access {
		k.rejected = false
		if k.raw != "" {
			k.since = now
		}
	}
	k.raw, k.cred = raw, cred
	k.fails, k.nextTry, k.trouble, k.refused = 0, time.Time{}, nil, ""
}

// renewals is the number of renewals so far; a poll asks for it before it reads.
func (t *tokens) renewals() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seq
}

// adopt takes over what a poll found that began when there had been so many
// renewals. What was renewed since, or is not saved yet, is newer.
func (t *tokens) adopt(found map[accountID]string, began uint64) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, raw := range found {
		k := t.byID[id]
		if k == nil {
			k = &token{}
			t.byID[id] = k
		}
		// A renewal under way reads for itself.
		if k.flight == nil && k.unsaved == nil && k.renewed <= began {
			k.set(raw, now)
		}
	}
	for id, k := range t.byID {
		if _, ok := found[id]; !ok && k.flight == nil {
			if k.unsaved != nil {
				t.log.Warn("account is gone: its token, which was not saved yet, is dropped", "account", id)
			}
			delete(t.byID, id)
		}
	}
}

// standing says what a choice of the account would meet: nil for a token that is
// there or may be had, and for accounts that have a key.
func (t *tokens) standing(a *account, now time.Time) *tokenError {
	if !a.oauth {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.byID[a.id]
	switch {
	case k == nil:
		return errNoToken
	case k.live(now), k.flight != nil:
		return nil
	}
	// While Redis is away or somebody else renews, a request itself says so best.
	if e := k.hopeless(a, now); e != nil && (e.kind == signedOut || e.kind == failing) {
		return &tokenError{e.kind, e.text, k.nextTry.Sub(now)}
	}
	return nil
}

// bearer is the access token to send. used is the one that the provider has just
// refused, or "": then another one is wanted, and used itself comes back where
// there is none to be had. One that ends soon is renewed on the side; one that
// has ended is waited for, for budget at most, from which the wait is taken.
func (t *tokens) bearer(ctx context.Context, a *account, used string, window time.Duration, budget *time.Duration) (string, *tokenError) {
	now := time.Now()
	t.mu.Lock()
	k := t.byID[a.id]
	if k == nil {
		t.mu.Unlock()
		return used, errNoToken
	}
	if used != "" && used == k.cred.Access {
		if now.Sub(k.since) < rejectGap || k.flight == nil && k.hopeless(a, now) != nil {
			t.mu.Unlock()
			return used, nil
		}
		k.rejected = true
	}
	if k.live(now) {
		defer t.mu.Unlock()
		if k.near(now, window) {
			t.renew(k, a, now)
		}
		return k.cred.Access, nil
	}
	f := t.renew(k, a, now)
	t.mu.Unlock()
	timer := time.NewTimer(*budget)
	defer timer.Stop()
	err := errBusy
	select {
	case <-f.ready:
		err = nil
	case <-f.done:
		err = f.err
	case <-timer.C:
	case <-ctx.Done():
	}
	*budget = max(0, *budget-time.Since(now))
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.live(time.Now()) {
		return k.cred.Access, nil
	}
	if err == nil {
		err = &tokenError{kind: failing, text: "the token endpoint gave one that has ended already"}
	}
	return "", err
}

// renew begins a renewal, or joins the one under way. It never waits; t.mu is
// held.
func (t *tokens) renew(k *token, a *account, now time.Time) *flight {
	if k.flight != nil {
		return k.flight
	}
	f := &flight{ready: make(chan struct{}), done: make(chan struct{})}
	if f.err = k.hopeless(a, now); f.err == nil && t.stopped {
		f.err = errBusy
	}
	if f.err != nil {
		close(f.done)
		return f
	}
	k.flight = f
	t.wg.Go(func() {
		outcome, err := t.refresh(k, a)
		t.landed(k, a, outcome, err)
		f.err = err
		close(f.done)
	})
	return f
}

// landed notes how a renewal ended.
func (t *tokens) landed(k *token, a *account, outcome string, err *tokenError) {
	now := time.Now()
	t.mu.Lock()
	known := err != nil && k.trouble != nil && k.trouble.text == err.text
	k.flight, k.trouble = nil, err
	if err == nil {
		k.fails, k.nextTry, k.refused = 0, time.Time{}, ""
	} else {
		outcome = outcomes[err.kind]
		pause := time.Second
		switch err.kind {
		case signedOut:
			k.refused = a.raw
		case failing:
			pause = min(pause<<min(k.fails, 10), maxBackoff)
			k.fails++
		}
		k.nextTry = now.Add(min(max(pause, err.retry), maxBackoff))
	}
	t.mu.Unlock()
	t.metrics.renewals.WithLabelValues(a.id.Type, outcome).Inc()
	if err == nil {
		t.log.Info("token renewed", "account", a.id, "outcome", outcome)
		return
	}
	if err.kind == signedOut || err.kind == failing {
		t.counters.add(a.id, errorCount)
	}
	if err.kind == signedOut {
		t.metrics.putAside.WithLabelValues(a.id.Type).Inc()
	}
	if !known {
		t.log.Warn("token not renewed", "account", a.id, "outcome", outcome, "reason", err.text)
	}
}
