package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// Writes that cannot be repeated are under way all the time while Redis is
// killed or hung. Each gets an answer, and Redis ends up with exactly those.
func TestWritesUnderWayWhenRedisDiesCountOnce(t *testing.T) {
	for name, fault := range map[string]struct{ away, back func(*redistest.Server) }{
		"killed": {(*redistest.Server).Kill, (*redistest.Server).Start},
		"hung":   {(*redistest.Server).Hang, (*redistest.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) { writesUnderWay(t, fault.away, fault.back) })
	}
}

func writesUnderWay(t *testing.T, away, back func(*redistest.Server)) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	require.NoError(t, p.client().MSet(ctx, "aiclient:n", 0, "aiclient:m", 0, "aiclient:u", 0).Err())
	p.awaitMirror()
	var incr, eval, unit atomic.Int64
	var errs sync.Map
	stop := make(chan struct{})
	var wg sync.WaitGroup
	loop := func(proto int, count *atomic.Int64, write func(c *redis.Client) error) {
		c := p.client(func(o *redis.Options) { o.Protocol = proto })
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := write(c); err != nil {
					errs.Store(err.Error(), true)
					continue
				}
				count.Add(1)
			}
		})
	}
	for proto := 2; proto <= 3; proto++ {
		loop(proto, &incr, func(c *redis.Client) error { return c.Incr(ctx, "aiclient:n").Err() })
		loop(proto, &incr, func(c *redis.Client) error { return c.Incr(ctx, "aiclient:n").Err() })
		loop(proto, &eval, func(c *redis.Client) error {
			return c.Eval(ctx, "return redis.call('INCRBY', KEYS[1], 1)", []string{"aiclient:m"}).Err()
		})
		loop(proto, &unit, func(c *redis.Client) error {
			_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
				p.Incr(ctx, "aiclient:u")
				p.RPush(ctx, "aiclient:l", "x")
				return nil
			})
			return err
		})
	}
	for range 3 {
		time.Sleep(100 * time.Millisecond) // traffic in each phase; the verdict does not hang on it
		away(srv)
		p.awaitMode(fallback.Offline)
		time.Sleep(50 * time.Millisecond)
		back(srv)
		p.awaitMode(fallback.Online)
	}
	close(stop)
	wg.Wait()
	errs.Range(func(text, _ any) bool { t.Errorf("a client saw: %v", text); return true })
	d := directClient(t, srv)
	assert.Equal(t, fmt.Sprint(incr.Load()), d.Get(ctx, "aiclient:n").Val(), "INCR")
	assert.Equal(t, fmt.Sprint(eval.Load()), d.Get(ctx, "aiclient:m").Val(), "EVAL")
	assert.Equal(t, fmt.Sprint(unit.Load()), d.Get(ctx, "aiclient:u").Val(), "MULTI")
	assert.Equal(t, unit.Load(), d.LLen(ctx, "aiclient:l").Val(), "MULTI")
	t.Logf("acknowledged: %d INCR, %d EVAL, %d MULTI", incr.Load(), eval.Load(), unit.Load())
}

// TestForgottenScriptUnderWay: Redis has lost its scripts (a restart, SCRIPT FLUSH
// by somebody else), and the link dies before it has answered an EVALSHA. Whoever
// gets an answer must find its write.
func TestForgottenScriptUnderWay(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	d := directClient(t, srv)
	l := newPushLink(t, srv.Addr())
	p := startProxy(t, l.url())
	p.awaitMode(fallback.Online)
	p.awaitMirror()
	c := p.client()
	script := redis.NewScript("return redis.call('INCRBY', KEYS[1], 1)")
	require.Equal(t, int64(1), script.Run(ctx, c, []string{"aiclient:n"}).Val(), "EVAL at the end")
	require.Equal(t, int64(2), script.EvalSha(ctx, c, []string{"aiclient:n"}).Val())
	for _, how := range []string{"alone", "in a unit"} {
		require.NoError(t, c.Incr(ctx, "aiclient:other").Err(), "its connection to Redis is there")
		before := d.Get(ctx, "aiclient:n").Val()
		require.NoError(t, d.ScriptFlush(ctx).Err())
		calls := func() string { return d.Info(ctx, "commandstats").Val() }
		l.mute.Store(true)
		execs := execCalls(calls())
		answer := make(chan error, 1)
		go func() {
			if how == "alone" {
				answer <- script.EvalSha(ctx, c, []string{"aiclient:n"}).Err()
				return
			}
			_, err := c.TxPipelined(ctx, func(tx redis.Pipeliner) error { return script.EvalSha(ctx, tx, []string{"aiclient:n"}).Err() })
			answer <- err
		}()
		redistest.Eventually(t, patience, "Redis has executed it", func() bool { return execCalls(calls()) > execs })
		l.cut()
		l.mute.Store(false)
		err := <-answer
		p.awaitMode(fallback.Online)
		want, _ := strconv.Atoi(before)
		if err == nil {
			want++
		}
		require.Equal(t, fmt.Sprint(want), d.Get(ctx, "aiclient:n").Val(), "%s: answered %v", how, err)
		require.NoError(t, err, "the body is known here: it can be answered")
	}
	require.NoError(t, c.ScriptFlush(ctx).Err())
	require.ErrorContains(t, script.EvalSha(ctx, c, []string{"aiclient:n"}).Err(), "NOSCRIPT", "flushed through the proxy")
}

// execCalls is how many EXECs Redis has executed.
func execCalls(stats string) int {
	_, after, _ := strings.Cut(stats, "cmdstat_exec:calls=")
	n, _, _ := strings.Cut(after, ",")
	calls, _ := strconv.Atoi(n)
	return calls
}
