package fallback

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
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

// TestUsersWithoutScripts: what clients wrote does not need EVAL, and neither must
// its replay.
func TestUsersWithoutScripts(t *testing.T) {
	for name, args := range map[string][]string{
		"acl":     strings.Fields("--user default on nopass ~* &* +@all -eval"),
		"renamed": {"--rename-command", "EVAL", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigOn(t, redistest.Start(t, args...))
			r.redis("SET", "m:n", 5, "EX", 1000)
			r.redis("RPUSH", "m:l", "x")
			r.redis("EXPIRE", "m:l", 1000)
			r.redis("XADD", "m:x", "1-1", "f", "v")
			r.loaded()
			r.lost()
			require.Equal(t, ":6\r\n", r.do("INCR", "m:n"))
			require.Equal(t, "+OK\r\n", r.do("LSET", "m:l", "0", "y"))
			require.Equal(t, ":1\r\n", r.do("EXPIRE", "m:l", "2000"))
			require.Equal(t, byte('$'), r.do("XADD", "m:x", "*", "f", "w")[0])
			require.Equal(t, "+OK\r\n", r.do("SET", "m:plain", "1"))
			r.online()
			require.Equal(t, "[6 1]", fmt.Sprint(r.redis("MGET", "m:n", "m:plain")))
			require.Equal(t, "[y]", fmt.Sprint(r.redis("LRANGE", "m:l", 0, -1)))
			require.InDelta(t, 2_000_000, r.redis("PTTL", "m:l"), 60_000)
			require.Equal(t, int64(2), r.redis("XLEN", "m:x"))
			require.Zero(t, r.store.Status().DeadLetters)
		})
	}
}
