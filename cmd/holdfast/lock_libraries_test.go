package main

import (
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// A lock of redsync: taken, kept from others, renewed and given back where there is a
// store; in an outage one that is held goes on, and none is granted.
func TestRedsync(t *testing.T) {
	srv, p := online(t)
	locks := redsync.New(goredis.NewPool(p.client()))
	others := redsync.New(goredis.NewPool(directClient(t, srv)))
	once := redsync.WithTries(1)
	take := func(rs *redsync.Redsync, name string) (*redsync.Mutex, error) {
		m := rs.NewMutex("aiclient:"+name, once, redsync.WithExpiry(time.Minute))
		return m, m.TryLock()
	}
	held, err := take(locks, "held")
	require.NoError(t, err)
	_, err = take(others, "held")
	require.Error(t, err)
	p.awaitMirror()
	srv.Kill()
	p.awaitMode(fallback.Offline)
	for _, name := range []string{"held", "free"} {
		_, err = take(locks, name)
		require.Error(t, err, name)
	}
	ok, err := held.Extend()
	require.NoError(t, err)
	require.True(t, ok, "the holder goes on")
	ok, err = held.Unlock()
	require.NoError(t, err)
	require.True(t, ok)
	_, err = take(locks, "held")
	require.Error(t, err, "given back, and still nobody's")
	srv.Start()
	p.awaitMode(fallback.Online)
	free, err := take(others, "free")
	require.NoError(t, err, "nothing of the refused ones was replayed")
	_, err = take(locks, "free")
	require.Error(t, err)
	ok, err = free.Unlock()
	require.NoError(t, err)
	require.True(t, ok)
}

// The limiter of redis_rate goes on in an outage, and what it wrote expires.
func TestRedisRate(t *testing.T) {
	srv := redistest.Start(t)
	p := startProxy(t, srv.URL(), func(s *proxySettings) { s.mirror = []string{"rate:"} })
	p.awaitMode(fallback.Online)
	p.awaitMirror()
	spend := func(p *running, key string, want int) {
		t.Helper()
		c, allowed := p.client(), 0
		for range 10 {
			r, err := redis_rate.NewLimiter(c).Allow(bg, key, redis_rate.Limit{Rate: 1, Burst: 4, Period: time.Hour})
			require.NoError(t, err)
			allowed += r.Allowed
		}
		require.Equal(t, want, allowed)
		ttl, err := c.PTTL(bg, "rate:"+key).Result()
		require.NoError(t, err)
		require.Greater(t, ttl, time.Hour/2)
	}
	spend(p, "a", 4)
	srv.Kill()
	p.awaitMode(fallback.Offline)
	spend(p, "b", 4)
	srv.Start()
	p.awaitMode(fallback.Online)
	spend(p, "b", 0)
	ttl, err := directClient(t, srv).PTTL(bg, "rate:b").Result()
	require.NoError(t, err)
	require.Greater(t, ttl, time.Hour/2)
	spend(startProxy(t, ""), "c", 4)
}
