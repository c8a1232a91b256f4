package fallback

import (
	"strings"
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

// The keys that SORT comes to by BY and GET are known, or it is refused.
func TestSortReadsOnlyWhatIsHeld(t *testing.T) {
	r := newRig(t)
	r.redis("RPUSH", "m:ids", "1", "2")
	r.redis("MSET", "name_1", "alice", "name_2", "bob", "w_1", "2", "w_2", "1", "m:w_1", "2", "m:w_2", "1")
	r.redis("HSET", "h_1", "f", "x")
	r.loaded()
	r.lost()
	for _, c := range []string{"SORT m:ids BY w_*", "SORT m:ids GET name_*", "SORT_RO m:ids GET # GET name_*", "SORT m:ids BY h_*->f ALPHA",
		"SORT m:ids BY m:w_* GET name_* STORE m:dst"} {
		refused(t, r.do(strings.Fields(c)...))
		args := append([]string{"EVAL", "redis.call('SET', 'm:x', 1) redis.pcall(unpack(ARGV)) return 'made up'", "0"}, strings.Fields(c)...)
		refused(t, r.do(args...))
	}
	require.Equal(t, ":0\r\n", r.do("EXISTS", "m:x", "m:dst"))
	require.Equal(t, "*2\r\n$1\r\n2\r\n$1\r\n1\r\n", r.do("SORT", "m:ids", "BY", "m:w_*"))
	require.Equal(t, "*2\r\n$1\r\n1\r\n$1\r\n2\r\n", r.do("SORT", "m:ids", "BY", "nosort", "GET", "#"))
	require.Equal(t, "*2\r\n$-1\r\n$-1\r\n", r.do("SORT", "m:ids", "GET", "m:absent_*"))
	require.Equal(t, ":2\r\n", r.do("SORT", "m:ids", "BY", "m:w_*", "GET", "m:w_*", "STORE", "m:dst"))
	require.Contains(t, r.unit("MSET name_1 x name_2 y", "SORT m:ids GET name_*"), "$1\r\nx\r\n$1\r\ny\r\n")
}

func TestAFollowedSortReadsOnlyWhatIsHeld(t *testing.T) {
	r := newRig(t)
	r.redis("RPUSH", "m:ids", "1")
	r.redis("SET", "name_1", "alice")
	r.loaded()
	r.wire.limit("hang", 0, 0) // no refetch any more
	r.via("SORT", "m:ids", "GET", "name_*", "STORE", "m:names")
	r.lost()
	refused(t, r.do("LRANGE", "m:names", "0", "-1"))
}

func TestScanIsJudgedByItsLastPattern(t *testing.T) {
	r := newRig(t)
	r.redis("MSET", "m:a", "1", "other", "1")
	r.loaded()
	r.lost()
	refused(t, r.do("SCAN", "0", "MATCH", "m:*", "MATCH", "*"))
	require.Contains(t, r.do("SCAN", "0", "MATCH", "*", "COUNT", "10", "MATCH", "m:*"), "m:a")
}
