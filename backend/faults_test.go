package backend

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// faultProxy puts a network with faults between the test and addr.
func faultProxy(t *testing.T, addr string) *toxiproxy.Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", addr)
	require.NoError(t, p.Start())
	t.Cleanup(p.Stop)
	return p
}

func toxic(t *testing.T, p *toxiproxy.Proxy, kind, stream, attributes string) {
	t.Helper()
	_, err := p.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"attributes":%s}`, kind+stream, kind, stream, attributes)))
	require.NoError(t, err)
}

// clients runs n counting clients while during runs, then checks that every
// counter holds what the outcomes say, and nothing of what was "not sent".
func clients(t *testing.T, u *Upstream, addr string, n int, during func()) []*client {
	t.Helper()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	cls := make([]*client, n)
	for i := range cls {
		cls[i] = &client{key: fmt.Sprintf("counter:%d", i)}
		wg.Go(func() { cls[i].run(u, stop) })
	}
	during()
	close(stop)
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(2 * bound):
		t.Fatal("a call has no outcome")
	}
	for _, cl := range cls {
		require.NoError(t, cl.failure)
		require.Zero(t, cl.otherOutcomes)
	}
	if addr == "" {
		return cls
	}
	for _, cl := range cls {
		v := direct(t, addr, []string{"INCRBY", cl.key, "0"})[0].Int
		require.GreaterOrEqual(t, v, cl.acked, cl.key)
		require.LessOrEqual(t, v, cl.acked+cl.unknown, "%s: unsent calls must not be applied", cl.key)
	}
	return cls
}

func waitFor(t *testing.T, what string, ok func() bool) { redistest.Eventually(t, bound, what, ok) }

func TestOutcomesOverCutLinks(t *testing.T) {
	srv := redistest.Start(t)
	p := faultProxy(t, srv.Addr())
	ev := &recorder{}
	u := runUp(t, Config{URL: "redis://" + p.Listen}, ev)
	toxic(t, p, "slicer", "upstream", `{"average_size":30,"size_variation":20,"delay":10}`)
	toxic(t, p, "slicer", "downstream", `{"average_size":5,"size_variation":3,"delay":10}`)
	clients(t, u, srv.Addr(), 20, func() {
		for i := range 5 {
			waitUp(t, u)
			// Each link answers before it is cut, however slow the machine.
			waitFor(t, "an answer", func() bool {
				return u.Do(2, 0, &Call{Payload: []byte("*1\r\n$4\r\nPING\r\n"), N: 1}) == nil
			})
			before := u.Status().LastConnectedAt
			p.Stop() // closes every connection
			waitFor(t, "loss", func() bool { return ev.losts.Load() > int64(i) })
			// Another process may hold the port for a moment, as the near end of
			// a connection of its own.
			waitFor(t, "the network is back", func() bool { return p.Start() == nil })
			waitFor(t, "up again", func() bool { return u.Up() && u.Status().LastConnectedAt != before })
		}
	})
	waitFor(t, "reconnects counted", func() bool { return u.Status().Reconnects >= 5 })
}

func TestOutcomesOverKilledServers(t *testing.T) {
	// The append-only file lives in the page cache, which outlives SIGKILL.
	srv := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	ev := &recorder{}
	u := runUp(t, Config{URL: srv.URL()}, ev)
	runIDs := map[string]bool{u.Status().Info.RunID: true}
	clients(t, u, srv.Addr(), 20, func() {
		for range 2 {
			losts := ev.losts.Load()
			srv.Kill()
			waitFor(t, "loss", func() bool { return ev.losts.Load() > losts && !u.Up() })
			srv.Start()
			waitUp(t, u)
			runIDs[u.Status().Info.RunID] = true
		}
	})
	require.Len(t, runIDs, 3)
}

func TestHungServerIsNoticedAndComesBack(t *testing.T) {
	srv := redistest.Start(t)
	ev := &recorder{}
	u := runUp(t, Config{URL: srv.URL(), CommandTimeout: 500 * time.Millisecond}, ev)
	cls := clients(t, u, srv.Addr(), 10, func() {
		waitFor(t, "trunk in use", func() bool { g := u.live.Load(); return g != nil && len(*g.trunks.Load()) == 1 })
		srv.Hang()
		waitFor(t, "loss", func() bool { return ev.losts.Load() > 0 })
		srv.Resume()
		waitUp(t, u)
	})
	var unknown int64
	for _, cl := range cls {
		unknown += cl.unknown
	}
	require.NotZero(t, unknown)
	require.True(t, u.Status().Info.StaleKilled)
}

func TestHalfOpenLinkIsNoticed(t *testing.T) {
	srv := redistest.Start(t)
	p := faultProxy(t, srv.Addr())
	ev := &recorder{}
	u := runUp(t, Config{URL: "redis://" + p.Listen, CommandTimeout: 500 * time.Millisecond, ConnectTimeout: time.Second}, ev)
	s, err := u.OpenSession(context.Background(), 2, 0)
	require.NoError(t, err)
	toxic(t, p, "timeout", "downstream", `{"timeout":0}`)
	waitFor(t, "loss without any traffic of clients", func() bool { return ev.losts.Load() == 1 })
	_, err = s.Conn().Read(make([]byte, 1))
	require.Error(t, err, "sessions end with the link")
	<-s.Lost()
	_, err = u.OpenSession(context.Background(), 2, 0)
	require.ErrorIs(t, err, ErrDown)
	p.Toxics.ResetToxics(context.Background())
	waitUp(t, u)
}

func TestSlowLargeTransferIsNotATimeout(t *testing.T) {
	srv := redistest.Start(t)
	p := faultProxy(t, srv.Addr())
	ev := &recorder{}
	u := runUp(t, Config{URL: "redis://" + p.Listen, CommandTimeout: time.Second, PingInterval: bound}, ev)
	direct(t, srv.Addr(), []string{"SET", "big", strings.Repeat("v", 4<<20)})
	require.Equal(t, "$-1\r\n", do(t, u, "GET", "none"))
	toxic(t, p, "bandwidth", "downstream", `{"rate":2000}`)
	c := call("GET", "big")
	require.NoError(t, u.Do(2, 0, c))
	require.Greater(t, len(c.Replies), 4<<20)
	require.Zero(t, ev.losts.Load())
}

func TestInvalidationsOfForeignWriters(t *testing.T) {
	srv := redistest.Start(t)
	ev := &recorder{}
	u := runUp(t, Config{URL: srv.URL(), TrackPrefixes: []string{"a:", "b:"}}, ev)
	require.True(t, u.Status().Info.Coherent)
	direct(t, srv.Addr(), []string{"SET", "c:1", "x"}, []string{"SET", "a:1", "x"}, []string{"MSET", "b:1", "x", "b:2", "y"})
	waitFor(t, "keys", func() bool { return ev.saw("a:1") && ev.saw("b:1") && ev.saw("b:2") })
	require.False(t, ev.saw("c:1"))
	direct(t, srv.Addr(), []string{"FLUSHALL"})
	waitFor(t, "null push", func() bool { return ev.flushes.Load() > 0 })
	require.Equal(t, "+OK\r\n", do(t, u, "SET", "a:own", "x"))
	waitFor(t, "our own writes are announced too", func() bool { return ev.saw("a:own") })
}

func TestOldConnectionsAreKilledBeforeConnected(t *testing.T) {
	srv := redistest.Start(t)
	p := faultProxy(t, srv.Addr())
	var mu sync.Mutex
	var left []string
	oldID := ""
	ev := &recorder{onConnect: func(ctx context.Context, info Info, dial func(context.Context) (net.Conn, error)) error {
		mu.Lock()
		defer mu.Unlock()
		if oldID == "" {
			return nil
		}
		nc, err := dial(ctx)
		if err != nil {
			return err
		}
		defer nc.Close()
		if _, err := io.WriteString(nc, "CLIENT LIST\r\n"); err != nil {
			return err
		}
		buf := make([]byte, 64<<10)
		n, err := nc.Read(buf)
		if strings.Contains(string(buf[:n]), "id="+oldID+" ") {
			left = append(left, oldID)
		}
		return err
	}}
	u := runUp(t, Config{URL: "redis://" + p.Listen, CommandTimeout: 500 * time.Millisecond, ConnectTimeout: time.Second}, ev)
	id := strings.Trim(do(t, u, "CLIENT", "ID"), ":\r\n")
	mu.Lock()
	oldID = id
	mu.Unlock()
	// The way to the server is cut, so it does not learn that we hang up.
	toxic(t, p, "timeout", "upstream", `{"timeout":0}`)
	waitFor(t, "loss", func() bool { return ev.losts.Load() == 1 })
	require.NoError(t, p.Toxics.RemoveToxic(context.Background(), "timeoutupstream"))
	waitUp(t, u)
	mu.Lock()
	defer mu.Unlock()
	require.Empty(t, left)
	require.True(t, u.Status().Info.StaleKilled)
}

func TestServerThatLoadsIsNotUp(t *testing.T) {
	srv := redistest.Start(t, "--loading-process-events-interval-bytes", "1024", "--enable-debug-command", "yes")
	direct(t, srv.Addr(), []string{"DEBUG", "POPULATE", "3000", "key", "100"}, []string{"SAVE"})
	require.FileExists(t, srv.Dir()+"/dump.rdb")
	ev := &recorder{}
	u := runUp(t, Config{URL: srv.URL()}, ev)
	// 3,000 keys at 10 ms: it loads for half a minute, and says so.
	direct(t, srv.Addr(), []string{"CONFIG", "SET", "key-load-delay", "10000"})
	nc, err := net.Dial("tcp", srv.Addr())
	require.NoError(t, err)
	defer nc.Close()
	_, err = io.WriteString(nc, "DEBUG RELOAD NOSAVE\r\n")
	require.NoError(t, err)
	waitFor(t, "loss", func() bool { return ev.losts.Load() > 0 })
	require.Equal(t, int64(1), ev.ups.Load())
	require.False(t, u.Up())
}

func TestFailedConnectedIsTriedAgain(t *testing.T) {
	srv := redistest.Start(t)
	ev := &recorder{}
	ev.onConnect = func(context.Context, Info, func(context.Context) (net.Conn, error)) error {
		if ev.connected.Load() < 3 {
			return io.ErrShortWrite
		}
		return nil
	}
	u := runUp(t, Config{URL: srv.URL()}, ev)
	require.EqualValues(t, 3, ev.connected.Load())
	require.EqualValues(t, 1, ev.ups.Load())
	require.Zero(t, ev.losts.Load(), "Lost answers Up only")
	require.ErrorContains(t, fmt.Errorf("%s", u.Status().LastError), "short write")
}

// What the mirror and the replay need is refused as what a client needs is.
func TestRefusedCredentialsOfEventsEndTheLink(t *testing.T) {
	srv := redistest.Start(t)
	dials := make(chan func(context.Context) (net.Conn, error), 1)
	ev := &recorder{onConnect: func(_ context.Context, _ Info, dial func(context.Context) (net.Conn, error)) error {
		dials <- dial
		return nil
	}}
	u := runUp(t, Config{URL: srv.URL()}, ev)
	direct(t, srv.Addr(), []string{"CONFIG", "SET", "requirepass", "other"})
	_, err := (<-dials)(context.Background())
	require.ErrorIs(t, err, ErrAuth)
	waitFor(t, "loss", func() bool { return ev.losts.Load() == 1 })
	require.ErrorIs(t, ev.errs[0], ErrAuth)
	direct(t, srv.Addr(), []string{"AUTH", "other"}, []string{"CONFIG", "SET", "requirepass", ""})
	waitUp(t, u)
}
