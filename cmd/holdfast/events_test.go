package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// event reads the next message and returns its channel and content.
func event(c *rawConn) string {
	v := strings.Split(string(c.next()), "\r\n")
	return v[len(v)-4] + " " + v[len(v)-2]
}

// TestKeyspaceEventsOfTheEmbeddedStore: they come as from a Redis, also those of keys
// that expire while nobody sends a command.
func TestKeyspaceEventsOfTheEmbeddedStore(t *testing.T) {
	p := startProxy(t, "")
	sub, c := dialRaw(t, p.addr()), dialRaw(t, p.addr())
	require.Equal(t, "+OK\r\n", c.do("CONFIG", "SET", "notify-keyspace-events", "KEA"))
	assert.Equal(t, "*2\r\n$22\r\nnotify-keyspace-events\r\n$3\r\nAKE\r\n", c.do("CONFIG", "GET", "notify-keyspace-events"))
	sub.do("PSUBSCRIBE", "__key*")
	c.do("SET", "k", "v", "PX", "300")
	var got []string
	for range 6 {
		got = append(got, event(sub))
	}
	assert.Equal(t, []string{"__keyspace@0__:k set", "__keyevent@0__:set k", "__keyspace@0__:k expire", "__keyevent@0__:expire k",
		"__keyspace@0__:k expired", "__keyevent@0__:expired k"}, got)
	c.do("CONFIG", "SET", "notify-keyspace-events", "")
	c.do("SET", "k", "v")
	c.do("CONFIG", "SET", "notify-keyspace-events", "E$")
	c.do("SET", "k", "v")
	assert.Equal(t, "__keyevent@0__:set k", event(sub))
}

// TestKeyspaceEventsWhileRedisIsAway: subscribers hear of what happens here, in the
// classes that Redis was configured for.
func TestKeyspaceEventsWhileRedisIsAway(t *testing.T) {
	srv := redistest.Start(t)
	direct := dialRaw(t, srv.Addr())
	direct.do("CONFIG", "SET", "notify-keyspace-events", "Kg$")
	p := startProxy(t, srv.URL())
	p.awaitMirror()
	sub, c := dialRaw(t, p.addr()), dialRaw(t, p.addr())
	sub.do("PSUBSCRIBE", "__key*")
	srv.Kill()
	p.awaitMode(fallback.Offline)
	redistest.Eventually(t, patience, "a message comes", func() bool {
		c.do("SET", "aiclient:k", "v")
		_ = sub.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, _ := sub.conn.Read(sub.tmp)
		sub.buf = append(sub.buf, sub.tmp[:n]...)
		return n > 0
	})
	assert.Contains(t, string(sub.buf), "__keyspace@0__:aiclient:k")
	assert.NotContains(t, string(sub.buf), "__keyevent")
}

// TestInfoOfTheEmbeddedStore has the fields that clients and exporters read.
func TestInfoOfTheEmbeddedStore(t *testing.T) {
	p := startProxy(t, "")
	c := dialRaw(t, p.addr())
	c.do("SET", "k", "v", "EX", "100")
	c.do("SET", "l", "v")
	text := c.do("INFO")
	for _, field := range []string{"redis_version:7.0.15", "redis_mode:standalone", "run_id:", "tcp_port:", "uptime_in_seconds:", "connected_clients:1", "blocked_clients:0", "used_memory:",
		"used_memory_human:", "used_memory_rss:", "used_memory_peak:", "maxmemory:0", "maxmemory_policy:noeviction", "loading:0", "aof_enabled:1", "rdb_last_save_time:", "expired_keys:", "evicted_keys:0",
		"role:master", "connected_slaves:0", "used_cpu_sys:", "cluster_enabled:0", "db0:keys=2,expires=1,avg_ttl=0"} {
		assert.Contains(t, text, field)
	}
	assert.NotContains(t, c.do("INFO", "keyspace"), "used_memory")
	assert.Regexp(t, `^:[1-9]`, c.do("MEMORY", "USAGE", "k"))
	assert.Contains(t, c.do("MEMORY", "STATS"), "total.allocated")
}
