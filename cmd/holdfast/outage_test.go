package main

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

func TestReadsAndWritesGoOnWithoutRedisAndArriveOnce(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL())
	c := p.client()
	p.awaitMode(fallback.Online)
	require.NoError(t, c.Set(ctx, "aiclient:n", 10, 0).Err())
	require.NoError(t, c.HSet(ctx, "aiclient:h", "f", "v").Err())
	p.awaitMirror()

	srv.Kill()
	assert.Equal(t, "10", c.Get(ctx, "aiclient:n").Val(), "a read of a mirrored key goes on")
	for i := 1; i <= 200; i++ {
		n, err := c.Incr(ctx, "aiclient:n").Result()
		require.NoError(t, err)
		require.EqualValues(t, 10+i, n)
		require.NoError(t, c.HSet(ctx, "aiclient:h", fmt.Sprintf("f%d", i), i).Err())
	}
	assert.Len(t, c.Keys(ctx, "aiclient:*").Val(), 2)
	assert.Equal(t, redis.Nil, c.Get(ctx, "aiclient:absent").Err(), "absent under a complete prefix is nil")
	err := c.Get(ctx, "elsewhere").Err()
	assert.ErrorContains(t, err, "UPSTREAMDOWN", "absent elsewhere is unknown, not nil")

	srv.Start()
	p.awaitMode(fallback.Online)
	d := directClient(t, srv)
	assert.Equal(t, "210", d.Get(ctx, "aiclient:n").Val())
	assert.EqualValues(t, 201, d.HLen(ctx, "aiclient:h").Val())
	assert.Equal(t, "210", c.Get(ctx, "aiclient:n").Val())
}

func TestHungRedisIsLeftWithinTheBoundAndNothingIsDoubled(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL())
	c := p.client()
	p.awaitMode(fallback.Online)
	require.NoError(t, c.Set(ctx, "aiclient:n", 0, 0).Err())
	p.awaitMirror()

	srv.Hang()
	acked := 0
	for range 50 {
		if c.Incr(ctx, "aiclient:n").Err() == nil {
			acked++
		}
		require.NoError(t, c.Get(ctx, "aiclient:n").Err(), "reads never fail")
	}
	assert.GreaterOrEqual(t, acked, 49, "at most the write under way has an unknown outcome")
	srv.Resume()
	p.awaitMode(fallback.Online)
	got, err := directClient(t, srv).Get(ctx, "aiclient:n").Int()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, got, acked)
	assert.LessOrEqual(t, got, 50)
}

func TestConnectionsStayOpenOverAnOutage(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	dials := 0
	c := p.client(func(o *redis.Options) {
		o.PoolSize = 1
		o.OnConnect = func(context.Context, *redis.Conn) error { dials++; return nil }
	})
	require.NoError(t, c.Set(ctx, "aiclient:x", 1, 0).Err())
	p.awaitMirror()
	for range 3 {
		srv.Kill()
		require.NoError(t, c.Incr(ctx, "aiclient:x").Err())
		srv.Start()
		p.awaitMode(fallback.Online)
		require.NoError(t, c.Incr(ctx, "aiclient:x").Err())
	}
	assert.Equal(t, 1, dials)
	assert.Equal(t, "7", directClient(t, srv).Get(ctx, "aiclient:x").Val())
}

func TestWritersDuringTheReturnLoseNothing(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	p.awaitMirror()
	const writers = 8
	var mu sync.Mutex
	acked := make([]int, writers)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		c := p.client()
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				// RPUSH is neither idempotent nor commutative: order and count both show.
				if err := c.RPush(ctx, fmt.Sprintf("aiclient:list%d", w), i).Err(); err == nil {
					mu.Lock()
					acked[w]++
					mu.Unlock()
				}
			}
		})
	}
	for range 3 {
		time.Sleep(50 * time.Millisecond) // some traffic in each phase; the verdict does not hang on it
		srv.Kill()
		time.Sleep(100 * time.Millisecond)
		srv.Start()
		p.awaitMode(fallback.Online)
	}
	close(stop)
	wg.Wait()
	d := directClient(t, srv)
	for w := range writers {
		list := d.LRange(ctx, fmt.Sprintf("aiclient:list%d", w), 0, -1).Val()
		assert.GreaterOrEqual(t, len(list), acked[w], "writer %d: an acknowledged write is missing", w)
		seen := map[string]bool{}
		for i, v := range list {
			require.False(t, seen[v], "writer %d: %s is there twice", w, v)
			seen[v] = true
			if i > 0 {
				require.Less(t, atoi(t, list[i-1]), atoi(t, v), "writer %d: order", w)
			}
		}
	}
}

func atoi(t *testing.T, s string) int {
	var n int
	_, err := fmt.Sscan(s, &n)
	require.NoError(t, err)
	return n
}

func TestForeignWritesAreSeenAtOnce(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	c, d := p.client(), directClient(t, srv)
	for i := range 100 {
		require.NoError(t, d.Set(ctx, "aiclient:f", i, 0).Err())
		redistest.Eventually(t, patience, "foreign write is visible", func() bool {
			return c.Get(ctx, "aiclient:f").Val() == fmt.Sprint(i)
		})
	}
	require.NoError(t, d.Del(ctx, "aiclient:f").Err())
	redistest.Eventually(t, patience, "foreign delete is visible", func() bool {
		return c.Get(ctx, "aiclient:f").Err() == redis.Nil
	})
}

func TestColdStartWithoutRedis(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	logs := &logBuffer{}
	settings := testSettings(t, srv.URL(), logs)
	p := startWith(t, settings, logs)
	p.awaitMode(fallback.Online)
	require.NoError(t, p.client().Set(ctx, "aiclient:cfg", "kept", 0).Err())
	p.awaitMirror()
	srv.Kill()
	p.awaitMode(fallback.Offline)
	require.NoError(t, p.client().Incr(ctx, "aiclient:count").Err())
	p.stop()

	again := startWith(t, settings, logs)
	assert.Equal(t, "kept", again.client().Get(ctx, "aiclient:cfg").Val())
	assert.Equal(t, "1", again.client().Get(ctx, "aiclient:count").Val())
	srv.Start()
	again.awaitMode(fallback.Online)
	assert.Equal(t, "1", directClient(t, srv).Get(ctx, "aiclient:count").Val())
}
