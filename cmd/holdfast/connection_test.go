package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// aboutConnection are commands about the client's own connection, which need no Redis.
var aboutConnection = [][]string{
	{"PING"}, {"PING", "x"}, {"PING", "a", "b"}, {"ECHO", "x"}, {"ECHO"},
	{"SELECT", "1"}, {"SELECT", "15"}, {"SELECT", "16"}, {"SELECT", "19"}, {"SELECT", "20"}, {"SELECT", "abc"}, {"SELECT", "-1"}, {"SELECT", "0"},
	{"CLIENT", "GETNAME"}, {"CLIENT", "SETNAME", "a"}, {"CLIENT", "SETNAME", "a b"}, {"CLIENT", "GETNAME"}, {"CLIENT", "SETNAME", ""}, {"CLIENT", "GETNAME"},
	{"CLIENT", "NO-EVICT", "on"}, {"CLIENT", "NO-EVICT", "off"}, {"CLIENT", "NO-EVICT", "x"},
	{"CLIENT", "GETREDIR"}, {"CLIENT", "HELP"}, {"CLIENT"}, {"CLIENT", "NOPE"},
	{"CLIENT", "REPLY", "x"}, {"CLIENT", "REPLY", "on"}, {"CLIENT", "UNBLOCK", "999999"}, {"CLIENT", "UNBLOCK", "abc"}, {"CLIENT", "UNBLOCK", "1", "x"},
	{"CLIENT", "KILL", "1.1.1.1:1"}, {"CLIENT", "KILL", "ID", "999999"},
	{"HELLO", "1"}, {"HELLO", "abc"}, {"HELLO", "2", "X"},
	{"AUTH", "x"}, {"AUTH", "nobody", "x"}, {"AUTH", "default", "x"}, {"AUTH"}, {"AUTH", "a", "b", "c"},
	{"READONLY"}, {"READWRITE"}, {"ASKING"}, {"UNWATCH"}, {"DISCARD"}, {"EXEC"},
	{"MULTI"}, {"PING"}, {"ECHO", "x"}, {"PING", "y"}, {"CLIENT", "ID", "x"}, {"DISCARD"},
	{"MULTI"}, {"PING"}, {"ECHO", "x"}, {"PING", "y"}, {"EXEC"},
	{"RESET"}, {"CLIENT", "GETNAME"}, {"QUIT"},
}

// What belongs to the connection is answered in an outage as it is without one, and as
// Redis does.
func TestConnectionCommandsNeedNoRedis(t *testing.T) {
	srv := redistest.Start(t, "--databases", "20")
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	ask := func(addr, proto string) (replies []string) {
		c := dialRaw(t, addr)
		c.do("HELLO", proto)
		for _, cmd := range aboutConnection {
			replies = append(replies, fmt.Sprintf("RESP%s %q %q", proto, cmd, c.do(cmd...)))
		}
		return replies
	}
	redis := append(ask(srv.Addr(), "2"), ask(srv.Addr(), "3")...)
	online := append(ask(p.addr(), "2"), ask(p.addr(), "3")...)
	srv.Kill()
	p.awaitMode(fallback.Offline)
	offline := append(ask(p.addr(), "2"), ask(p.addr(), "3")...)
	for i := range redis {
		assert.Equal(t, redis[i], online[i], "online")
		assert.Equal(t, redis[i], offline[i], "in an outage")
	}
}
