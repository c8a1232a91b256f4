package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// group is some connections to one server, for CLIENT LIST and CLIENT KILL.
type group struct {
	t       *testing.T
	addr    string
	me      *rawConn
	ids     map[string]string
	members map[string]*rawConn
}

func newGroup(t *testing.T, addr string) *group {
	g := &group{t: t, addr: addr, ids: map[string]string{}, members: map[string]*rawConn{}}
	for _, name := range []string{"me", "a", "b", "sub"} {
		c := dialRaw(t, addr)
		require.Equal(t, "+OK\r\n", c.do("CLIENT", "SETNAME", name))
		g.ids[name] = strings.Trim(c.do("CLIENT", "ID"), ":\r\n")
		g.members[name] = c
	}
	g.me = g.members["me"]
	g.members["sub"].do("SUBSCRIBE", "ch")
	return g
}

// alive names the connections that are listed.
func (g *group) alive() (names []string) {
	list := g.members["me"].do("CLIENT", "LIST")
	for _, name := range []string{"a", "b", "sub"} {
		if strings.Contains(list, "name="+name+" ") {
			names = append(names, name)
		}
	}
	return names
}

// ask runs a command in which "id:x" and "addr:x" stand for those of connection x.
func (g *group) ask(args []string) string {
	out := append([]string(nil), args...)
	for i, a := range out {
		if name, ok := strings.CutPrefix(a, "id:"); ok {
			out[i] = g.ids[name]
		}
		if name, ok := strings.CutPrefix(a, "addr:"); ok {
			out[i] = g.members[name].conn.LocalAddr().String()
		}
		if a == "laddr" && i > 2 {
			out[i] = g.addr
		}
	}
	reply := g.me.do(out...)
	if !strings.HasPrefix(reply, "$") {
		return reply
	}
	names := []string{}
	for _, line := range strings.Split(reply, "\n") {
		_, rest, ok := strings.Cut(line, " name=")
		if name, _, _ := strings.Cut(rest, " "); ok && g.members[name] != nil {
			names = append(names, name)
		}
	}
	return fmt.Sprint(names)
}

// CLIENT KILL and CLIENT LIST take the filters that Redis takes, and mean the same by them.
func TestClientFiltersAreThoseOfRedis(t *testing.T) {
	srv := redistest.Start(t)
	p := startProxy(t, redistest.Start(t).URL())
	p.awaitMode(fallback.Online)
	for _, args := range [][]string{
		{"KILL", "ID", "id:a", "ID", "id:b"}, {"KILL", "ID", "id:a", "id:b"}, {"KILL", "ID", "id:a"}, {"KILL", "addr:a"}, {"KILL", "1.1.1.1:1"},
		{"KILL", "ADDR", "addr:b"}, {"KILL", "addr", "addr:b", "ID", "id:a"}, {"KILL", "ID", "id:a", "TYPE", "pubsub"}, {"KILL", "TYPE", "pubsub"},
		{"KILL", "TYPE", "pubsub", "ID", "id:sub"}, {"KILL", "TYPE", "master"}, {"KILL", "TYPE", "slave"}, {"KILL", "TYPE", "x"}, {"KILL", "TYPE"},
		{"KILL", "USER", "nobody"}, {"KILL", "USER", "default", "ID", "id:a"}, {"KILL", "ID", "id:me"}, {"KILL", "ID", "id:a", "SKIPME", "x"},
		{"KILL", "ID", "id:a", "SKIPME"}, {"KILL", "ID", "0"}, {"KILL", "ID", "x"}, {"KILL", "ID", "id:a", "FOO", "x"}, {"KILL", "MAXAGE", "100"},
		{"KILL", "LADDR", "laddr", "ID", "id:b"}, {"KILL", "LADDR", "1.1.1.1:1"}, {"KILL", "NOT-ID", "id:b"}, {"KILL"},
		{"LIST"}, {"LIST", "ID", "id:a", "id:b"}, {"LIST", "ID", "id:b"}, {"LIST", "ID"}, {"LIST", "ID", "x"}, {"LIST", "TYPE", "pubsub"}, {"LIST", "TYPE", "normal"},
		{"LIST", "TYPE", "replica"}, {"LIST", "TYPE", "x"}, {"LIST", "TYPE"}, {"LIST", "USER", "default"}, {"LIST", "FOO"}, {"LIST", "TYPE", "normal", "ID", "id:a"},
	} {
		direct, through := newGroup(t, srv.Addr()), newGroup(t, p.addr())
		argv := append([]string{"CLIENT"}, args...)
		assert.Equal(t, direct.ask(argv), through.ask(argv), "%q", argv)
		redistest.Eventually(t, patience, fmt.Sprintf("the same clients left after %q", argv), func() bool {
			return fmt.Sprint(direct.alive()) == fmt.Sprint(through.alive())
		})
		for _, g := range []*group{direct, through} {
			for _, c := range g.members {
				_ = c.conn.Close()
			}
		}
		redistest.Eventually(t, patience, "all gone", func() bool { return p.st.server.Clients() == 0 })
		watcher := dialRaw(t, srv.Addr())
		redistest.Eventually(t, patience, "all gone from Redis", func() bool {
			return !bytes.Contains([]byte(watcher.do("CLIENT", "LIST")), []byte("name=me "))
		})
	}
	c := dialRaw(t, p.addr())
	assert.Equal(t, "+OK\r\n", c.do("CLIENT", "KILL", c.conn.LocalAddr().String()), "who kills itself gets its answer")
}
