package proxy

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/redistest"
	"holdfast/fallback"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, // a stopped toxiproxy leaves some of its own behind
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"))
}

// patience is how long a test waits for something that ought to happen soon.
const patience = 30 * time.Second

// onlineLocal is a local state that never serves.
type onlineLocal struct{ Local }

func (onlineLocal) Mode() fallback.Mode                                        { return fallback.Online }
func (onlineLocal) Serving() bool                                              { return false }
func (onlineLocal) AwaitServing(time.Duration) error                           { return context.DeadlineExceeded }
func (onlineLocal) Ready(int, [][]byte) bool                                   { return true }
func (onlineLocal) Sending(int, []byte)                                        {}
func (onlineLocal) Sent(int, []byte)                                           {}
func (onlineLocal) Acked(int, [][][]byte, []byte, bool)                        {}
func (onlineLocal) Read(int, []byte)                                           {}
func (onlineLocal) Unlearn(int, [][]byte)                                      {}
func (onlineLocal) Takeovers() uint64                                          { return 0 }
func (onlineLocal) Unsure(int, []byte, uint64)                                 {}
func (onlineLocal) AckedOne(int, *command.Command, [][]byte, [][]byte, []byte) {}
func (onlineLocal) RememberScript([]byte, bool)                                {}
func (onlineLocal) Script(string) (string, bool)                               { return "", false }
func (onlineLocal) Alone() *fallback.Alone                                     { return nil }
func (onlineLocal) ForgetScripts()                                             {}
func (onlineLocal) Status() (s fallback.Status)                                { return s }
func (onlineLocal) Watch(int, [][]byte) (*fallback.Watch, error)               { return nil, fallback.ErrOnline }
func (onlineLocal) ReadHeld(dst []byte, _, _ int, _ *command.Command, _ [][]byte) ([]byte, bool) {
	return dst, false
}
func (onlineLocal) Do(fallback.Request) ([]byte, fallback.Pending, error) {
	return nil, fallback.Pending{}, fallback.ErrOnline
}

// events joins the server's cache to its upstream.
type events struct{ s atomic.Pointer[Server] }

func (*events) Up()            {}
func (*events) Time(time.Time) {}
func (e *events) Lost(error)   { e.s.Load().Lost() }
func (e *events) Invalidate(keys [][]byte) {
	e.s.Load().Invalidate(keys)
}
func (*events) Connected(context.Context, backend.Info, func(context.Context) (net.Conn, error)) error {
	return nil
}

// startServer runs a proxy without local state in front of the Redis at url.
// wrap, if not nil, stands between it and its upstream.
func startServer(t *testing.T, url string, wrap func(Upstream) Upstream, set ...func(*backend.Config)) *Server {
	t.Helper()
	return startServerWith(t, url, onlineLocal{}, wrap, set...)
}

func startServerWith(t *testing.T, url string, local Local, wrap func(Upstream) Upstream, set ...func(*backend.Config)) *Server {
	t.Helper()
	bc := backend.Config{URL: url, CommandTimeout: patience}
	for _, f := range set {
		f(&bc)
	}
	u, err := backend.Open(bc)
	require.NoError(t, err)
	cfg := Config{Listen: []string{"127.0.0.1:0"}, Upstream: u, Local: local, CommandTimeout: bc.CommandTimeout, TouchEvery: 300 * time.Millisecond}
	if wrap != nil {
		cfg.Upstream = wrap(u)
	}
	s, err := Open(cfg)
	require.NoError(t, err)
	ev := &events{}
	ev.s.Store(s)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = u.Run(ctx, ev) })
	wg.Go(func() { _ = s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		_ = u.Close()
	})
	redistest.Eventually(t, patience, "upstream", u.Up)
	return s
}

func redisClient(t *testing.T, addr string) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, ReadTimeout: patience, Protocol: 2, PoolSize: 1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}
