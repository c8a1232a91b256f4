package apps_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

func client(t *testing.T, addr string) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// locked adds n times to a number under the lock, with as many callers.
func locked(t *testing.T, rs *redsync.Redsync, n int) {
	t.Helper()
	var wg sync.WaitGroup
	holders, most := 0, 0
	var mu sync.Mutex
	for range n {
		wg.Go(func() {
			m := rs.NewMutex("lock:one", redsync.WithTries(500), redsync.WithRetryDelay(5*time.Millisecond))
			if err := m.Lock(); err != nil {
				t.Errorf("lock: %v", err)
				return
			}
			mu.Lock()
			holders++
			most = max(most, holders)
			mu.Unlock()
			time.Sleep(2 * time.Millisecond)
			mu.Lock()
			holders--
			mu.Unlock()
			if ok, err := m.Unlock(); !ok || err != nil {
				t.Errorf("unlock: %v, %v", ok, err)
			}
		})
	}
	wg.Wait()
	if most != 1 {
		t.Errorf("%d held the lock at a time, want 1", most)
	}
}

func TestRedsync(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			r := start(t, mode, "lock:")
			locked(t, redsync.New(goredis.NewPool(client(t, r.proxy.Addr()))), 20)
		})
	}
}

// A lock is never granted while Redis is away, and is there again afterwards.
func TestRedsyncOverAnOutage(t *testing.T) {
	r := start(t, "online", "lock:")
	rs := redsync.New(goredis.NewPool(client(t, r.proxy.Addr())))
	locked(t, rs, 5)
	r.kill()
	if err := rs.NewMutex("lock:two", redsync.WithTries(3)).Lock(); err == nil {
		t.Error("a lock was granted while Redis was away")
	}
	r.restart()
	locked(t, rs, 5)
	r.noDeadLetters()
}

// allow asks n times and counts what the limiter lets through.
func allow(t *testing.T, limiter *redis_rate.Limiter, key string, limit redis_rate.Limit, n int) (allowed int) {
	t.Helper()
	for range n {
		res, err := limiter.Allow(context.Background(), key, limit)
		check(t, err)
		allowed += res.Allowed
	}
	return allowed
}

func TestRedisRate(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			r := start(t, mode, "rate:")
			limiter := redis_rate.NewLimiter(client(t, r.proxy.Addr()))
			if got := allow(t, limiter, "user", redis_rate.PerHour(10), 30); got != 10 {
				t.Errorf("%d of 30 calls allowed, want 10", got)
			}
		})
	}
}

// The limit holds over the going and the return of Redis.
func TestRedisRateOverAnOutage(t *testing.T) {
	r := start(t, "online", "rate:")
	limiter := redis_rate.NewLimiter(client(t, r.proxy.Addr()))
	limit := redis_rate.PerHour(30)
	got := allow(t, limiter, "user", limit, 10)
	r.kill()
	got += allow(t, limiter, "user", limit, 10)
	r.restart()
	got += allow(t, limiter, "user", limit, 30)
	if got != 30 {
		t.Errorf("%d calls allowed over the outage, want 30", got)
	}
	r.noDeadLetters()
	ttl, err := client(t, r.redis.Addr()).TTL(context.Background(), "rate:user").Result()
	check(t, err)
	if ttl <= 0 {
		t.Errorf("the limiter's key has no expiry at Redis: TTL %v", ttl)
	}
}
