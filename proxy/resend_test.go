package proxy

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"holdfast/backend"
	"holdfast/backend/redistest"
)

// unsentOnce claims of the first write that nothing of it was sent, and counts the
// fences in what is sent after that.
type unsentOnce struct {
	Upstream
	failed bool
	fenced atomic.Int64
}

func (u *unsentOnce) Do(proto, db int, c *backend.Call) error {
	if write := bytes.Contains(c.Payload, []byte("incr")); write && !u.failed {
		u.failed = true
		return &backend.OutcomeError{Err: backend.ErrDown}
	} else if write {
		u.fenced.Add(int64(len(c.FenceAt)))
	}
	return u.Upstream.Do(proto, db, c)
}

// A write that is sent again, because it found no link at first, has a fence as any
// other, in a pipeline and in a unit as well, and is answered in its place.
func TestAWriteThatIsSentAgainHasAFence(t *testing.T) {
	srv := redistest.Start(t)
	for name, run := range map[string]func(ctx context.Context, c *redis.Client) []redis.Cmder{
		"alone": func(ctx context.Context, c *redis.Client) []redis.Cmder {
			return []redis.Cmder{c.Incr(ctx, "n")}
		},
		"pipeline": func(ctx context.Context, c *redis.Client) []redis.Cmder {
			cmds, _ := c.Pipelined(ctx, func(p redis.Pipeliner) error { p.Incr(ctx, "n"); p.Get(ctx, "n"); p.Incr(ctx, "n"); return nil })
			return cmds
		},
		"unit": func(ctx context.Context, c *redis.Client) []redis.Cmder {
			cmds, _ := c.TxPipelined(ctx, func(p redis.Pipeliner) error { p.Incr(ctx, "n"); p.Get(ctx, "n"); return nil })
			return cmds
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, direct := context.Background(), redisClient(t, srv.Addr())
			require.NoError(t, direct.FlushAll(ctx).Err())
			u := &unsentOnce{}
			s := startServer(t, srv.URL(), func(up Upstream) Upstream { u.Upstream = up; return u }, func(c *backend.Config) { c.FenceKey = "fence" })
			cmds := run(ctx, redisClient(t, s.Addrs()[0].String()))
			n := int64(0)
			for _, cmd := range cmds {
				require.NoError(t, cmd.Err())
				if incr, ok := cmd.(*redis.IntCmd); ok {
					n++
					require.Equal(t, n, incr.Val())
				} else {
					require.Equal(t, "1", cmd.(*redis.StringCmd).Val())
				}
			}
			require.NotZero(t, u.fenced.Load())
			require.EqualValues(t, n, direct.Exists(ctx, "n").Val()*n)
			got, err := direct.Get(ctx, "n").Int64()
			require.NoError(t, err)
			require.Equal(t, n, got)
		})
	}
}
