package engine

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// conn is a connection to a real Redis that shows replies byte by byte.
type conn struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, addr string, proto int) *conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	cn := &conn{t: t, c: c, r: bufio.NewReader(c)}
	if proto == 3 {
		cn.do(toBytes([]string{"HELLO", "3"}))
	}
	return cn
}

func (c *conn) do(argv [][]byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(argv))
	for _, a := range argv {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	require.NoError(c.t, c.c.SetDeadline(time.Now().Add(20*time.Second)))
	_, err := c.c.Write(b.Bytes())
	require.NoError(c.t, err)
	return c.read()
}

func (c *conn) ask(args ...string) value {
	v, _ := parseReply(c.do(toBytes(args)))
	return v
}

// read reads one whole reply as it is.
func (c *conn) read() []byte {
	line, err := c.r.ReadBytes('\n')
	require.NoError(c.t, err)
	n, _ := strconv.Atoi(strings.TrimSpace(string(line[1:])))
	switch line[0] {
	case '$', '=':
		if n >= 0 {
			body := make([]byte, n+2)
			_, err = io.ReadFull(c.r, body)
			require.NoError(c.t, err)
			line = append(line, body...)
		}
	case '%', '*', '~', '>':
		if line[0] == '%' {
			n *= 2
		}
		for range max(n, 0) {
			line = append(line, c.read()...)
		}
	}
	return line
}

// state is everything in a Redis, in the form of state.
func (c *conn) state() string {
	var out []string
	keyspace := c.ask("INFO", "keyspace").str
	for db := range databases {
		if !strings.Contains(keyspace, fmt.Sprintf("db%d:", db)) {
			continue
		}
		c.ask("SELECT", strconv.Itoa(db))
		for _, key := range c.ask("KEYS", "*").flat() {
			out = append(out, describe(key, strconv.Itoa(db), c.ask))
		}
	}
	c.ask("SELECT", "0")
	return joinSorted(out)
}

// describe is one key: its type, deadline and value, without order where there
// is none.
func describe(key, db string, ask func(...string) value) string {
	kind := ask("TYPE", key).str
	var val string
	switch kind {
	case "string":
		v := ask("GET", key)
		val = strconv.Quote(v.str)
		if strings.HasPrefix(v.str, "HYLL") {
			val = fmt.Sprint("hll ", ask("PFCOUNT", key).num)
		}
	case "list":
		val = fmt.Sprintf("%q", ask("LRANGE", key, "0", "-1").flat())
	case "set":
		l := ask("SMEMBERS", key).flat()
		sort.Strings(l)
		val = fmt.Sprintf("%q", l)
	case "hash":
		val = fmt.Sprintf("%q", pairs(ask("HGETALL", key).flat()))
	case "zset":
		val = fmt.Sprintf("%q", ask("ZRANGE", key, "0", "-1", "WITHSCORES").flat())
	case "stream":
		val = render(timeless(ask("XINFO", "STREAM", key, "FULL", "COUNT", "0")))
	}
	return fmt.Sprintf("%s/%s %s until %d: %s", db, key, kind, ask("PEXPIRETIME", key).num, val)
}

// timeless is a reply about a stream without what depends on when it was asked, or
// on how a server lays out its memory.
func timeless(v value) value {
	for i := 0; i+1 < len(v.list); i++ {
		switch v.list[i].str {
		case "seen-time", "idle", "radix-tree-keys", "radix-tree-nodes":
			v.list[i+1] = value{}
		case "pending":
			for _, p := range v.list[i+1].list {
				p.list[len(p.list)-2] = value{} // delivery time
			}
		}
	}
	for i := range v.list {
		v.list[i] = timeless(v.list[i])
	}
	return v
}

func pairs(l []string) []string {
	var out []string
	for i := 0; i+1 < len(l); i += 2 {
		out = append(out, l[i]+"="+l[i+1])
	}
	sort.Strings(out)
	return out
}

func render(v value) string {
	if v.list == nil {
		return fmt.Sprintf("%c%d%q", v.kind, v.num, v.str)
	}
	var out []string
	for _, el := range v.list {
		out = append(out, render(el))
	}
	return "[" + strings.Join(out, " ") + "]"
}

func joinSorted(out []string) string {
	sort.Strings(out)
	return strings.Join(out, "\n")
}
