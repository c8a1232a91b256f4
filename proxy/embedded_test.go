package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/backend/resp"
	"holdfast/fallback"
)

// twins are a Redis and an embedded store that get the same commands. Connections have
// names.
type twins struct {
	t     *testing.T
	addrs [2]string
	conns map[string][2]*rawConn
}

func newTwins(t *testing.T) *twins {
	t.Helper()
	redis := redistest.Start(t)
	return &twins{t: t, addrs: [2]string{redis.Addr(), startEmbedded(t)}, conns: map[string][2]*rawConn{}}
}

// startEmbedded runs a proxy on an embedded store and gives its address.
func startEmbedded(t *testing.T) string {
	t.Helper()
	store, err := fallback.Open(fallback.Config{Dir: t.TempDir(), Embedded: true})
	require.NoError(t, err)
	s, err := Open(Config{Listen: []string{"127.0.0.1:0"}, Local: store})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		require.NoError(t, store.Close())
	})
	return s.Addrs()[0].String()
}

// on gives the pair of connections with a name.
func (w *twins) on(name string) [2]*rawConn {
	if _, ok := w.conns[name]; !ok {
		var pair [2]*rawConn
		for i, addr := range w.addrs {
			c, err := net.Dial("tcp", addr)
			require.NoError(w.t, err)
			w.t.Cleanup(func() { _ = c.Close() })
			pair[i] = &rawConn{t: w.t, c: c, r: bufio.NewReader(c)}
		}
		w.conns[name] = pair
	}
	return w.conns[name]
}

// same runs lines "name: COMMAND args…" on both and expects the same replies. With the
// name alone, what was pushed to that connection is read; "name> COMMAND" does not read,
// "name! COMMAND" does not compare.
func (w *twins) same(scene string) {
	w.t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(scene), "\n") {
		line = strings.TrimSpace(line)
		at := strings.IndexAny(line, ":>!")
		pair, words := w.on(line[:at]), strings.Fields(line[at+1:])
		var got [2]string
		for i, c := range pair {
			if len(words) > 0 {
				c.send(words...)
			}
			if line[at] != '>' {
				got[i] = string(c.read())
			}
		}
		if line[at] == '!' {
			continue
		}
		require.Equal(w.t, got[0], got[1], "%s\nin %s", line, scene)
	}
}

// rawConn shows replies byte by byte.
type rawConn struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

func (c *rawConn) send(words ...string) {
	_, err := c.c.Write(resp.AppendCommandStrings(nil, words...))
	require.NoError(c.t, err)
}

func (c *rawConn) do(words ...string) string {
	c.send(words...)
	return string(c.read())
}

func (c *rawConn) read() []byte {
	require.NoError(c.t, c.c.SetReadDeadline(time.Now().Add(patience)))
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

// TestMaxmemoryRefusesAsRedis compares what is refused when there is no memory left.
func TestMaxmemoryRefusesAsRedis(t *testing.T) {
	w := newTwins(t)
	w.same(fmt.Sprintf(`
		a: SET k v
		a: CONFIG SET maxmemory bla
		a: CONFIG SET maxmemory 1
		a: CONFIG GET maxmemory
		a: SET k w
		a: GET k
		a: DEL none
		a: LPUSH l 1
		a: EVAL %[1]s 1 k
		a: EVAL %[2]s 1 k
		a: EVAL %[3]s 1 k
		a: MULTI
		a: GET k
		a: EXEC
		a: MULTI
		a: DISCARD
		a: EXEC
		a: CONFIG SET maxmemory 0
		a: MULTI
		a: GET k
		a: SET k x
		b: CONFIG SET maxmemory 1
		a: EXEC
		b: CONFIG SET maxmemory 0
		a: MULTI
		a: GET k
		b: CONFIG SET maxmemory 1
		a: EXEC
		a: CONFIG SET maxmemory 100mb
		a: CONFIG GET maxmemory
		a: SET k y
		a: CONFIG SET maxmemory 0
		a: SET k z`,
		"redis.call('set',KEYS[1],'x')", "return{redis.call('get',KEYS[1]),redis.pcall('set',KEYS[1],'x')['err']}",
		"redis.call('del','none')redis.call('set',KEYS[1],'x')return(redis.call('get',KEYS[1]))"))
}

// TestInvalidationsComeInRedisMessages compares what is told in one message.
func TestInvalidationsComeInRedisMessages(t *testing.T) {
	w := newTwins(t)
	w.same(`
		b! HELLO 3
		b: CLIENT TRACKING on BCAST PREFIX a: PREFIX b:
		a: MULTI
		a: INCR a:1
		a: INCR a:2
		a: INCR b:1
		a: INCR c:1
		a: INCR b:1
		a: EXEC
		b:
		b:
		b: CLIENT TRACKING off
		b: CLIENT TRACKING on
		b: MGET x y z
		a: MSET y 1 x 2 q 3
		b:
		b:
		a: FLUSHALL
		b:
		b: PING`)
}

// TestScriptsTrackAsRedis compares whose keys are tracked by scripts, and what a client is
// told whose invalidations have nobody to go to.
func TestScriptsTrackAsRedis(t *testing.T) {
	w := newTwins(t)
	w.same(fmt.Sprintf(`
		a! HELLO 3
		a: CLIENT TRACKING on
		b: MSET k1 1 k2 1
		a: EVAL %[1]s 2 k1 k2
		b: MSET k2 2 k1 2
		a: PING
		a: EVAL %[2]s 2 k1 k2
		b: MSET k2 2 k1 2
		a:
		a:
		a: EVAL_RO %[3]s 2 k1 k2
		b: MSET k2 2 k1 2
		a: PING
		a: EVAL_RO %[2]s 2 k1 k2
		b: MSET k2 3 k1 3
		a:
		a:
		a: PING`, "redis.call('set','k3','x')", "redis.call('get','k1')", "redis.call('ping')"))
}
