package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"holdfast/backend/redistest"
)

// streamTemplates: {k} is a key, {g} a group, {c} a consumer, {i} an id, {n} a count,
// {e} an end of a range.
var streamTemplates = []string{
	"XADD {k} {i} f v", "XADD {k} {i} f v g w", "XADD {k} 3-* f v", "XADD {k} 9-* f v", "XADD {k} 9-* a b", "XADD {k} 10-* c d", "XADD {k} NOMKSTREAM 11-* f v", "XADD {k} 12-* f v", "XADD {k} 12-* f v",
	"XADD {k} MAXLEN {n} 13-* f v", "XADD {k} MAXLEN = {n} 13-* f v", "XADD {k} MAXLEN ~ {n} 13-* f v", "XADD {k} MINID {i} 13-* f v", "XADD {k} MINID ~ 9 LIMIT 100 13-* f v",
	"XADD {k} MAXLEN -1 13-* f v", "XADD {k} MAXLEN x 13-* f v", "XADD {k} MAXLEN 3 LIMIT 1 13-* f v", "XADD {k} LIMIT 1 13-* f v", "XADD {k} LIMIT 0 13-* f v", "XADD {k} MAXLEN 1 MINID 1 13-* f v",
	"XADD {k} MINID x 1 f v", "XADD {k} 1-x f v", "XADD {k} 1-1-* f v", "XADD {k} 0-* f v", "XADD {k} 0 f v", "XADD {k} 14-* f", "XADD {k} 18446744073709551615-18446744073709551615 f v", "XADD {k} +2 f v", "XADD {k} 007-01 f v", "XADD {k} -1 f v", "XADD {k} - f v", "XADD {k} + f v",
	"XADD s 1 f v", "XLEN {k}", "XLEN s", "XTRIM {k} MAXLEN {n}", "XTRIM {k} MINID {i}", "XTRIM {k} MAXLEN ~ {n}", "XTRIM {k} MAXLEN ~ 0 LIMIT 1", "XTRIM {k} LIMIT 1", "XTRIM {k} MAXLEN 1 LIMIT 1", "XTRIM {k} foo 1", "XTRIM {k} MAXLEN 1 x", "XTRIM {k} LIMIT 0", "XTRIM s MAXLEN 1", "XTRIM s MAXLEN x",
	"XDEL {k} {i}", "XDEL {k} {i} {i}", "XDEL {k} 9 10", "XDEL {k} 12", "XDEL {k} {i} x", "XDEL s 1", "XDEL nokey x",
	"XRANGE {k} {e} {e}", "XRANGE {k} - + COUNT {n}", "XREVRANGE {k} {e} {e}", "XREVRANGE {k} + - COUNT {n}", "XRANGE {k} x +", "XRANGE {k} - + COUNT x", "XRANGE {k} - + foo 1", "XRANGE {k} (18446744073709551615-18446744073709551615 +", "XRANGE {k} - (0-0", "XRANGE s - +", "XRANGE {k} (- +", "XRANGE {k} ( +", "XRANGE nokey - + COUNT 0",
	"XREAD STREAMS {k} {i}", "XREAD COUNT {n} STREAMS {k} {k} {i} 0", "XREAD COUNT x STREAMS {k} 0", "XREAD STREAMS {k} $", "XREAD STREAMS {k}", "XREAD STREAMS {k} >", "XREAD GROUP {g} {c} STREAMS {k} 0", "XREAD NOACK STREAMS {k} 0", "XREAD BLOCK x STREAMS {k} 0", "XREAD BLOCK -1 STREAMS {k} 0", "XREAD foo STREAMS {k} 0", "XREAD COUNT 1 {k} 0", "XREAD STREAMS s 0", "XREAD STREAMS {k} 18446744073709551615-18446744073709551615",
	"XREADGROUP GROUP {g} {c} STREAMS {k} >", "XREADGROUP GROUP {g} {c} COUNT {n} STREAMS {k} >", "XREADGROUP GROUP {g} {c} NOACK COUNT 1 STREAMS {k} >", "XREADGROUP GROUP {g} {c} STREAMS {k} 0", "XREADGROUP GROUP {g} {c} COUNT {n} STREAMS {k} {i}", "XREADGROUP GROUP {g} {c} COUNT 1 STREAMS {k} {k} > 0",
	"XREADGROUP GROUP {g} {c} STREAMS {k} $", "XREADGROUP COUNT 1 NOACK STREAMS {k} >", "XREADGROUP GROUP {g} {c} STREAMS {k}", "XREADGROUP GROUP {g} {c} STREAMS s >", "XREADGROUP GROUP {g} {c} STREAMS {k} x", "XREADGROUP GROUP {g} {c} STREAMS {k} 18446744073709551615-18446744073709551614",
	"XGROUP CREATE {k} {g} 0", "XGROUP CREATE {k} {g} $ MKSTREAM", "XGROUP CREATE {k} {g} {i} ENTRIESREAD {n}", "XGROUP CREATE {k} {g} x", "XGROUP CREATE {k} {g} 0 foo", "XGROUP CREATE {k} {g} 0 ENTRIESREAD x", "XGROUP CREATE {k} {g} 0 ENTRIESREAD -2", "XGROUP CREATE s {g} 0", "XGROUP CREATE {k} {g} -",
	"XGROUP SETID {k} {g} {i}", "XGROUP SETID {k} {g} $", "XGROUP SETID {k} {g} 0 ENTRIESREAD {n}", "XGROUP SETID {k} {g} -", "XGROUP SETID {k} {g} x", "XGROUP DESTROY {k} {g}", "XGROUP CREATECONSUMER {k} {g} {c}", "XGROUP DELCONSUMER {k} {g} {c}", "XGROUP DESTROY {k}", "XGROUP FOO {k} {g}", "XGROUP CREATE {k} {g}", "XGROUP SETID {k} {g} 0 MKSTREAM", "XGROUP SETID {k} {g} 0 1",
	"XACK {k} {g} {i}", "XACK {k} {g} 9 10 12", "XACK {k} {g} {i} x", "XACK s {g} 1", "XACK {k} {g} {i} {i} {i}",
	"XCLAIM {k} {g} {c} 0 {i}", "XCLAIM {k} {g} {c} 0 {i} {i} JUSTID", "XCLAIM {k} {g} {c} 0 9 10 12 FORCE", "XCLAIM {k} {g} {c} 0 {i} IDLE 5000000", "XCLAIM {k} {g} {c} 3000000 {i} {i} RETRYCOUNT {n}", "XCLAIM {k} {g} {c} 0 {i} TIME 1000 JUSTID", "XCLAIM {k} {g} {c} 0 {i} LASTID {i}", "XCLAIM {k} {g} {c} x {i}", "XCLAIM {k} {g} {c} -5 {i} FORCE RETRYCOUNT 7",
	"XCLAIM {k} {g} {c} 0 {i} foo", "XCLAIM {k} {g} {c} 0 {i} IDLE x", "XCLAIM {k} {g} {c} 0 {i} RETRYCOUNT x", "XCLAIM {k} {g} {c} 0 {i} TIME x", "XCLAIM {k} {g} {c} 0 {i} LASTID x", "XCLAIM s {g} {c} 0 1", "XCLAIM {k} {g} {c} 0 {i} IDLE -5000000", "XCLAIM {k} {g} {c} 0 x FORCE", "XCLAIM {k} {g} new 0 {i} FORCE LASTID 12",
	"XAUTOCLAIM {k} {g} {c} 0 {e}", "XAUTOCLAIM {k} {g} {c} 0 0 COUNT {n}", "XAUTOCLAIM {k} {g} {c} 3000000 0 COUNT 1 JUSTID", "XAUTOCLAIM {k} {g} {c} 0 0 COUNT x", "XAUTOCLAIM {k} {g} {c} x 0", "XAUTOCLAIM {k} {g} {c} 0 x", "XAUTOCLAIM {k} {g} {c} 0 0 foo", "XAUTOCLAIM s {g} {c} 0 0", "XAUTOCLAIM {k} {g} {c} 0 0 COUNT 1", "XAUTOCLAIM {k} {g} {c} 0 0 COUNT 1000000000000000000",
	"XPENDING {k} {g}", "XPENDING {k} {g} - + {n}", "XPENDING {k} {g} {e} {e} 10", "XPENDING {k} {g} {e} {e} 10 {c}", "XPENDING {k} {g} IDLE 3000000 - + 10", "XPENDING {k} {g} IDLE 1 - +", "XPENDING {k} {g} - +", "XPENDING {k} {g} IDLE x - + 1", "XPENDING {k} {g} - + x", "XPENDING s {g}", "XPENDING {k} {g} - + 10 nobody", "XPENDING {k} {g} (18446744073709551615-18446744073709551615 + 1", "XPENDING {k} {g} - (0 1",
	"XINFO STREAM {k}", "XINFO STREAM {k} FULL", "XINFO STREAM {k} FULL COUNT {n}", "XINFO STREAM {k} FULL COUNT x", "XINFO STREAM {k} foo", "XINFO STREAM {k} FULL foo 1", "XINFO STREAM {k} FULL COUNT", "XINFO GROUPS {k}", "XINFO CONSUMERS {k} {g}", "XINFO STREAM s", "XINFO FOO {k}", "XINFO GROUPS", "XINFO STREAM {k} FULL COUNT 0", "XINFO HELP x", "XGROUP HELP x",
	"XSETID {k} {i}", "XSETID {k} 12-9 ENTRIESADDED 20", "XSETID {k} 12-9 ENTRIESADDED {n}", "XSETID {k} 13-9 ENTRIESADDED 20 MAXDELETEDID {i}", "XSETID {k} 1-1 MAXDELETEDID 2-2", "XSETID {k} x", "XSETID {k} 12 ENTRIESADDED -1", "XSETID {k} 12 ENTRIESADDED x", "XSETID {k} 12 foo", "XSETID s 1", "XSETID nokey 1",
	"TYPE {k}", "COPY {k} {k}", "COPY {k} {k} REPLACE", "COPY {k} {k} DB 1 REPLACE", "RENAME {k} {k}", "RENAMENX {k} {k}", "MOVE {k} 1", "DEL {k}", "EXISTS {k}", "SET {k} v", "SADD {k} a", "GET {k}", "SET s v", "PERSIST {k}", "EXPIREAT {k} 4000000002", "APPEND {k} x", "HSET {k} f v", "ZUNIONSTORE {k} 1 nokey", "GETDEL {k}", "DBSIZE", "SWAPDB 0 1", "GETSET {k} 5",
}

