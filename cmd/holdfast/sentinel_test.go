package main

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/backend/resp"
	"holdfast/fallback"
)

// fakeSentinel names a master, whatever the servers themselves say.
type fakeSentinel struct {
	net.Listener
	master atomic.Pointer[string]
}

func startFakeSentinel(t *testing.T, master string) *fakeSentinel {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &fakeSentinel{Listener: ln}
	s.master.Store(&master)
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				rd := resp.NewReader(c)
				for {
					v, err := rd.ReadReply(nil)
					if err != nil {
						return
					}
					word := strings.ToLower(string(v.Elems[0].Str))
					switch word {
					case "sentinel":
						host, port, _ := net.SplitHostPort(*s.master.Load())
						_, _ = c.Write(resp.AppendBulkString(resp.AppendBulkString(resp.AppendArrayLen(nil, 2), host), port))
					case "hello":
						_, _ = io.WriteString(c, "-ERR unknown command 'HELLO'\r\n")
					default:
						_, _ = io.WriteString(c, "+OK\r\n")
					}
				}
			})
		}
	})
	return s
}

// All connections of a link go to the server that the first one went to, though
// Sentinel names another one meanwhile, or cannot be asked: two masters would
// answer one client in turns.
func TestALinkIsToOneServer(t *testing.T) {
	m1, m2 := redistest.Start(t), redistest.Start(t)
	sen := startFakeSentinel(t, m1.Addr())
	p := startProxy(t, "redis-sentinel://"+sen.Addr().String()+"/mymaster")
	p.awaitMode(fallback.Online)
	p.awaitMirror()
	c := p.client().Conn()
	defer c.Close()
	require.NoError(t, c.Set(bg, "aiclient:k", "1", 0).Err())
	require.NoError(t, directClient(t, m2).Set(bg, "aiclient:k", "1", 0).Err())
	a := m2.Addr()
	sen.master.Store(&a) // the old master is not demoted yet
	require.NoError(t, c.Set(bg, "aiclient:k", "2", 0).Err())
	require.NoError(t, c.Do(bg, "WATCH", "aiclient:k").Err())
	assert.Equal(t, "2", c.Get(bg, "aiclient:k").Val(), "its own write, over another connection")
	_ = sen.Close()
	other := p.client().Conn()
	defer other.Close()
	require.NoError(t, other.Do(bg, "SELECT", "1").Err())
	require.NoError(t, other.Set(bg, "k", "1", 0).Err(), "the first one in this database")
	assert.Equal(t, fallback.Online, p.st.store.Mode())
	assert.Equal(t, "1", other.Get(bg, "k").Val())
}
