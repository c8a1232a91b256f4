package proxy

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/redistest"
)

// toldLocal notes what the mirror is told, in that order.
type toldLocal struct {
	onlineLocal
	mu   sync.Mutex
	told []string
}

func (l *toldLocal) AckedOne(_ int, _ *command.Command, argv, _ [][]byte, _ []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, string(argv[2]))
}

func (l *toldLocal) Acked(_ int, unit [][][]byte, _ []byte, _ bool) {
	for _, argv := range unit {
		l.AckedOne(0, nil, argv, nil, nil)
	}
}

// The mirror is told of the writes of many clients, alone, in pipelines and in units,
// in the order in which Redis executed them.
func TestWritesAreToldInTheOrderOfRedis(t *testing.T) {
	srv := redistest.Start(t)
	local := &toldLocal{}
	s := startServerWith(t, srv.URL(), local, nil, func(c *backend.Config) { c.FenceKey = "fence" })
	var busy sync.WaitGroup
	for id := range 16 {
		c := redisClient(t, s.Addrs()[0].String())
		busy.Go(func() {
			ctx := context.Background()
			push := func(p redis.Cmdable, n int) { p.RPush(ctx, "list", fmt.Sprint(id, ".", n)) }
			for n := 0; n < 600; n += 6 {
				push(c, n)
				_, _ = c.Pipelined(ctx, func(p redis.Pipeliner) error { push(p, n+1); push(p, n+2); return nil })
				_, _ = c.TxPipelined(ctx, func(p redis.Pipeliner) error { push(p, n+3); push(p, n+4); return nil })
				_ = c.Do(ctx, "RPUSH", "list", fmt.Sprint(id, ".", n+5)).Err()
			}
		})
	}
	busy.Wait()
	want, err := redisClient(t, srv.Addr()).LRange(context.Background(), "list", 0, -1).Result()
	require.NoError(t, err)
	require.Len(t, want, 16*600)
	require.Equal(t, want, local.told)
}
