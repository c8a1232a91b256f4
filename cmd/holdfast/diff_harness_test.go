package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/command"
	"holdfast/backend/redistest"
	"holdfast/backend/resp"
	"holdfast/fallback"
)

// pair is a Redis to be talked to directly and another one behind a proxy.
type pair struct {
	t       testing.TB
	direct  string
	proxied string
	p       *running
}

// diffArgs make two servers alike.
var diffArgs = []string{"--enable-debug-command", "no", "--activerehashing", "no"}

func startPair(t *testing.T) *pair {
	a, b := redistest.Start(t, diffArgs...), redistest.Start(t, diffArgs...)
	p := startProxy(t, b.URL(), func(s *proxySettings) { s.commandTimeout = 10 * time.Second })
	p.awaitMode(fallback.Online)
	return &pair{t: t, direct: a.Addr(), proxied: p.addr(), p: p}
}

// reset empties both sides, each on the way the test uses.
func (p *pair) reset() {
	p.t.Helper()
	for _, addr := range []string{p.direct, p.proxied} {
		out := transcript(p.t, addr, [][]byte{[]byte("FLUSHALL\r\nSCRIPT FLUSH\r\nFUNCTION FLUSH\r\nCONFIG RESETSTAT\r\nQUIT\r\n")})
		require.Equal(p.t, strings.Repeat("+OK\r\n", 5), string(out))
	}
}

// readScript reads a file of commands, one a line, with redis-cli's quotes.
func readScript(t testing.TB, path string) (cmds [][]string) {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		args, err := splitQuoted(line)
		require.NoError(t, err, "%s:%d", path, i+1)
		cmds = append(cmds, args)
	}
	return cmds
}

// splitQuoted splits a line at blanks; double quotes hold Go-style escapes.
func splitQuoted(line string) (args []string, err error) {
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			args, line = append(args, word), rest
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, err
		}
		arg, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		args, line = append(args, arg), line[len(quoted):]
	}
	return args, nil
}

func encodeAll(cmds [][]string) (out []byte) {
	for _, c := range cmds {
		out = resp.AppendCommandStrings(out, c...)
	}
	return out
}

// nameOf is the command's name in the table, or its first word.
func nameOf(args []string) string {
	argv := make([][]byte, len(args))
	for i, a := range args {
		argv[i] = []byte(a)
	}
	if c, ok := command.Lookup(argv); ok {
		return c.Name
	}
	return strings.ToLower(args[0])
}

// transcript sends chunks to addr and returns everything that comes back until
// the other side closes, which a QUIT at the end makes it do.
func transcript(t testing.TB, addr string, chunks [][]byte) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(3*patience)))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, c := range chunks {
			if _, err := conn.Write(c); err != nil {
				return
			}
		}
	}()
	out, err := io.ReadAll(conn)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("%s did not close after the end of the script: %v; it said %q", addr, err, tail(out))
	}
	<-sent
	return out
}

func tail(b []byte) []byte { return b[max(0, len(b)-300):] }

// cut splits a transcript into replies.
func cut(t testing.TB, b []byte) (frames [][]byte) {
	for len(b) > 0 {
		n, err := resp.ReplyLen(b)
		require.NoError(t, err, "%q", b[:min(len(b), 200)])
		require.NotZero(t, n, "the last reply is cut off: %q", b[:min(len(b), 200)])
		frames, b = append(frames, b[:n]), b[n:]
	}
	return frames
}

// chunking is a way to send bytes.
type chunking struct {
	name string
	cut  func(raw []byte, rng *rand.Rand) [][]byte
}

var chunkings = []chunking{
	{"whole", func(raw []byte, _ *rand.Rand) [][]byte { return [][]byte{raw} }},
	{"bytes", func(raw []byte, _ *rand.Rand) (out [][]byte) {
		for i := range raw {
			out = append(out, raw[i:i+1])
		}
		return out
	}},
	{"chunks", func(raw []byte, rng *rand.Rand) (out [][]byte) {
		for len(raw) > 0 {
			n := min(len(raw), 1+rng.IntN(200))
			out, raw = append(out, raw[:n]), raw[n:]
		}
		return out
	}},
}