func streamCommand(t *rapid.T) string {
	line := pick(t, streamTemplates)
	for _, hole := range []struct{ name, words string }{
		{"{k}", "x1 x1 x1 x2 x3"}, {"{g}", "g1 g1 g2"}, {"{c}", "c1 c2 c3"}, {"{n}", "0 1 2 3 7"},
		{"{i}", "0 3 3-1 9-0 9 9-1 10 10-1 12 12-1 12-2 13-0 13-1 99-9"}, {"{e}", "- + 9 (9 9-1 (9-0 12-0 (12 10 (10-1 3"},
	} {
		for strings.Contains(line, hole.name) {
			line = strings.Replace(line, hole.name, pick(t, strings.Fields(hole.words)), 1)
		}
	}
	return line
}

// streamReply is a reply without times and memory layout, which may differ.
func streamReply(line string, reply []byte) string {
	v, rest := parseReply(reply)
	if len(rest) > 0 || v.isErr() || v.isNil() {
		return string(reply)
	}
	switch {
	case strings.HasPrefix(line, "XINFO"):
		v = timeless(v)
	case strings.HasPrefix(line, "XPENDING") && strings.Count(line, " ") > 2:
		for _, p := range v.list {
			p.list[2] = value{}
		}
	default:
		return string(reply)
	}
	return fmt.Sprintf("%c%s", v.kind, render(v))
}

