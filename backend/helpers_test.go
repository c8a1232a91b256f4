package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"holdfast/backend/redistest"
	"holdfast/backend/resp"
)

// bound is how long a test waits for what must happen; generous, since it is
// reached only by a failing test.
const bound = 20 * time.Second

func TestMain(m *testing.M) {
	// The slicer of toxiproxy leaks its own goroutines when its link is cut
	// while it holds data.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"))
}

// recorder is an Events that counts.
type recorder struct {
	connected, ups, losts, flushes atomic.Int64
	onConnect                      func(ctx context.Context, info Info, dial func(context.Context) (net.Conn, error)) error

	mu   sync.Mutex
	keys map[string]int
	errs []error

	times []time.Time
}

func (r *recorder) Connected(ctx context.Context, info Info, dial func(context.Context) (net.Conn, error)) error {
	r.connected.Add(1)
	if r.onConnect != nil {
		return r.onConnect(ctx, info, dial)
	}
	return nil
}

func (r *recorder) Up() { r.ups.Add(1) }

func (r *recorder) Lost(err error) {
	r.mu.Lock()
	r.errs = append(r.errs, err)
	r.mu.Unlock()
	r.losts.Add(1)
}

func (r *recorder) Invalidate(keys [][]byte) {
	if keys == nil {
		r.flushes.Add(1)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range keys {
		r.keys[string(k)]++
	}
}

func (r *recorder) Time(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times = append(r.times, now)
}

func (r *recorder) saw(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[key] > 0
}

// run opens an Upstream with test-friendly timeouts and runs it until the test
// ends.
func run(t testing.TB, cfg Config, ev *recorder) *Upstream {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if cfg.CommandTimeout == 0 {
		cfg.CommandTimeout = 5 * time.Second
	}
	if cfg.PingInterval == 0 {
		cfg.PingInterval = 100 * time.Millisecond
	}
	u, err := Open(cfg)
	require.NoError(t, err)
	ev.keys = map[string]int{}
	done := make(chan error, 1)
	go func() { done <- u.Run(context.Background(), ev) }()
	t.Cleanup(func() {
		_ = u.Close()
		_ = u.Close()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(bound):
			t.Error("Run did not end after Close")
		}
		require.Equal(t, StateClosed, u.Status().State)
		var o *OutcomeError
		require.ErrorAs(t, u.Do(2, 0, call("PING")), &o)
		require.False(t, o.Sent)
	})
	return u
}

// runUp is run, and waits until it is up.
func runUp(t testing.TB, cfg Config, ev *recorder) *Upstream {
	t.Helper()
	u := run(t, cfg, ev)
	waitUp(t, u)
	return u
}

func waitUp(t testing.TB, u *Upstream) {
	t.Helper()
	redistest.Eventually(t, bound, "upstream is up", u.Up)
}

func call(args ...string) *Call {
	return &Call{Payload: resp.AppendCommandStrings(nil, args...), N: 1}
}

// do runs one command and gives its raw reply.
func do(t testing.TB, u *Upstream, args ...string) string {
	t.Helper()
	c := call(args...)
	require.NoError(t, u.Do(2, 0, c))
	return string(c.Replies)
}

// direct runs commands on a connection of its own, as a foreign client.
func direct(t testing.TB, addr string, cmds ...[]string) []resp.Value {
	t.Helper()
	vs, err := tryDirect(addr, cmds...)
	require.NoError(t, err)
	return vs
}

func tryDirect(addr string, cmds ...[]string) ([]resp.Value, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(bound))
	c := &conn{Conn: nc, raw: nc, rd: resp.NewReader(nc)}
	return c.exchange(cmds...)
}

// client sends INCRs of its own counter through u, one after the other, until
// stop, and keeps count of what is known about each.
type client struct {
	key                     string
	acked, unknown, unsent  int64
	refusals, otherOutcomes int64
	last                    int64
	slowest                 time.Duration
	failure                 error
}

func (cl *client) run(u *Upstream, stop <-chan struct{}) {
	c := call("INCR", cl.key)
	for {
		select {
		case <-stop:
			return
		default:
		}
		start := time.Now()
		err := u.Do(2, 0, c)
		cl.slowest = max(cl.slowest, time.Since(start))
		var o *OutcomeError
		switch {
		case err == nil:
			cl.acked++
			cl.checkReply(string(c.Replies))
		case !errors.As(err, &o):
			cl.otherOutcomes++
		case o.Refused:
			cl.refusals++
		case o.Sent:
			cl.unknown++
		default:
			cl.unsent++
			time.Sleep(time.Millisecond) // do not spin while down
		}
	}
}

// checkReply: only this client counts this key, so replies must grow by one, or
// by more after unknown outcomes.
func (cl *client) checkReply(reply string) {
	n, err := strconv.ParseInt(reply[1:len(reply)-2], 10, 64)
	if err != nil || reply[0] != ':' || n <= cl.last || n > cl.acked+cl.unknown {
		cl.failure = errors.Join(cl.failure, fmt.Errorf("%s: reply %q after %d (%d acked, %d unknown)", cl.key, reply, cl.last, cl.acked, cl.unknown))
	}
	cl.last = n
}
