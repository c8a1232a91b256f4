package front

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/redcon"

	"holdfast/backend/redistest"
)

func dial(t testing.TB, addr net.Addr) net.Conn {
	t.Helper()
	nc, err := net.Dial(addr.Network(), addr.String())
	require.NoError(t, err)
	require.NoError(t, nc.SetDeadline(time.Now().Add(testTimeout)))
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// ask sends b and reads as many bytes as want has.
func ask(t testing.TB, nc net.Conn, b, want string) {
	t.Helper()
	_, err := io.WriteString(nc, b)
	require.NoError(t, err)
	got := make([]byte, len(want))
	_, err = io.ReadFull(nc, got)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

func requireClosed(t testing.TB, nc net.Conn, rest string) {
	t.Helper()
	got, err := io.ReadAll(nc)
	if err != nil {
		require.False(t, isTimeout(err), "still open")
	}
	require.Equal(t, rest, string(got))
}

func TestMaxClients(t *testing.T) {
	l := serve(t, Config{MaxClients: 2}, echoCount)
	a, b := dial(t, l.Addr()), dial(t, l.Addr())
	ask(t, a, "PING\r\n", ":1\r\n")
	ask(t, b, "PING\r\n", ":1\r\n")
	requireClosed(t, dial(t, l.Addr()), "-ERR max number of clients reached\r\n")
	ask(t, a, "PING\r\n", ":1\r\n")
	_ = b.Close()
	redistest.Eventually(t, testTimeout, "the slot comes back", func() bool { return l.Clients() == 1 })
	ask(t, dial(t, l.Addr()), "PING\r\n", ":1\r\n")
}

func TestIdleTimeout(t *testing.T) {
	l := serve(t, Config{IdleTimeout: 50 * time.Millisecond}, func(conn redcon.Conn, cmd redcon.Command) {
		if len(cmd.Args) == 2 {
			conn.NetConn().(*Conn).NoIdle(true)
		}
		echoCount(conn, cmd)
	})
	idle, exempt := dial(t, l.Addr()), dial(t, l.Addr())
	ask(t, exempt, "SUBSCRIBE x\r\n", ":2\r\n")
	requireClosed(t, idle, "")
	ask(t, exempt, "PING\r\n", ":1\r\n")
}

func TestClientThatDoesNotReadIsClosed(t *testing.T) {
	l := serve(t, Config{WriteTimeout: 50 * time.Millisecond}, func(conn redcon.Conn, _ redcon.Command) {
		conn.WriteBulkString(strings.Repeat("x", 32<<20))
	})
	nc := dial(t, l.Addr())
	_, err := io.WriteString(nc, "GET\r\n")
	require.NoError(t, err)
	redistest.Eventually(t, testTimeout, "closed", func() bool { return l.Clients() == 0 })
}

func TestLargeReplyToAReadingClient(t *testing.T) {
	body := strings.Repeat("x", 8<<20)
	l := serve(t, Config{WriteTimeout: 20 * time.Second}, func(conn redcon.Conn, _ redcon.Command) { conn.WriteBulkString(body) })
	ask(t, dial(t, l.Addr()), "GET\r\n", "$8388608\r\n"+body+"\r\n")
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	stale.SetUnlinkOnClose(false)
	require.NoError(t, stale.Close())

	l := serve(t, Config{Addrs: []string{"127.0.0.1:0", "unix:" + path}}, echoCount)
	for _, addr := range l.Addrs() {
		ask(t, dial(t, addr), "PING\r\n", ":1\r\n")
	}
	_, err = Listen(Config{Addrs: []string{"unix:" + path}})
	require.ErrorContains(t, err, "in use by another process")
	require.NoError(t, l.Close())
	require.NoFileExists(t, path)

	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err = Listen(Config{Addrs: []string{"unix:" + path}})
	require.ErrorContains(t, err, "is not a socket")
	require.FileExists(t, path)
}

func TestListenBindsAllOrNone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	path := filepath.Join(t.TempDir(), "s")
	_, err = Listen(Config{Addrs: []string{"unix:" + path, taken.Addr().String()}})
	require.ErrorContains(t, err, "listen on "+taken.Addr().String())
	require.NoFileExists(t, path)
	_, err = Listen(Config{})
	require.ErrorContains(t, err, "no address")
}

func TestTLS(t *testing.T) {
	l := serve(t, Config{TLS: selfSigned(t), MaxClients: 1}, echoCount)
	nc, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, nc.SetDeadline(time.Now().Add(testTimeout)))
	ask(t, nc, "PING\r\n", ":1\r\n")
	requireClosed(t, dial(t, l.Addr()), "") // one too many: no text before a handshake
	big := strings.Repeat("x", 100_000)
	ask(t, nc, command("ECHO", big)+"*x\r\n", ":2\r\n-ERR Protocol error: invalid multibulk length\r\n")
}

