package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// dumped are values of every form that Redis packs in one way or another.
func dumped() []string {
	long := strings.Repeat("long ", 300)
	lines := []string{"SET s hello", "SET empty ''", "SET n 1", "SET n -100", "SET n 300", "SET n -40000", "SET n 2147483648", "SET n 9223372036854775807", "SET s '" + long + "'",
		"RPUSH l a b c", "RPUSH l 1 -1 127 128 4095 -4096 4096 -4097 32767 32768 8388607 8388608 2147483647 2147483648 9223372036854775807 -9223372036854775808",
		"RPUSH l '" + strings.Repeat("x", 63) + "' '" + strings.Repeat("x", 64) + "' '" + strings.Repeat("x", 4095) + "' '" + strings.Repeat("y", 4096) + "' '" + strings.Repeat("z", 20000) + "' end",
		"SADD i 1 2 3", "SADD i -40000 70000", "SADD i 9223372036854775807", "SADD t a b c 1", "SADD t '" + long + "'",
		"HSET h f v g 1 h ''", "HSET h '" + long + "' x", "HSET h x '" + long + "'", "ZADD z 1 a 1.5 b -inf c inf d 0.1 e 3e300 f", "ZADD z 2 '" + long + "'",
		"PFADD p a b c", "SETBIT b 1000 1"}
	for i := range 700 {
		lines = append(lines, fmt.Sprintf("RPUSH many element%d", i), fmt.Sprintf("HSET hmany f%d v%d", i, i), fmt.Sprintf("ZADD zmany %d.25 m%d", i, i), fmt.Sprintf("SADD smany %d", i))
	}
	return lines
}

// TestDumpAndRestoreAreRedis: what Redis dumps is restored here, and the other way round.
func TestDumpAndRestoreAreRedis(t *testing.T) {
	c := dial(t, redistest.Start(t).Addr(), 2)
	e := newTestEngine(t, nil)
	keys := map[string]bool{}
	for i, line := range dumped() {
		args := cmd(line)
		key := string(args[1])
		keys[key] = true
		require.Equal(t, string(c.do(args)), string(e.Do(0, 2, args).Reply), "%.40s", line)
		if i > 40 && i%400 != 0 {
			continue
		}
		theirs, ours := c.ask("DUMP", key), e.inner(0, "DUMP", key)
		require.Equal(t, "+OK\r\n", string(e.Do(0, 2, toBytes([]string{"RESTORE", "theirs", "0", theirs.str, "REPLACE"})).Reply), "%.40s", line)
		require.Equal(t, "+OK\r\n", string(c.do(toBytes([]string{"RESTORE", "ours", "0", ours.str, "REPLACE"}))), "%.40s: %q", line, ours.str)
		for _, other := range []string{"ours", "theirs"} {
			ask := c.ask
			if other == "theirs" {
				ask = func(args ...string) value { return e.inner(0, args...) }
			}
			want := strings.Replace(describe(key, "0", ask), "/"+key+" ", "/ ", 1)
			require.Equal(t, want, strings.Replace(describe(other, "0", ask), "/"+other+" ", "/ ", 1), "%.40s", line)
			if enc := ask("OBJECT", "ENCODING", key); enc.str != "raw" { // changed in place, which a dump does not tell
				require.Equal(t, enc, ask("OBJECT", "ENCODING", other), "%.40s", line)
			}
		}
		if len(ours.str) == len(theirs.str) && len(ours.str) < 200 && key != "i" && key != "t" { // some are compressed there; sets have no order
			require.Equal(t, theirs.str, ours.str, "%.40s", line)
		}
	}
	c.do(cmd("DEL ours"))
	e.Delete(0, []byte("theirs"))
	require.Equal(t, c.state(), state(t, e))
}

// TestRestoreRefusesDamage: no payload that was changed anywhere does more than fail.
func TestRestoreRefusesDamage(t *testing.T) {
	c := dial(t, redistest.Start(t).Addr(), 2)
	e := newTestEngine(t, nil)
	r := rand.New(rand.NewPCG(1, 2))
	for i, line := range dumped() {
		c.do(cmd(line))
		if i > 40 {
			break
		}
		whole := []byte(c.ask("DUMP", string(cmd(line)[1])).str)
		for range 300 {
			b := append([]byte(nil), whole...)
			for range 1 + r.IntN(3) {
				b[r.IntN(len(b)-10)] = byte(r.IntN(256))
			}
			if r.IntN(4) == 0 {
				b = b[:len(b)-10-r.IntN(len(b)-10)]
				b = append(b, make([]byte, 10)...)
			}
			copy(b[len(b)-8:], make([]byte, 8)) // no checksum
			reply := e.Do(0, 2, [][]byte{[]byte("RESTORE"), []byte("x"), []byte("0"), b, []byte("REPLACE")}).Reply
			require.NotContains(t, string(reply), "not supported", "%q", b)
			if e.Has(0, []byte("x")) {
				for _, argv := range e.DumpKey(0, []byte("x")) {
					require.NotEmpty(t, argv)
				}
			}
		}
	}
}

// TestRestoreArguments compares the errors and the deadlines.
func TestRestoreArguments(t *testing.T) {
	c := dial(t, redistest.Start(t).Addr(), 2)
	e := newTestEngine(t, nil)
	c.do(cmd("SET s hello"))
	good := c.ask("DUMP", "s").str
	bad := good[:len(good)-1] + "x"
	later := fmt.Sprint(time.Now().Add(time.Hour).UnixMilli())
	for _, args := range [][]string{
		{"RESTORE", "a", "0", good}, {"RESTORE", "a", "0", good}, {"RESTORE", "a", "0", bad, "REPLACE"}, {"RESTORE", "a", "-1", good, "REPLACE"}, {"RESTORE", "a", "x", good, "REPLACE"},
		{"RESTORE", "a", later, good, "ABSTTL", "REPLACE"}, {"RESTORE", "a", "1", good, "ABSTTL", "REPLACE"}, {"RESTORE", "b", "1", good, "ABSTTL"}, {"RESTORE", "a", "0", good, "IDLETIME", "-1"},
		{"RESTORE", "a", "0", good, "IDLETIME", "10", "FREQ", "1"}, {"RESTORE", "a", "0", good, "FREQ", "256"}, {"RESTORE", "a", "0", good, "FREQ", "255"}, {"RESTORE", "a", "0", good, "FOO"}, {"RESTORE", "a", "0", ""}, {"RESTORE", "z", "0", "short"},
		{"RESTORE", "c", later, good, "absttl", "idletime", "5"}, {"DUMP", "nokey"}, {"RESTORE", "a", "0"},
	} {
		require.Equal(t, string(c.do(toBytes(args))), string(e.Do(0, 2, toBytes(args)).Reply), "%q", args)
	}
	c.do(cmd("DEL s"))
	require.Equal(t, c.state(), state(t, e))
	res := e.Do(0, 2, toBytes([]string{"RESTORE", "d", "100000", good}))
	require.Equal(t, "DEL", string(res.Effects[0][0]))
	require.Equal(t, "PXAT", string(res.Effects[1][3]))
}
