package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// limited is the binary with a limit of descriptors of its own.
func limited(t *testing.T, n int) string {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	script := fmt.Sprintf("%s/holdfast-%d", t.TempDir(), n)
	require.NoError(t, os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\nulimit -n %d\nexec %s \"$@\"\n", n, path), 0o700))
	return script
}

// idle connects until the proxy refuses, and returns what it said then.
func idle(t *testing.T, addr string, atMost int) (conns []net.Conn, said string) {
	t.Helper()
	for len(conns) < atMost {
		c, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		conns = append(conns, c)
		_, err = c.Write([]byte("PING\r\n"))
		require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
		line, rerr := bufio.NewReader(c).ReadString('\n')
		if err != nil || rerr != nil || line != "+PONG\r\n" {
			return conns, line
		}
	}
	return conns, ""
}

// Clients and their subscriptions take all descriptors that they get. Those of the
// reserve are there for an outage: the journal begins one segment after another, Redis
// is dialed when it is back, and everything is replayed.
func TestDescriptorsRunOutInAnOutage(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	p := startProgram(t, limited(t, 100), "", nil, "proxy", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", t.TempDir()+"/data", "--redis-url", srv.URL(), "--journal-bytes", "1MB")
	warned := p.await("--maxclients is lowered")
	assert.Contains(t, warned, "limit=100")
	p.awaitReady()
	c := p.client()
	redistest.Eventually(t, patience, "mirror complete", func() bool {
		return strings.Contains(c.Do(ctx, "HOLDFAST", "STATUS").String(), `"complete":true`)
	})
	require.NoError(t, c.Set(ctx, "aiclient:n", 0, 0).Err())
	// Half of them subscribe, which takes two descriptors each.
	conns, said := idle(t, p.addr, 1000)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	assert.Equal(t, "-ERR max number of clients reached\r\n", said)
	assert.Greater(t, len(conns), 30)
	for _, sub := range conns[:len(conns)-1] {
		_, err := sub.Write([]byte("SUBSCRIBE ch\r\n"))
		require.NoError(t, err)
		require.NoError(t, sub.SetReadDeadline(time.Now().Add(patience)))
		line, err := bufio.NewReader(sub).ReadString('\n')
		require.NoError(t, err)
		if line[0] == '-' {
			assert.Equal(t, "-ERR max number of clients reached\r\n", line)
			break
		}
	}
	value := strings.Repeat("x", 1000)
	for round := range 3 {
		srv.Kill()
		for i := range 200 {
			require.NoError(t, c.Incr(ctx, "aiclient:n").Err(), "round %d, write %d", round, i)
			require.NoError(t, c.Set(ctx, "aiclient:s", value, 0).Err(), "round %d, write %d", round, i)
		}
		more, _ := idle(t, p.addr, 5) // and they go on trying
		conns = append(conns, more...)
		srv.Start()
		d := directClient(t, srv)
		redistest.Eventually(t, patience, "replayed", func() bool { return d.Get(ctx, "aiclient:n").Val() == fmt.Sprint(200*(round+1)) })
	}
	status := c.Do(ctx, "HOLDFAST", "STATUS").String()
	assert.Contains(t, status, `"failed":false`)
	assert.Contains(t, status, `"refusedWrites":0`)
}

// With too few for anything the start is refused, with numbers.
func TestTooFewDescriptors(t *testing.T) {
	out, err := exec.Command(limited(t, 40), "proxy", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", t.TempDir()).CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "the limit of file descriptors is 40, and 48 are needed")
	assert.Contains(t, string(out), "ulimit -n 10128")
}
