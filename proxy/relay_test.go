package proxy

import (
	"bufio"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/redcon"

	"holdfast/backend"
	"holdfast/backend/redistest"
	"holdfast/backend/resp"
)

// asker makes a client of s: ask gives the first line of an answer.
func asker(t *testing.T, s *Server) (ask func(args ...string) string, in *bufio.Reader) {
	conn, err := net.Dial("tcp", s.Addrs()[0].String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	in = bufio.NewReader(conn)
	return func(args ...string) string {
		_, err := conn.Write(resp.AppendCommandStrings(nil, args...))
		require.NoError(t, err)
		line, err := in.ReadString('\n')
		require.NoError(t, err)
		return line
	}, in
}

// The link may die after it was decided that an EXEC goes over it, and before it is
// sent. The unit ends for the proxy too, then: what comes next is not queued.
func TestLinkThatDiesJustBeforeEXECIsSent(t *testing.T) {
	srv := redistest.Start(t)
	s := startServer(t, srv.URL(), nil)
	ask, in := asker(t, s)
	require.Equal(t, "+OK\r\n", ask("WATCH", "k"))
	require.Equal(t, "+OK\r\n", ask("MULTI"))
	require.Equal(t, "+QUEUED\r\n", ask("SET", "k", "1"))

	r := s.clientsByID()[0].relay
	exec := redcon.Command{Raw: resp.AppendCommandStrings(nil, "EXEC"), Args: [][]byte{[]byte("EXEC")}}
	to, _ := r.route(exec, nil)
	require.Equal(t, routeRelay, to)
	srv.Kill()
	redistest.Eventually(t, patience, "the link is lost", r.away)
	if !r.send(exec) { // it is served again
		require.Contains(t, ask("EXEC"), "-EXECABORT")
	} else {
		_, err := in.ReadString('\n')
		require.NoError(t, err)
	}
	require.Equal(t, "+PONG\r\n", ask("PING"))
}

// Who waits on a connection of its own does not wait for the next PING of the
// heartbeat to find out that Redis hangs.
func TestSlowAnswerIsAskedAbout(t *testing.T) {
	srv := redistest.Start(t)
	s := startServer(t, srv.URL(), nil, func(c *backend.Config) {
		c.CommandTimeout, c.PingInterval, c.CheckInterval = 2*time.Second, time.Hour, time.Hour
	})
	ask, _ := asker(t, s)
	require.Equal(t, "+OK\r\n", ask("WATCH", "k"))
	srv.Hang()
	require.Contains(t, ask("GET", "k"), "-UPSTREAMDOWN")
}
