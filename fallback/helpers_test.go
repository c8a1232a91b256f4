package fallback

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"holdfast/backend/command"
	"holdfast/backend/redistest"
	"holdfast/fallback/record"
)

// bound is how long a test waits for what must happen; only a failing test does.
const bound = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire makes the store's connections to Redis, and cuts all of them after a
// number of bytes in one direction, by a close, a reset, or by going silent.
type wire struct {
	addr func() string
	mu   sync.Mutex
	up   int64 // bytes left to send; negative: no limit
	down int64
	mode string // close, reset, hang
	open map[*wireConn]struct{}
}

func (w *wire) limit(mode string, up, down int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mode, w.up, w.down = mode, up, down
}

// heal closes what is left of the old connections and lifts the limits.
func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up, w.down = -1, -1
	for c := range w.open {
		_ = c.Conn.Close()
	}
	w.open = map[*wireConn]struct{}{}
}

func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", w.addr())
	if err != nil {
		return nil, err
	}
	c := &wireConn{Conn: conn, w: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[c] = struct{}{}
	return c, nil
}

// take grants up to n bytes in one direction; less means that the cut is here.
func (w *wire) take(left *int64, n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if *left < 0 {
		return n
	}
	n = int(min(int64(n), *left))
	*left -= int64(n)
	return n
}

type wireConn struct {
	net.Conn
	w *wire
}

func (c *wireConn) Write(b []byte) (int, error) {
	n := c.w.take(&c.w.up, len(b))
	k, err := c.Conn.Write(b[:n])
	if err == nil && n < len(b) {
		return k, c.cut()
	}
	return k, err
}

func (c *wireConn) Read(b []byte) (int, error) {
	n := c.w.take(&c.w.down, len(b))
	if n == 0 {
		return 0, c.cut()
	}
	k, err := c.Conn.Read(b[:n])
	c.w.mu.Lock()
	if c.w.down >= 0 {
		c.w.down += int64(n - k)
	}
	c.w.mu.Unlock()
	return k, err
}

func (c *wireConn) cut() error {
	c.w.mu.Lock()
	mode := c.w.mode
	c.w.mu.Unlock()
	switch mode {
	case "reset":
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
	case "hang":
		return os.ErrDeadlineExceeded // the socket stays open: what was sent may still be executed
	}
	_ = c.Conn.Close()
	return syscall.ECONNRESET
}

func (c *wireConn) Close() error {
	c.w.mu.Lock()
	hang := c.w.mode == "hang" && (c.w.up == 0 || c.w.down == 0)
	if !hang {
		delete(c.w.open, c)
	}
	c.w.mu.Unlock()
	if hang {
		return nil // until heal: a peer that went away without a word
	}
	return c.Conn.Close()
}

// goBy makes the time of a store be that of now alone: what it moves by passes.
func (c *Config) goBy(now func() time.Time) {
	start := now()
	c.Now, c.Elapsed = now, func() time.Duration { return now().Sub(start) }
}

// rig is a store in front of a real Redis.
type rig struct {
	t      *testing.T
	srv    *redistest.Server
	dir    string
	cfg    Config
	wire   *wire
	store  *Store
	stop   func()
	direct *redis.Client // of the test itself
}

func newRig(t *testing.T, set ...func(*Config)) *rig {
	t.Helper()
	return newRigOn(t, redistest.Start(t), set...)
}

func newRigOn(t *testing.T, srv *redistest.Server, set ...func(*Config)) *rig {
	r := &rig{t: t, srv: srv, dir: filepath.Join(t.TempDir(), "data")}
	r.wire = &wire{addr: func() string { return r.srv.Addr() }, up: -1, down: -1, open: map[*wireConn]struct{}{}}
	r.direct = redis.NewClient(&redis.Options{Addr: srv.Addr(), MaxRetries: -1, DisableIdentity: true})
	r.cfg = Config{MirrorPrefixes: []string{"m:"}, SnapshotEvery: time.Hour, NewClient: func(db int) *redis.Client {
		return redis.NewClient(&redis.Options{
			Addr: "127.0.0.1:1", DB: db, Protocol: 2, MaxRetries: -1, DisableIdentity: true, Dialer: r.wire.dial,
			ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, ContextTimeoutEnabled: true,
		})
	}}
	for _, f := range set {
		f(&r.cfg)
	}
	t.Cleanup(func() {
		r.close()
		r.wire.heal()
		_ = r.direct.Close()
	})
	r.open()
	return r
}

