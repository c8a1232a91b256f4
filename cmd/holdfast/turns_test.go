package main

import (
	"context"
	"fmt"
	"io"
	"net"
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

// deafLink passes everything on to a server until its answers are swallowed.
type deafLink struct {
	net.Listener
	deaf atomic.Bool
	wg   sync.WaitGroup
	mu   sync.Mutex
	open []net.Conn
}

func startDeafLink(t *testing.T, addr string) *deafLink {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &deafLink{Listener: ln}
	l.wg.Go(func() {
		for {
			down, err := ln.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", addr)
			if err != nil {
				_ = down.Close()
				continue
			}
			l.mu.Lock()
			l.open = append(l.open, down, up)
			l.mu.Unlock()
			l.wg.Go(func() { _, _ = io.Copy(up, down); _ = up.Close() })
			l.wg.Go(func() { _, _ = io.Copy(hearing{l, down}, up); _ = down.Close() })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		l.mu.Lock()
		for _, c := range l.open {
			_ = c.Close()
		}
		l.mu.Unlock()
		l.wg.Wait()
	})
	return l
}

type hearing struct {
	l *deafLink
	w io.Writer
}

func (h hearing) Write(b []byte) (int, error) {
	if h.l.deaf.Load() {
		return len(b), nil
	}
	return h.w.Write(b)
}

// Redis executes writes of many clients and its answers are lost. Each client's
// goroutine brings its own write to the local state: there they have to come in
// the order in which Redis executed them, or the two would differ until it is back.
func TestWritesUnderWayKeepTheOrderOfTheWire(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	link := startDeafLink(t, srv.Addr())
	p := startProxy(t, "redis://"+link.Addr().String(), func(s *proxySettings) {
		s.commandTimeout, s.connectTimeout = 3*time.Second, 2*time.Second // time enough to get all of them under way
	})
	d := directClient(t, srv)
	clients := make([]*redis.Client, 64)
	for i := range clients {
		clients[i] = p.client(func(o *redis.Options) { o.PoolSize = 1 })
	}
	for round := range 2 {
		p.awaitMode(fallback.Online)
		for _, c := range clients {
			require.NoError(t, c.Incr(ctx, "aiclient:fenced").Err())
		}
		require.NoError(t, p.client().Del(ctx, "aiclient:s", "aiclient:l").Err())
		p.awaitMirror()
		link.deaf.Store(true)
		var wg sync.WaitGroup
		for i, c := range clients {
			wg.Go(func() {
				if i%2 == 0 {
					assert.NoError(t, c.Set(ctx, "aiclient:s", i, 0).Err())
					return
				}
				assert.NoError(t, c.RPush(ctx, "aiclient:l", fmt.Sprint(round, ".", i)).Err())
			})
		}
		wg.Wait()
		c := p.client()
		executed, last := d.LRange(ctx, "aiclient:l", 0, -1).Val(), d.Get(ctx, "aiclient:s").Val()
		list, s := c.LRange(ctx, "aiclient:l", 0, -1).Val(), c.Get(ctx, "aiclient:s").Val()
		require.Len(t, list, len(clients)/2)
		assert.Equal(t, executed, list[:len(executed)], "the order")
		if len(executed) == len(list) { // as a rule; on a very slow machine some are not sent any more
			assert.Equal(t, last, s, "the last value")
		}
		link.deaf.Store(false)
		p.awaitMode(fallback.Online)
		assert.Equal(t, list, d.LRange(ctx, "aiclient:l", 0, -1).Val(), "nothing is doubled or lost")
	}
}
