package command

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func splitNames(s string) []string { return strings.Fields(s) }

func TestIdempotent(t *testing.T) {
	for line, want := range map[string]bool{
		"SET k v": true, "set k v ex 10": true, "SET k v PXAT 1 KEEPTTL": true,
		"SET k v NX": false, "SET k v GET": false, "SET k v EX 10 XX": false, "SET k v EX NX": true,
		"MSET a b": true, "MSETNX a b": false, "SETNX a b": false, "INCR k": false, "APPEND k v": false,
		"HSET k f v": true, "HDEL k f": true, "SADD k m": true, "DEL a b": true, "LPUSH k v": false,
		"EXPIRE k 10": false, "EXPIREAT k 10": false, "EVAL x 0": false, "GET k": true, "RENAME a b": false,
		"ZADD k 1 m": true, "ZADD k INCR 1 m": false, "ZADD k nx 1 m": false, "GEOADD k 1 1 m": true,
		"GETSET k v": false, "GETDEL k": false, "XADD k * f v": false, "SPOP k": false, "FLUSHALL": false,
	} {
		argv := call(strings.Fields(line)...)
		c, ok := Lookup(argv)
		require.True(t, ok, line)
		require.Equal(t, want, Idempotent(argv, c), line)
	}
}

func TestBlocks(t *testing.T) {
	for line, want := range map[string]bool{
		"BLPOP k 0": true, "WAIT 1 0": true, "WAITAOF 0 1 0": true, "GET block": false, "BLMOVE a b LEFT LEFT 0": true,
		"XREAD STREAMS k 0": false, "xread count 1 block 5 streams k 0": true, "XREAD STREAMS BLOCK 0": false,
		"XREADGROUP GROUP g c BLOCK 0 STREAMS k >": true, "XREADGROUP GROUP g c STREAMS k >": false,
	} {
		argv := call(strings.Fields(line)...)
		c, ok := Lookup(argv)
		require.True(t, ok, line)
		require.Equal(t, want, Blocks(argv, c), line)
	}
}

func TestWriteAndReadKeys(t *testing.T) {
	for _, row := range []struct{ line, writes, reads string }{
		{"GET a", "", "a"},
		{"SET a v", "a", ""},
		{"COPY a b", "b", "a"},
		{"RENAME a b", "a b", ""},
		{"ZUNIONSTORE d 2 a b", "d", "a b"},
		{"SORT a BY w_* STORE d", "d", "a"},
		{"SORT a", "", "a"},
		{"EVAL x 2 a b arg", "a b", ""},
		{"EVAL_RO x 2 a b arg", "", "a b"},
		{"XREADGROUP GROUP g c STREAMS a b > >", "a b", ""},
		{"GEORADIUS a 1 1 1 m STORE d", "d", "a"},
		{"PFCOUNT a b", "", "a b"},
		{"MSETEX 2 a 1 b 2 EX 10", "a b", ""},
		{"MIGRATE h 1 k 0 10", "k", ""},
		{"SUBSCRIBE c", "", ""},
	} {
		argv := call(strings.Fields(row.line)...)
		c, ok := Lookup(argv)
		require.True(t, ok, row.line)
		require.Equal(t, row.writes, joined(c.WriteKeys(nil, argv)), row.line)
		require.Equal(t, row.reads, joined(c.ReadKeys(nil, argv)), row.line)
	}
}

func joined(keys [][]byte) string {
	words := make([]string, len(keys))
	for i, k := range keys {
		words[i] = string(k)
	}
	return strings.Join(words, " ")
}

// FuzzCalls: nothing a client sends makes the table panic, and keys are always
// arguments of the call.
func FuzzCalls(f *testing.F) {
	for _, s := range []string{"GET k", "EVAL x 99999999999 a", "EVAL x -1", "XREAD STREAMS", "MIGRATE h p  0 1 KEYS", "SORT", "client", "zunionstore d 999999999 a", "msetex 2 a 1 b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		argv := call(strings.Split(s, " ")...)
		c, ok := Lookup(argv)
		if !ok {
			require.NotContains(t, UnknownError(argv), "\n")
		}
		if c == nil {
			return
		}
		for _, keys := range [][][]byte{c.Keys(nil, argv), c.WriteKeys(nil, argv), c.ReadKeys(nil, argv)} {
			require.LessOrEqual(t, len(keys), 2*len(argv))
		}
		Idempotent(argv, c)
		Blocks(argv, c)
		c.ArityOK(len(argv))
	})
}

func TestTakesLock(t *testing.T) {
	for line, want := range map[string]string{
		"SET k v NX EX 10": "EX 10", "set k v px 10 nx": "PX 10", "SET k v NX GET EXAT 99": "EXAT 99",
		"SET k v NX": "", "SET k v EX 10": "", "SETNX k v": "", "SET k v NX EX": "", "GET k": "", "SET NX EX 10": "",
	} {
		var argv [][]byte
		for _, a := range splitNames(line) {
			argv = append(argv, []byte(a))
		}
		unit, ttl, ok := TakesLock(argv)
		require.Equal(t, want != "", ok, line)
		if ok {
			require.Equal(t, want, unit+" "+string(ttl), line)
		}
	}
}
