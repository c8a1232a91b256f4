package proxy

import (
	"bufio"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/redcon"

	"holdfast/backend/redistest"
	"holdfast/backend/resp"
)

// The link may die after it was decided that an EXEC goes over it, and before it is
// sent. The unit ends for the proxy too, then: what comes next is not queued.
func TestLinkThatDiesJustBeforeEXECIsSent(t *testing.T) {
	srv := redistest.Start(t)
	s := startServer(t, srv.URL(), nil)
	conn, err := net.Dial("tcp", s.Addrs()[0].String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	in := bufio.NewReader(conn)
	ask := func(args ...string) string {
		_, err := conn.Write(resp.AppendCommandStrings(nil, args...))
		require.NoError(t, err)
		line, err := in.ReadString('\n')
		require.NoError(t, err)
		return line
	}
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
