package syncstream

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"holdfast/backend/resp"
)

func commands(lines ...string) (out []byte) {
	for _, line := range lines {
		out = resp.AppendCommandStrings(out, strings.Fields(line)...)
	}
	return out
}

func own(key []byte) bool { return bytes.HasPrefix(key, []byte("own:")) }

// However the stream is cut, what is Holdfast's own is not in it, and everything else is.
func TestWhatIsOwnIsLeftOut(t *testing.T) {
	head := []byte("\n\n$11\r\n*1\r\n$4\r\nSET") // a snapshot may look like commands
	in := append(bytes.Clone(head), commands("SELECT 9", "MULTI", "incr k", "SET own:f 1", "EXEC", "SET own:f 2", "ping",
		"MULTI", "rpush l a", "SELECT 3", "rpush l b", "SET own:f 3", "EXEC", "MULTI", "SELECT 4", "del x", "SET own:f 4", "EXEC",
		"MULTI", "SET own:f 5", "EXEC", "SELECT 0", "SET own:b 1", "SELECT 4", "MULTI", "incr a", "incr b", "EXEC", "set k own:f",
		"SELECT 0", "SET own:b 2", "ping", "SELECT 9", "del k")...)
	in = append(in, '\n')
	want := append(bytes.Clone(head), commands("SELECT 9", "incr k", "ping",
		"MULTI", "rpush l a", "SELECT 3", "rpush l b", "EXEC", "SELECT 4", "del x", "MULTI", "incr a", "incr b", "EXEC", "set k own:f", "ping", "SELECT 9", "del k")...)
	want = append(want, '\n')
	for size := 1; size <= len(in); size++ {
		f := &Filter{Own: own}
		var got []byte
		for rest := in; len(rest) > 0; {
			n := min(size, len(rest))
			got = append(got, f.Feed(rest[:n])...)
			rest = rest[n:]
		}
		assert.Equal(t, string(want), string(got), "in pieces of %d", size)
	}
}

// What is not understood passes as it came: an error instead of a snapshot, a snapshot
// without a length, and a transaction that is too long to wait for.
func TestWhatIsNotUnderstoodPasses(t *testing.T) {
	long := append([]byte("$0\r\n"), commands("MULTI")...)
	for len(long) < maxSyncGroup+1<<20 {
		long = append(long, commands("set k "+strings.Repeat("x", 1<<16))...)
	}
	for _, in := range [][]byte{[]byte("-ERR no\r\n"), []byte("$EOF:abc\r\nREDIS"), append(long, commands("SET own:f 1", "EXEC")...)} {
		f := &Filter{Own: own}
		var got []byte
		for rest := in; len(rest) > 0; {
			n := min(64<<10, len(rest))
			got = append(got, f.Feed(rest[:n])...)
			rest = rest[n:]
		}
		assert.True(t, bytes.Equal(in, got))
	}
}
