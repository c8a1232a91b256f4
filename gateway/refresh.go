package gateway

import (
	"context"
	"math/rand/v2"
	"time"

	"holdfast/gateway/store"
)

// leaseWait is how long a renewal waits for another gateway's: a lease of one
// that died has run out by then.
const leaseWait = store.LockLife + 5*time.Second

// lease is the right to renew one account's token.
type lease struct {
	owner string
	taken time.Time // no later than Redis took it
}

// refresh renews a token, or finds that somebody else did. The outcome is for
// the metric.
func (t *tokens) refresh(k *token, a *account) (outcome string, err *tokenError) {
	t.mu.Lock()
	u, from := k.unsaved, k.cred
	t.mu.Unlock()
	if u != nil && !t.save(context.Background(), k, u) {
		return "", errRedisAway // its lease may be another's by now
	}
	l, err := t.lease(k, a, from)
	if err != nil {
		return "", err
	}
	if l == nil {
		return "adopted", nil
	}
	t.mu.Lock()
	cred, base := k.cred, k.raw
	err = k.hopeless(a, time.Now())
	t.mu.Unlock()
	var got store.Renewal
	if err == nil {
		got, err = t.ask(a, a.sign.or(cred), cred.Refresh, l.taken.Add(t.grant))
	}
	if err != nil {
		// Whoever renews without asking for the lease is the likeliest reason for
		// a refresh token that is spent.
		adopted := err.kind == signedOut && t.reread(k, a.id, cred)
		t.release(a.id, l.owner)
		if adopted {
			return "adopted", nil
		}
		return "", err
	}
	t.counters.add(a.id, store.RefreshCount)
	t.accept(k, &unsaved{id: a.id, was: cred, renewal: got, base: base, owner: l.owner})
	return "renewed", nil
}

// lease takes the account's lease and reads the token again; nil where that is a
// new one that lives.
func (t *tokens) lease(k *token, a *account, from store.Credentials) (*lease, *tokenError) {
	for giveUp := time.Now().Add(leaseWait); ; {
		if !t.awaitRedis() {
			return nil, errRedisAway
		}
		t.mu.Lock()
		owner, doubtful := t.doubtful[a.id]
		delete(t.doubtful, a.id)
		t.mu.Unlock()
		if doubtful {
			t.release(a.id, owner)
		}
		l := &lease{taken: time.Now()}
		ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
		owner, ok, err := t.store.LockToken(ctx, a.id.Type, a.id.UUID)
		cancel()
		if err != nil {
			t.doubt(a.id, owner)
			t.noticed(err)
			t.log.Warn("token lease not taken", "account", a.id, "error", err)
			return nil, errRedisAway
		}
		l.owner = owner
		raw, there := t.read(a.id)
		if there && raw != nil && t.took(k, raw, from) {
			if ok {
				t.release(a.id, owner)
			}
			return nil, nil
		}
		switch {
		case ok && there && raw != nil:
			return l, nil
		case ok:
			t.release(a.id, owner)
		}
		switch {
		case !there:
			return nil, errRedisAway
		case raw == nil:
			return nil, &tokenError{kind: failing, text: "its token is not in Redis any more"}
		case time.Now().After(giveUp):
			return nil, errBusy
		}
		select {
		case <-t.stop:
			return nil, errBusy
		case <-time.After(50*time.Millisecond + rand.N(50*time.Millisecond)):
		}
	}
}

// awaitRedis reports whether Redis is there. A proxy answers for an absent one:
// every lease is refused then, and what is read may be old. When Redis has just
// returned, others get a moment to save what they renewed before.
func (t *tokens) awaitRedis() bool {
	ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
	defer cancel()
	h := t.redis(ctx)
	if !h.connected || h.backAt.IsZero() {
		return h.connected
	}
	rest := time.Until(h.backAt.Add(t.grace))
	if rest <= 0 {
		return true
	}
	select {
	case <-t.stop:
		return false
	case <-time.After(rest):
	}
	again, cancel := context.WithTimeout(context.Background(), t.timeout)
	defer cancel()
	return t.redis(again).connected
}

// read gives the stored token; nil for none, false without an answer.
func (t *tokens) read(id accountID) (raw []byte, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
	defer cancel()
	raw, err := t.store.Token(ctx, id.Type, id.UUID)
	if err != nil {
		t.noticed(err)
		t.log.Warn("token not read", "account", id, "error", err)
	}
	return raw, err == nil
}

// took takes over a stored token and reports whether it lives and is another one
// than from.
func (t *tokens) took(k *token, raw []byte, from store.Credentials) bool {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	k.set(string(raw), now)
	return (k.cred.Access != from.Access || k.cred.Refresh != from.Refresh) && k.live(now)
}

func (t *tokens) reread(k *token, id accountID, from store.Credentials) bool {
	raw, ok := t.read(id)
	return ok && raw != nil && t.took(k, raw, from)
}

// doubt remembers a lease that may be ours.
func (t *tokens) doubt(id accountID, owner string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doubtful[id] = owner
}

// release gives a lease back. If that fails, it is tried again before the next
// renewal; else it runs out by itself.
func (t *tokens) release(id accountID, owner string) {
	ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
	defer cancel()
	if err := t.store.UnlockToken(ctx, id.Type, id.UUID, owner); err != nil {
		t.doubt(id, owner)
		t.log.Debug("token lease not released", "account", id, "error", err)
	}
}