func TestStreamsAnswerAsRedis(t *testing.T) {
	srv := redistest.Start(t)
	for _, proto := range []int{2, 3} {
		t.Run(fmt.Sprint("RESP", proto), func(t *testing.T) {
			c, plain := dial(t, srv.Addr(), proto), dial(t, srv.Addr(), 2)
			rapid.Check(t, func(rt *rapid.T) {
				c.ask("FLUSHALL")
				e := New(Config{})
				defer e.Close()
				var log []string
				for range 80 {
					line := streamCommand(rt)
					want := streamReply(line, c.do(cmd(line)))
					got := streamReply(line, e.Do(0, proto, cmd(line)).Reply)
					log = append(log, line)
					if got != want {
						rt.Fatalf("%s\n redis  %q\n engine %q\nafter\n%s", line, want, got, strings.Join(log, "\n"))
					}
				}
				if want, got := plain.state(), state(t, e); want != got {
					rt.Fatalf("state\nredis\n%s\nengine\n%s\nafter\n%s", want, got, strings.Join(log, "\n"))
				}
			})
		})
	}
}

// What a stream's commands journal, what a dump has and what a failed script leaves
// are all the same state.
func TestStreamsAreJournaledDumpedAndUndone(t *testing.T) {
	srv := redistest.Start(t)
	c := dial(t, srv.Addr(), 2)
	rapid.Check(t, func(rt *rapid.T) {
		c.ask("FLUSHALL")
		e, again := New(Config{}), New(Config{})
		defer e.Close()
		defer again.Close()
		var log []string
		for range 60 {
			line := streamCommand(rt)
			if strings.HasPrefix(line, "SWAPDB") || strings.Contains(line, " DB 1") || strings.HasPrefix(line, "MOVE") {
				continue
			}
			before := state(t, e)
			undone := cmd("EVAL 'redis.pcall(unpack(ARGV)) return redis.error_reply([[no]])' 0")
			e.Do(0, 2, append(undone, cmd(line)...))
			if after := state(t, e); after != before {
				rt.Fatalf("%s in a failing script\nbefore\n%s\nafter\n%s", line, before, after)
			}
			res := e.Do(0, 2, cmd(line))
			log = append(log, fmt.Sprintf("%s -> %q", line, res.Effects))
			for _, effect := range res.Effects {
				argv, _ := ForRedis(effect)
				if reply := c.do(argv); reply[0] == '-' {
					rt.Fatalf("%s: effect %q: %s", line, argv, reply)
				}
				if err := again.Apply(0, Told(effect)); err != nil {
					rt.Fatalf("%s: %v", line, err)
				}
			}
		}
		want, history := state(t, e), strings.Join(log, "\n")
		if got := state(t, again); got != want {
			rt.Fatalf("effects, here\n%s\nengine\n%s\nafter\n%s", got, want, history)
		}
		if got := c.state(); got != want {
			rt.Fatalf("effects, at Redis\n%s\nengine\n%s\nafter\n%s", got, want, history)
		}
		c.ask("FLUSHALL")
		loaded := New(Config{})
		defer loaded.Close()
		require.NoError(rt, e.Dump(func(db int, argv [][]byte) error {
			argv, _ = ForRedis(slices.Clone(argv))
			if reply := c.do(argv); reply[0] == '-' {
				return fmt.Errorf("%q: %s", argv, reply)
			}
			return nil
		}))
		require.NoError(rt, e.Dump(loaded.Apply))
		if got := state(t, loaded); got != want {
			rt.Fatalf("dump, here\n%s\nengine\n%s\nafter\n%s", got, want, history)
		}
		if got := c.state(); got != want {
			rt.Fatalf("dump, at Redis\n%s\nengine\n%s\nafter\n%s", got, want, history)
		}
	})
}

