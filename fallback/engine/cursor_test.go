package engine

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// iteration is one of the four kinds, with the commands to write what it runs over.
type iteration struct {
	scan        string // with %s for the cursor
	add, remove string // with %s for the element
	width       int    // words that each element has in the reply
}

var iterations = map[string]iteration{
	"SCAN":  {"SCAN %s COUNT 20", "SET %s v", "DEL %s", 1},
	"HSCAN": {"HSCAN k %s COUNT 20", "HSET k %s v", "HDEL k %s", 2},
	"SSCAN": {"SSCAN k %s COUNT 20", "SADD k %s", "SREM k %s", 1},
	"ZSCAN": {"ZSCAN k %s COUNT 20", "ZADD k 1 %s", "ZREM k %s", 2},
}

// What is there from start to end is returned, whatever else comes and goes, and also
// what is removed as soon as it was returned leaves nothing out.
func TestIterationsAreComplete(t *testing.T) {
	for name, it := range iterations {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rnd := rand.New(rand.NewPCG(seed, 1))
			e := newTestEngine(t, nil)
			ask := func(format string, arg string) value {
				t.Helper()
				v, _ := parseReply(e.Do(0, 2, cmd(fmt.Sprintf(format, arg))).Reply)
				require.False(t, v.isErr(), "%s %s: %s", format, arg, v.str)
				return v
			}
			for i := range 1000 {
				ask(it.add, fmt.Sprintf("stays:%d", i))
				ask(it.add, fmt.Sprintf("goes:%d", i))
			}
			seen, cursor, steps := map[string]bool{}, "0", 0
			for {
				v := ask(it.scan, cursor)
				cursor = v.list[0].str
				elements := v.list[1].flat()
				require.LessOrEqual(t, len(elements), 25*it.width)
				for i := 0; i < len(elements); i += it.width {
					seen[elements[i]] = true
					if el := elements[i]; el[:4] == "goes" {
						ask(it.remove, el)
					}
				}
				for range 10 {
					ask(it.add, fmt.Sprintf("new:%d", rnd.IntN(500)))
					ask(it.remove, fmt.Sprintf("new:%d", rnd.IntN(500)))
					ask(it.remove, fmt.Sprintf("goes:%d", rnd.IntN(1000)))
				}
				if steps++; steps%7 == 0 { // somebody else iterates, or the order is lost
					other := ask(it.scan, "0")
					ask(it.scan, other.list[0].str)
				} else if steps%11 == 0 {
					e.orders = nil
				}
				if cursor == "0" {
					break
				}
				n, err := strconv.ParseUint(cursor, 10, 64)
				require.NoError(t, err)
				require.True(t, OurCursor(n) && n < 1<<53, cursor)
			}
			require.Greater(t, steps, 20)
			for i := range 1000 {
				require.True(t, seen[fmt.Sprintf("stays:%d", i)], "stays:%d in %d steps", i, steps)
			}
		})
	}
}

// A cursor of a Redis begins the iteration anew, with so much at once that it ends.
func TestForeignCursorsBeginAnew(t *testing.T) {
	for name, it := range iterations {
		t.Run(name, func(t *testing.T) {
			e := newTestEngine(t, nil)
			for i := range 3000 {
				e.Do(0, 2, cmd(fmt.Sprintf(it.add, fmt.Sprintf("el:%d", i))))
			}
			for _, cursor := range []string{"1", "17", "1023", "1099511627775", "18446744073709551615", "-1", "4503599627370497"} {
				v, _ := parseReply(e.Do(0, 2, cmd(fmt.Sprintf(it.scan, cursor))).Reply)
				require.Equal(t, "0", v.list[0].str, cursor)
				require.GreaterOrEqual(t, len(v.list[1].list), 3000*it.width, cursor)
			}
		})
	}
}

// A cursor is good after a restart, for nothing is kept for it.
func TestCursorsOutliveTheEngine(t *testing.T) {
	for name, it := range iterations {
		t.Run(name, func(t *testing.T) {
			var e *Engine
			seen, cursor := map[string]bool{}, "0"
			for first := true; first || cursor != "0"; first = false {
				next := newTestEngine(t, nil)
				if e == nil {
					for i := range 300 {
						next.Do(0, 2, cmd(fmt.Sprintf(it.add, fmt.Sprintf("el:%d", i))))
					}
				} else {
					require.NoError(t, e.Dump(next.Apply))
				}
				e = next
				v, _ := parseReply(e.Do(0, 2, cmd(fmt.Sprintf(it.scan, cursor))).Reply)
				cursor = v.list[0].str
				for i, el := range v.list[1].flat() {
					if i%it.width == 0 {
						seen[el] = true
					}
				}
			}
			require.Len(t, seen, 300)
		})
	}
}

func TestIterationsFailAsInRedis(t *testing.T) {
	srv := redistest.Start(t)
	c := dial(t, srv.Addr(), 2)
	e := newTestEngine(t, nil)
	for _, line := range []string{"SET str v", "HSET h a 1 b 2", "SADD s a b", "ZADD z 1 a 2.5 b",
		"SCAN x", "SCAN -x", "SCAN 1x", "SCAN 99999999999999999999", "SCAN 0 COUNT 0", "SCAN 0 COUNT x", "SCAN 0 COUNT", "SCAN 0 MATCH", "SCAN 0 foo 1", "SCAN 0 TYPE nosuch", "SCAN 0 MATCH str COUNT 10 TYPE string",
		"HSCAN h x", "HSCAN h 0 COUNT 0", "HSCAN h 0 TYPE string", "HSCAN str 0", "HSCAN str x", "HSCAN nokey 0 COUNT 0", "HSCAN h 0 MATCH b", "HSCAN h 0 COUNT -1",
		"SSCAN s 0 MATCH a", "SSCAN s 0 COUNT x", "SSCAN z 0", "SSCAN nokey 0 foo", "SSCAN s 0 foo bar", "ZSCAN z 0 MATCH b", "ZSCAN s 0", "ZSCAN z 0 COUNT 5 COUNT x", "ZSCAN z +0", "HSCAN h 0 NOVALUE"} {
		require.Equal(t, string(c.do(cmd(line))), string(e.Do(0, 2, cmd(line)).Reply), line)
	}
	require.Equal(t, "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n", string(e.Do(0, 2, cmd("HSCAN h 0 NOVALUES MATCH b")).Reply))
	require.Equal(t, "-ERR NOVALUES option can only be used in HSCAN\r\n", string(e.Do(0, 2, cmd("SSCAN s 0 NOVALUES")).Reply))
}
