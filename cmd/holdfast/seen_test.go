package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// pushLink leads to a Redis and can hold back what that sends on the connection
// with the invalidations.
type pushLink struct {
	ln   net.Listener
	far  string
	held sync.RWMutex // locked while pushes are held back
	mute atomic.Bool  // nothing that Redis sends arrives
	cut  func()       // ends all connections
}

func newPushLink(t *testing.T, far string) *pushLink {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &pushLink{ln: ln, far: far}
	var wg sync.WaitGroup
	var conns sync.Map
	wg.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", l.far)
			if err != nil {
				_ = near.Close()
				continue
			}
			conns.Store(near, far)
			tracking := make(chan struct{})
			wg.Go(func() { defer far.Close(); l.copyUp(far, near, tracking) })
			wg.Go(func() { defer near.Close(); l.copyDown(near, far, tracking) })
		}
	})
	l.cut = func() {
		conns.Range(func(near, far any) bool {
			_ = near.(net.Conn).Close()
			_ = far.(net.Conn).Close()
			conns.Delete(near)
			return true
		})
	}
	t.Cleanup(func() {
		_ = ln.Close()
		l.cut()
		wg.Wait()
	})
	return l
}

func (l *pushLink) url() string { return "redis://" + l.ln.Addr().String() }

// copyUp closes tracking once the proxy asks for invalidations.
func (l *pushLink) copyUp(far, near net.Conn, tracking chan struct{}) {
	buf := make([]byte, 64<<10)
	seen := false
	for {
		n, err := near.Read(buf)
		if !seen && bytes.Contains(buf[:n], []byte("BCAST")) {
			seen = true
			close(tracking)
		}
		if n > 0 {
			if _, werr := far.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *pushLink) copyDown(near, far net.Conn, tracking chan struct{}) {
	buf := make([]byte, 64<<10)
	for {
		n, err := far.Read(buf)
		if err != nil {
			_, _ = near.Write(buf[:n])
			return
		}
		select {
		case <-tracking:
			l.held.RLock()
			l.held.RUnlock()
		default:
		}
		if l.mute.Load() {
			continue
		}
		if _, werr := near.Write(buf[:n]); werr != nil {
			_, _ = io.Copy(io.Discard, far)
			return
		}
	}
}

// startBehindPushLink runs a proxy that waits long enough for a test to hold pushes
// back, and gives a client of its Redis as well.
func startBehindPushLink(t *testing.T) (direct *redis.Client, l *pushLink, r *running) {
	t.Helper()
	srv := redistest.Start(t)
	l = newPushLink(t, srv.Addr())
	r = startProxy(t, l.url(), func(s *proxySettings) { s.commandTimeout = 10 * time.Second })
	r.awaitMirror()
	return directClient(t, srv), l, r
}

// orderReads tell field f of a hash in different ways.
var orderReads = map[string]func(ctx context.Context, c *redis.Conn, key string) (string, error){
	"HGET": func(ctx context.Context, c *redis.Conn, key string) (string, error) {
		return c.HGet(ctx, key, "f").Result()
	},
	"HMGET": func(ctx context.Context, c *redis.Conn, key string) (string, error) {
		v, err := c.HMGet(ctx, key, "f").Result()
		return fmt.Sprint(v...), err
	},
	"HGETALL": func(ctx context.Context, c *redis.Conn, key string) (string, error) {
		v, err := c.HGetAll(ctx, key).Result()
		return v["f"], err
	},
	"HSCAN": func(ctx context.Context, c *redis.Conn, key string) (string, error) {
		v, _, err := c.HScan(ctx, key, 0, "f", 0).Result()
		return v[1], err
	},
	"EVAL_RO": func(ctx context.Context, c *redis.Conn, key string) (string, error) {
		return c.EvalRO(ctx, "return redis.call('HGET', KEYS[1], 'f')", []string{key}).Text()
	},
	"EVAL without KEYS": func(ctx context.Context, c *redis.Conn, key string) (string, error) {
		return c.Eval(ctx, "return redis.call('HGET', ARGV[1], 'f')", nil, key).Text()
	},
	"MULTI": func(ctx context.Context, c *redis.Conn, key string) (string, error) {
		var f *redis.StringCmd
		_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error { f = p.HGet(ctx, key, "f"); return nil })
		return f.Val(), err
	},
	"WATCH": func(ctx context.Context, c *redis.Conn, key string) (got string, err error) {
		if err := c.Do(ctx, "WATCH", key).Err(); err != nil {
			return "", err
		}
		defer c.Do(ctx, "UNWATCH")
		return c.HGet(ctx, key, "f").Result()
	},
	"pipeline": func(ctx context.Context, c *redis.Conn, key string) (string, error) {
		p := c.Pipeline()
		p.HStrLen(ctx, key, "f")
		_ = p.Process(ctx, redis.NewCmd(ctx, "HRANDFIELD", key, "1", "WITHVALUES"))
		all, one := p.HGetAll(ctx, key), p.HGet(ctx, key, "f")
		_, err := p.Exec(ctx)
		if all.Val()["f"] == one.Val() {
			return one.Val(), err
		}
		return all.Val()["f"] + " and then " + one.Val(), err
	},
}

var cachedReads = []string{"HGETALL", "HMGET", "HGET"}

// TestNobodyGoesBack: Redis has told a client of a change, by whatever command;
// while the invalidation is still under way, no cached reply may tell any client
// of the time before: they may be one and the same, with a pool of connections.
func TestNobodyGoesBack(t *testing.T) {
	ctx := context.Background()
	d, l, r := startBehindPushLink(t)
	one, two := r.client().Conn(), r.client().Conn()
	defer one.Close()
	defer two.Close()
	for name, read := range orderReads {
		t.Run(name, func(t *testing.T) {
			key := "aiclient:" + name
			require.NoError(t, d.HSet(ctx, key, "f", "old").Err())
			require.True(t, r.st.upstream.AwaitBeat(r.st.upstream.NextBeat(), patience))
			value := func(c *redis.Conn, how string) string {
				got, err := orderReads[how](ctx, c, key)
				require.NoError(t, err)
				return got
			}
			for _, how := range cachedReads {
				if how != name && (how != "HGETALL" || name != "pipeline") { // its reply is to come from Redis
					require.Equal(t, "old", value(two, how))
					require.Equal(t, "old", value(two, how))
				}
			}
			hits := r.st.server.Cache().Hits
			require.Equal(t, "old", value(one, "HMGET"))
			if name != "HMGET" {
				require.Greater(t, r.st.server.Cache().Hits, hits, "the time before is cached")
			}
			if name == "HMGET" {
				r.purge(key)
				require.Equal(t, "old", value(two, "HGET"))
			}

			l.held.Lock()
			release := sync.OnceFunc(l.held.Unlock)
			defer release()
			require.NoError(t, d.HSet(ctx, key, "f", "new").Err())
			require.Equal(t, "new", first(read(ctx, one, key)))
			for _, how := range cachedReads {
				assert.Equal(t, "new", value(one, how), how)
			}
			for _, how := range cachedReads {
				if name != "EVAL without KEYS" { // by which nobody else can know
					assert.Equal(t, "new", value(two, how), how)
				}
			}
			release()
			redistest.Eventually(t, patience, "the new value from the cache", func() bool {
				hits := r.st.server.Cache().Hits
				return value(two, "HGET") == "new" && r.st.server.Cache().Hits > hits
			})
		})
	}
}

func first[T any](v T, _ error) T { return v }

// purge drops the cached replies about one key.
func (r *running) purge(key string) {
	r.t.Helper()
	require.NoError(r.t, r.client().Do(context.Background(), "HOLDFAST", "CACHE", "PURGE", key).Err())
}

// tellings are replies of Redis that tell of a change, and the cached reply of the
// time before that they make too old.
var tellings = map[string]struct {
	before, change []string // what somebody else does to Redis
	cached         []string
	tell           func(ctx context.Context, c *redis.Conn) error
}{
	"a long MGET": {cmdOf("SET t:99 old"), cmdOf("SET t:99 new"), cmdOf("GET t:99"), func(ctx context.Context, c *redis.Conn) error {
		args := []any{"MGET"}
		for i := range 100 {
			args = append(args, fmt.Sprintf("t:%d", i))
		}
		return c.Do(ctx, args...).Err()
	}},
	"behind many writes": {cmdOf("HSET t:h f old"), cmdOf("HSET t:h f new"), cmdOf("HGET t:h f"), func(ctx context.Context, c *redis.Conn) error {
		_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := range 70 {
				p.Set(ctx, fmt.Sprintf("t:w%d", i), "x", 0)
			}
			p.HGetAll(ctx, "t:h")
			return nil
		})
		return err
	}},
	"too large to be stored": {cmdOf("SET t:big old"), append(cmdOf("SET t:big"), strings.Repeat("x", 8<<20)), cmdOf("GET t:big"), func(ctx context.Context, c *redis.Conn) error {
		_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.DBSize(ctx)
			return p.Get(ctx, "t:big").Err()
		})
		return err
	}},
	"SORT":           {cmdOf("RPUSH t:l 1"), cmdOf("RPUSH t:l 2"), cmdOf("LRANGE t:l 0 -1"), telling("SORT t:l")},
	"SUNIONSTORE":    {cmdOf("SADD t:s 1"), cmdOf("SADD t:s 2"), cmdOf("SMEMBERS t:s"), telling("SUNIONSTORE t:d t:s")},
	"COPY":           {cmdOf("SET t:c old"), cmdOf("DEL t:c"), cmdOf("GET t:c"), telling("COPY t:c t:d2")},
	"PFCOUNT":        {cmdOf("PFADD t:p 1"), cmdOf("PFADD t:p 2"), cmdOf("GET t:p"), telling("PFCOUNT t:p")},
	"SORT in WATCH":  {cmdOf("RPUSH t:lw 1"), cmdOf("RPUSH t:lw 2"), cmdOf("LRANGE t:lw 0 -1"), telling("WATCH t:z", "SORT t:lw", "UNWATCH")},
	"EXEC in WATCH":  {cmdOf("HSET t:x f old"), cmdOf("HSET t:x f new"), cmdOf("HGET t:x f"), telling("WATCH t:z", "MULTI", "HGETALL t:x", "EXEC")},
	"EXEC of a SORT": {cmdOf("RPUSH t:lx 1"), cmdOf("RPUSH t:lx 2"), cmdOf("LRANGE t:lx 0 -1"), telling("MULTI", "SORT t:lx", "EXEC")},
}

