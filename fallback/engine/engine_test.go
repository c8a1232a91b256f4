package engine

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain keeps the generated tests short; -rapid.checks=1000 makes them long.
// A failure prints its seed, so no files are written.
func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "40")
	_ = flag.Set("rapid.nofailfile", "true")
	goleak.VerifyTestMain(m)
}

// clock is a time that stands still until the test moves it.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newClock() *clock { return &clock{now: time.UnixMilli(1_800_000_000_123)} }

func newTestEngine(t testing.TB, now func() time.Time) *Engine {
	t.Helper()
	e := New(Config{Now: now})
	t.Cleanup(e.Close)
	return e
}

// cmd splits a command at spaces; words in single quotes stay together.
func cmd(line string) [][]byte {
	var out [][]byte
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, []byte(part))
			continue
		}
		for _, w := range strings.Fields(part) {
			out = append(out, []byte(w))
		}
	}
	return out
}

func do(e *Engine, line string) string { return string(e.Do(0, 2, cmd(line)).Reply) }

func effects(e *Engine, line string) []string {
	var out []string
	for _, argv := range e.Do(0, 2, cmd(line)).Effects {
		words := make([]string, len(argv))
		for i, a := range argv {
			words[i] = string(a)
		}
		out = append(out, strings.Join(words, " "))
	}
	return out
}

func TestEffectsAreAbsoluteAndDeterministic(t *testing.T) {
	c := newClock()
	e := newTestEngine(t, c.Now)
	for _, tc := range []struct{ line, want string }{
		{"SET a 1 EX 10", "SET a 1 PXAT 1800000010123"},
		{"SET a 2 NX", ""},
		{"SET a 2 XX KEEPTTL", "EVAL -in 1 a 1800000010123 SET a 2 KEEPTTL"},
		{"SETEX b 1 x", "SET b x PXAT 1800000001123"},
		{"EXPIRE a 100 GT", "EVAL -to 1 a 1800000100123 1800000010123 1800000100123 3 SET a 2"},
		{"EXPIRE a 100 NX", ""},
		{"EXPIRE nokey 100", ""},
		{"GETEX a PERSIST", "EVAL -to 1 a 0 1800000100123 0 3 SET a 2"},
		{"GETEX a PERSIST", ""},
		{"GETEX a EX 1", "PEXPIREAT a 1800000001123"},
		{"GETDEL nokey", ""},
		{"INCRBYFLOAT f 0.5", "INCRBYFLOAT f 0.5"},
		{"DEL nokey", ""},
		{"SADD s m", "SADD s m"},
		{"SADD s m", ""},
		{"SPOP s", "SREM s m"},
		{"SRANDMEMBER s", ""},
		{"XADD st * f v", "XADD st 1800000000123-0-* f v"},
		{"XADD st * f v", "XADD st 1800000000123-1-* f v"},
		{"XADD st MAXLEN ~ 1 * f v", "XADD st 1800000000123-2-* f v"}, // not a whole node of Redis
		{"XADD st MAXLEN 1 * f v", "XADD st MAXLEN = 1 1800000000123-3-* f v"},
		{"RPUSH l a b", "RPUSH l a b"},
		{"BLPOP nol l 5", "LPOP l"},
		{"INCR l", ""},
		{"EVAL 'return redis.call(\"incr\",KEYS[1])' 1 n", `EVAL return redis.call("incr",KEYS[1]) 1 n`},
		{"EVAL 'return redis.call(\"set\",KEYS[1],1,\"EX\",5)' 1 n", "SET n 1 PXAT 1800000005123"},
		{"EVAL 'return redis.call(\"get\",KEYS[1])' 1 n", ""},
		{"EVAL 'redis.call(\"set\",KEYS[1],7) return redis.call(\"incr\",\"l\")' 1 n", ""},
		{"SET dead 1 PXAT 1", "DEL dead"},
		{"EXPIRE n -1", "DEL n"},
		{"EVAL 'local t={a=1} for k in pairs(t) do redis.call(\"rpush\",KEYS[1],k) end' 1 p", `EVAL local t={a=1} for k in pairs(t) do redis.call("rpush",KEYS[1],k) end 1 p`},
		{"EVAL 'local t={[{}]=1,[{}]=2} for _,v in pairs(t) do redis.call(\"rpush\",KEYS[1],v) end' 1 o", "rpush o 1|rpush o 2"},
		{"EVAL 'local t={a=1} redis.call(\"rpush\",KEYS[1],(next(t)))' 1 p", `EVAL local t={a=1} redis.call("rpush",KEYS[1],(next(t))) 1 p`},
		{"EVAL 'for _,k in ipairs(ARGV) do redis.call(\"rpush\",KEYS[1],k) end' 1 p a", `EVAL for _,k in ipairs(ARGV) do redis.call("rpush",KEYS[1],k) end 1 p a`},
	} {
		require.Equal(t, tc.want, strings.Join(effects(e, tc.line), "|"), tc.line)
	}
}

