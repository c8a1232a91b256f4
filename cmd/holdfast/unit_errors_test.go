package main

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// A unit of which Redis refused a command says why, as Redis does: at the command, and in
// EXECABORT where that was queued before it would have been refused.
func TestUnitsSayWhyTheyWereRefused(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	d := directClient(t, srv)
	require.NoError(t, d.Do(ctx, "ACL", "SETUSER", "app", "on", ">pw", "~app:*", "~{holdfast}:*", "&*", "+@all", "-getdel", "-getset").Err())
	p := startProxy(t, "redis://app:pw@"+srv.Addr())
	p.awaitMode(fallback.Online)
	require.NoError(t, d.Set(ctx, "app:held", strings.Repeat("x", 1000), 0).Err())
	for _, x := range []struct {
		param, value, undo string
		units              [][][]string
	}{
		{"", "", "", [][][]string{
			{{"SET", "app:k", "1"}, {"SET", "other", "1"}, {"GET", "app:k"}},
			{{"INCR", "app:n"}, {"GETDEL", "app:k"}, {"INCR", "app:n"}, {"GETSET", "app:k", "2"}},
			{{"GET", "other"}}, {{"GET", "app:k"}, {"GET", "other"}}, {{"DBSIZE"}, {"GET", "other"}, {"KEYS", "app:*"}},
		}},
		{"maxmemory", "1", "0", [][][]string{{{"GET", "app:held"}, {"SET", "app:k", "1"}}, {{"INCR", "app:n"}, {"LPUSH", "app:l", "1"}, {"STRLEN", "app:held"}}}},
		{"min-replicas-to-write", "1", "0", [][][]string{{{"GET", "app:held"}, {"SET", "app:k", "1"}}, {{"INCR", "app:n"}, {"DEL", "app:k"}}}},
	} {
		if x.param != "" {
			require.NoError(t, d.ConfigSet(ctx, x.param, x.value).Err())
		}
		for _, unit := range x.units {
			unit = append(append([][]string{{"MULTI"}}, unit...), []string{"EXEC"})
			pipelined := func(addr string) (replies []string) {
				c := dialRaw(t, addr)
				if addr == srv.Addr() {
					c.do("AUTH", "app", "pw")
				}
				_, err := c.conn.Write(append(encodeAll([][]string{{"ECHO", "before"}}), append(encodeAll(unit), encodeAll([][]string{{"ECHO", "after"}})...)...))
				require.NoError(t, err)
				for range len(unit) + 2 {
					replies = append(replies, string(c.next()))
				}
				return replies
			}
			assert.Equal(t, pipelined(srv.Addr()), pipelined(p.addr()), "%v", unit)

			stepwise := func(addr string) (replies []string) {
				c := dialRaw(t, addr)
				if addr == srv.Addr() {
					c.do("AUTH", "app", "pw")
				}
				for _, cmd := range append(unit, []string{"PING"}) {
					replies = append(replies, c.do(cmd...))
				}
				return replies
			}
			assert.Equal(t, stepwise(srv.Addr()), stepwise(p.addr()), "%v", unit)
		}
		if x.param != "" {
			require.NoError(t, d.ConfigSet(ctx, x.param, x.undo).Err())
		}
	}
	c, two := dialRaw(t, p.addr()), dialRaw(t, p.addr())
	for _, args := range [][]string{{"MULTI"}, {"SET", "app:k", "1"}} { // refused after it was queued
		assert.NotContains(t, c.do(args...), "-")
	}
	require.NoError(t, d.ConfigSet(ctx, "min-replicas-to-write", "1").Err())
	assert.Equal(t, "-EXECABORT Transaction discarded because of: NOREPLICAS Not enough good replicas to write.\r\n", c.do("EXEC"))
	c.do("MULTI")
	assert.Contains(t, c.do("SET", "app:k", "2"), "-NOREPLICAS ")
	_, err := c.conn.Write(encodeAll([][]string{{"GET", "app:k"}, {"EXEC"}, {"PING"}})) // the rest as a pipeline
	require.NoError(t, err)
	for _, want := range []string{"+QUEUED", "-EXECABORT Transaction discarded because of previous errors.", "+PONG"} {
		assert.Equal(t, want+"\r\n", string(c.next()))
	}
	require.NoError(t, d.ConfigSet(ctx, "min-replicas-to-write", "0").Err())
	two.do("MULTI")
	two.do("INCR", "app:n")
	two.do("INCR", "app:n")
	assert.Equal(t, "*2\r\n:1\r\n:2\r\n", two.do("EXEC"), "asked for, and executed once")

	// Without the right to MULTI, what is asked for is never executed.
	require.NoError(t, d.Do(ctx, "ACL", "SETUSER", "app", "-multi").Err())
	for range 3 {
		two.do("MULTI")
		two.do("INCR", "app:n")
		two.do("DISCARD")
	}
	assert.Equal(t, "2", d.Get(ctx, "app:n").Val())
	require.NoError(t, d.Do(ctx, "ACL", "SETUSER", "app", "+multi").Err())
	// A unit that only reads is executed though memory has run out since it was queued.
	for _, args := range [][]string{{"MULTI"}, {"STRLEN", "app:held"}, {"PING"}, {"GET", "app:none"}} {
		assert.NotContains(t, two.do(args...), "-")
	}
	require.NoError(t, d.ConfigSet(ctx, "maxmemory", "1").Err())
	assert.Equal(t, "*3\r\n:1000\r\n+PONG\r\n$-1\r\n", two.do("EXEC"))
	require.NoError(t, d.ConfigSet(ctx, "maxmemory", "0").Err())
	for _, args := range [][]string{{"MULTI"}, {"SET", "app:k", "1"}, {"EXEC"}} {
		assert.NotContains(t, c.do(args...), "-")
	}
}

