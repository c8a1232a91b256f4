package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

const endless = "while true do end"

// A script that never ends is killed through the proxy: the command does not wait
// behind it, and Redis is back at once.
func TestScriptKillReachesABusyRedis(t *testing.T) {
	for _, kill := range []string{"SCRIPT", "FUNCTION"} {
		srv := redistest.Start(t, "--busy-reply-threshold", "300")
		p := startProxy(t, srv.URL())
		p.awaitMode(fallback.Online)
		c, d := p.client(), directClient(t, srv)
		_, err := c.Do(bg, kill, "KILL").Result()
		assert.ErrorContains(t, err, "NOTBUSY", "Redis's own answer")
		run := []any{"EVAL", endless, "0"}
		if kill == "FUNCTION" {
			require.NoError(t, d.FunctionLoad(bg, "#!lua name=l\nredis.register_function('spin', function() "+endless+" end)").Err())
			run = []any{"FCALL", "spin", "0"}
		}
		go func() { _ = d.Do(bg, run...).Err() }()
		redistest.Eventually(t, patience, "busy", func() bool {
			err := c.TTL(bg, "elsewhere").Err()
			return err != nil
		})
		redistest.Eventually(t, patience, "killed", func() bool {
			at := time.Now()
			err := c.Do(bg, kill, "KILL").Err()
			require.Less(t, time.Since(at), 2*time.Second, "one answer in time")
			return err == nil
		})
		killed := time.Now()
		p.awaitMode(fallback.Online)
		assert.Less(t, time.Since(killed), 2*time.Second)
		require.NoError(t, c.Set(bg, "aiclient:k", "v", 0).Err())
		assert.Equal(t, "v", d.Get(bg, "aiclient:k").Val())
	}
}

// The script of somebody else keeps Redis busy for longer than it may be silent: when
// it ends, the outage does.
func TestABusyRedisIsAwayNoLongerThanItIsBusy(t *testing.T) {
	srv := redistest.Start(t, "--busy-reply-threshold", "100")
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	require.NoError(t, p.client().Set(bg, "aiclient:k", "0", 0).Err())
	p.awaitMirror()
	script := `local t = redis.call('TIME') local stop = t[1] * 1000 + t[2] / 1000 + 4000
		while true do t = redis.call('TIME') if t[1] * 1000 + t[2] / 1000 > stop then return 1 end end`
	d := redis.NewClient(&redis.Options{Addr: srv.Addr(), ReadTimeout: time.Minute, MaxRetries: -1})
	defer d.Close()
	done := make(chan time.Time, 1)
	go func() {
		_ = d.Eval(context.Background(), script, nil).Err()
		done <- time.Now()
	}()
	var ended time.Time
	for c := p.client(); ended.IsZero(); {
		select {
		case ended = <-done:
		default:
			at := time.Now()
			err := c.Incr(bg, "aiclient:k").Err()
			assert.True(t, err == nil || strings.HasPrefix(err.Error(), "BUSY "), "%v", err)
			assert.Less(t, time.Since(at), 2*time.Second)
		}
	}
	p.awaitMode(fallback.Online)
	assert.Less(t, time.Since(ended), time.Second)
}

func TestShutdownReachesABusyRedis(t *testing.T) {
	srv := redistest.Start(t, "--busy-reply-threshold", "300")
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	c := p.client()
	go func() { _ = directClient(t, srv).Do(bg, "EVAL", endless, "0").Err() }()
	redistest.Eventually(t, patience, "busy", func() bool {
		err := c.TTL(bg, "elsewhere").Err()
		return err != nil
	})
	redistest.Eventually(t, patience, "shut down", func() bool {
		err := c.Do(bg, "SHUTDOWN", "NOSAVE").Err()
		return err != nil && strings.Contains(err.Error(), "closed the connection")
	})
	require.Error(t, directClient(t, srv).Ping(bg).Err())
	require.NoError(t, c.Ping(bg).Err(), "the client's connection goes on")
}

// While a script that a client sent through the proxy runs for longer than Redis's threshold,
// everybody learns what Redis says to everybody: it does not wait behind the script.
func TestABusyRedisSaysSoThroughTheProxy(t *testing.T) {
	srv := redistest.Start(t, "--busy-reply-threshold", "10")
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	kills := map[string][]string{"SCRIPT": {"EVAL", endless, "0"}, "FUNCTION": {"FCALL", "spin", "0"}}
	d := directClient(t, srv)
	require.NoError(t, d.FunctionLoad(bg, "#!lua name=l\nredis.register_function('spin', function() "+endless+" end)").Err())
	for kill, run := range kills {
		runs, other := dialRaw(t, p.addr()), dialRaw(t, p.addr())
		queued := dialRaw(t, p.addr())
		require.Equal(t, "+OK\r\n", other.do("SET", "k", "1"))
		require.Equal(t, "+OK\r\n", queued.do("MULTI"))
		require.Equal(t, "+QUEUED\r\n", queued.do("INCR", "k"))
		runs.send(run...)
		const soon = 500 * time.Millisecond // what waits behind the script is given up after 0.9 s
		redistest.Eventually(t, soon, "busy", func() bool { return strings.HasPrefix(other.do("PING"), "-BUSY ") })
		for _, cmd := range [][]string{{"SET", "k", "2"}, {"TTL", "k"}, {"INFO"}, {"EXEC"}, {"XREAD", "BLOCK", "0", "STREAMS", "s", "$"}, {"SUBSCRIBE", "c"}} {
			reply := other.do(cmd...)
			assert.True(t, strings.HasPrefix(reply, "-BUSY ") || strings.HasPrefix(reply, "-EXECABORT Transaction discarded because of: BUSY "), "%v: %s", cmd, reply)
		}
		assert.True(t, strings.HasPrefix(queued.do("EXEC"), "-EXECABORT Transaction discarded because of: BUSY "))
		if kill == "FUNCTION" { // of a script, Redis says BUSY
			assert.Contains(t, other.do("FUNCTION", "STATS"), "running_script")
		}
		require.Equal(t, "+OK\r\n", other.do(kill, "KILL"))
		assert.Contains(t, string(runs.next()), "killed by user")
		redistest.Eventually(t, soon, "not busy", func() bool { return other.do("PING") == "+PONG\r\n" })
		assert.Contains(t, other.do("GET", "k"), "1", "nothing of what was refused was executed")
	}
	assert.Zero(t, p.st.upstream.Status().Reconnects, "it was no outage")
}
