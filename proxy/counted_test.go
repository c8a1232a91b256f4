package proxy

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCommandStatsAreThoseOfRedis runs commands of each kind on both and compares what INFO
// counts and what SLOWLOG shows of them.
func TestCommandStatsAreThoseOfRedis(t *testing.T) {
	w := newTwins(t)
	w.same(`
		a: CLIENT SETNAME worker
		a: CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 5
		a: CONFIG GET slowlog-max-len
		a: CONFIG RESETSTAT
		a: SLOWLOG RESET
		a: SET k v
		a: GET k
		a: GET k
		a: GET none
		a: LPUSH k x
		a: GET
		a: EVAL redis.call('set',KEYS[1],'x')redis.pcall('incr',KEYS[1]) 1 k
		a: MULTI
		a: GET k
		a: INCR n
		a: EXEC
		a: EXEC
		a: PING
		a: OBJECT ENCODING k
		a: CONFIG SET hz 10 slowlog-max-len 5
		a: RPUSH l 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4
		a: SLOWLOG LEN
		a: SLOWLOG GET -2
		a: SLOWLOG GET x
		a: SLOWLOG FOO
		a: SLOWLOG GET 1 2
		a: CONFIG SET slowlog-max-len x
		a: CONFIG SET slowlog-log-slower-than -2`)
	times := regexp.MustCompile(`usec=\d+,usec_per_call=[0-9.]+,`)
	var stats, log [2]string
	for i, c := range w.on("a") {
		log[i] = regexp.MustCompile(`\*6\r\n:\d+\r\n:\d+\r\n:\d+\r\n|127\.0\.0\.1:\d+|\$1[0-9]\r\n`).ReplaceAllString(c.do("SLOWLOG", "GET", "4"), "")
		for line := range strings.Lines(times.ReplaceAllString(c.do("INFO", "commandstats"), "") + c.do("INFO", "errorstats")) {
			if strings.HasPrefix(line, "cmdstat_") || strings.HasPrefix(line, "errorstat_") {
				stats[i] += line
			}
		}
	}
	sorted := func(s string) []string { return strings.Split(strings.TrimSpace(s), "\r\n") }
	require.ElementsMatch(t, sorted(stats[0]), sorted(stats[1]))
	require.Equal(t, log[0], log[1])
	ours := w.on("a")[1]
	ours.do("CONFIG", "SET", "masterauth", "secret")
	require.Contains(t, ours.do("SLOWLOG", "GET", "1"), "(redacted)")
	for _, c := range w.on("a") {
		require.Equal(t, "+OK\r\n", c.do("SLOWLOG", "RESET"))
		require.NotContains(t, c.do("INFO"), "cmdstat_")
		require.Contains(t, c.do("INFO", "all"), "cmdstat_")
	}
}
