package proxy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// TestPipelinesWaitForEachOther has clients whose pipelines lead some reads and
// wait for others', while all keys are written: everybody gets on, no value goes
// back, and reads of a key are on the way one at a time.
func TestPipelinesWaitForEachOther(t *testing.T) {
	const clients, pipelines, keys = 8, 25, 4
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	ctx := context.Background()
	srv := redistest.Start(t)
	direct := redisClient(t, srv.Addr())
	count := &countReads{text: []byte("GET\r\n$2\r\nk3\r\n")}
	s := startServer(t, slow(t, srv.Addr(), 1), func(u Upstream) Upstream { count.Upstream = u; return count })
	stop := make(chan struct{})
	var writer, wg sync.WaitGroup
	writer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := direct.Set(ctx, fmt.Sprintf("k%d", n%keys), n, 0).Err(); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range clients {
		c := redisClient(t, s.Addrs()[0].String())
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() {
			var last [keys]int
			for range pipelines {
				order := rng.Perm(keys + 1) // one key twice
				replies := map[*redis.Cmd]int{}
				_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
					for _, k := range order {
						replies[p.Do(ctx, "GET", fmt.Sprintf("k%d", k%keys))] = k % keys
					}
					return nil
				})
				if err != nil && err != redis.Nil {
					t.Error(err)
				}
				var now [keys]int
				for reply, k := range replies {
					v, _ := reply.Int()
					if v < last[k] {
						t.Errorf("k%d is %d after it was %d", k, v, last[k])
					}
					now[k] = max(now[k], v)
				}
				last = now
			}
		})
	}
	wg.Wait()
	close(stop)
	writer.Wait()
	require.Equal(t, int64(1), count.most.Load(), "reads of one key on the way at a time")
}

// TestReadBehindOwnWrite: a read that follows a write to its key in a pipeline
// sees that write, and not what another client read just before it was sent.
func TestReadBehindOwnWrite(t *testing.T) {
	up := &scripted{calls: make(chan *scriptedCall)}
	s := directServer(t, up)
	a, b := directClient(t, s), directClient(t, s)
	a.batch.reset()
	for _, cmd := range requests("SET", "k", "new") {
		require.True(t, a.handle(cmd))
	}
	var wg sync.WaitGroup
	wg.Go(func() { b.serve(requests("GET", "k")) })
	read := <-up.calls // begun after a's write was announced, executed before it is sent
	for _, cmd := range requests("GET", "k") {
		require.True(t, a.handle(cmd))
	}
	wg.Go(a.flush)
	write := <-up.calls
	read.answer(":-1\r\n", "$3\r\nold\r\n")
	write.answer("+OK\r\n", "$3\r\nnew\r\n")
	wg.Wait()
	require.Equal(t, "$3\r\nold\r\n", string(b.batch.out))
	require.Equal(t, "+OK\r\n$3\r\nnew\r\n", string(a.batch.out))
}

// switching is a local state that serves until it is told otherwise.
type switching struct {
	onlineLocal
	online atomic.Bool
}

func (l *switching) Serving() bool { return !l.online.Load() }

func (l *switching) Do(fallback.Request) ([]byte, fallback.Pending, error) {
	if l.online.Load() {
		return nil, fallback.Pending{}, fallback.ErrOnline
	}
	return []byte("+OK\r\n"), fallback.Pending{}, nil
}

// TestPipelineOverTheCutOver: a pipeline begins on the local state and goes on at
// Redis. Its reads there keep their place in front of its later writes.
func TestPipelineOverTheCutOver(t *testing.T) {
	up, local := &scripted{calls: make(chan *scriptedCall)}, &switching{}
	s, err := Open(Config{Listen: []string{"127.0.0.1:0"}, Upstream: up, Local: local, CommandTimeout: patience})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	c := directClient(t, s)
	c.batch.reset()
	require.True(t, c.handle(request("SET", "a", "1")))
	local.online.Store(true)
	require.True(t, c.handle(request("GET", "k")))
	require.True(t, c.handle(request("SET", "k", "new")))
	done := make(chan struct{})
	go func() {
		c.flush()
		close(done)
	}()
	(<-up.calls).answer(":-1\r\n", "$3\r\nold\r\n", "+OK\r\n")
	select {
	case <-done:
	case again := <-up.calls:
		t.Errorf("sent again, behind the write: %q", again.c.Payload)
		again.answer("$3\r\nnew\r\n")
		<-done
	}
	require.Equal(t, "+OK\r\n$3\r\nold\r\n+OK\r\n", string(c.batch.out))
}
