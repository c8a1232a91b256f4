package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// CONFIG GET in an outage says what Redis said, or that it cannot be known.
func TestConfigGetInAnOutageIsWhatRedisSaid(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, "--maxmemory", "300mb", "--maxmemory-policy", "allkeys-lru")
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	d := directClient(t, srv)
	require.NoError(t, d.Do(ctx, "ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-config").Err())
	denied := startProxy(t, "redis://app:pw@"+srv.Addr())
	denied.awaitMode(fallback.Online)

	c, told := dialRaw(t, p.addr()), map[string]string{}
	for _, name := range []string{"maxmemory", "MAXMEMORY-policy", "save", "appendonly", "notify-keyspace-events"} {
		told[name] = c.do("CONFIG", "GET", name)
	}
	srv.Kill()
	p.awaitMode(fallback.Offline)
	denied.awaitMode(fallback.Offline)
	assert.Equal(t, "*2\r\n$9\r\nmaxmemory\r\n$9\r\n314572800\r\n", c.do("CONFIG", "GET", "maxmemory"))
	for name, reply := range told {
		assert.Equal(t, reply, c.do("CONFIG", "GET", name), name)
	}
	both := c.do("CONFIG", "GET", "maxmemory", "maxmemory-policy")
	assert.Contains(t, both, "*4\r\n$9\r\nmaxmemory\r\n$9\r\n314572800\r\n")
	assert.Contains(t, both, "allkeys-lru")
	for _, unknown := range [][]string{{"hz"}, {"maxmemory*"}, {"*"}, {"maxmemory", "hz"}} {
		assert.Contains(t, c.do(append([]string{"CONFIG", "GET"}, unknown...)...), "-UPSTREAMDOWN ", unknown)
	}
	assert.Contains(t, c.do("CONFIG", "SET", "maxmemory", "1"), "-UPSTREAMDOWN ")
	assert.Contains(t, c.do("CONFIG", "RESETSTAT"), "-UPSTREAMDOWN ")
	assert.Contains(t, dialRaw(t, denied.addr()).do("CONFIG", "GET", "maxmemory"), "-UPSTREAMDOWN ", "it was never learned")
}