func TestFailedScriptLeavesNothing(t *testing.T) {
	e := newTestEngine(t, newClock().Now)
	for _, line := range []string{"SET s old EX 100", "RPUSH l a", "XADD x 5-1 a b", "XGROUP CREATE x g 0"} {
		do(e, line)
	}
	before := state(t, e)
	w := e.Watch(0, [][]byte{[]byte("s"), []byte("l"), []byte("x"), []byte("new")})
	reply := do(e, `EVAL 'redis.call("set","s","new") redis.call("rpush","l","b") redis.call("xadd","x","*","c","d")
		redis.call("set","new","1") redis.call("del","l") return redis.call("nope")' 0`)
	require.True(t, strings.HasPrefix(reply, "-ERR Unknown Redis command"), reply)
	require.Equal(t, before, state(t, e))
	require.False(t, w.Changed())
}

func TestExpiredKeysAreNeverServed(t *testing.T) {
	c := newClock()
	e := newTestEngine(t, c.Now)
	do(e, "SET a 1 PX 100")
	do(e, "HSET h f 1 g 2")
	do(e, "HPEXPIRE h 50 FIELDS 1 f")
	w := e.Watch(0, [][]byte{[]byte("a")})
	require.Equal(t, ":100\r\n", do(e, "PTTL a"))
	require.Equal(t, "*1\r\n:50\r\n", do(e, "HPTTL h FIELDS 1 f"))
	c.now = c.now.Add(51 * time.Millisecond)
	require.Equal(t, "$-1\r\n", do(e, "HGET h f"))
	require.Equal(t, "$1\r\n2\r\n", do(e, "HGET h g"))
	require.Equal(t, ":49\r\n", do(e, "PTTL a"))
	c.now = c.now.Add(50 * time.Millisecond)
	require.True(t, w.Changed())
	require.Equal(t, "$-1\r\n", do(e, "GET a"))
	require.Equal(t, 1, e.Keys())
	require.Empty(t, e.due)
}

func TestWatchSeesChangesOnly(t *testing.T) {
	e := newTestEngine(t, newClock().Now)
	do(e, "SET a x")
	for line, changes := range map[string]bool{
		"GET a": false, "SET a y NX": false, "INCR a": false, "EVAL 'return redis.call([[GET]],KEYS[1])' 1 a": false, "DEL b": false,
		"SET a x": true, "EXPIRE a 100": true, "EVAL 'return redis.call([[SET]],KEYS[1],1)' 1 a": true, "FLUSHALL": true, "SWAPDB 0 1": true,
	} {
		do(e, "SET a x")
		w := e.Watch(0, [][]byte{[]byte("a")})
		do(e, line)
		require.Equal(t, changes, w.Changed(), line)
	}
}

func TestUnitIsExecsArray(t *testing.T) {
	e := newTestEngine(t, newClock().Now)
	res := e.DoUnit(0, 2, [][][]byte{cmd("SET a x"), cmd("INCR a"), cmd("GET a")})
	require.Equal(t, "*3\r\n+OK\r\n-ERR value is not an integer or out of range\r\n$1\r\nx\r\n", string(res.Reply))
	require.Len(t, res.Effects, 1)
	res = e.DoUnit(0, 2, [][][]byte{cmd("SET a y"), cmd("GET")})
	require.Equal(t, "-EXECABORT Transaction discarded because of previous errors.\r\n", string(res.Reply))
	require.Equal(t, "$1\r\nx\r\n", do(e, "GET a"))
}

