package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

func TestLocalAuthSpeaksLikeRedis(t *testing.T) {
	srv := redistest.Start(t, "--requirepass", "secret")
	p := startProxy(t, "redis://:secret@"+srv.Addr(), func(s *proxySettings) {
		s.password, s.users = "secret", map[string]string{"joe": "joespass"}
	})
	p.awaitMode(fallback.Online)
	direct, proxied := dialRaw(t, srv.Addr()), dialRaw(t, p.addr())
	for _, args := range [][]string{
		{"GET", "x"}, {"NOSUCH"}, {"GET"}, {"EXEC"}, {"MULTI"}, {"EXEC", "x"}, {"PING"}, {"HELLO"}, {"HELLO", "3"}, {"HELLO", "9"},
		{"AUTH", "wrong"}, {"AUTH", "default", "wrong"}, {"AUTH", "nosuch", "wrong"}, {"HELLO", "2", "AUTH", "default", "wrong"},
		{"SUBSCRIBE", "c"}, {"BLPOP", "x", "0"}, {"CLIENT", "GETNAME"}, {"COMMAND", "COUNT"}, {"INFO"}, {"RESET"},
		{"AUTH", "secret"}, {"GET", "x"}, {"RESET"}, {"GET", "x"}, {"AUTH", "default", "secret"}, {"GET", "x"},
	} {
		assert.Equal(t, direct.do(args...), proxied.do(args...), "%q", args)
	}
	assert.Equal(t, "+OK\r\n", proxied.do("AUTH", "joe", "joespass"))
	assert.Contains(t, proxied.do("CLIENT", "INFO"), "user=joe")
	// The tight caps hold for each connection until it has authenticated.
	fresh, freshDirect := dialRaw(t, p.addr()), dialRaw(t, srv.Addr())
	huge := []byte("*1\r\n$20000\r\n")
	assert.Equal(t, string(freshDirect.ask(huge)), string(fresh.ask(huge)))
	assert.Equal(t, "+OK\r\n", proxied.do("SET", "big", strings.Repeat("x", 20000)))
	assert.NotContains(t, p.logs.String(), "secret")
}

func TestMaxClientsIdleAndUnixListener(t *testing.T) {
	_, p := online(t, func(s *proxySettings) {
		s.maxClients, s.idleTimeout = 2, 300*time.Millisecond
		s.listen = append(s.listen, "unix:"+filepath.Join(t.TempDir(), "s"))
	})
	conn, err := net.Dial("unix", p.st.server.Addrs()[1].String())
	require.NoError(t, err)
	defer conn.Close()
	sub := dialRaw(t, p.addr())
	sub.do("SUBSCRIBE", "quiet")
	third := dialRaw(t, p.addr())
	assert.Equal(t, "-ERR max number of clients reached\r\n", string(third.next()))
	redistest.Eventually(t, patience, "the idle client is closed, the subscriber is not", func() bool { return p.st.server.Clients() == 1 })
	assert.Equal(t, "*2\r\n$4\r\npong\r\n$0\r\n\r\n", sub.do("PING"))
	assert.Contains(t, fmt.Sprint(p.st.server.Describe()), "unix:")
}
