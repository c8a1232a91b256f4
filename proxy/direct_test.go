package proxy

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/redcon"

	"holdfast/backend"
	"holdfast/backend/redistest"
	"holdfast/backend/resp"
)

// scripted is an upstream whose calls the test answers.
type scripted struct {
	Upstream
	calls chan *scriptedCall
}

type scriptedCall struct {
	c    *backend.Call
	done chan struct{}
}

func (*scripted) Up() bool                  { return true }
func (*scripted) Busy() string              { return "" }
func (*scripted) FenceName(int, int) string { return "" }
func (*scripted) Status() backend.Status    { return backend.Status{} }
func (*scripted) NextBeat() uint64          { return 0 }
func (*scripted) PassedBeat() uint64        { return 0 }

func (u *scripted) Do(_, _ int, c *backend.Call) error {
	call := &scriptedCall{c, make(chan struct{})}
	u.calls <- call
	<-call.done
	return nil
}

func (c *scriptedCall) answer(replies ...string) {
	setReplies(c.c, replies...)
	close(c.done)
}

func setReplies(c *backend.Call, replies ...string) {
	c.Replies, c.Ends = c.Replies[:0], c.Ends[:0]
	for _, r := range replies {
		c.Replies = append(c.Replies, r...)
		c.Ends = append(c.Ends, len(c.Replies))
	}
}

// instant is an upstream that answers each call at once: PTTL with no expiry,
// anything else with value.
type instant struct {
	Upstream
	value []byte
	calls int
	info  backend.Info
}

func (*instant) Up() bool                  { return true }
func (*instant) Busy() string              { return "" }
func (*instant) FenceName(int, int) string { return "" }
func (*instant) NextBeat() uint64          { return 1 }
func (*instant) PassedBeat() uint64        { return 0 }
func (u *instant) Status() backend.Status {
	return backend.Status{Info: u.info}
}

func (u *instant) Do(_, _ int, c *backend.Call) error {
	u.calls++
	c.Replies, c.Ends = c.Replies[:0], c.Ends[:0]
	for n := range c.N {
		if n%2 == 0 && c.N%2 == 0 {
			c.Replies = append(c.Replies, ":-1\r\n"...)
		} else {
			c.Replies = append(c.Replies, u.value...)
		}
		c.Ends = append(c.Ends, len(c.Replies))
	}
	return nil
}

// quietConn is a redcon connection of which only the reply buffer is real.
type quietConn struct {
	redcon.Conn
	ctx  any
	out  []byte
	next []redcon.Command
}

func (c *quietConn) Context() any                   { return c.ctx }
func (c *quietConn) SetContext(v any)               { c.ctx = v }
func (c *quietConn) NetConn() net.Conn              { return nil }
func (c *quietConn) RemoteAddr() string             { return "test" }
func (c *quietConn) WriteRaw(b []byte)              { c.out = append(c.out[:0], b...) }
func (c *quietConn) ReadPipeline() []redcon.Command { return c.next }

