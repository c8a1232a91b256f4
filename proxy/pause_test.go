package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// TestPauseIsThatOfRedis compares what CLIENT PAUSE holds up, and what a unit does in which
// it is, with other commands that are the proxy's.
func TestPauseIsThatOfRedis(t *testing.T) {
	w := newTwins(t)
	w.same(`
		a: SET k v
		a: CLIENT PAUSE 100000 SOME
		a: CLIENT PAUSE x
		a: CLIENT PAUSE -1
		a: CLIENT PAUSE 100000 WRITE
		a: GET k
		a: SET k
		a: EVAL_RO return(redis.call('get','k')) 0
		a: MULTI
		a: GET k
		a: EXEC
		b> SET k w
		c> PUBLISH ch m
		d> EVAL return(1) 0
		a: GET k`)
	for _, c := range w.on("a") {
		redistest.Eventually(t, patience, "three wait", func() bool { return waiting(c) == "3" })
	}
	w.same(`
		a: CLIENT UNPAUSE
		b:
		c:
		d:
		a: GET k
		a: MULTI
		a: SET k x
		a: CLIENT SETNAME me
		a: CLIENT PAUSE 100000 WRITE
		a: CLIENT GETNAME
		a: PUBLISH ch m
		a: CLIENT GETREDIR
		a: SET l x
		a: EXEC
		b> SET k y
		a: GET k
		a: CLIENT UNPAUSE
		b:
		a: CLIENT GETNAME
		a: WATCH k
		b: SET k z
		a: MULTI
		a: CLIENT SETNAME other
		a: SET k nothing
		a: EXEC
		a: CLIENT GETNAME
		a: EVAL_RO redis.call('publish','ch','m') 0
		a: EVAL_RO redis.call('set','k','m') 0`)
	start := time.Now()
	w.same(`
		a: CLIENT PAUSE 200 ALL
		b: GET k`)
	require.Greater(t, time.Since(start), 150*time.Millisecond)
}

// TestAPausedStoreCloses looks that a client that waits does not hold up the end.
func TestAPausedStoreCloses(t *testing.T) {
	addr := startEmbedded(t)
	w := &twins{t: t, addrs: [2]string{addr, addr}, conns: map[string][2]*rawConn{}}
	w.same(`
		a: CLIENT PAUSE 100000000 WRITE
		b> SET k v`)
	c := w.on("a")[0]
	redistest.Eventually(t, patience, "they wait", func() bool { return waiting(c) == "2" })
}

func waiting(c *rawConn) string {
	_, rest, _ := strings.Cut(c.do("INFO", "clients"), "blocked_clients:")
	n, _, _ := strings.Cut(rest, "\r")
	return n
}

// TestScriptsPublish compares what subscribers get of a script, and what it is answered.
func TestScriptsPublish(t *testing.T) {
	w := newTwins(t)
	w.same(`
		s: SUBSCRIBE ch
		p: PSUBSCRIBE c*
		x: SSUBSCRIBE ch
		a: EVAL return(redis.call('publish',KEYS[1],'hello')) 1 ch
		s:
		p:
		a: EVAL return(redis.call('spublish',KEYS[1],'shard')) 1 ch
		x:
		a: MULTI
		a: PUBLISH ch m
		a: SPUBLISH ch m
		a: EXEC
		s:
		p:
		x:
		a: PUBLISH none m`)
}