func TestScanReturnsEveryKeyThatStays(t *testing.T) {
	e := newTestEngine(t, newClock().Now)
	for i := range 1000 {
		do(e, fmt.Sprintf("SET stay:%d 1", i))
	}
	seen := map[string]bool{}
	cursor, steps := "0", 0
	for first := true; first || cursor != "0"; first = false {
		v, _ := parseReply(e.Do(0, 2, cmd("SCAN "+cursor+" COUNT 37 MATCH stay:*")).Reply)
		cursor = v.list[0].str
		for _, k := range v.list[1].flat() {
			seen[k] = true
		}
		steps++
		do(e, fmt.Sprintf("SET extra:%d 1", steps))
		do(e, fmt.Sprintf("DEL extra:%d", steps-3))
		require.Less(t, steps, 200)
	}
	require.Len(t, seen, 1000)
}

func TestBadInputIsAnError(t *testing.T) {
	e := newTestEngine(t, newClock().Now)
	require.True(t, strings.HasPrefix(string(e.Do(0, 2, nil).Reply), "-ERR"))
	require.True(t, strings.HasPrefix(string(e.Do(99, 2, cmd("GET a")).Reply), "-ERR DB index"))
	require.Error(t, e.Apply(0, nil))
	for name := range table {
		for n := range 8 {
			argv := [][]byte{[]byte(name)}
			for range n {
				argv = append(argv, []byte("-1"))
			}
			require.NotEmpty(t, e.Do(0, 3, argv).Reply, "%s with %d arguments", name, n)
		}
	}
	require.Equal(t, "+PONG\r\n", do(e, "PING"), "the engine still works")
}

// state is everything in the engine, in a fixed order.
func state(t testing.TB, e *Engine) string {
	t.Helper()
	var out []string
	e.ForEachKey(func(db int, key string) bool {
		out = append(out, describe(key, fmt.Sprint(db), func(args ...string) value {
			v, _ := parseReply(e.Do(db, 2, toBytes(args)).Reply)
			return v
		}))
		return true
	})
	return joinSorted(out)
}

func TestDumpRoundTrip(t *testing.T) {
	c := newClock()
	e := newTestEngine(t, c.Now)
	fill(e)
	e.LoadScript([]byte("return 1"))
	other := newTestEngine(t, c.Now)
	require.NoError(t, e.Dump(func(db int, argv [][]byte) error { return other.Apply(db, argv) }))
	require.Equal(t, state(t, e), state(t, other))
	_, ok := other.Script(sha1Hex("return 1"))
	require.True(t, ok)
}

// fill makes keys of every type, with and without deadlines.
func fill(e *Engine) {
	for _, line := range []string{
		"SET a 1", "SET b 2 EX 100", "HSET h f v g w", "EXPIRE h 50", "SADD s a b c", "ZADD z 1.5 a -inf b 3 c",
		"XADD x 1-1 f v", "XADD x 2-1 f w", "XADD x 3-1 f u", "XGROUP CREATE x g 0", "XREADGROUP GROUP g c1 COUNT 2 STREAMS x >",
		"XDEL x 3-1", "XGROUP CREATE empty g $ MKSTREAM", "PFADD p a b c d",
	} {
		do(e, line)
	}
	for i := range 2000 {
		do(e, fmt.Sprintf("RPUSH l %d", i))
		do(e, fmt.Sprintf("HSET big f%d %d", i, i))
	}
	e.Do(3, 2, cmd("SET other db"))
}

func BenchmarkGet(b *testing.B)  { bench(b, "GET a") }
func BenchmarkSet(b *testing.B)  { bench(b, "SET a 1") }
func BenchmarkIncr(b *testing.B) { bench(b, "INCR n") }
func BenchmarkHset(b *testing.B) { bench(b, "HSET h f 1") }
func BenchmarkEval(b *testing.B) { bench(b, "EVAL 'return redis.call(\"incr\",KEYS[1])' 1 n") }

func bench(b *testing.B, line string) {
	e := newTestEngine(b, nil)
	do(e, "SET a x")
	argv := cmd(line)
	b.ReportAllocs()
	for b.Loop() {
		e.Do(0, 2, argv)
	}
}
