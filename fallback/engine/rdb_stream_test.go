package engine

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback/engine/stream"
)

// radix are the fields of XINFO STREAM about Redis's tree, which is not here.
var radix = regexp.MustCompile(`\$16\r\nradix-tree-nodes\r\n:\d+\r\n|\$15\r\nradix-tree-keys\r\n:\d+\r\n`)

// seen is when a consumer was there last, which no command sets.
var seen = regexp.MustCompile(`seen-time\r\n:\d+\r\n`)

// randomStream are commands that make a stream with everything that there is in one.
func randomStream(r *rand.Rand) (lines []string) {
	long := strings.Repeat("y", 100)
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	n := 1 + r.IntN(250)
	for i := range n {
		field := []string{"f", "f", "f", "temperature", "-5"}[r.IntN(5)]
		add("XADD s %d-%d %s %d", 1000+i*r.IntN(3)+i*5, i, field, r.IntN(1<<r.IntN(40)))
		if r.IntN(20) == 0 {
			add("XADD s %d-%d a %s b '' c 3", 1000+i*7+2, i, long)
		}
	}
	for g := range r.IntN(3) {
		add("XGROUP CREATE s g%d 0", g)
		for range r.IntN(4) {
			add("XREADGROUP GROUP g%d c%d COUNT %d STREAMS s >", g, r.IntN(3), 1+r.IntN(40))
		}
		add("XGROUP CREATECONSUMER s g%d 12", g)
		add("XACK s g%d %d", g, 1000)
	}
	for range r.IntN(10) {
		add("XDEL s %d-%d", 1000+r.IntN(n)*5, r.IntN(n))
	}
	if r.IntN(3) == 0 {
		add("XTRIM s MAXLEN %d", r.IntN(n))
	}
	if r.IntN(4) == 0 {
		add("XSETID s 99999999-5 ENTRIESADDED 100000 MAXDELETEDID 5-5")
	}
	return lines
}

// TestStreamsDumpAndRestoreAreRedis restores here what Redis dumps and the other way round;
// the whole of both is compared, and the effects of RESTORE make it again.
func TestStreamsDumpAndRestoreAreRedis(t *testing.T) {
	c := dial(t, redistest.Start(t).Addr(), 2)
	for seed := range uint64(150) {
		e := newTestEngine(t, nil)
		c.do(cmd("FLUSHALL"))
		for _, line := range randomStream(rand.New(rand.NewPCG(seed, 1))) {
			c.do(cmd(line))
			do(e, line)
		}
		theirs, ours := c.ask("DUMP", "s"), e.inner(0, "DUMP", "s")
		res := e.Do(0, 2, toBytes([]string{"RESTORE", "theirs", "0", theirs.str}))
		require.Equal(t, "+OK\r\n", string(res.Reply), "seed %d", seed)
		require.Equal(t, "+OK\r\n", string(c.do(toBytes([]string{"RESTORE", "ours", "0", ours.str}))), "seed %d", seed)
		info := func(do func([][]byte) []byte, key string) string {
			return radix.ReplaceAllString(string(do(toBytes([]string{"XINFO", "STREAM", key, "FULL", "COUNT", "0"}))), "")
		}
		here := func(argv [][]byte) []byte { return e.Do(0, 2, argv).Reply }
		require.Equal(t, info(c.do, "s"), info(here, "theirs"), "seed %d", seed)
		require.Equal(t, info(here, "s"), info(c.do, "ours"), "seed %d", seed)
		copied := newTestEngine(t, nil)
		for _, argv := range res.Effects {
			require.NoError(t, copied.Apply(0, argv), "seed %d", seed)
		}
		again := func(argv [][]byte) []byte { return copied.Do(0, 2, argv).Reply }
		require.Equal(t, seen.ReplaceAllString(info(here, "theirs"), ""), seen.ReplaceAllString(info(again, "theirs"), ""), "seed %d", seed)
		if len(theirs.str) < 150 { // others are compressed, or in other nodes
			require.Len(t, ours.str, len(theirs.str), "seed %d", seed)
		}
	}
}

// TestRestoreOfDamagedStreams: no payload that was changed anywhere does more than fail.
func TestRestoreOfDamagedStreams(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for seed := range uint64(40) {
		e := newTestEngine(t, nil)
		for _, line := range randomStream(rand.New(rand.NewPCG(seed, 2))) {
			do(e, line)
		}
		whole := []byte(e.inner(0, "DUMP", "s").str)
		for range 300 {
			b := append([]byte(nil), whole...)
			for range 1 + r.IntN(3) {
				b[r.IntN(len(b)-10)] = byte(r.IntN(256))
			}
			clear(b[len(b)-8:])
			if reply := e.Do(0, 2, toBytes([]string{"RESTORE", "x", "0", string(b), "REPLACE"})).Reply; reply[0] == '-' {
				require.NotContains(t, string(reply), "not supported")
				continue
			}
			do(e, "XINFO STREAM x FULL")
			for _, argv := range e.DumpKey(0, []byte("x")) {
				require.NotEmpty(t, argv)
			}
		}
	}
}

// TestStreamsOfRedis5AreRestored reads a payload of before the counters.
func TestStreamsOfRedis5AreRestored(t *testing.T) {
	c := dial(t, redistest.Start(t).Addr(), 2)
	e := newTestEngine(t, nil)
	w := &rdbWriter{b: []byte{rdbStream, 1, 16}}
	w.id(stream.ID{Ms: 1})
	var lp listpack
	lp.int(2, 1, 1)
	lp.add("data")
	lp.int(0)
	for i := range int64(3) {
		flags := int64(entrySame)
		if i == 0 {
			flags |= entryDeleted
		}
		lp.int(flags, i, 0)
		lp.add("v")
		lp.int(4)
	}
	w.raw(lp.bytes())
	w.lens(2, 3, 0, 1)
	w.text("g")
	w.lens(2, 0, 1)
	w.id(stream.ID{Ms: 2})
	w.millis(1000)
	w.lens(1, 1)
	w.text("c")
	w.millis(1000)
	w.len(1)
	w.id(stream.ID{Ms: 2})
	w.b = binary.LittleEndian.AppendUint16(w.b, 9)
	w.b = binary.LittleEndian.AppendUint64(w.b, rdbChecksum(w.b))
	restore := toBytes([]string{"RESTORE", "x", "0", string(w.b)})
	require.Equal(t, string(c.do(restore)), string(e.Do(0, 2, restore).Reply))
	full := cmd("XINFO STREAM x FULL")
	require.Equal(t, radix.ReplaceAllString(string(c.do(full)), ""), radix.ReplaceAllString(string(e.Do(0, 2, full).Reply), ""))
}
