package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// MONITOR through the proxy shows what clients sent, as they sent it, and nothing of what the
// proxy adds to it: fences, the PTTL of cached reads, heartbeats, the set-up of connections.
func TestMonitorShowsWhatClientsSent(t *testing.T) {
	p := startPair(t)
	mon, c := dialRaw(t, p.proxied), dialRaw(t, p.proxied)
	require.Equal(t, "+OK\r\n", mon.do("MONITOR"))
	for _, args := range [][]string{
		{"set", "k", "1"}, {"get", "k"}, {"INCR", "k"}, {"eval", "return redis.call('incr', KEYS[1])", "1", "k"},
		{"multi"}, {"incr", "k"}, {"exec"}, {"MULTI"}, {"GET", "k"}, {"EXEC"}, {"rpush", "l", "a", "b"}, {"blpop", "l", "0"},
	} {
		require.NotContains(t, c.do(args...), "-ERR")
	}
	c.do("set", "last", "1")
	var seen []string
	mirrors := map[string]bool{} // addresses: what the mirror reads is shown, as any other client's reads
	for {
		line := string(mon.next())
		from, what, _ := strings.Cut(line, "] ")
		_, from, _ = strings.Cut(from, "[")
		if mirrors[from] = mirrors[from] || strings.HasPrefix(what, `"hello" "2"`); mirrors[from] {
			continue
		}
		if what = strings.TrimSpace(what); strings.Contains(what, `"last"`) {
			break
		}
		if !strings.Contains(line, " lua] ") && !strings.Contains(what, "SETNAME") && !strings.HasPrefix(what, `"PING"`) {
			seen = append(seen, what)
		}
	}
	assert.Equal(t, []string{`"set" "k" "1"`, `"get" "k"`, `"INCR" "k"`, `"eval" "return redis.call('incr', KEYS[1])" "1" "k"`,
		`"multi"`, `"incr" "k"`, `"exec"`, `"MULTI"`, `"GET" "k"`, `"EXEC"`, `"rpush" "l" "a" "b"`, `"blpop" "l" "0"`}, seen)
}

// The stream upon SYNC is the one that Redis would have sent without the proxy.
func TestSyncHasNoFencesInIt(t *testing.T) {
	p := startPair(t)
	c := dialRaw(t, p.proxied)
	c.do("SELECT", "0")
	sync := dialRaw(t, p.proxied)
	sync.send("SYNC")
	c.do("SET", "k", "0")
	skipSnapshot(t, sync)
	for _, args := range [][]string{{"INCR", "k"}, {"EVAL", "redis.call('INCR', KEYS[1]) redis.call('INCR', KEYS[1])", "1", "k"}, {"EVAL", "return 1", "0"},
		{"MULTI"}, {"RPUSH", "l", "a"}, {"RPUSH", "l", "b"}, {"EXEC"}, {"MULTI"}, {"INCR", "k"}, {"EXEC"}, {"SET", "last", "1"}} {
		c.do(args...)
	}
	var seen []string
	for len(seen) == 0 || !strings.Contains(seen[len(seen)-1], "LAST") {
		words := strings.Split(string(sync.next()), "\r\n")
		line := ""
		for i := 2; i < len(words); i += 2 {
			line += strings.ToUpper(words[i][:1]) + words[i][1:] + " "
		}
		if line = strings.TrimSpace(line); !strings.EqualFold(line, "ping") && !strings.HasPrefix(strings.ToUpper(line), "SELECT") && !strings.EqualFold(line, "set k 0") {
			seen = append(seen, strings.ToUpper(line))
		}
	}
	assert.Equal(t, []string{"INCR K", "MULTI", "INCR K", "INCR K", "EXEC", "MULTI", "RPUSH L A", "RPUSH L B", "EXEC", "INCR K", "SET LAST 1"}, seen)
}

// skipSnapshot reads what comes before the commands of a replication stream.
func skipSnapshot(t *testing.T, c *rawConn) {
	t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		rest := strings.TrimLeft(string(c.buf), "\n")
		head, body, ok := strings.Cut(rest, "\r\n")
		if ok {
			require.True(t, strings.HasPrefix(head, "$"), head)
			size := 0
			for _, d := range head[1:] {
				size = size*10 + int(d-'0')
			}
			if len(body) >= size {
				c.buf = []byte(body[size:])
				return
			}
		}
		n, err := c.conn.Read(c.tmp)
		require.NoError(t, err)
		c.buf = append(c.buf, c.tmp[:n]...)
	}
}

// Clients that redirect their invalidations are told the id that the other client has here.
func TestRedirectIsToldByTheProxysOwnIDs(t *testing.T) {
	p := startPair(t)
	other, c := dialRaw(t, p.proxied), dialRaw(t, p.proxied)
	id := strings.Trim(other.do("CLIENT", "ID"), ":\r\n")
	require.Contains(t, other.do("SUBSCRIBE", "__redis__:invalidate"), "subscribe")
	require.Equal(t, ":-1\r\n", c.do("CLIENT", "GETREDIR"))
	require.Equal(t, "+OK\r\n", c.do("CLIENT", "TRACKING", "ON", "REDIRECT", id))
	assert.Equal(t, ":"+id+"\r\n", c.do("CLIENT", "GETREDIR"))
	assert.Contains(t, c.do("CLIENT", "TRACKINGINFO"), "redirect\r\n:"+id+"\r\n")
	require.Equal(t, "+OK\r\n", c.do("CLIENT", "TRACKING", "OFF"))
	assert.Contains(t, c.do("CLIENT", "TRACKINGINFO"), "redirect\r\n:-1\r\n")
}
