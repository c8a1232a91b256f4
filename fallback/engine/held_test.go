package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// heldCommands take a string k, and another one o, by every way there is to one.
var heldCommands = []string{
	"GET k", "GET k x", "MGET k o nokey", "STRLEN k", "GETRANGE k 0 1", "GETBIT k 1", "BITCOUNT k", "BITPOS k 1",
	"GETEX k", "GETEX k PX 5000", "GETEX k PERSIST", "GETDEL k", "GETSET k n", "SET k n", "SET k n GET", "SET k n NX", "SET k n XX KEEPTTL",
	"SETNX k n", "SETEX k 5 n", "MSET k n o m", "MSETNX k n new m", "APPEND k x", "SETRANGE k 1 xy", "SETRANGE k 1 ''", "SETBIT k 1 1",
	"INCR k", "INCRBY k 5", "DECR k", "INCRBYFLOAT k 1.5", "BITOP AND d k o", "BITOP NOT k o",
	"DEL k", "DEL k o", "UNLINK k", "EXISTS k o k", "TOUCH k o", "TYPE k", "TTL k", "PTTL k", "EXPIRETIME k",
	"EXPIRE k 10", "EXPIRE k 10 NX", "PEXPIREAT k 1", "PERSIST k", "RENAME k d", "RENAME k o", "RENAMENX k o", "RENAMENX k d",
	"COPY k d", "COPY k o", "COPY k o REPLACE", "COPY k k DB 3", "MOVE k 3", "OBJECT ENCODING k", "KEYS k", "DBSIZE", "SCAN 0",
	"FLUSHDB", "FLUSHALL", "SWAPDB 0 3", "PFADD k a", "PFCOUNT k", "PFMERGE d k",
	"LPUSH k a", "LPOP k", "LLEN k", "RPOPLPUSH k o", "LMPOP 2 k o LEFT", "BLPOP k o 0", "BLMPOP 0 1 k LEFT",
	"SADD k a", "SMEMBERS k", "SINTERSTORE d k o", "SUNIONSTORE k nokey", "SINTERCARD 2 k o", "SMOVE k o a",
	"ZADD k 1 a", "ZSCORE k a", "ZUNION 2 k o", "ZUNIONSTORE d 2 k o", "ZUNIONSTORE k 1 nokey", "ZRANGESTORE k nokey 0 -1", "ZMPOP 1 k MIN",
	"HSET k f v", "HGET k f", "HINCRBY k f 1", "HEXPIRE k 10 FIELDS 1 f", "HPTTL k FIELDS 1 f",
	"XADD k 1-1 a b", "XREAD STREAMS k 0", "XLEN k", "XINFO STREAM k", "XGROUP CREATE k g 0", "XREADGROUP GROUP g c STREAMS k >",
	"GEOADD k 1 2 a", "GEOSEARCH k FROMMEMBER a BYRADIUS 1 km", "GEORADIUSBYMEMBER k a 1 km STORE o",
	"SORT k", "SORT list BY *", "SORT list BY nosort GET * STORE k", "SORT_RO list ALPHA GET *",
	"EVAL 'return redis.call(\"GET\", KEYS[1])' 1 k",
	"EVAL 'redis.call(\"APPEND\", KEYS[1], 7) return redis.call(\"INCR\", KEYS[1])' 1 k",
	"EVAL 'redis.call(\"SET\", KEYS[1], 7) redis.call(\"DEL\", KEYS[2]) return redis.call(\"LPUSH\", KEYS[1], 1)' 2 k o",
	"EVAL 'redis.call(\"FLUSHALL\") return redis.error_reply(\"ERR no\")' 0",
	"EVAL 'redis.call(\"APPEND\", KEYS[1], 7) return redis.call(\"LPUSH\", KEYS[1], 1)' 1 k",
}

// state is everything that there is, and what a client sees of it.
func (e *Engine) state(t *testing.T) string {
	var out []string
	for db := range databases {
		for _, key := range []string{"k", "o", "d", "new", "list", "nokey"} {
			for _, argv := range e.DumpKey(db, []byte(key)) {
				out = append(out, fmt.Sprintf("%d %q", db, argv))
			}
			for _, line := range []string{"GET", "TYPE", "PTTL"} {
				out = append(out, string(e.Do(db, 2, cmd(line+" "+key)).Reply))
			}
		}
		out = append(out, string(e.Do(db, 2, cmd("DBSIZE")).Reply))
	}
	return strings.Join(out, "\n")
}

// TestHeldStringsAreLikeOthers executes each command on strings that the engine
// holds itself, and on ones that miniredis has: nothing may tell them apart.
func TestHeldStringsAreLikeOthers(t *testing.T) {
	for _, deadline := range []string{"", "PX 90000"} {
		for _, value := range []string{"12", "text"} {
			for _, line := range heldCommands {
				t.Run(deadline+" "+value+" "+line, func(t *testing.T) {
					clk := newClock()
					held, given := newTestEngine(t, clk.Now), newTestEngine(t, clk.Now)
					for _, e := range []*Engine{held, given} {
						do(e, "RPUSH list k o")
						do(e, fmt.Sprintf("SET k %s %s", value, deadline))
						do(e, "SET o 3")
					}
					given.handOver(0, []string{"MGET", "k", "o"})
					require.True(t, held.find(0, "k").held)
					require.False(t, given.find(0, "k").held)

					want, got := given.Do(0, 3, cmd(line)), held.Do(0, 3, cmd(line))
					require.Equal(t, string(want.Reply), string(got.Reply))
					require.Equal(t, want.Effects, got.Effects)
					require.Equal(t, given.state(t), held.state(t))
					clk.now = clk.now.Add(100 * time.Second)
					require.Equal(t, given.state(t), held.state(t), "after the deadlines")
				})
			}
		}
	}
}
