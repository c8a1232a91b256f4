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

// A pause of writes, given through the proxy, holds writes and nothing else: reads and
// scripts that only read are answered, INFO tells who waits, and the end of the pause
// lets everybody go on. It is no outage.
func TestPauseOfWritesHoldsWritesOnly(t *testing.T) {
	srv := redistest.Start(t)
	p := startProxy(t, srv.URL(), func(s *proxySettings) { s.commandTimeout = 5 * time.Second })
	p.awaitMode(fallback.Online)
	r := dialRaw(t, p.addr())
	r.do("SET", "k", "1")
	require.NotContains(t, r.do("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function{function_name='f', callback=function() return 1 end, flags={'no-writes'}}"), "-")
	sha := strings.Split(r.do("SCRIPT", "LOAD", "#!lua flags=no-writes\nreturn 2"), "\r\n")[1]
	held := [][]string{{"SET", "k", "2"}, {"PUBLISH", "ch", "m"}, {"PFCOUNT", "hll"}, {"EVAL", "return 1", "0"}, {"EVAL", "#!lua\nreturn 1", "0"}, {"INCR", "n"}}
	for _, inUnit := range []bool{false, true} {
		pause := [][]string{{"CLIENT", "PAUSE", "60000", "WRITE"}}
		if inUnit {
			pause = [][]string{{"MULTI"}, {"CLIENT", "PAUSE", "60000", "WRITE"}, {"SET", "behind", "1"}, {"EXEC"}}
		}
		for _, args := range pause {
			require.NotContains(t, r.do(args...), "-ERR")
		}
		var waiting []*rawConn
		for _, args := range held {
			c := dialRaw(t, p.addr())
			if inUnit {
				c.do("MULTI")
				c.send(args...)
				c.next()
				c.send("EXEC")
			} else {
				c.send(args...)
			}
			waiting = append(waiting, c)
		}
		redistest.Eventually(t, 3*time.Second, "they wait", func() bool { return strings.Contains(r.do("INFO", "clients"), "blocked_clients:6\r\n") })
		for _, args := range [][]string{{"GET", "k"}, {"STRLEN", "k"}, {"FCALL", "f", "0"}, {"EVAL", "#!lua flags=no-writes\nreturn redis.call('get', KEYS[1])", "1", "k"},
			{"EVAL_RO", "return 7", "0"}, {"EVALSHA", sha, "0"}, {"SCRIPT", "LOAD", "return 3"}, {"MULTI"}, {"GET", "k"}, {"EVAL", "#!lua flags=no-writes\nreturn 12", "0"}, {"EXEC"}} {
			at := time.Now()
			require.NotContains(t, r.do(args...), "-")
			assert.Less(t, time.Since(at), time.Second, "%v", args)
		}
		require.Equal(t, "+OK\r\n", r.do("CLIENT", "UNPAUSE"))
		for i, c := range waiting {
			assert.NotContains(t, string(c.next()), "-", "%v", held[i])
		}
	}
	assert.Zero(t, p.st.upstream.Status().Reconnects)
}

// A pause for longer than a client may wait for an answer is an outage: the answer comes
// in time, from the local state, and is replayed when the pause is over.
func TestALongPauseOfWritesIsAnOutage(t *testing.T) {
	srv := redistest.Start(t)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	r, d := dialRaw(t, p.addr()), directClient(t, srv)
	r.do("SET", "aiclient:n", "1")
	p.awaitMirror()
	require.Equal(t, "+OK\r\n", r.do("CLIENT", "PAUSE", "3000", "WRITE"))
	at := time.Now()
	assert.Equal(t, ":2\r\n", r.do("INCR", "aiclient:n"))
	assert.Less(t, time.Since(at), 1100*time.Millisecond)
	redistest.Eventually(t, patience, "replayed", func() bool { return d.Get(bg, "aiclient:n").Val() == "2" })
	p.awaitMode(fallback.Online)
	assert.Equal(t, ":3\r\n", r.do("INCR", "aiclient:n"))
}