// comparePipelined sends the whole script without waiting and compares all that
// comes back.
func (p *pair) comparePipelined(cmds [][]string, ch chunking, rng *rand.Rand) int {
	p.t.Helper()
	cmds = append(cmds[:len(cmds):len(cmds)], []string{"QUIT"})
	raw := encodeAll(cmds)
	chunks := ch.cut(raw, rng)
	want, got := cut(p.t, transcript(p.t, p.direct, chunks)), cut(p.t, transcript(p.t, p.proxied, chunks))
	oneToOne := len(want) == len(cmds) && len(got) == len(want)
	var u unitNames
	for i := range min(len(want), len(got)) {
		name, what := "", fmt.Sprintf("reply %d", i)
		if oneToOne {
			name, what = nameOf(cmds[i]), fmt.Sprintf("reply to %q", cmds[i])
		}
		p.same(&u, name, what, want[i], got[i])
	}
	if len(want) != len(got) {
		p.t.Errorf("%d replies from Redis, %d through the proxy; the last: %q and %q", len(want), len(got), want[len(want)-1], got[len(got)-1])
	}
	return len(want)
}

// compareStepwise waits for each reply before it sends the next command.
func (p *pair) compareStepwise(cmds [][]string) int {
	p.t.Helper()
	a, b := dialRaw(p.t, p.direct), dialRaw(p.t, p.proxied)
	defer a.conn.Close()
	defer b.conn.Close()
	var u unitNames
	for _, c := range cmds {
		raw := resp.AppendCommandStrings(nil, c...)
		p.same(&u, nameOf(c), fmt.Sprintf("reply to %q", c), a.ask(raw), b.ask(raw))
	}
	return len(cmds)
}

func (p *pair) same(u *unitNames, name, what string, want, got []byte) {
	p.t.Helper()
	w, g := u.normal(name, want), u.normal(name, got)
	u.follow(name, want)
	if !bytes.Equal(w, g) {
		p.t.Errorf("%s\n redis: %.600q\n proxy: %.600q", what, w, g)
	}
}

// rawConn speaks RESP bytes.
type rawConn struct {
	t    testing.TB
	conn net.Conn
	buf  []byte
	tmp  []byte
}

func dialRaw(t testing.TB, addr string) *rawConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &rawConn{t: t, conn: conn, tmp: make([]byte, 64<<10)}
}

func (c *rawConn) send(args ...string) {
	c.t.Helper()
	_, err := c.conn.Write(resp.AppendCommandStrings(nil, args...))
	require.NoError(c.t, err)
}

// next reads one reply or push as raw bytes.
func (c *rawConn) next() []byte {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		n, err := resp.ReplyLen(c.buf)
		require.NoError(c.t, err)
		if n > 0 {
			frame := append([]byte(nil), c.buf[:n]...)
			c.buf = append(c.buf[:0], c.buf[n:]...)
			return frame
		}
		n, err = c.conn.Read(c.tmp)
		require.NoError(c.t, err, "after %q", c.buf)
		c.buf = append(c.buf, c.tmp[:n]...)
	}
}

func (c *rawConn) ask(raw []byte) []byte {
	c.t.Helper()
	_, err := c.conn.Write(raw)
	require.NoError(c.t, err)
	return c.next()
}

// do sends a command and returns the raw reply as text.
func (c *rawConn) do(args ...string) string {
	c.t.Helper()
	return string(c.ask(resp.AppendCommandStrings(nil, args...)))
}

func scriptFiles(t testing.TB) []string {
	files, err := filepath.Glob("../../testdata/differential/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

// unitNames are the commands queued in MULTI, whose replies come with EXEC.
type unitNames []string

func (u *unitNames) follow(name string, reply []byte) {
	switch {
	case string(reply) == "+QUEUED\r\n":
		*u = append(*u, name)
	case name == "exec", name == "discard", name == "reset":
		*u = nil
	}
}

// normal applies the exceptions, to the parts of EXEC's reply one by one.
func (u *unitNames) normal(name string, reply []byte) []byte {
	head, rest, _ := bytes.Cut(reply, []byte("\r\n"))
	if name != "exec" || string(head) != fmt.Sprintf("*%d", len(*u)) {
		return normal(name, reply)
	}
	out := append([]byte(nil), head...)
	for _, part := range *u {
		n, err := resp.ReplyLen(rest)
		if err != nil || n == 0 {
			return reply
		}
		out, rest = append(out, normal(part, rest[:n])...), rest[n:]
	}
	return out
}
