package fallback

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// A stream without entries is there, and a stream goes on from its last id, not
// from that of its last entry.
func TestStreamsAreMirroredWithTheirEnd(t *testing.T) {
	for _, proto := range []int{2, 3} {
		r := newRig(t, func(c *Config) {
			dial := c.NewClient
			c.NewClient = func(db int) *redis.Client {
				opt := *dial(db).Options()
				opt.Protocol = proto
				return redis.NewClient(&opt)
			}
		})
		r.redis("XGROUP", "CREATE", "m:empty", "workers", "0", "MKSTREAM")
		r.redis("XADD", "m:drained", "5-1", "f", "v")
		r.redis("XDEL", "m:drained", "5-1")
		r.redis("EXPIRE", "m:drained", 1000)
		for _, id := range []string{"1-1", "7-7"} {
			r.redis("XADD", "m:st", id, "f", "v")
		}
		r.redis("XDEL", "m:st", "7-7")
		r.redis("XADD", "m:whole", "3-3", "f", "v")
		r.loaded()
		r.lost()
		for key, counters := range map[string]string{"m:st": "7-7 ENTRIESADDED 2 MAXDELETEDID 7-7", "m:drained": "5-1 ENTRIESADDED 1 MAXDELETEDID 5-1"} {
			dump := r.store.eng.DumpKey(0, []byte(key))
			require.True(t, slices.ContainsFunc(dump, func(argv [][]byte) bool {
				return string(bytes.Join(argv, []byte(" "))) == "XSETID "+key+" "+counters
			}), "%s: %q", key, dump)
		}
		require.Equal(t, ":4\r\n", r.do("EXISTS", "m:empty", "m:drained", "m:st", "m:whole"))
		require.Equal(t, "+stream\r\n", r.do("TYPE", "m:empty"))
		require.Equal(t, ":0\r\n", r.do("SETNX", "m:empty", "1"))
		require.Equal(t, ":0\r\n", r.do("XLEN", "m:drained"))
		require.NotEqual(t, ":-1\r\n", r.do("TTL", "m:drained"))
		for key, id := range map[string]string{"m:drained": "5-1", "m:st": "7-7", "m:whole": "3-3"} {
			require.Contains(t, r.do("XADD", key, id, "f", "v"), "-ERR The ID", key)
		}
		require.Equal(t, "$3\r\n7-8\r\n", r.do("XADD", "m:st", "7-8", "f", "v"))
		require.Equal(t, "$3\r\n1-1\r\n", r.do("XADD", "m:empty", "1-1", "f", "v"))
		r.online()
		require.Equal(t, int64(1), r.redis("XLEN", "m:empty"))
		require.Zero(t, r.store.Status().DeadLetters)
		require.Zero(t, r.store.Status().Conflicts)
		r.close()
	}
}

// A user who may not call XINFO still has streams mirrored.
func TestStreamsAreMirroredWithoutXInfo(t *testing.T) {
	r := newRig(t)
	r.redis("ACL", "SETUSER", "default", "-xinfo")
	r.redis("XADD", "m:st", "1-1", "f", "v")
	r.redis("XGROUP", "CREATE", "m:empty", "workers", "0", "MKSTREAM")
	r.loaded()
	r.lost()
	require.Equal(t, ":2\r\n", r.do("EXISTS", "m:st", "m:empty"))
	require.Equal(t, ":1\r\n", r.do("XLEN", "m:st"))
}

// Groups are not mirrored, so nobody is told that there are none.
func TestGroupsAreUnknownOffline(t *testing.T) {
	ask := []string{"XINFO GROUPS m:st", "XINFO CONSUMERS m:st workers", "XINFO STREAM m:st", "XINFO STREAM m:st FULL", "XPENDING m:st workers", "XPENDING m:st workers - + 10"}
	r := newRig(t)
	r.redis("XADD", "m:st", "1-1", "f", "v")
	r.redis("XGROUP", "CREATE", "m:st", "workers", "0")
	r.loaded()
	r.lost()
	for _, c := range ask {
		refused(t, r.do(strings.Fields(c)...))
	}
	refused(t, r.do("EVAL", "return #redis.call('XINFO', 'GROUPS', KEYS[1])", "1", "m:st"))

	e := newRig(t, func(c *Config) { c.Embedded, c.NewClient = true, nil })
	e.do("XADD", "m:st", "1-1", "f", "v")
	e.do("XGROUP", "CREATE", "m:st", "workers", "0")
	for _, c := range ask {
		require.NotContains(t, e.do(strings.Fields(c)...), "UPSTREAMDOWN")
	}
}
