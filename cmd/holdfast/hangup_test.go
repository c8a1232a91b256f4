package main

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// sendAndCloseHalf sends inline commands, closes the client's half, as nc does, and
// gives what comes back.
func sendAndCloseHalf(t *testing.T, addr, commands string) string {
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte(commands))
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	out, err := io.ReadAll(c)
	require.NoError(t, err)
	return string(out)
}

// A client that has sent all it had to say still reads the answers, whatever
// connection to Redis they come over.
func TestAnswersReachAClientThatClosedItsHalf(t *testing.T) {
	direct := redistest.Start(t)
	_, p := online(t)
	for _, commands := range []string{
		"SET a 1\r\nGET a\r\n",
		"WATCH a\r\nGET a\r\nMULTI\r\nINCR a\r\nEXEC\r\nGET a\r\n",
		"SUBSCRIBE x\r\nPING\r\n",
		"MODULECMD\r\nGET a\r\n",
		"CLIENT TRACKING ON BCAST\r\nGET a\r\n",
		"WATCH a\r\nBLPOP none 0\r\n",
	} {
		want := sendAndCloseHalf(t, direct.Addr(), commands)
		assert.Equal(t, want, sendAndCloseHalf(t, p.addr(), commands), "%q", commands)
	}
	redistest.Eventually(t, patience, "nobody left", func() bool { return p.st.server.Clients() == 0 })
}

// Stopping the proxy answers what is under way, over connections of its own, too.
func TestStopAnswersWhatIsUnderWay(t *testing.T) {
	srv, p := online(t, func(s *proxySettings) { s.commandTimeout = 5 * time.Second })
	c, blocked, other := dialRaw(t, p.addr()), dialRaw(t, p.addr()), dialRaw(t, p.addr())
	require.Equal(t, "+OK\r\n", c.do("WATCH", "aiclient:k"))
	blocked.send("BLPOP", "none", "0")
	awaitBlocked(t, srv, 1)
	srv.Hang()
	c.send("GET", "aiclient:k")
	redistest.Eventually(t, patience, "it is under way", func() bool {
		return strings.Contains(other.do("CLIENT", "LIST"), " cmd=get ")
	})
	resumed := make(chan struct{})
	time.AfterFunc(300*time.Millisecond, func() { srv.Resume(); close(resumed) })
	p.stop()
	<-resumed
	assert.Equal(t, "$-1\r\n", string(c.next()))
	_, err := blocked.conn.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
}