// Replies that wait for EXEC keep their place, whatever ends the unit.
func TestHeldRepliesKeepTheirPlace(t *testing.T) {
	p := startPair(t)
	for _, cmds := range [][][]string{
		{{"MULTI"}, {"SET", "k", "1"}},
		{{"MULTI"}, {"SET", "k", "1"}, {"DISCARD"}, {"GET", "k"}},
		{{"GET", "k"}, {"MULTI"}, {"INCR", "k"}, {"MULTI"}, {"EXEC"}, {"GET", "k"}},
		{{"MULTI"}, {"NOPE"}, {"SET", "k", "1"}, {"EXEC"}, {"PING"}},
		{{"MULTI"}, {"GET"}, {"EXEC"}, {"MULTI"}, {"EXEC"}, {"EXEC"}},
		{{"MULTI"}, {"SET", "k", "1"}, {"WATCH", "k"}, {"EXEC"}, {"PING"}},
		{{"MULTI"}, {"SET", "k", "1"}, {"RESET"}, {"PING"}},
		{{"MULTI"}, {"SET", "k", "1"}, {"QUIT"}},
		{{"MULTI"}, {"CLIENT", "SETNAME", "x"}, {"SET", "k", "1"}, {"EXEC"}, {"CLIENT", "GETNAME"}},
		{{"CLIENT", "REPLY", "SKIP"}, {"MULTI"}, {"SET", "k", "2"}, {"EXEC"}, {"GET", "k"}},
		{{"CLIENT", "REPLY", "OFF"}, {"MULTI"}, {"SET", "k", "2"}, {"EXEC"}, {"CLIENT", "REPLY", "ON"}, {"GET", "k"}},
	} {
		p.reset()
		cmds = append(cmds, []string{"QUIT"})
		assert.Equal(t, string(transcript(t, p.direct, [][]byte{encodeAll(cmds)})), string(transcript(t, p.proxied, [][]byte{encodeAll(cmds)})), "%v", cmds)
	}
}
