package store

import (
	"bytes"
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

// swapIfSame replaces a value only where it is byte for byte the one that was
// read. The scripts never decode JSON: that would change it.
const swapIfSame = `
local v = redis.call('GET', KEYS[1])
if ARGV[1] == '0' then
  if v then return 0 end
elseif v ~= ARGV[2] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[3])
return 1`

const deleteIfSame = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`

// Token reads an account's OAuth credentials.
func (s *Store) Token(ctx context.Context, typ, uuid string) (raw []byte, ok bool, err error) {
	return s.Get(ctx, s.Keys.Token(typ, uuid))
}

// RefreshToken is the refresh token in a credentials JSON, written refreshToken
// or refresh_token; "" for none.
func RefreshToken(raw []byte) string {
	for _, name := range []string{"refreshToken", "refresh_token"} {
		if v, ok := Member(raw, name); ok && v.String() != "" {
			return v.String()
		}
	}
	return ""
}

// CompareAndSetToken writes new credentials if the stored ones still have the
// refresh token expected ("" for credentials that are absent or have none). It
// reports false, without writing, where somebody else has refreshed meanwhile.
// The key gets no expiry. After an error it is unknown whether it was written;
// calling again is safe: it then reports false if it was.
func (s *Store) CompareAndSetToken(ctx context.Context, typ, uuid, expected string, next []byte) (bool, error) {
	key := s.Keys.Token(typ, uuid)
	for range casTries {
		cur, ok, err := s.Get(ctx, key)
		if err != nil {
			return false, err
		}
		if RefreshToken(cur) != expected {
			return false, nil
		}
		if ok && bytes.Equal(cur, next) {
			return true, nil
		}
		present := "0"
		if ok {
			present = "1"
		}
		n, err := s.rdb.Eval(ctx, swapIfSame, []string{key}, present, cur, next).Int()
		if err != nil {
			return false, fmt.Errorf("replace token of %s %s: %w", typ, uuid, err)
		}
		if n == 1 {
			return true, nil
		}
	}
	return false, fmt.Errorf("replace token of %s %s: it changed %d times meanwhile", typ, uuid, casTries)
}

// LockToken takes the refresh lease of an account for LockLife. It gives the
// owner id to release it with; ok is false where somebody else holds it.
func (s *Store) LockToken(ctx context.Context, typ, uuid string) (owner string, ok bool, err error) {
	owner = rand.Text()
	err = s.rdb.Do(ctx, "SET", s.TokenLock(typ, uuid), owner, "NX", "EX", int(LockLife/time.Second)).Err()
	if errors.Is(err, redis.Nil) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("lock token of %s %s: %w", typ, uuid, err)
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
