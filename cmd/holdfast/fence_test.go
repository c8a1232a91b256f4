package main

import (
	"context"
	"fmt"
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
