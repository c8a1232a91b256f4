package proxy

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/backend/command"
	"holdfast/fallback/engine"
)

// A cursor goes to Redis only if Redis, and this process of it, gave it out.
func TestCursorsGoWhereTheyAreFrom(t *testing.T) {
	const run = 1234
	ours := ""
	for n := uint64(1)<<52 | 1; ours == ""; n += 2 {
		if engine.OurCursor(n) {
			ours = strconv.FormatUint(n, 10)
		}
	}
	mine := func(run, cursor uint64) string { return strconv.FormatUint(run<<runShift|cursor, 10) }
	for _, tc := range []struct{ in, out string }{
		{"SCAN 0", "SCAN 0"},
		{"SCAN 17 COUNT 5", "SCAN 17 COUNT 5"},
		{"SCAN " + mine(run, 17) + " MATCH a*", "SCAN 17 MATCH a*"},
		{"HSCAN h " + mine(run, 3), "HSCAN h 3"},
		{"HSCAN h " + mine(run+1, 3) + " COUNT 20 MATCH x", "HSCAN h 0 COUNT 20 MATCH x COUNT 10000"},
		{"SSCAN s " + mine(run+1, 0) + " COUNT 20000", "SSCAN s 0 COUNT 20000 COUNT 20000"},
		{"ZSCAN z " + ours, "ZSCAN z 0 COUNT 10000"},
		{"SCAN " + ours + " COUNT x", "SCAN " + ours + " COUNT x"},
		{"SCAN nonsense", "SCAN nonsense"},
		{"HSCAN h", "HSCAN h"},
		{"SCAN 18446744073709551615", "SCAN 18446744073709551615"}, // of a server that counts otherwise
	} {
		argv := words(tc.in)
		cmd, _ := command.Lookup(argv)
		out, _ := forRedis(cmd, argv, run)
		require.Equal(t, words(tc.out), out, tc.in)
		require.Equal(t, words(tc.in), argv, "the client's command is left as it is")
	}
}

func words(line string) (argv [][]byte) {
	for _, w := range strings.Fields(line) {
		argv = append(argv, []byte(w))
	}
	return argv
}
