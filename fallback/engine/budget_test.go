package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// TestCountsThatRedisRefuses: answering them takes all memory.
func TestCountsThatRedisRefuses(t *testing.T) {
	srv := redistest.Start(t)
	for _, proto := range []int{2, 3} {
		c := dial(t, srv.Addr(), proto)
		c.ask("FLUSHALL")
		e := newTestEngine(t, nil)
		counts := []string{"-9223372036854775808", "-9223372036854775807", "9223372036854775807", "-9223372036854770000", "-4611686018427387904",
			"4611686018427387904", "9223372036854775808", "0", "-0", "+1", "1.0", "", "x"}
		lines := []string{"SADD s a", "HSET h f v", "ZADD z 1 m", "RPUSH l a"}
		for _, n := range counts {
			big := len(n) > 10 && n[0] == '-'
			for _, form := range []string{"SRANDMEMBER s %s", "HRANDFIELD h %s", "ZRANDMEMBER z %s"} {
				if !big || n == "-9223372036854775808" { // Redis would try to answer the others
					lines = append(lines, fmt.Sprintf(form, "'"+n+"'"))
				}
			}
			if n != "-4611686018427387904" || true {
				lines = append(lines, fmt.Sprintf("HRANDFIELD nokey '%s' WITHVALUES", n), fmt.Sprintf("ZRANDMEMBER nokey '%s' WITHSCORES", n))
			}
			lines = append(lines, fmt.Sprintf("SPOP nokey '%s'", n), fmt.Sprintf("LPOP nokey '%s'", n), fmt.Sprintf("ZPOPMIN nokey '%s'", n),
				fmt.Sprintf("LPOS l a RANK '%s'", n), fmt.Sprintf("LPOS l a COUNT '%s'", n), fmt.Sprintf("LPOS l a MAXLEN '%s'", n),
				fmt.Sprintf("LRANGE l '%s' '%s'", n, n), fmt.Sprintf("LTRIM nokey '%s' 0", n), fmt.Sprintf("LREM l '%s' zz", n), fmt.Sprintf("LINDEX l '%s'", n),
				fmt.Sprintf("ZRANGE z '%s' '%s'", n, n), fmt.Sprintf("ZRANGEBYSCORE z -inf +inf LIMIT '%s' '%s'", n, n), fmt.Sprintf("ZREMRANGEBYRANK nokey '%s' 0", n),
				fmt.Sprintf("SORT l ALPHA LIMIT '%s' '%s'", n, n), fmt.Sprintf("GETRANGE s2 '%s' '%s'", n, n), fmt.Sprintf("SETRANGE s2 '%s' x", n),
				fmt.Sprintf("SINTERCARD 1 s LIMIT '%s'", n), fmt.Sprintf("SINTERCARD '%s' s", n), fmt.Sprintf("LMPOP '%s' nokey LEFT", n), fmt.Sprintf("ZMPOP 1 nokey MIN COUNT '%s'", n),
				fmt.Sprintf("ZUNION '%s' z", n), fmt.Sprintf("ZINTERCARD '%s' z", n), fmt.Sprintf("SETBIT s2 '%s' 1", n), fmt.Sprintf("GETBIT s2 '%s'", n), fmt.Sprintf("BITFIELD s2 SET u8 '%s' 1", n),
				fmt.Sprintf("BITFIELD s2 GET u63 '#%s'", n), fmt.Sprintf("BITCOUNT s2 '%s' '%s'", n, n), fmt.Sprintf("BITPOS s2 1 '%s' '%s'", n, n), "DEL s2",
				fmt.Sprintf("GEOSEARCH z FROMLONLAT 1 1 BYRADIUS 1 km COUNT '%s'", n), fmt.Sprintf("EXPIRE nokey '%s'", n), fmt.Sprintf("OBJECT FREQ '%s'", n))
		}
		for _, line := range lines {
			began := time.Now()
			reply := e.Do(0, proto, cmd(line)).Reply
			require.Less(t, time.Since(began), 5*time.Second, line)
			require.Equal(t, string(c.do(cmd(line))), string(reply), line)
		}
	}
}

