package main

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// After Redis was kept busy, or paused, whoever did it and however often, it is back at
// once: no client gets an error for as long as a second after the end.
func TestRedisIsBackAsSoonAsItAnswers(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, "--enable-debug-command", "yes")
	d := redis.NewClient(&redis.Options{Addr: srv.Addr(), ReadTimeout: time.Minute})
	defer d.Close()
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	for round, what := range []struct {
		args []any
		d    time.Duration
	}{
		{[]any{"CLIENT", "PAUSE", 1100, "ALL"}, 1100 * time.Millisecond},
		{[]any{"CLIENT", "PAUSE", 1500, "WRITE"}, 1500 * time.Millisecond},
		{[]any{"DEBUG", "SLEEP", "1.3"}, 1300 * time.Millisecond},
		{[]any{"DEBUG", "SLEEP", "2.6"}, 2600 * time.Millisecond},
		{[]any{"CLIENT", "PAUSE", 1000, "ALL"}, time.Second},
		{[]any{"DEBUG", "SLEEP", "1.1"}, 1100 * time.Millisecond},
	} {
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { _ = d.Do(ctx, what.args...).Err() })
		end := start.Add(what.d)
		var last time.Time
		var text string
		c := p.client()
		for i := 0; time.Now().Before(end.Add(1500 * time.Millisecond)); i++ {
			key := "k" + strconv.Itoa(round) + ":" + strconv.Itoa(i)
			err := c.Get(ctx, key).Err()
			if err == redis.Nil {
				err = c.Incr(ctx, key+"n").Err()
			}
			if err != nil && err != redis.Nil {
				last, text = time.Now(), err.Error()
			}
			time.Sleep(5 * time.Millisecond)
		}
		wg.Wait()
		late := last.Sub(end)
		t.Logf("round %d %v: last error %v after the end: %s", round, what.args, late, text)
		assert.Less(t, late, time.Second, "%v: %s", what.args, text)
	}
}

// A pause that was ended at Redis itself, past the proxy, is over for its clients as well.
func TestAPauseThatSomebodyElseEnded(t *testing.T) {
	srv, p := online(t)
	c, d := p.client(), directClient(t, srv)
	require.NoError(t, c.Do(bg, "CLIENT", "PAUSE", "60000", "WRITE").Err())
	require.NoError(t, d.Do(bg, "CLIENT", "UNPAUSE").Err())
	over := time.Now()
	redistest.Eventually(t, patience, "writes", func() bool {
		return c.Set(bg, "unheld", 1, 0).Err() == nil && p.st.store.Mode() == fallback.Online
	})
	assert.Less(t, time.Since(over), 3*time.Second)
}

// Who makes Redis a replica, or pauses its writes, can take that back through the proxy,
// which takes neither for a Redis that serves.
func TestAnOutageMadeThroughTheProxyEndsThroughIt(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	c := p.client()
	for _, outage := range []struct{ begin, end []any }{
		{[]any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"}},
		{[]any{"SLAVEOF", "127.0.0.1", "1"}, []any{"SLAVEOF", "NO", "ONE"}},
		{[]any{"CLIENT", "PAUSE", "60000", "WRITE"}, []any{"CLIENT", "UNPAUSE"}},
	} {
		require.NoError(t, c.Do(ctx, outage.begin...).Err())
		redistest.Eventually(t, patience, "the outage", func() bool {
			_ = c.Incr(ctx, "n").Err()
			return p.st.store.Mode() == fallback.Offline
		})
		require.NoError(t, c.Do(ctx, outage.end...).Err(), "%v", outage.end)
		over := time.Now()
		redistest.Eventually(t, patience, "the end", func() bool {
			return c.Set(ctx, "unheld"+time.Now().String(), 1, 0).Err() == nil && p.st.store.Mode() == fallback.Online
		})
		assert.Less(t, time.Since(over), 2*time.Second)
	}
	srv.Kill()
	p.awaitMode(fallback.Offline)
	assert.ErrorContains(t, c.Do(ctx, "REPLICAOF", "NO", "ONE").Err(), "UPSTREAMDOWN")
}

// A pause or a sleep of up to a second that a client of the proxy asked for is no outage:
// the others wait for it, as they do at Redis.
func TestAShortPauseIsNoOutage(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, "--enable-debug-command", "yes")
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	slow := func(o *redis.Options) { o.ReadTimeout = patience }
	for i, args := range [][]any{{"CLIENT", "PAUSE", 1000}, {"CLIENT", "PAUSE", "1000", "ALL"}, {"DEBUG", "SLEEP", "1"}} {
		who := p.client(slow)
		var wg sync.WaitGroup
		began := make(chan struct{})
		wg.Go(func() {
			close(began)
			assert.NoError(t, who.Do(ctx, args...).Err())
		})
		<-began
		if args[0] == "CLIENT" {
			wg.Wait()
		}
		for j := range 20 {
			wg.Go(func() {
				c := p.client(slow)
				key := strconv.Itoa(i) + "unheld" + strconv.Itoa(j)
				start := time.Now()
				assert.NoError(t, c.Incr(ctx, key).Err(), "%v", args)
				assert.NoError(t, c.FlushDB(ctx).Err(), "%v", args)
				assert.Less(t, time.Since(start), 2*time.Second)
			})
		}
		wg.Wait()
	}
	assert.Zero(t, p.st.upstream.Status().Reconnects)
}

// A client that changes the password of the proxy's user at Redis does not shut it out.
func TestANewPasswordIsFollowed(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	c := p.client()
	for i, change := range [][]any{
		{"CONFIG", "SET", "requirepass", "one"}, {"CONFIG", "SET", "maxmemory", "0", "requirepass", "two"},
		{"ACL", "SETUSER", "default", "resetpass", ">three"}, {"CONFIG", "SET", "requirepass", ""}, {"CONFIG", "SET", "requirepass", "four"},
	} {
		require.NoError(t, c.Do(ctx, change...).Err())
		other := p.client(func(o *redis.Options) { o.DB, o.Protocol = 1+i, 2 }) // wants a new connection to Redis
		require.NoError(t, other.Incr(ctx, "n").Err(), "%v", change)
		sub := p.client().Subscribe(ctx, "ch")
		_, err := sub.Receive(ctx)
		require.NoError(t, err, "%v", change)
		require.NoError(t, sub.Close())
	}
	assert.Zero(t, p.st.upstream.Status().Reconnects)
	srv.Kill() // and with it goes the password
	p.awaitMode(fallback.Offline)
	srv.Start()
	p.awaitMode(fallback.Online)
	assert.NotContains(t, p.logs.String(), "three")
}
