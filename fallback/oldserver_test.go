package fallback

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestServersBeforePXATGetTheExpiryApart: Redis 6.0 refuses SET … PXAT, and every SET
// with an expiry that was acknowledged would be a dead letter. What goes over the
// wire is looked up in the slow log, for there is no such server to be installed.
func TestServersBeforePXATGetTheExpiryApart(t *testing.T) {
	r := newRig(t)
	r.loaded()
	r.lost()
	require.Equal(t, "+OK\r\n", r.do("SET", "m:ex", "1", "EX", "1000"))
	require.Equal(t, "+OK\r\n", r.do("SETEX", "m:setex", "1000", "2"))
	require.Equal(t, "+OK\r\n", r.do("PSETEX", "m:gone", "1", "3"))
	require.Equal(t, "*2\r\n+OK\r\n:1\r\n", r.unit("SET m:unit 4 PX 1000000", "INCR m:n"))
	require.Equal(t, ":1\r\n", r.do("COPY", "m:ex", "m:copy"))
	require.Equal(t, "+OK\r\n", r.do("SET", "m:plain", "5"))
	r.redis("CONFIG", "SET", "slowlog-log-slower-than", 0, "slowlog-max-len", 1000)
	require.NoError(t, r.store.Connected(context.Background(), Server{RunID: "run", NoPXAT: true}))
	require.NotContains(t, fmt.Sprint(r.redis("SLOWLOG", "GET", -1)), "PXAT ")
	require.Equal(t, "[1 2 <nil> 4 1 5]", fmt.Sprint(r.redis("MGET", "m:ex", "m:setex", "m:gone", "m:unit", "m:copy", "m:plain")))
	for _, key := range []string{"m:ex", "m:setex", "m:unit", "m:copy"} {
		require.InDelta(t, 1_000_000, r.redis("PTTL", key), 60_000, key)
	}
	require.Equal(t, int64(-1), r.redis("PTTL", "m:plain"))
	require.Zero(t, r.store.Status().DeadLetters)
}
