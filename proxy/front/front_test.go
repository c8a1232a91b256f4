package front

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/redcon"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testTimeout = 20 * time.Second

// asServer has the one limit in which redis-server 7 is wider than the default.
var asServer = Limits{MaxArgs: math.MaxInt32}

// serve runs redcon behind the guard until the test ends.
func serve(t testing.TB, cfg Config, handler func(redcon.Conn, redcon.Command)) *Listener {
	t.Helper()
	if cfg.Addrs == nil {
		cfg.Addrs = []string{"127.0.0.1:0"}
	}
	l, err := Listen(cfg)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		done <- redcon.Serve(l, handler,
			func(redcon.Conn) bool { return true },
			func(c redcon.Conn, _ error) {
				if up, ok := c.Context().(*upstream); ok {
					_ = up.conn.Close()
				}
			})
	}()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		require.NoError(t, <-done)
	})
	return l
}

// echoCount answers each command with the number of its arguments.
func echoCount(conn redcon.Conn, first redcon.Command) {
	for _, cmd := range Batch(nil, conn, first) {
		conn.WriteInt(len(cmd.Args))
	}
}

// upstream is the real server's connection of one forwarded client.
type upstream struct {
	conn net.Conn
	rd   *bufio.Reader
}

// forward sends each command to addr and the reply back: the smallest handler
// that behaves like the server behind it.
func forward(addr string) func(redcon.Conn, redcon.Command) {
	return func(conn redcon.Conn, first redcon.Command) {
		up, _ := conn.Context().(*upstream)
		if up == nil {
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				conn.WriteError("ERR dial: " + err.Error())
				return
			}
			up = &upstream{nc, bufio.NewReader(nc)}
			conn.SetContext(up)
		}
		for _, cmd := range Batch(nil, conn, first) {
			if _, err := up.conn.Write(cmd.Raw); err != nil {
				_ = conn.Close()
				return
			}
			reply, err := readReply(up.rd)
			if err != nil {
				_ = conn.Close()
				return
			}
			conn.WriteRaw(reply)
		}
	}
}

// readReply reads one RESP2 reply as bytes.
func readReply(rd *bufio.Reader) ([]byte, error) {
	line, err := rd.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(string(line[1 : len(line)-2]))
	switch line[0] {
	case '$':
		if n < 0 {
			return line, nil
		}
		body := make([]byte, n+2)
		_, err = io.ReadFull(rd, body)
		return append(line, body...), err
	case '*':
		for range n {
			sub, err := readReply(rd)
			if err != nil {
				return nil, err
			}
			line = append(line, sub...)
		}
	}
	return line, nil
}

// exchange sends the chunks of one stream, then half-closes, and returns all
// that came back before the close.
func exchange(t testing.TB, addr string, chunks [][]byte) string {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, nc.SetDeadline(time.Now().Add(testTimeout)))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, b := range chunks {
			if _, err := nc.Write(b); err != nil {
				return // the server has closed after a violation
			}
		}
		_ = nc.(*net.TCPConn).CloseWrite()
	}()
	reply, err := io.ReadAll(nc)
	<-sent
	if err != nil { // a reset, when the server closed with bytes unread
		require.False(t, isTimeout(err), "no end of the replies; so far %q", reply)
	}
	return string(reply)
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

func command(args ...string) string {
	s := fmt.Sprintf("*%d\r\n", len(args))
	for _, a := range args {
		s += fmt.Sprintf("$%d\r\n%s\r\n", len(a), a)
	}
	return s
}
