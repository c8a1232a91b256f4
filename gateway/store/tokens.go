package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// LockLife is how long a token-refresh lease lasts.
const LockLife = 30 * time.Second

// casTries bounds how often a compare-and-set starts again after somebody else
// wrote other fields of the same token.
const casTries = 8

// readNow reads a value at Redis itself: a script, unlike GET, is never answered
// from a proxy's cache, which may lag behind what the lease's last owner wrote
// through another proxy.
const readNow = `return redis.call('GET', KEYS[1])`

// swapIfSame replaces a value only where it is byte for byte the one that was
// read. The scripts never decode JSON: that would change it.
const swapIfSame = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1`

const deleteIfSame = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`

// Token reads an account's OAuth credentials as Redis has them now; nil where
// there are none.
func (s *Store) Token(ctx context.Context, typ, uuid string) ([]byte, error) {
	text, err := s.rdb.Eval(ctx, readNow, []string{s.Keys.Token(typ, uuid)}).Text()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read token of %s %s: %w", typ, uuid, err)
	}
	return []byte(text), nil
}

// SwapToken puts a renewal into an account's stored credentials if those still
// have the access and the refresh token of was: a newer token is never
// overwritten, and fields that somebody else changed meanwhile stay. The key
// gets no expiry.
//
// It gives what is stored then. That has the renewal's tokens exactly if this
// call, or one before it whose answer was lost, wrote them: after an error, call
// it again.
func (s *Store) SwapToken(ctx context.Context, typ, uuid string, was Credentials, r Renewal) ([]byte, error) {
	for range casTries {
		cur, err := s.Token(ctx, typ, uuid)
		if err != nil {
			return nil, err
		}
		have := ParseCredentials(cur)
		if have.Refresh != was.Refresh || have.Access != was.Access {
			return cur, nil
		}
		next := r.Apply(cur)
		n, err := s.rdb.Eval(ctx, swapIfSame, []string{s.Keys.Token(typ, uuid)}, cur, next).Int()
		if err != nil {
			return nil, fmt.Errorf("replace token of %s %s: %w", typ, uuid, err)
		}
		if n == 1 {
			return next, nil
		}
	}
	return nil, fmt.Errorf("replace token of %s %s: it changed %d times meanwhile", typ, uuid, casTries)
}

// LockToken takes the refresh lease of an account for LockLife. It gives the
// owner id to release it with; ok is false where somebody else holds it. After
// an error it may have been taken: release it all the same.
func (s *Store) LockToken(ctx context.Context, typ, uuid string) (owner string, ok bool, err error) {
	owner = rand.Text()
	err = s.rdb.Do(ctx, "SET", s.TokenLock(typ, uuid), owner, "NX", "EX", int(LockLife/time.Second)).Err()
	if errors.Is(err, redis.Nil) {
		return "", false, nil
	}
	if err != nil {
		return owner, false, fmt.Errorf("lock token of %s %s: %w", typ, uuid, err)
	}
	return owner, true, nil
}

// UnlockToken releases a lease, if owner still holds it.
func (s *Store) UnlockToken(ctx context.Context, typ, uuid, owner string) error {
	if err := s.rdb.Eval(ctx, deleteIfSame, []string{s.TokenLock(typ, uuid)}, owner).Err(); err != nil {
		return fmt.Errorf("release token lock of %s %s: %w", typ, uuid, err)
	}
	return nil
}