// TestNoCommandHoldsUpOthers: what would take longer than its budget, or answer more
// than fits, is given up and has changed nothing.
func TestNoCommandHoldsUpOthers(t *testing.T) {
	e := newTestEngine(t, nil)
	e.commandTime = 50 * time.Millisecond
	fillMany(e, "k", 200_000)
	do(e, "SET long "+strings.Repeat("a", 5000))
	do(e, "SADD s a b c d e f g h")
	do(e, "HSET h f "+strings.Repeat("v", 100))
	do(e, "ZADD z 1 m")
	for _, line := range []string{
		"SRANDMEMBER s -1000000000", "SRANDMEMBER s -9223372036854775807", "HRANDFIELD h -60000000", "HRANDFIELD h -4611686018427387903 WITHVALUES",
		"ZRANDMEMBER z -60000000", "ZRANDMEMBER z -4000000000 WITHSCORES", "ZUNIONSTORE d 1 big", "SORT big BY w_* GET a_* GET b_* STORE d", "SINTERSTORE d big big big big",
		"KEYS " + strings.Repeat("*k", 20) + "*x", "ZDIFFSTORE d 2 big nokey", "SUNIONSTORE d big", "LCS big1 big2",
	} {
		before, began := e.writes, time.Now()
		res := e.Do(0, 2, cmd(line))
		require.Less(t, time.Since(began), 3*time.Second, line)
		if res.Reply[0] != '-' {
			t.Logf("%.30s: done in time", line)
			continue
		}
		require.Empty(t, res.Effects, line)
		require.Equal(t, before, e.writes, line)
	}
	require.Equal(t, "$-1\r\n", do(e, "GET nokey"))
}

// fillMany gives the engine many keys, a set of as many members and long strings.
func fillMany(e *Engine, prefix string, n int) {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprint(prefix, prefix, i)
		e.LoadString(0, members[i]+strings.Repeat(prefix, 20), "v", 0)
	}
	_ = e.Apply(0, toBytes(append([]string{"SADD", "big"}, members...)))
	e.LoadString(0, "big1", strings.Repeat("ab", 5000), 0)
	e.LoadString(0, "big2", strings.Repeat("ba", 5000), 0)
}

// TestPatternsAreMatchedInTime: the time of a pattern is bounded by the lengths, and by
// the budget of the command.
func TestPatternsAreMatchedInTime(t *testing.T) {
	e := newTestEngine(t, nil)
	e.commandTime = 100 * time.Millisecond
	e.LoadString(0, strings.Repeat("a", 1<<20), "v", 0)
	for _, p := range []string{strings.Repeat("a*", 5000) + "b", strings.Repeat("*a", 100) + "b", strings.Repeat("[^b]*", 1000) + "b", strings.Repeat("?*", 5000) + "b"} {
		for _, line := range [][]string{{"KEYS", p}, {"SCAN", "0", "MATCH", p}, {"CONFIG", "GET", p}} {
			began := time.Now()
			e.Do(0, 2, toBytes(line))
			require.Less(t, time.Since(began), 2*time.Second, "%s %.20s", line[0], p)
		}
	}
}

// TestWhatWasCarriedOutHasNoBudget: an effect is applied again however long it takes.
func TestWhatWasCarriedOutHasNoBudget(t *testing.T) {
	e := newTestEngine(t, nil)
	fillMany(e, "k", 100_000)
	e.commandTime = time.Nanosecond
	require.Contains(t, do(e, "SUNIONSTORE d big"), "takes longer")
	require.NoError(t, e.Apply(0, cmd("SUNIONSTORE d big")))
	require.Equal(t, ":100000\r\n", do(e, "SCARD d"))
}
