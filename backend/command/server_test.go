package command

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"net"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// conn is a connection to a real server that gives replies as bytes.
type conn struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, s *redistest.Server, proto int) *conn {
	c, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(60*time.Second)))
	out := &conn{t: t, c: c, r: bufio.NewReader(c)}
	out.do(call("HELLO", strconv.Itoa(proto)))
	return out
}

func (c *conn) do(argv [][]byte) []byte {
	c.t.Helper()
	req := appendHeader(nil, '*', len(argv))
	for _, arg := range argv {
		req = appendBulk(req, arg)
	}
	_, err := c.c.Write(req)
	require.NoError(c.t, err)
	return c.read(nil)
}

// read appends one whole reply to dst.
func (c *conn) read(dst []byte) []byte {
	line, err := c.r.ReadBytes('\n')
	require.NoError(c.t, err)
	dst = append(dst, line...)
	n, _ := strconv.Atoi(string(line[1 : len(line)-2]))
	switch line[0] {
	case '$':
		if n >= 0 {
			body := make([]byte, n+2)
			_, err = io.ReadFull(c.r, body)
			require.NoError(c.t, err)
			dst = append(dst, body...)
		}
	case '*', '~', '%':
		if line[0] == '%' {
			n *= 2
		}
		for range n {
			dst = c.read(dst)
		}
	}
	return dst
}

// strings parses a reply that is an array of bulk strings.
func (c *conn) strings(reply []byte) []string {
	r := bufio.NewReader(bytes.NewReader(reply))
	line, err := r.ReadString('\n')
	require.NoError(c.t, err)
	if line[0] != '*' {
		return nil
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	out := make([]string, 0, n)
	for range n {
		line, err = r.ReadString('\n')
		require.NoError(c.t, err)
		size, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
		body := make([]byte, size+2)
		_, err = io.ReadFull(r, body)
		require.NoError(c.t, err)
		out = append(out, string(body[:size]))
	}
	return out
}

// laterArity are commands whose arity a later version relaxed; see overrides.go.
var laterArity = map[string]bool{"zrank": true, "zrevrank": true}

// onDisagreement says what to do when the table was generated from another
// version than the server that is installed.
const onDisagreement = "; when redis-server's version differs from the table's, run scripts/gen-commands"

func TestTableIsThatOfTheRealServer(t *testing.T) {
	server := dial(t, redistest.Start(t), 2)
	names := server.strings(server.do(call("COMMAND", "LIST")))
	require.Greater(t, len(names), 200)
	for _, name := range names {
		require.NotNil(t, ByName(name), name+onDisagreement)
	}
	for _, c := range All() {
		reply := string(server.do(call("COMMAND", "INFO", c.Name)))
		if reply == "*1\r\n$-1\r\n" || reply == "*1\r\n*-1\r\n" {
			continue // newer than the server
		}
		fields := strings.SplitN(reply, "\r\n", 6) // *1, *10, $n, name, arity, flags …
		require.Equal(t, c.Name, fields[3])
		if !laterArity[c.Name] {
			require.Equal(t, fmt.Sprintf(":%d", c.Arity), fields[4], c.Name+onDisagreement)
		}
		require.Contains(t, reply, fmt.Sprintf(":%d\r\n:%d\r\n:%d\r\n", c.FirstKey, c.LastKey, c.KeyStep), c.Name)
	}
}

// randomCall makes a call of c: mostly of the shape that commands with movable
// keys look at, and sometimes nonsense.
func randomCall(r *rand.Rand, c *Command) [][]byte {
	words := []string{
		"a", "b", "c", "0", "1", "2", "3", "-1", "", "STORE", "storedist", "STREAMS", "KEYS", "AUTH", "AUTH2", "GET",
		"BY", "LIMIT", "COUNT", "GROUP", "99", "x", "REPLACE", "COPY", "9999999999999999999",
	}
	argv := call(strings.Split(c.Name, "|")...)
	if c.Name == "xreadgroup" { // without it the server guesses, and then refuses the call
		argv = append(argv, call("GROUP", "g", "c")...)
	}
	n := max(c.Arity, -c.Arity) + r.Intn(6)
	if c.Arity > 0 {
		n = c.Arity
	}
	for len(argv) < n {
		argv = append(argv, []byte(words[r.Intn(len(words))]))
	}
	return argv
}

func TestKeysAreThoseOfTheRealServer(t *testing.T) {
	server := dial(t, redistest.Start(t), 2)
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewSource(seed))
	for _, c := range All() {
		rounds := 4
		if c.search != nil || len(c.specs) > 0 && (c.specs[0].counted || c.specs[0].keyword != "" || len(c.specs) > 1) {
			rounds = 150
		}
		for range rounds {
			argv := randomCall(r, c)
			want := server.do(append(call("COMMAND", "GETKEYS"), argv...))
			if bytes.HasPrefix(want, []byte("-ERR Invalid command")) || len(argv) < 2 {
				continue // newer than the server; or GETKEYS itself has too few arguments
			}
			got := c.Keys(nil, argv)
			if want[0] == '-' {
				// The server refuses such a call; keys that precede the mistake do no harm.
				if bytes.Contains(want, []byte("no key arguments")) {
					require.Empty(t, got, "%q", argv)
				}
				continue
			}
			require.Equal(t, strings.Join(server.strings(want), "\x00"), string(bytes.Join(got, []byte{0})), "%q", argv)
		}
	}
}

