package fallback

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/record"
)

// TestALateAnswerToSeveralKeys: Redis acknowledged a write to two keys, one of which
// was written again locally before the answer came through.
func TestALateAnswerToSeveralKeys(t *testing.T) {
	r := newRig(t)
	r.redis("MSET", "m:a", "old", "m:b", "old")
	r.loaded()
	r.lost()
	require.Equal(t, "+OK\r\n", r.do("SET", "m:a", "later"))
	r.via("MSET", "m:a", "new", "m:b", "new")
	require.Equal(t, "$5\r\nlater\r\n", r.do("GET", "m:a"))
	require.NotEqual(t, "$3\r\nold\r\n", r.do("GET", "m:b"), "older than what was acknowledged")
}

// TestRecoveredWritesFromUnknownKeys: a write that was journaled depends on a key that
// no snapshot has. What it made is not known then; the value before it is wrong.
func TestRecoveredWritesFromUnknownKeys(t *testing.T) {
	for _, line := range []string{"RENAME x:src x:dst", "COPY x:src x:dst REPLACE", "LMOVE x:list x:dstlist LEFT LEFT", "SMOVE x:set x:dstset a",
		"EVAL return(redis.call('SET',KEYS[2],redis.call('GET',KEYS[1]))) 2 x:src x:dst"} {
		t.Run(strings.Fields(line)[0], func(t *testing.T) {
			r := newRig(t)
			r.redis("MSET", "x:src", "new", "x:dst", "old")
			for _, key := range []string{"x:list", "x:dstlist"} {
				r.redis("RPUSH", key, "a")
			}
			for _, key := range []string{"x:set", "x:dstset"} {
				r.redis("SADD", key, "a", key)
			}
			r.loaded()
			for _, key := range []string{"x:dst", "x:dstlist", "x:dstset"} {
				r.store.Read(0, []byte(key))
			}
			r.settle()
			require.NoError(t, r.store.saveSnapshot())
			for _, key := range []string{"x:src", "x:list", "x:set"} {
				r.store.Read(0, []byte(key))
			}
			r.settle()
			r.stop() // no snapshot at the beginning of the outage: killed before it was there
			r.stop = nil
			r.lost()
			reply := r.do(strings.Fields(line)...)
			require.NotEqual(t, byte('-'), reply[0], reply)
			r.crash()
			switch {
			case strings.HasPrefix(line, "LMOVE"):
				require.Contains(t, r.do("LLEN", "x:dstlist"), "UPSTREAMDOWN")
			case strings.HasPrefix(line, "SMOVE"):
				require.Contains(t, r.do("SCARD", "x:dstset"), "UPSTREAMDOWN")
			default:
				require.Contains(t, r.do("GET", "x:dst"), "UPSTREAMDOWN")
			}
		})
	}
}

// TestEmbeddedKeepsWhatARecordCannotChange: a journaled write that an other release
// refuses takes nothing away: there is no Redis to fetch the key from.
func TestEmbeddedKeepsWhatARecordCannotChange(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Embedded, c.NewClient = true, nil })
	r.do("SET", "k", "text")
	ticket, err := r.store.jr.Append(record.Append(nil, record.Record{TimeMs: r.store.serverNow().UnixMilli(), Commands: [][][]byte{words("INCR", "k")}}))
	require.NoError(t, err)
	require.NoError(t, ticket.Wait())
	r.crash()
	require.Equal(t, "$4\r\ntext\r\n", r.do("GET", "k"))
}

// TestALateAnswerEvictsNothing: what was written in an outage stays visible, however
// much it is; only a Redis that is there has it as well.
func TestALateAnswerEvictsNothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MirrorBytes = 64 << 10 })
	r.loaded()
	r.lost()
	long := strings.Repeat("v", 16<<10)
	for _, key := range []string{"x:1", "x:2", "x:3", "x:4", "x:5", "x:6"} {
		require.Equal(t, "+OK\r\n", r.do("SET", key, long))
	}
	r.via("SET", "x:late", "v")
	require.Equal(t, ":16384\r\n", r.do("STRLEN", "x:1"))
}
