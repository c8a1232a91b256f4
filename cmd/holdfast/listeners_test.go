package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/backend/resp"
	"holdfast/fallback"
)

// A client over TLS has everything that others have: large values, pipelines,
// subscriptions, and its connection through an outage.
func TestClientsOverTLS(t *testing.T) {
	srv, p := online(t, func(s *proxySettings) { s.tls = selfSigned(t) })
	ctx := context.Background()
	c := redis.NewClient(&redis.Options{Addr: p.addr(), TLSConfig: &tls.Config{InsecureSkipVerify: true}, MaxRetries: -1, PoolSize: 2})
	t.Cleanup(func() { _ = c.Close() })
	large := strings.Repeat("x", 300_000)
	cmds, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for range 20 {
			pipe.Set(ctx, "aiclient:large", large, 0)
			pipe.Get(ctx, "aiclient:large")
		}
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, large, cmds[39].(*redis.StringCmd).Val())
	sub := c.Subscribe(ctx, "news")
	t.Cleanup(func() { _ = sub.Close() })
	_, err = sub.Receive(ctx)
	require.NoError(t, err)
	require.NoError(t, directClient(t, srv).Publish(ctx, "news", "hello").Err())
	msg, err := sub.ReceiveMessage(ctx)
	require.NoError(t, err)
	assert.Equal(t, "hello", msg.Payload)
	srv.Kill()
	p.awaitMode(fallback.Offline)
	assert.Equal(t, large, c.Get(ctx, "aiclient:large").Val())
	require.NoError(t, c.Set(ctx, "aiclient:large", "1", 0).Err())
	host, port, _ := net.SplitHostPort(p.addr())
	out, err := exec.Command("redis-cli", "--tls", "--insecure", "-h", host, "-p", port, "GET", "aiclient:large").CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, "1", strings.TrimSpace(string(out)))
}

// A client that does not read its replies holds up nobody else.
func TestClientThatDoesNotReadHarmsNobody(t *testing.T) {
	_, p := online(t)
	c := p.client()
	ctx := context.Background()
	require.NoError(t, c.Set(ctx, "big", strings.Repeat("x", 1<<20), 0).Err())
	stuck, err := net.Dial("tcp", p.addr())
	require.NoError(t, err)
	defer stuck.Close()
	_, err = stuck.Write([]byte(strings.Repeat("*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n", 64)))
	require.NoError(t, err)
	redistest.Eventually(t, patience, "its replies fill the socket", func() bool { return p.st.server.Clients() >= 2 })
	for range 200 {
		require.NoError(t, c.Incr(ctx, "n").Err())
	}
	assert.EqualValues(t, 1<<20, c.StrLen(ctx, "big").Val())
}

// A client that reads nothing, and whose commands wait for that, does not keep the
// proxy from stopping.
func TestStopWithAStuckClient(t *testing.T) {
	srv, p := online(t)
	c := dialRaw(t, p.addr())
	c.do("HELLO", "3")
	c.do("SUBSCRIBE", "news")
	d := directClient(t, srv)
	big := strings.Repeat("x", 1<<20)
	for range 16 {
		require.NoError(t, d.Publish(context.Background(), "news", big).Err())
	}
	for range 100 {
		_, err := c.conn.Write(resp.AppendCommandStrings(nil, "CLIENT", "GETNAME"))
		require.NoError(t, err)
	}
	time.Sleep(100 * time.Millisecond)
	start := time.Now()
	p.stop()
	assert.Less(t, time.Since(start), 15*time.Second)
}

// What a client sends while it blocks is read ahead only so far, and all answered.
func TestWhatIsReadAheadIsBounded(t *testing.T) {
	srv, p := online(t)
	c := dialRaw(t, p.addr())
	c.send("BLPOP", "queue", "0")
	awaitBlocked(t, srv, 1)
	const n = 60
	set := resp.AppendCommandStrings(nil, "SET", "big", strings.Repeat("x", 2<<20))
	var sent atomic.Int64
	done := make(chan error, 1)
	go func() {
		for range n {
			if _, err := c.conn.Write(set); err != nil {
				done <- err
				return
			}
			sent.Add(1)
		}
		done <- nil
	}()
	last := int64(-1)
	redistest.Eventually(t, patience, "it is held up", func() bool {
		time.Sleep(300 * time.Millisecond)
		before := last
		last = sent.Load()
		return before == last
	})
	assert.Less(t, last, int64(n/2))
	require.NoError(t, directClient(t, srv).RPush(context.Background(), "queue", "v").Err())
	assert.Contains(t, string(c.next()), "queue")
	for range n {
		assert.Equal(t, "+OK\r\n", string(c.next()))
	}
	require.NoError(t, <-done)
}

// Messages for a subscriber that does not read are bounded in bytes, and in the end
// it is closed, as Redis does.
func TestEmbeddedSubscriberThatDoesNotReadIsClosed(t *testing.T) {
	p := startProxy(t, "")
	stuck := dialRaw(t, p.addr())
	stuck.do("SUBSCRIBE", "news")
	c := p.client()
	big := strings.Repeat("x", 1<<20)
	heard := 0
	for range 100 {
		n, err := c.Publish(context.Background(), "news", big).Result()
		require.NoError(t, err)
		heard += int(n)
	}
	assert.Less(t, heard, 60)
	redistest.Eventually(t, patience, "closed", func() bool { return p.st.server.Clients() == 1 })
}

func selfSigned(t *testing.T) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