func TestErrorsAreThoseOfTheRealServer(t *testing.T) {
	server := dial(t, redistest.Start(t), 2)
	long := strings.Repeat("long", 60)
	for _, argv := range [][][]byte{
		call("foo"), call("FOO", "a", "b"), call(long, long, long), call("foo", strings.Repeat("x", 127), "yy", "z"),
		call("foo", "a\r\nb"), call("fo\x00o", "a\x00b", "c"), call("client", "nope"), call("CliEnt", "no\npe", "x"),
		call("config", long), call("object"), call("get"), call("GET", "a", "b"), call("client", "id", "x"), call("Config", "Get"), call(""),
		call("foo", strings.Repeat("x", 126), "yy", "z"), call("foo", strings.Repeat("x", 125), "yy", "z"), call("get|x"),
	} {
		got := ""
		if c, ok := Lookup(argv); !ok {
			got = UnknownError(argv)
		} else if !c.ArityOK(len(argv)) {
			got = c.ArityError()
		}
		require.Equal(t, string(server.do(argv)), "-"+got+"\r\n", "%q", argv)
	}
}

func TestRepliesAreThoseOfTheRealServer(t *testing.T) {
	s := redistest.Start(t)
	for _, proto := range []int{2, 3} {
		server := dial(t, s, proto)
		for _, line := range []string{
			"COMMAND COUNT", "COMMAND COUNT x", "COMMAND HELP", "COMMAND nope", "command info", "COMMAND INFO nope Get", "COMMAND DOCS nope get",
			"COMMAND DOCS client|id XADD sort", "COMMAND INFO get|x set mset eval xread migrate Client|ID",
			"COMMAND LIST FILTERBY module x", "COMMAND LIST FILTERBY nope x", "COMMAND LIST x", "COMMAND LIST FILTERBY aclcat nope",
			"COMMAND GETKEYS get k", "COMMAND GETKEYS get k v", "COMMAND GETKEYS get", "COMMAND GETKEYS nope k", "COMMAND GETKEYS ping x",
			"COMMAND GETKEYS client nope", "COMMAND GETKEYS eval x 5 a", "COMMAND GETKEYS zunion x a", "COMMAND GETKEYS subscribe a",
			"COMMAND GETKEYSANDFLAGS set k v", "COMMAND GETKEYSANDFLAGS set k v GET", "COMMAND GETKEYSANDFLAGS bitfield k get u8 0",
			"COMMAND GETKEYSANDFLAGS bitfield k set u8 0 1", "COMMAND GETKEYSANDFLAGS sort k store x", "COMMAND GETKEYSANDFLAGS migrate h 1 k 0 1",
			"COMMAND GETKEYSANDFLAGS xreadgroup group g c streams a b 0 0", "COMMAND GETKEYSANDFLAGS zunionstore d 2 a b", "COMMAND GETKEYSANDFLAGS smove a b c",
		} {
			argv := call(strings.Fields(line)...)
			require.Equal(t, normal(server.do(argv)), normal(Reply(proto, argv)), line)
		}
		for _, line := range []string{
			"COMMAND", "COMMAND DOCS", "COMMAND LIST", "COMMAND LIST FILTERBY aclcat Dangerous", "COMMAND LIST FILTERBY pattern [Xz]*ra?[^k]*",
			"COMMAND INFO client xinfo acl", "COMMAND DOCS client cluster",
		} {
			argv := call(strings.Fields(line)...)
			require.Equal(t, lines(server.do(argv)), lines(Reply(proto, argv)), line)
		}
	}
}

// normal sorts the lines of a reply that lists everything, as the server keeps
// its commands in random order; others must be equal as they are.
func normal(reply []byte) string {
	if len(reply) > 50_000 {
		return lines(reply)
	}
	return string(reply)
}

func lines(reply []byte) string {
	l := strings.Split(string(reply), "\r\n")
	sort.Strings(l)
	return strings.Join(l, "\n")
}

func TestHelpIsThatOfTheRealServer(t *testing.T) {
	server := dial(t, redistest.Start(t), 2)
	for _, name := range []string{"client", "config", "script", "object"} {
		require.Equal(t, string(server.do(call(name, "HELP"))), string(Help(name)))
	}
	require.Nil(t, Help("get"))
}

func TestGlob(t *testing.T) {
	for _, row := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"*a", "ba", true}, {"a*b*c", "axxbxbc", true}, {"a*b*c", "axxbxb", false}, {"[a", "a", true},
		{"[^a]", "a", false}, {"[c-a]x", "bx", true}, {`\*`, "*", true}, {`\*`, "a", false}, {"?", "", false}, {"", "", true}, {"", "a", false},
		{`a\`, `a\`, true}, {"[]", "a", false},
	} {
		require.Equal(t, row.want, matchGlob([]byte(row.pattern), row.s), "%q %q", row.pattern, row.s)
	}
	require.False(t, matchGlob([]byte(strings.Repeat("*a", 200)), strings.Repeat("a", 100)+"b"), "ends soon, whatever the pattern")
}

func FuzzReply(f *testing.F) {
	f.Add(2, "GETKEYS eval x 1 a")
	f.Add(3, "LIST FILTERBY pattern [a-")
	f.Fuzz(func(t *testing.T, proto int, s string) {
		reply := Reply(proto, append(call("COMMAND"), call(strings.Split(s, " ")...)...))
		require.True(t, bytes.HasSuffix(reply, []byte("\r\n")))
	})
}