func cmdOf(line string) []string { return strings.Fields(line) }

func telling(lines ...string) func(ctx context.Context, c *redis.Conn) error {
	return func(ctx context.Context, c *redis.Conn) error {
		for _, line := range lines {
			if err := do(ctx, c, cmdOf(line)).Err(); err != nil && err != redis.Nil {
				return err
			}
		}
		return nil
	}
}

func do(ctx context.Context, c interface {
	Do(ctx context.Context, args ...any) *redis.Cmd
}, args []string) *redis.Cmd {
	out := make([]any, len(args))
	for i, a := range args {
		out[i] = a
	}
	return c.Do(ctx, out...)
}

// TestWhateverTells: every reply that tells of a key counts, not only plain reads.
func TestWhateverTells(t *testing.T) {
	ctx := context.Background()
	d, l, r := startBehindPushLink(t)
	one, two := r.client().Conn(), r.client().Conn()
	defer one.Close()
	defer two.Close()
	for name, c := range tellings {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, do(ctx, d, c.before).Err())
			old := r.cacheOf(two, c.cached)
			l.held.Lock()
			defer l.held.Unlock()
			require.NoError(t, do(ctx, d, c.change).Err())
			require.NoError(t, c.tell(ctx, one))
			now := fmt.Sprint(do(ctx, d, c.cached).Val())
			require.NotEqual(t, old, now)
			for which, conn := range map[string]*redis.Conn{"another": two, "the same": one} {
				got := fmt.Sprint(do(ctx, conn, c.cached).Val())
				assert.True(t, got == now, "%s client got %.40s", which, got)
			}
		})
	}
}

