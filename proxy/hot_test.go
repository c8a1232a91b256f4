package proxy

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"holdfast/backend"
	"holdfast/backend/redistest"
)

// slow puts a round trip of ms more between the test and addr.
func slow(t *testing.T, addr string, ms int) string {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", addr)
	require.NoError(t, p.Start())
	t.Cleanup(p.Stop)
	_, err := p.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"type":"latency","stream":"downstream","attributes":{"latency":%d}}`, ms)))
	require.NoError(t, err)
	return "redis://" + p.Listen
}

// countReads counts how many calls with a text are under way at a time.
type countReads struct {
	Upstream
	text              []byte
	flying, most, all atomic.Int64
}

func (u *countReads) Do(proto, db int, c *backend.Call) error {
	if bytes.Contains(c.Payload, u.text) {
		n := u.flying.Add(1)
		u.all.Add(1)
		for m := u.most.Load(); n > m && !u.most.CompareAndSwap(m, n); m = u.most.Load() {
		}
		defer u.flying.Add(-1)
	}
	return u.Upstream.Do(proto, db, c)
}

func readHash(t *testing.T, c *redis.Client) map[string]string {
	m, err := c.HGetAll(context.Background(), "pool").Result()
	if err != nil {
		t.Error(err)
	}
	return m
}

// TestHotHash has 50 clients read a hash that is written before each read: by a
// foreign client, and by each of them through the proxy. One read at a time is
// on the way; nobody reads an older value than before, or misses an own write.
func TestHotHash(t *testing.T) {
	const readers, reads = 50, 40
	srv := redistest.Start(t)
	direct := redisClient(t, srv.Addr())
	for name, own := range map[string]bool{"foreign writer": false, "own writes": true} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			require.NoError(t, direct.FlushAll(ctx).Err())
			require.NoError(t, direct.HSet(ctx, "pool", "foreign", 0).Err())
			require.NoError(t, direct.ConfigResetStat(ctx).Err())
			count := &countReads{text: []byte("$7\r\nhgetall\r\n")}
			s := startServer(t, slow(t, srv.Addr(), 5), func(u Upstream) Upstream { count.Upstream = u; return count })

			var wg, writer sync.WaitGroup
			stop := make(chan struct{})
			written := make(chan struct{}, readers) // a foreign write for each read that ended
			if !own {
				writer.Go(func() {
					for n := 1; ; n++ {
						select {
						case <-written:
						case <-stop:
							return
						}
						if err := direct.HSet(ctx, "pool", "foreign", n).Err(); err != nil {
							t.Error(err)
						}
					}
				})
			}
			for r := range readers {
				c := redisClient(t, s.Addrs()[0].String())
				wg.Go(func() {
					last := map[string]int{}
					for n := range reads {
						if own {
							if err := c.HSet(ctx, "pool", fmt.Sprint(r), n).Err(); err != nil {
								t.Error(err)
							}
							last[fmt.Sprint(r)] = n
						} else {
							written <- struct{}{}
						}
						got := readHash(t, c)
						for field, low := range last {
							if v, err := strconv.Atoi(got[field]); err != nil || v < low {
								t.Errorf("field %s is %q after it was %d", field, got[field], low)
							}
						}
						for field, v := range got {
							last[field], _ = strconv.Atoi(v)
						}
					}
				})
			}
			wg.Wait()
			close(stop)
			writer.Wait()
			require.Equal(t, int64(1), count.most.Load(), "reads of one key on the way at a time")
			sent := count.all.Load()
			require.Contains(t, direct.Info(ctx, "commandstats").Val(), fmt.Sprintf("cmdstat_hgetall:calls=%d,", sent))
			t.Logf("%d reads by the clients, %d by the proxy", readers*reads, sent)
			require.Less(t, sent*2, int64(readers*reads), "reads are not shared")
		})
	}
}