// Approximate trimming removes what a Redis would remove: whole nodes.
func TestApproximateTrimmingIsByNodes(t *testing.T) {
	srv := redistest.Start(t)
	c := dial(t, srv.Addr(), 2)
	e := newTestEngine(t, nil)
	both := func(line string) {
		t.Helper()
		require.Equal(t, string(c.do(cmd(line))), string(e.Do(0, 2, cmd(line)).Reply), line)
	}
	for i := range 1234 {
		both(fmt.Sprintf("XADD x %d-1 item %d", i+1, i))
		if i%300 == 299 {
			both(fmt.Sprintf("XDEL x %d %d-1 %d-1 %d-1", i, i-10, i-150, i-20))
		}
	}
	for _, line := range []string{"XTRIM x MAXLEN ~ 1200", "XTRIM x MAXLEN ~ 1000", "XTRIM x MAXLEN ~ 900 LIMIT 50", "XTRIM x MAXLEN ~ 800 LIMIT 100", "XTRIM x MINID ~ 700-1",
		"XADD x MAXLEN ~ 300 9999-1 f v", "XADD x MINID ~ 1100 9999-2 f v", "XLEN x", "XTRIM x MAXLEN 7", "XTRIM x MAXLEN ~ 0", "XLEN x", "XADD x 10000-1 f v", "XTRIM x MAXLEN ~ 0", "XTRIM x MAXLEN 0", "XLEN x"} {
		both(line)
	}
}

// An effect with a counter of Redis 7 is taken by a server that does not have it.
func TestStreamCountersAreNoReasonToFailElsewhere(t *testing.T) {
	argv, told := ForRedis(cmd("XGROUP CREATE x g 5-1 MKSTREAM ENTRIESREAD 7"))
	require.Empty(t, told)
	require.Equal(t, []string{"EVAL", olderScript, "1", "x", "6"}, toStrings(argv[:5]))
	require.Equal(t, "XGROUP CREATE x g 5-1 MKSTREAM", strings.Join(toStrings(argv[5:5+6]), " "))
	argv, _ = ForRedis(cmd("XSETID x 5-1 ENTRIESADDED 9 MAXDELETEDID 3-0"))
	require.Equal(t, []string{"EVAL", olderScript, "1", "x", "3"}, toStrings(argv[:5]))
	plain := cmd("XGROUP CREATE x ENTRIESREAD 0")
	argv, _ = ForRedis(plain)
	require.Equal(t, plain, argv)
}

func TestNewEntriesHaveTheTimeAsTheirID(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	e := newTestEngine(t, func() time.Time { return now })
	ask := func(line string) string { return string(e.Do(0, 2, cmd(line)).Reply) }
	require.Equal(t, "$15\r\n1800000000000-0\r\n", ask("XADD x * f v"))
	require.Equal(t, "$15\r\n1800000000000-1\r\n", ask("XADD x * f v"))
	now = now.Add(-time.Hour)
	require.Equal(t, "$15\r\n1800000000000-2\r\n", ask("XADD x * f v"))
	now = now.Add(2 * time.Hour)
	require.Equal(t, "$15\r\n1800003600000-0\r\n", ask("XADD x * f v"))
	ask("XADD y 18446744073709551615-18446744073709551615 f v")
	require.Equal(t, "-"+errStreamFull+"\r\n", ask("XADD y * f v"))
}