// directServer is a server whose clients the test drives itself.
func directServer(t *testing.T, up Upstream) *Server {
	t.Helper()
	s, err := Open(Config{Listen: []string{"127.0.0.1:0"}, Upstream: up, Local: onlineLocal{}, CommandTimeout: patience})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func directClient(t *testing.T, s *Server) *client {
	t.Helper()
	conn := &quietConn{}
	require.True(t, s.onAccept(conn))
	t.Cleanup(func() { s.onClosed(conn, nil) })
	return conn.ctx.(*client)
}

func request(args ...string) redcon.Command {
	var argv [][]byte
	for _, a := range args {
		argv = append(argv, []byte(a))
	}
	return redcon.Command{Raw: resp.AppendCommand(nil, argv...), Args: argv}
}

func requests(args ...string) []redcon.Command { return []redcon.Command{request(args...)} }

// TestAHitDoesNotAllocate takes cached reads the whole way from the command that
// redcon hands over to the reply bytes that it gets.
func TestAHitDoesNotAllocate(t *testing.T) {
	values := map[string]string{
		"GET":     "$64\r\n" + strings.Repeat("v", 64) + "\r\n",
		"HGETALL": "*4\r\n$1\r\na\r\n$2\r\n10\r\n$1\r\nb\r\n$3\r\nabc\r\n",
	}
	for name, value := range values {
		for _, pipelined := range []int{1, 16} {
			t.Run(fmt.Sprintf("%s P=%d", name, pipelined), func(t *testing.T) {
				up := &instant{value: []byte(value), info: backend.Info{Flavor: "redis", Version: "7.0.15"}}
				s := directServer(t, up)
				c := directClient(t, s)
				conn := &quietConn{ctx: c}
				cmds := make([]redcon.Command, pipelined)
				for i := range cmds {
					cmds[i] = request(name, fmt.Sprintf("key:%d", i))
				}
				conn.next = cmds[1:]
				s.onCommand(conn, cmds[0]) // fills
				filled := up.calls
				allocs := testing.AllocsPerRun(1000, func() { s.onCommand(conn, cmds[0]) })
				require.Equal(t, strings.Repeat(value, pipelined), string(conn.out))
				require.Equal(t, filled, up.calls, "not all were hits")
				require.Zero(t, allocs)
			})
		}
	}
}

// TestAForwardedReadAllocatesLittle: a cacheable read that has to go to Redis
// costs its token, the copy of its identity and an element of the LRU; one that
// is never cached costs nothing.
func TestAForwardedReadAllocatesLittle(t *testing.T) {
	up := &instant{value: []byte("$1\r\nv\r\n")}
	s := directServer(t, up)
	conn := &quietConn{ctx: directClient(t, s)}
	get := request("GET", "k")
	perMiss := testing.AllocsPerRun(1000, func() {
		s.Invalidate([][]byte{[]byte("k")})
		s.onCommand(conn, get)
	})
	require.LessOrEqual(t, perMiss, 3.0)
	ttl := request("TTL", "k")
	require.Zero(t, testing.AllocsPerRun(1000, func() { s.onCommand(conn, ttl) }))
}

// TestFieldsThatMayExpire: a hash is cached for a moment only where single fields
// of it may expire, as nothing tells when.
func TestFieldsThatMayExpire(t *testing.T) {
	for _, x := range []struct {
		flavor, version string
		expire          bool
	}{
		{"redis", "7.0.15", false}, {"redis", "7.2.4", false}, {"redis", "7.4.0", true}, {"redis", "8.0.1", true},
		{"valkey", "8.1.0", false}, {"valkey", "9.0.0", true}, {"other", "6.0.0", true}, {"redis", "", true},
	} {
		require.Equal(t, x.expire, fieldsExpire(backend.Info{Flavor: x.flavor, Version: x.version}), "%v", x)
	}
	up := &instant{value: []byte("$1\r\nv\r\n"), info: backend.Info{Flavor: "redis", Version: "7.4.1"}}
	s := directServer(t, up)
	conn := &quietConn{ctx: directClient(t, s)}
	field, whole := request("HGET", "h", "f"), request("GET", "k")
	s.onCommand(conn, field)
	s.onCommand(conn, whole)
	redistest.Eventually(t, patience, "the hash to be read again", func() bool {
		s.onCommand(conn, field)
		return up.calls == 3
	})
	s.onCommand(conn, whole)
	require.Equal(t, 3, up.calls, "other types are not affected")
}

// TestNewerClientsStayShared: go-redis asks for CLIENT MAINT_NOTIFICATIONS when it
// connects. That must not give every one of its connections a session at Redis.
func TestNewerClientsStayShared(t *testing.T) {
	c := directClient(t, directServer(t, &instant{}))
	require.Nil(t, c.serve(requests("CLIENT", "MAINT_NOTIFICATIONS", "ON")))
	require.Equal(t, "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n", string(c.batch.out))
}
