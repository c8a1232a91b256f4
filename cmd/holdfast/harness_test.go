package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// binaryDir is where tests build the binary that they kill.
var binaryDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "holdfast-test-")
	if err != nil {
		panic(err)
	}
	binaryDir = dir
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// patience is how long a test waits for something that ought to happen soon.
const patience = 20 * time.Second

// running is a proxy in this process.
type running struct {
	t    *testing.T
	st   *stack
	logs *logBuffer
	stop func()
}

// logBuffer collects the log for failures and for the search for secrets.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// testSettings are those of a proxy on free ports in front of url.
func testSettings(t *testing.T, url string, logs *logBuffer) *proxySettings {
	return &proxySettings{
		listen: []string{"127.0.0.1:0"}, admin: "127.0.0.1:0", redisURL: url, dataDir: t.TempDir(),
		cacheBytes: 8 << 20, maxAge: time.Minute, prefix: "aiclient:", mirror: []string{"aiclient:"}, mirrorBytes: 64 << 20,
		policy: fallback.Speculative, journalBytes: 256 << 20, connectTimeout: 5 * time.Second, commandTimeout: time.Second,
		maxClients: 1000, fenceWrites: true, logger: slog.New(slog.NewTextHandler(logs, nil)),
	}
}

// startProxy runs a proxy in this process until the test ends.
func startProxy(t *testing.T, url string, change ...func(*proxySettings)) *running {
	t.Helper()
	logs := &logBuffer{}
	s := testSettings(t, url, logs)
	for _, f := range change {
		f(s)
	}
	return startWith(t, s, logs)
}

func startWith(t *testing.T, s *proxySettings, logs *logBuffer) *running {
	t.Helper()
	st, err := openStack(s)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- st.run(ctx) }()
	var once sync.Once
	r := &running{t: t, st: st, logs: logs}
	r.stop = func() {
		once.Do(func() {
			cancel()
			require.NoError(t, <-done)
			require.NoError(t, st.Close())
		})
	}
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("log of the proxy:\n%s", logs)
		}
	})
	return r
}

func (r *running) addr() string { return r.st.server.Addrs()[0].String() }

// client makes a go-redis client of the proxy that never retries by itself.
func (r *running) client(change ...func(*redis.Options)) *redis.Client {
	opts := &redis.Options{Addr: r.addr(), MaxRetries: -1, ReadTimeout: 10 * time.Second}
	for _, f := range change {
		f(opts)
	}
	c := redis.NewClient(opts)
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (r *running) awaitMode(m fallback.Mode) {
	r.t.Helper()
	redistest.Eventually(r.t, patience, "mode "+m.String(), func() bool {
		return r.st.store.Mode() == m && (m != fallback.Online || r.st.upstream.Up())
	})
}

func (r *running) awaitMirror() {
	r.t.Helper()
	redistest.Eventually(r.t, patience, "mirror complete", func() bool { return r.st.store.Status().Complete })
}

// directClient is a client of the real Redis.
func directClient(t *testing.T, s *redistest.Server) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), ReadTimeout: 10 * time.Second, MaxRetries: 3})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// durable are the arguments of a Redis that keeps its data over a kill.
var durable = []string{"--appendonly", "yes", "--appendfsync", "always"}
