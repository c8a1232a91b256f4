package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"holdfast/gateway/store"
)

// unsaved is a renewal that Redis does not have yet. The refresh token in it may
// be the only one that is still good, so it is never given up while its account
// exists and nobody has stored another token.
type unsaved struct {
	id      accountID
	was     store.Credentials
	renewal store.Renewal
	base    string // the text that was renewed
	owner   string // of the lease, kept until the renewal is saved

	mu     sync.Mutex // one write at a time
	failed bool       // logged
}

// accept puts a renewal to use and saves it. Those who wait for it do not wait
// for Redis. It is for the flight under way.
func (t *tokens) accept(k *token, u *unsaved) {
	t.mu.Lock()
	k.set(string(u.renewal.Apply([]byte(u.base))), time.Now())
	t.seq++
	k.renewed, k.unsaved = t.seq, u
	close(k.flight.ready)
	t.mu.Unlock()
	if !t.save(context.Background(), k, u) {
		select {
		case t.wake <- struct{}{}:
		default: // a wake-up is pending already
		}
	}
}

// save writes a renewal; false when it still has to be written. It may be called
// again after any error: what an earlier call wrote is recognised.
func (t *tokens) save(ctx context.Context, k *token, u *unsaved) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	t.mu.Lock()
	done := k.unsaved != u
	t.mu.Unlock()
	if done {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, 2*t.timeout)
	defer cancel()
	stored, err := t.store.SwapToken(ctx, u.id.Type, u.id.UUID, u.was, u.renewal)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.noticed(err)
	}
	if err != nil || stored == nil {
		if !u.failed {
			u.failed = true
			t.log.Warn("renewed token is not in Redis yet: it is kept and written again", "account", u.id, "error", err)
		}
		return false
	}
	have := store.ParseCredentials(stored)
	ours := have.Access == u.renewal.Access && (u.renewal.Refresh == "" || have.Refresh == u.renewal.Refresh)
	t.mu.Lock()
	k.unsaved = nil
	k.set(string(stored), time.Now())
	t.seq++
	k.renewed = t.seq
	t.mu.Unlock()
	switch {
	case !ours:
		t.log.Warn("another token was stored meanwhile: it is used instead of the renewed one", "account", u.id)
	case u.failed:
		t.log.Info("renewed token is in Redis now", "account", u.id)
	}
	t.release(u.id, u.owner)
	return true
}

// unsavedTokens is how many renewals Redis does not have yet.
func (t *tokens) unsavedTokens() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var n int64
	for _, k := range t.byID {
		if k.unsaved != nil {
			n++
		}
	}
	return n
}

// saveAll writes what is unsaved and gives back how much still is.
func (t *tokens) saveAll(ctx context.Context) (left int) {
	waiting := map[*token]*unsaved{}
	t.mu.Lock()
	for _, k := range t.byID {
		if k.unsaved != nil {
			waiting[k] = k.unsaved
		}
	}
	t.mu.Unlock()
	for k, u := range waiting {
		if ctx.Err() != nil || !t.save(ctx, k, u) {
			left++
		}
	}
	return left
}

// run saves what is unsaved and looks the tokens over, until ctx ends. state
// gives the accounts.
func (t *tokens) run(ctx context.Context, state func() *snapshot) {
	for {
		pause := sweepEvery
		if t.saveAll(ctx) > 0 {
			pause = saveEvery
		}
		t.sweep(state(), time.Now())
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-time.After(pause):
		}
	}
}

// maxSweep bounds how many renewals are under way for accounts that nobody asks
// for just now.
const maxSweep = 4

// sweep renews tokens that end soon although no request uses them, where that is
// configured (CRON_REFRESH_TOKEN).
func (t *tokens) sweep(s *snapshot, now time.Time) {
	if !s.settings.sweepTokens {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	under := 0
	for _, k := range t.byID {
		if k.flight != nil {
			under++
		}
	}
	for _, p := range s.pools {
		for _, a := range p.accounts {
			k := t.byID[a.id]
			if under >= maxSweep {
				return
			}
			if k == nil || a.disabled || k.flight != nil || k.hopeless(a, now) != nil || k.live(now) && !k.near(now, s.settings.nearExpiry) {
				continue
			}
			t.renew(k, a, now)
			under++
		}
	}
}

// finish ends renewals and saves what they gave, until deadline. One whose
// refresh token is with the provider is not cut: the answer may hold the only
// good one. None begins any more.
func (t *tokens) finish(deadline time.Time) error {
	t.mu.Lock()
	t.stopped = true
	t.mu.Unlock()
	close(t.stop)
	t.wg.Wait()
	if least := time.Now().Add(flushTimeout); deadline.Before(least) {
		deadline = least
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	for t.saveAll(ctx) > 0 {
		if !wait(ctx, saveEvery) {
			break
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	lost := 0
	for id, k := range t.byID {
		if k.unsaved != nil {
			lost++
			t.log.Error("renewed token could not be saved before the end: its account has to sign in again if the old one is spent", "account", id)
		}
	}
	if lost > 0 {
		return fmt.Errorf("save renewed tokens: %d are lost (the accounts are in the log)", lost)
	}
	return nil
}