// cacheOf has a reply cached with nothing in doubt, and gives it.
func (r *running) cacheOf(c *redis.Conn, cmd []string) (reply string) {
	r.t.Helper()
	up := r.st.upstream
	redistest.Eventually(r.t, patience, "a hit", func() bool {
		require.True(r.t, up.AwaitBeat(up.NextBeat(), patience))
		hits := r.st.server.Cache().Hits
		reply = fmt.Sprint(do(context.Background(), c, cmd).Val())
		return r.st.server.Cache().Hits > hits
	})
	return reply
}

// TestAPipelineDoesNotGoBack: a hit behind a read that names no key is not older
// than what that tells, nor is an equal read behind one that another client sends.
func TestAPipelineDoesNotGoBack(t *testing.T) {
	ctx := context.Background()
	d, l, r := startBehindPushLink(t)
	c := r.client().Conn()
	defer c.Close()
	for _, first := range []string{"KEYS t:*", "DBSIZE", "SCAN 0", "RANDOMKEY", "EVAL_RO return{1} 0"} {
		require.NoError(t, d.Set(ctx, "t:k", "old", 0).Err())
		r.cacheOf(c, cmdOf("GET t:k"))
		l.held.Lock()
		require.NoError(t, d.Set(ctx, "t:k", "new", 0).Err())
		var got *redis.StringCmd
		_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			do(ctx, p, cmdOf(first))
			got = p.Get(ctx, "t:k")
			return nil
		})
		l.held.Unlock()
		require.NoError(t, err)
		assert.Equal(t, "new", got.Val(), first)
	}
}
