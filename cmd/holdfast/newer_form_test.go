package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// An option that only a newer Redis knows is not wrong because the local state does not
// know it: in an outage nobody can say.
func TestNewerFormsAreUnknownInAnOutage(t *testing.T) {
	srv := redistest.Start(t)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	p.awaitMirror()
	c := dialRaw(t, p.addr())
	for _, cmd := range [][]string{{"SET", "aiclient:k", "1"}, {"HSET", "aiclient:h", "f", "1"}, {"ZADD", "aiclient:z", "1", "m"}, {"XADD", "aiclient:x", "*", "f", "1"}} {
		assert.NotContains(t, c.do(cmd...), "-ERR")
	}
	forms := [][]string{
		{"SET", "aiclient:k", "v", "IFEQ", "1"}, {"HSCAN", "aiclient:h", "0", "NOVALUES"}, {"ZSCAN", "aiclient:z", "0", "NOSCORES"},
		{"ZRANK", "aiclient:z", "m", "WITHSCORE"}, {"ZREVRANK", "aiclient:z", "m", "WITHSCORE"}, {"XREAD", "STREAMS", "aiclient:x", "+"},
		{"XADD", "aiclient:x", "KEEPREF", "*", "f", "v"}, {"XTRIM", "aiclient:x", "MAXLEN", "0", "ACKED"}, {"BITOP", "DIFF", "aiclient:d", "aiclient:k", "aiclient:k"},
		{"ZUNION", "1", "aiclient:z", "AGGREGATE", "COUNT"}, {"GEOSEARCH", "aiclient:z", "BYPOLYGON", "3", "1", "1", "2", "2", "3", "1"},
		{"DELIFEQ", "aiclient:k", "1"},
		{"LMOVEM", "aiclient:l", "aiclient:m", "LEFT", "LEFT"}, {"SUNIONCARD", "1", "aiclient:s"}, {"ARGET", "aiclient:a", "0"},
	}
	for _, cmd := range forms {
		assert.NotContains(t, c.do(cmd...), "UPSTREAMDOWN", "%q: Redis itself answers, if only with an error", cmd)
	}
	srv.Kill()
	p.awaitMode(fallback.Offline)
	for _, cmd := range forms {
		got := c.do(cmd...)
		assert.True(t, strings.HasPrefix(got, "-UPSTREAMDOWN "), "%q: %s", cmd, got)
		c.do("MULTI")
		c.do("SET", "aiclient:unit", "1")
		c.do(cmd...)
		assert.Contains(t, c.do("EXEC"), "-UPSTREAMDOWN ", "%q in a unit", cmd)
	}
	assert.Equal(t, "$-1\r\n", c.do("GET", "aiclient:unit"))
	for _, cmd := range [][]string{{"SET", "aiclient:k", "v", "NOPE"}, {"ZRANK", "aiclient:z", "m", "NOPE"}, {"HSCAN", "aiclient:h", "0", "NOPE"}} {
		assert.Contains(t, c.do(cmd...), "-ERR ", "%q is wrong everywhere", cmd)
	}
}
