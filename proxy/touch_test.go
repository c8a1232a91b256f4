package proxy

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// Keys that are read from the cache all the time are not the ones that Redis evicts.
func TestHotKeysAreNotEvicted(t *testing.T) {
	ctx := context.Background()
	for _, policy := range []string{"allkeys-lru", "volatile-lru", "allkeys-lfu", "noeviction"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t, "--maxmemory", "0", "--maxmemory-policy", policy, "--maxmemory-samples", "64", "--lfu-decay-time", "1")
			d := redis.NewClient(&redis.Options{Addr: srv.Addr()})
			defer d.Close()
			s := startServer(t, srv.URL(), nil)
			c := redisClient(t, s.Addrs()[0].String())
			const hot, cold, size = 20, 500, 2000
			fill := func(name string, n int) {
				_, err := d.Pipelined(ctx, func(pipe redis.Pipeliner) error {
					for i := range n {
						pipe.Set(ctx, name+strconv.Itoa(i), strings.Repeat("x", size), time.Hour)
					}
					return nil
				})
				if policy != "noeviction" {
					require.NoError(t, err)
				}
			}
			fill("hot", hot)
			fill("cold", cold)
			used := d.Info(ctx, "memory").Val()
			var bytes int64
			_, err := fmt.Sscanf(used[strings.Index(used, "used_memory:"):], "used_memory:%d", &bytes)
			require.NoError(t, err)
			require.NoError(t, d.ConfigSet(ctx, "maxmemory", strconv.FormatInt(bytes+100*size, 10)).Err())
			for end := time.Now().Add(3500 * time.Millisecond); time.Now().Before(end); {
				for i := range hot {
					require.NoError(t, c.Get(ctx, "hot"+strconv.Itoa(i)).Err())
				}
			}
			require.Greater(t, s.Cache().Hits, uint64(1000))
			if policy == "noeviction" {
				stats := d.Info(ctx, "commandstats").Val()
				assert.NotContains(t, stats, "cmdstat_touch:", "nobody evicts by use here")
				return
			}
			before := s.commands.Load()
			fill("new", cold*7/10)
			var left int64
			for i := range hot {
				left += d.Exists(ctx, "hot"+strconv.Itoa(i)).Val()
			}
			assert.EqualValues(t, hot, left, "hot keys left")
			assert.Less(t, d.DBSize(ctx).Val(), int64(hot+cold+cold*7/10), "something was evicted")
			assert.Equal(t, before, s.commands.Load(), "TOUCH is no client's command")
		})
	}
}