func TestTLSRefusesPlainClients(t *testing.T) {
	l := serve(t, Config{TLS: selfSigned(t)}, echoCount)
	nc := dial(t, l.Addr())
	_, err := io.WriteString(nc, "PING\r\nPING\r\n")
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, nc)
	redistest.Eventually(t, testTimeout, "closed", func() bool { return l.Clients() == 0 })
}

func selfSigned(t testing.TB) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// failing is a listener that is out of descriptors for its first calls.
type failing struct {
	net.Listener
	left, calls atomic.Int64
}

func (f *failing) Accept() (net.Conn, error) {
	f.calls.Add(1)
	if f.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

func TestAcceptBacksOff(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &failing{Listener: ln}
	f.left.Store(12)
	l, err := newListener(Config{})
	require.NoError(t, err)
	pauses := make(chan time.Duration, 100)
	l.pause = func(d time.Duration) { pauses <- d }
	l.lns = []net.Listener{f}
	l.serve(f)
	nc := dial(t, ln.Addr())
	got, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, got.Close())
	require.NoError(t, nc.Close())
	require.NoError(t, l.Close())
	require.Len(t, pauses, 12)
	var last time.Duration
	for range 12 {
		d := <-pauses
		require.GreaterOrEqual(t, d, last)
		last = d
	}
	require.Equal(t, lastPause, last)
}

func TestCloseEndsAccept(t *testing.T) {
	l, err := Listen(Config{Addrs: []string{"127.0.0.1:0"}})
	require.NoError(t, err)
	waiting := dial(t, l.Addr()) // accepted by the kernel, maybe by us, never handed out
	done := make(chan error, 1)
	require.NoError(t, l.Stop())
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				done <- err
				return
			}
			_ = nc.Close()
		}
	}()
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	require.ErrorIs(t, <-done, net.ErrClosed)
	requireClosed(t, waiting, "")
	require.Zero(t, l.Clients())
}

func TestDrainAnswersWhatWasRead(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	l := serve(t, Config{}, func(conn redcon.Conn, cmd redcon.Command) {
		if string(cmd.Args[0]) == "WAIT" {
			close(entered)
			<-release
		}
		echoCount(conn, cmd)
	})
	idle, busy := dial(t, l.Addr()), dial(t, l.Addr())
	ask(t, idle, "PING\r\n", ":1\r\n")
	_, err := io.WriteString(busy, "WAIT a b\r\n")
	require.NoError(t, err)
	<-entered
	short, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, l.Drain(short), context.Canceled)
	requireClosed(t, idle, "")
	_, err = net.Dial("tcp", l.Addr().String())
	require.Error(t, err)
	close(release)
	requireClosed(t, busy, ":3\r\n")
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	require.NoError(t, l.Drain(ctx))
}

func TestIsLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:6380": true, "127.9.9.9:1": true, "[::1]:6380": true, "localhost:6380": true, "unix:/x": true,
		":6380": false, "0.0.0.0:6380": false, "[::]:6380": false, "10.0.0.1:6380": false, "example.org:1": false, "nonsense": false,
	} {
		require.Equal(t, want, IsLoopback(addr), addr)
	}
}

func TestWriteTimeoutErrorIsADeadline(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	l, err := newListener(Config{WriteTimeout: time.Millisecond})
	require.NoError(t, err)
	c := newConn(a, l)
	_, err = c.Write([]byte("x"))
	require.True(t, errors.Is(err, os.ErrDeadlineExceeded), "%v", err)
}