func (r *rig) open() {
	r.t.Helper()
	r.cfg.Dir = r.dir
	s, err := Open(r.cfg)
	require.NoError(r.t, err)
	r.store = s
}

func (r *rig) close() {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
	if r.store != nil {
		_ = r.store.Close()
		r.store = nil
	}
}

// run starts Run, for the mirror.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s := r.store
	go func() { defer close(done); _ = s.Run(ctx) }()
	r.stop = func() { cancel(); r.wire.heal(); <-done }
}

// crash goes on from a copy of the files as they are at this moment, as after
// kill -9: nothing is saved or closed first.
func (r *rig) crash() {
	r.t.Helper()
	if r.stop != nil {
		r.stop() // or the copy would be taken between two of its steps
		r.stop = nil
	}
	next := filepath.Join(r.t.TempDir(), "data")
	require.NoError(r.t, os.CopyFS(next, os.DirFS(r.dir)))
	r.close()
	r.dir = next
	r.open()
}

func (r *rig) online() {
	r.t.Helper()
	require.NoError(r.t, r.connect())
	require.Equal(r.t, Online, r.store.Mode())
}

func (r *rig) connect() error { return r.store.Connected(context.Background(), Server{RunID: "run"}) }

// loaded goes online with the mirror running and waits until it is complete.
func (r *rig) loaded() {
	r.t.Helper()
	if r.stop == nil {
		r.run()
	}
	r.online()
	r.settle()
}

// settle waits until the mirror has fetched everything it knows to be old.
func (r *rig) settle() {
	r.t.Helper()
	m := r.store.mirror
	redistest.Eventually(r.t, bound, "the mirror is complete", func() bool {
		m.s.mu.Lock() // or a write may be neither waiting any more nor executed yet
		defer m.s.mu.Unlock()
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.stats.loaded && !m.flush && len(m.dirty) == 0 && len(m.want) == 0 && len(m.wrote.keys) == 0 && len(m.unknown) == 0 && len(m.follow) == 0 && len(m.last) == 0
	})
}

func (r *rig) lost() { r.store.Lost(io.ErrUnexpectedEOF) }

func words(args ...string) [][]byte { return record.ArgvOf(args...) }

// do executes a command locally and waits until it is durable.
func (r *rig) do(args ...string) string {
	r.t.Helper()
	return r.request(Request{Proto: 2, Commands: [][][]byte{words(args...)}})
}

// request executes a request. Where there is a short way to the answer, both
// have to give the same.
func (r *rig) request(req Request) string {
	r.t.Helper()
	short, ok := []byte(nil), false
	if c, known := command.Lookup(req.Commands[0]); known && !req.Unit {
		short, ok = r.store.ReadHeld(nil, req.DB, req.Proto, c, req.Commands[0])
	}
	reply, p, err := r.store.Do(req)
	require.NoError(r.t, err)
	if ok {
		require.Equal(r.t, string(reply), string(short))
	}
	if err := p.Wait(); err != nil {
		return string(ReplyJournalFailed(nil))
	}
	return string(reply)
}

func (r *rig) unit(cmds ...string) string {
	r.t.Helper()
	return r.request(unitOf(cmds...))
}

func unitOf(cmds ...string) Request {
	req := Request{Proto: 2, Unit: true}
	for _, c := range cmds {
		req.Commands = append(req.Commands, words(strings.Fields(c)...))
	}
	return req
}

// via executes a command as the proxy does while Redis is there: on Redis, then
// the mirror is told.
func (r *rig) via(args ...any) {
	r.t.Helper()
	reply := rawReply(r.t, r.srv.Addr(), args...)
	r.store.Acked(0, [][][]byte{words(stringsOf(args)...)}, reply, false)
}

func stringsOf(args []any) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = fmt.Sprint(a)
	}
	return out
}

func (r *rig) redis(args ...any) any {
	r.t.Helper()
	v, err := r.direct.Do(context.Background(), args...).Result()
	if err != nil && err != redis.Nil {
		require.NoError(r.t, err, args)
	}
	return v
}

// rawReply is the RESP2 reply of one command.
func rawReply(t *testing.T, addr string, args ...any) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	out := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range stringsOf(args) {
		out = fmt.Appendf(out, "$%d\r\n%s\r\n", len(a), a)
	}
	_, err = conn.Write(out)
	require.NoError(t, err)
	buf := make([]byte, 1<<16)
	n, err := conn.Read(buf)
	require.NoError(t, err)
	return buf[:n]
}
