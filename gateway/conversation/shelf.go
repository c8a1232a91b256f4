// Package conversation keeps in Redis what a conversation needs and its client does
// not hold: former responses of the Responses API, and what a model thought before it
// called a tool. All of it ends by itself, and its size is bounded.
package conversation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrTooLarge is a value over the shelf's bound: it is not kept.
var ErrTooLarge = errors.New("value is too large to be kept")

// Config is how a Shelf keeps its values.
type Config struct {
	Client redis.Cmdable
	// Prefix stands before each id and makes the key of it.
	Prefix string
	// Lifetime of a value from when it was kept or touched last.
	Lifetime time.Duration
	// Timeout bounds each question to Redis.
	Timeout time.Duration
	// MaxValue bounds one value, MaxTotal all that this process has kept and that have
	// not ended: the oldest make room. Both in bytes.
	MaxValue int
	MaxTotal int64
	Logger   *slog.Logger
}

// Shelf keeps values under ids for a while. It uses plain commands (SET EX, MGET,
// EXPIRE, DEL), so what is kept outlives an outage of a Redis behind a Holdfast proxy.
// Safe for concurrent use.
type Shelf struct {
	cfg Config

	mu      sync.Mutex
	kept    []entry // in the order in which they came
	total   int64   // bytes of kept
	failing bool    // the last question failed
}

// entry is what this process knows of a value that it has kept.
type entry struct {
	id   string
	size int64
	ends time.Time
}

// New makes a shelf; the Redis behind it belongs to the caller.
func New(cfg Config) *Shelf { return &Shelf{cfg: cfg} }

// Put keeps a value. The error is ErrTooLarge, or that of Redis.
func (s *Shelf) Put(ctx context.Context, id string, value []byte) error {
	if len(value) > s.cfg.MaxValue {
		return fmt.Errorf("keep %d bytes (at most %d): %w", len(value), s.cfg.MaxValue, ErrTooLarge)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	crowded := s.enter(id, int64(len(value)), time.Now())
	_, err := s.cfg.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, s.cfg.Prefix+id, value, s.cfg.Lifetime)
		if len(crowded) > 0 {
			p.Del(ctx, crowded...)
		}
		return nil
	})
	return s.noted(err)
}

// enter counts a value and returns the keys of those that have to make room. Whether
// they are gone is not waited for: they end by themselves as well.
func (s *Shelf) enter(id string, size int64, now time.Time) (crowded []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, entry{id, size, now.Add(s.cfg.Lifetime)})
	s.total += size
	for len(s.kept) > 1 && (s.total > s.cfg.MaxTotal || now.After(s.kept[0].ends)) {
		if now.Before(s.kept[0].ends) {
			crowded = append(crowded, s.cfg.Prefix+s.kept[0].id)
		}
		s.total -= s.kept[0].size
		s.kept = s.kept[1:]
	}
	return crowded
}

// Get returns the values that are there, by id.
func (s *Shelf) Get(ctx context.Context, ids ...string) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = s.cfg.Prefix + id
	}
	found, err := s.cfg.Client.MGet(ctx, keys...).Result()
	if s.noted(err) != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for i, v := range found {
		if text, ok := v.(string); ok {
			out[ids[i]] = []byte(text)
		}
	}
	return out, nil
}

// Touch lets values live for another Lifetime.
func (s *Shelf) Touch(ctx context.Context, ids ...string) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	_, err := s.cfg.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, id := range ids {
			p.Expire(ctx, s.cfg.Prefix+id, s.cfg.Lifetime)
		}
		return nil
	})
	return s.noted(err)
}

// Delete forgets a value, and reports whether it was there.
func (s *Shelf) Delete(ctx context.Context, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	n, err := s.cfg.Client.Del(ctx, s.cfg.Prefix+id).Result()
	return n > 0, s.noted(err)
}

// noted logs the change from working to failing and back, not each failure.
func (s *Shelf) noted(err error) error {
	if errors.Is(err, context.Canceled) {
		return err // the client left; nothing was learned
	}
	s.mu.Lock()
	changed := s.failing != (err != nil)
	s.failing = err != nil
	s.mu.Unlock()
	switch {
	case changed && err != nil:
		s.cfg.Logger.Warn("conversations cannot be kept in Redis", "keys", s.cfg.Prefix+"*", "error", err)
	case changed:
		s.cfg.Logger.Info("conversations are kept in Redis again", "keys", s.cfg.Prefix+"*")
	}
	return err
}
