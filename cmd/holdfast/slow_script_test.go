package main

import (
	"fmt"
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

const (
	spin     = `local x = 0 for i = 1, tonumber(ARGV[1]) do x = x + 1 end `
	spinRead = spin + `return x`
	spinIncr = `redis.call('INCR', KEYS[1]) ` + spin + `return x`
)

// spinFor is the ARGV of spin that keeps the server busy for about d.
func spinFor(t *testing.T, c *redis.Client, d time.Duration) int64 {
	n := int64(2_000_000)
	for {
		start := time.Now()
		require.NoError(t, c.Eval(bg, spinRead, nil, n).Err())
		took := time.Since(start)
		if took > 50*time.Millisecond {
			return int64(float64(n) * float64(d) / float64(took))
		}
		n *= 4
	}
}

// A script that takes as long as a command may at a healthy Redis is not executed
// again here while everybody waits: the others get their answers in time, the script
// has run once in the end, and Redis is back as soon as it is done.
func TestASlowScriptIsNobodyElsesWait(t *testing.T) {
	for _, read := range []bool{false, true} {
		t.Run(fmt.Sprint("read=", read), func(t *testing.T) {
			srv, p := online(t)
			p.awaitMirror()
			direct := directClient(t, srv)
			n := spinFor(t, direct, 1300*time.Millisecond)
			var stop atomic.Bool
			var slowest atomic.Int64
			var busy sync.WaitGroup
			for id := range 20 {
				c := p.hotClient(2 + id%2)
				busy.Go(func() {
					for i := 0; !stop.Load(); i++ {
						start := time.Now()
						key := fmt.Sprint("aiclient:other:", id)
						err := c.Set(bg, key, i, 0).Err()
						if err == nil {
							err = c.Incr(bg, key).Err()
						}
						if err != nil && !strings.Contains(err.Error(), "may or may not") {
							assert.NoError(t, err)
						}
						if took := int64(time.Since(start)); took > slowest.Load() {
							slowest.Store(took) // of two commands
						}
						time.Sleep(5 * time.Millisecond)
					}
				})
			}
			start := time.Now()
			c := p.hotClient(2)
			var err error
			if read {
				err = c.EvalRO(bg, spinRead, []string{"aiclient:counted"}, n).Err()
			} else {
				err = c.Eval(bg, spinIncr, []string{"aiclient:counted"}, n).Err()
			}
			took := time.Since(start)
			if took < 800*time.Millisecond {
				t.Logf("the server was faster than expected: %v", took)
			}
			redistest.Eventually(t, patience, "Redis is back", func() bool {
				return p.st.store.Mode() == fallback.Online && p.st.upstream.Up() && p.st.store.Status().QueuedWrites == 0
			})
			t.Logf("the script was answered after %v with %v, Redis was back after %v, the slowest pair of the others took %v",
				took, err, time.Since(start), time.Duration(slowest.Load()))
			stop.Store(true)
			busy.Wait()
			assert.Less(t, took, 2*time.Second)
			assert.Less(t, time.Duration(slowest.Load()), 2*time.Second)
			if !read {
				assert.Equal(t, "1", direct.Get(bg, "aiclient:counted").Val())
			}
		})
	}
}

// While Redis is away a script has no more time than a command, is undone when that
// is over, and the same one is not tried again and again.
func TestASlowScriptIsEndedInAnOutage(t *testing.T) {
	srv, p := online(t)
	p.awaitMirror()
	require.NoError(t, p.client().Set(bg, "aiclient:counted", 7, 0).Err())
	srv.Kill()
	p.awaitMode(fallback.Offline)
	c := p.hotClient(2)
	for i := range 3 {
		start := time.Now()
		err := c.Eval(bg, spinIncr, []string{"aiclient:counted"}, 1_000_000_000).Err()
		require.ErrorContains(t, err, "UPSTREAMDOWN the script takes longer")
		t.Logf("try %d: %v", i, time.Since(start))
		assert.Less(t, time.Since(start), 2*time.Second)
	}
	assert.Equal(t, "7", c.Get(bg, "aiclient:counted").Val())
	require.EqualValues(t, 10, c.Eval(bg, spinIncr, []string{"aiclient:counted"}, 10).Val())
	assert.Equal(t, "8", c.Get(bg, "aiclient:counted").Val())
}
