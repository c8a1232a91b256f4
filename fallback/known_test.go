package fallback

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A write that fails has told nothing of its key.
func TestAFailedWriteTellsNothing(t *testing.T) {
	r := newRig(t)
	for _, k := range []string{"a", "b", "c", "d"} {
		r.redis("SET", k, "at Redis")
	}
	r.loaded()
	r.lost()
	for _, bad := range []string{"SET a v EX 0", "SET a v EX x", "SET a v PX", "SET a v EX 1 PX 1", "SETEX a 0 v", "PSETEX a -1 v", "MSET a v b"} {
		refused(t, r.unit(bad, "GET a", "SET m:z 1"))
		require.Contains(t, r.unit(bad, "SET m:z 1"), "+OK\r\n", bad)
		refused(t, r.do("GET", "a"))
		refused(t, r.do("SETNX", "a", "x"))
	}
	require.Equal(t, "*2\r\n+OK\r\n$1\r\nv\r\n", r.unit("SET b v EX 100", "GET b"), "one that succeeds does")
	refused(t, r.do("EVAL", "redis.pcall('SET', 'c', 'v', 'EX', '0') redis.call('SET', 'm:y', '1') return redis.call('GET', 'c')", "0"))
	require.Equal(t, "$1\r\n1\r\n", r.do("EVAL", "redis.pcall('SET', 'c', 'v', 'EX', '0') redis.call('SET', 'm:y', '1') return redis.call('GET', 'm:y')", "0"))
	refused(t, r.do("GET", "c"))
	require.Equal(t, "$1\r\nv\r\n", r.do("EVAL", "redis.call('SET', 'd', 'v', 'PX', '100000') return redis.call('GET', 'd')", "0"))
	r.online()
	require.Equal(t, []any{"at Redis", "v", "at Redis", "v"}, r.redis("MGET", "a", "b", "c", "d"))
	require.Zero(t, r.store.Status().DeadLetters)
}

// What an acknowledged script did may hang on a reply that is not known here.
func TestAFollowedScriptKnowsNoReplies(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "other", "1")
	r.loaded()
	r.wire.limit("hang", 0, 0) // no refetch any more
	r.via("EVAL", "if redis.call('DEL', KEYS[1]) == 1 then redis.call('SET', KEYS[2], 'deleted') else redis.call('SET', KEYS[2], 'nothing') end return 1", 2, "other", "m:log")
	r.lost()
	refused(t, r.do("GET", "m:log"))
}
