package main

import (
	"context"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

func TestEmbeddedPubSub(t *testing.T) {
	p := startProxy(t, "")
	for _, proto := range []string{"2", "3"} {
		sub, pub := dialRaw(t, p.addr()), dialRaw(t, p.addr())
		sub.do("HELLO", proto)
		push := map[string]string{"2": "*", "3": ">"}[proto]
		assert.Equal(t, push+"3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", sub.do("SUBSCRIBE", "a"))
		assert.Equal(t, push+"3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:2\r\n", sub.do("PSUBSCRIBE", "a*"))
		assert.Equal(t, ":2\r\n", pub.do("PUBLISH", "a", "hi"))
		assert.Equal(t, push+"3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n", string(sub.next()))
		assert.Equal(t, push+"4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$1\r\na\r\n$2\r\nhi\r\n", string(sub.next()))
		assert.Equal(t, "*2\r\n$1\r\na\r\n:1\r\n", pub.do("PUBSUB", "NUMSUB", "a"))
		if proto == "2" {
			assert.Contains(t, sub.do("GET", "x"), "-ERR Can't execute 'get'")
		} else {
			assert.Equal(t, "_\r\n", sub.do("GET", "x"))
		}
		sub.do("UNSUBSCRIBE", "a")
		sub.do("PUNSUBSCRIBE")
		assert.Equal(t, ":0\r\n", pub.do("PUBLISH", "a", "nobody"))
		assert.Equal(t, "+OK\r\n", sub.do("SET", "x"+proto, "1"))
	}
}

func TestEmbeddedBlockingCommands(t *testing.T) {
	p := startProxy(t, "")
	c, w := dialRaw(t, p.addr()), dialRaw(t, p.addr())
	assert.Equal(t, "*-1\r\n", c.do("BLPOP", "q", "0.01"))
	c.send("BLPOP", "q", "0")
	w.do("RPUSH", "other", "x")
	assert.Equal(t, ":1\r\n", w.do("RPUSH", "q", "v"))
	assert.Equal(t, "*2\r\n$1\r\nq\r\n$1\r\nv\r\n", string(c.next()))
	assert.Equal(t, ":0\r\n", w.do("LLEN", "q"))
	c.send("BZPOPMIN", "z", "0")
	w.do("ZADD", "z", "1", "m")
	assert.Contains(t, string(c.next()), "m")
	c.send("BLMOVE", "q", "dst", "LEFT", "LEFT", "0")
	w.do("RPUSH", "q", "moved")
	assert.Equal(t, "$5\r\nmoved\r\n", string(c.next()))
	c.send("XREAD", "BLOCK", "0", "STREAMS", "s", "$")
	redistest.Eventually(t, patience, "the reader waits", func() bool {
		w.do("XADD", "s", "*", "f", "v")
		_ = c.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, _ := c.conn.Read(c.tmp)
		c.buf = append(c.buf, c.tmp[:n]...)
		return n > 0
	})
	assert.Contains(t, string(c.next()), "$1\r\nf\r\n")
	c.send("BLPOP", "never", "0")
	require.NoError(t, c.conn.Close())
	redistest.Eventually(t, patience, "client forgotten", func() bool { return p.st.server.Clients() == 1 })
}

func TestEmbeddedClientSideCache(t *testing.T) {
	ctx := context.Background()
	p := startProxy(t, "")
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{p.addr()}, ForceSingleClient: true})
	require.NoError(t, err)
	defer c.Close()
	w := p.client()
	for i := range 20 {
		require.NoError(t, w.Set(ctx, "k", i, 0).Err())
		redistest.Eventually(t, patience, "the write is seen", func() bool {
			n, err := c.DoCache(ctx, c.B().Get().Key("k").Cache(), time.Minute).AsInt64()
			return err == nil && n == int64(i)
		})
	}
	assert.True(t, c.DoCache(ctx, c.B().Get().Key("k").Cache(), time.Minute).IsCacheHit())
}

func TestEmbeddedAnswersWhatClientsAskAtConnect(t *testing.T) {
	p := startProxy(t, "")
	c := dialRaw(t, p.addr())
	assert.Equal(t, "*2\r\n$9\r\ndatabases\r\n$2\r\n16\r\n", c.do("CONFIG", "GET", "databases"))
	assert.Equal(t, "*0\r\n", c.do("CONFIG", "GET", "nosuch"))
	assert.Contains(t, c.do("INFO"), "loading:0")
	assert.Contains(t, c.do("HELLO", "3"), "7.0.15")
	assert.Contains(t, c.do("COMMAND", "DOCS", "get"), "summary")
	assert.Contains(t, c.do("CLIENT", "LIST"), "id=")
	assert.Equal(t, "+OK\r\n", c.do("CLIENT", "SETINFO", "lib-name", "x"))
	assert.Contains(t, c.do("DEBUG", "SLEEP", "0"), "-ERR DEBUG command not allowed")
	assert.Contains(t, c.do("NOSUCH"), "-ERR unknown command 'NOSUCH'")
}
