package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Store reads and writes the service's data. Safe for concurrent use. Every
// method's error is a broken connection or a server's refusal; a value that is
// not there is no error.
type Store struct {
	Keys
	rdb redis.UniversalClient
}

// New makes a Store on a client that the caller closes.
func New(rdb redis.UniversalClient, prefix string) *Store {
	return &Store{Keys: Keys{Prefix: prefix}, rdb: rdb}
}

// Client is the client underneath.
func (s *Store) Client() redis.UniversalClient { return s.rdb }

// Get reads a string key; ok is false where it is absent.
func (s *Store) Get(ctx context.Context, key string) (raw []byte, ok bool, err error) {
	raw, err = s.rdb.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("get %s: %w", key, err)
	}
	return raw, true, nil
}

// Strings reads several string keys at once; an absent one is nil. foreign holds
// the keys that exist and are no strings: MGET gives nothing for those either,
// and whoever takes that for absent overwrites them.
func (s *Store) Strings(ctx context.Context, keys []string) (vals [][]byte, foreign map[string]bool, err error) {
	if len(keys) == 0 {
		return nil, nil, nil
	}
	found, err := s.rdb.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, nil, fmt.Errorf("read %d keys: %w", len(keys), err)
	}
	vals = make([][]byte, len(keys))
	var without []string
	for i, v := range found {
		if text, ok := v.(string); ok {
			vals[i] = []byte(text)
		} else {
			without = append(without, keys[i])
		}
	}
	foreign, err = s.notStrings(ctx, without)
	return vals, foreign, err
}

// notStrings says which of keys hold something that is no string. In the usual
// case that is one command.
func (s *Store) notStrings(ctx context.Context, keys []string) (map[string]bool, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	if n, err := s.rdb.Exists(ctx, keys...).Result(); err != nil {
		return nil, fmt.Errorf("look for %d keys: %w", len(keys), err)
	} else if n == 0 {
		return nil, nil
	}
	foreign := map[string]bool{}
	for _, key := range keys {
		kind, err := s.rdb.Type(ctx, key).Result()
		if err != nil {
			return nil, fmt.Errorf("look for %s: %w", key, err)
		}
		foreign[key] = kind != "none" && kind != "string"
	}
	return foreign, nil
}

// Set writes a string key without expiry.
func (s *Store) Set(ctx context.Context, key string, raw []byte) error {
	if err := s.rdb.Set(ctx, key, raw, 0).Err(); err != nil {
		return fmt.Errorf("set %s: %w", key, err)
	}
	return nil
}

// Config reads the service configuration.
func (s *Store) Config(ctx context.Context) (raw []byte, ok bool, err error) {
	return s.Get(ctx, s.Keys.Config())
}

// SetConfig writes the service configuration.
func (s *Store) SetConfig(ctx context.Context, raw []byte) error {
	return s.Set(ctx, s.Keys.Config(), raw)
}

// Meta reads some fields of the import's record; an absent one is "".
func (s *Store) Meta(ctx context.Context, fields ...string) ([]string, error) {
	vals, err := s.rdb.HMGet(ctx, s.Keys.Meta(), fields...).Result()
	if err != nil {
		return nil, fmt.Errorf("read meta: %w", err)
	}
	out := make([]string, len(fields))
	for i, v := range vals {
		out[i], _ = v.(string)
	}
	return out, nil
}

// PutSession stores a dashboard session for its life, at least one second.
func (s *Store) PutSession(ctx context.Context, token string, raw []byte, life time.Duration) error {
	if life < time.Second {
		life = time.Second
	}
	if err := s.rdb.Set(ctx, s.Keys.Session(token), raw, life).Err(); err != nil {
		return fmt.Errorf("store a session: %w", err)
	}
	return nil
}

// Session reads a dashboard session; ok is false where it does not exist or has
// ended.
func (s *Store) Session(ctx context.Context, token string) (raw []byte, ok bool, err error) {
	return s.Get(ctx, s.Keys.Session(token))
}

// DeleteSession ends a dashboard session.
func (s *Store) DeleteSession(ctx context.Context, token string) error {
	if err := s.rdb.Del(ctx, s.Keys.Session(token)).Err(); err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}

// Scan calls visit with batches of the keys that begin with prefix, each key at
// least once. It uses SCAN, which every proxy passes.
func (s *Store) Scan(ctx context.Context, prefix string, visit func(keys []string) error) error {
	var cursor uint64
	for {
		keys, next, err := s.rdb.Scan(ctx, cursor, Pattern(prefix)+"*", 1000).Result()
		if err != nil {
			return fmt.Errorf("scan keys: %w", err)
		}
		if err := visit(keys); err != nil {
			return err
		}
		if next == 0 {
			return nil
		}
		cursor = next
	}
}
