package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Events is told of the upstream's fate. Connected, Up and Lost are called from
// one goroutine, in that order, and block it. Invalidate and Time are called from
// two others, at any time after tracking is on, which is just before Connected,
// and must be quick: they hold up the heartbeat.
type Events interface {
	// Connected is called when the control connection is up: authenticated, our
	// connections from before killed (see Info.StaleKilled), tracking on. It
	// replays and loads. When it returns nil the upstream becomes Up. ctx ends
	// when the link is lost meanwhile. dial gives connections that are
	// authenticated, in RESP2 and database 0, and end with the link.
	Connected(ctx context.Context, info Info, dial func(ctx context.Context) (net.Conn, error)) error
	// Up follows a Connected that returned nil: Do works.
	Up()
	// Lost is called once for each Up, after every waiter of the trunks has its
	// outcome. err says why.
	Lost(err error)
	// Invalidate names keys that have changed, without their database, in the
	// server's order; nil means all keys. keys and their bytes are valid only
	// during the call.
	Invalidate(keys [][]byte)
	// Time tells what the server's clock shows now, when that is not Info.Time and
	// the time elapsed since.
	Time(now time.Time)
}

// Status is a snapshot for people and metrics; it has no secrets.
type Status struct {
	State           State
	Since           time.Time // of State
	LastConnectedAt time.Time
	LastErrorAt     time.Time
	LastError       string
	Reconnects      int // times that it came up again
	Info            Info
	RTT             time.Duration // of the last heartbeat
}

// Upstream is the link to one Redis. All methods may be called concurrently.
type Upstream struct {
	cfg    Config
	target target
	log    *slog.Logger

	fenceNames [4][16]string // by protocol and database

	live   atomic.Pointer[generation] // nil: not up
	silent atomic.Int64               // unix time in ns: see ExpectSilence
	rtt    atomic.Int64
	beats  beats

	retry      chan struct{} // one slot: connect now
	closing    chan struct{}
	closeOnce  sync.Once
	running    atomic.Bool
	killDenied sync.Once

	mu     sync.Mutex
	status Status
	ups    int
	stuck  bool // attempts reach the server and fail there
	fences map[trunkKey]*fenceCounter
	stale  map[string]map[int64]struct{} // run id → CLIENT IDs from before
}

// Open checks cfg. It does not connect: Run does. Errors name the field and
// never show the password.
func Open(cfg Config) (*Upstream, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	t, err := parseTarget(cfg)
	if err != nil {
		return nil, err
	}
	t.name = cfg.ClientName
	u := &Upstream{
		cfg: cfg, target: t, log: cfg.Logger, closing: make(chan struct{}), retry: make(chan struct{}, 1),
		stale: map[string]map[int64]struct{}{}, fences: map[trunkKey]*fenceCounter{},
	}
	for proto := range u.fenceNames {
		for db := range u.fenceNames[proto] {
			u.fenceNames[proto][db] = u.fenceName(proto, db)
		}
	}
	u.status.State, u.status.Since = StateDown, cfg.Clock.Now()
	return u, nil
}

// SafeURL names the upstream without user, password and options.
func (u *Upstream) SafeURL() string { return u.target.safeURL() }

// DB is the database that the URL names.
func (u *Upstream) DB() int { return u.target.db }

// Up reports whether calls are taken. It is one atomic load.
func (u *Upstream) Up() bool { return u.live.Load() != nil }

// Status gives a snapshot.
func (u *Upstream) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.status
	s.RTT = time.Duration(u.rtt.Load())
	return s
}

// Close ends Run, which fails all calls; idempotent. It does not wait for Run.
func (u *Upstream) Close() error {
	u.closeOnce.Do(func() { close(u.closing) })
	return nil
}

// Do forwards c on the trunk of (proto, db) and waits for its replies. nil means
// all N are in c.Replies; they may be error replies. Any other outcome is an
// *OutcomeError. It returns within CommandTimeout, or for large transfers
// as long as they move.
func (u *Upstream) Do(proto, db int, c *Call) error {
	c.Replies, c.Ends = c.Replies[:0], c.Ends[:0]
	g := u.live.Load()
	if g == nil {
		return &OutcomeError{Err: ErrDown}
	}
	if len(c.Payload) == 0 || c.N < 1 {
		return &OutcomeError{Err: errBadCall}
	}
	if err := checkKey(proto, db); err != nil {
		return &OutcomeError{Err: err}
	}
	t, err := g.trunk(trunkKey{proto, db})
	if err != nil {
		return &OutcomeError{Err: err}
	}
	if !c.Deadline.IsZero() && !u.cfg.Clock.Now().Before(c.Deadline) {
		return &OutcomeError{Err: ErrTimeout}
	}
	return t.do(c)
}

func checkKey(proto, db int) error {
	if proto != 2 && proto != 3 || db < 0 {
		return fmt.Errorf("protocol %d, database %d: want 2 or 3, and 0 or more", proto, db)
	}
	return nil
}

// Run keeps the link until ctx ends or Close is called, and then returns nil
// with no goroutine left. It may be called once.
func (u *Upstream) Run(ctx context.Context, ev Events) error {
	if !u.running.CompareAndSwap(false, true) {
		return errors.New("run upstream: it runs already")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var closer sync.WaitGroup
	closer.Go(func() {
		select {
		case <-u.closing:
			cancel()
		case <-ctx.Done():
		}
	})
	defer closer.Wait()
	defer cancel()
	b := backoff{rand: u.cfg.Rand}
	for ctx.Err() == nil {
		up := u.attempt(ctx, ev)
		if up >= steadyAfter {
			b.reset()
		}
		select {
		case <-ctx.Done():
		case <-u.retry:
		case <-u.cfg.Clock.After(b.next()):
		}
	}
	u.apply(evClosed)
	return nil
}

// attempt is one attempt and, if it succeeds, the life of the link until it is
// lost. It gives how long the upstream was up.
func (u *Upstream) attempt(ctx context.Context, ev Events) (up time.Duration) {
	u.apply(evTry)
	dctx, cancel := context.WithTimeout(ctx, u.cfg.ConnectTimeout)
	c, info, err := u.connectControl(dctx)
	cancel()
	if err != nil {
		u.lost(ctx, err)
		return 0
	}
	g := u.newGeneration(ctx, ev, c, info)
	stop := context.AfterFunc(ctx, func() { g.fail(ErrClosed) })
	defer stop()
	u.connected(info)
	err = ev.Connected(g.ctx, info, g.dialForEvents)
	if err != nil {
		g.fail(fmt.Errorf("synchronise with upstream: %w", err))
	}
	wasUp := g.publish()
	since := u.cfg.Clock.Now()
	if wasUp {
		u.apply(evSynced)
		ev.Up()
	}
	<-g.ctx.Done()
	g.wg.Wait()
	u.keepStale(g, info.RunID)
	g.mu.Lock()
	cause := g.cause
	g.mu.Unlock()
	u.lost(ctx, cause)
	if !wasUp {
		return 0
	}
	ev.Lost(cause)
	return u.cfg.Clock.Now().Sub(since)
}

func (u *Upstream) connected(info Info) {
	u.mu.Lock()
	u.status.Info, u.status.LastConnectedAt = info, info.ConnectedAt
	u.mu.Unlock()
	u.apply(evConnected)
}

// lost notes the error. An attempt that fails as the one before is not logged
// again.
func (u *Upstream) lost(ctx context.Context, err error) {
	if ctx.Err() != nil {
		u.apply(evLost)
		return
	}
	u.mu.Lock()
	same := u.status.LastError == err.Error() && (u.status.State == StateProbing || u.status.State == StateSyncing)
	u.status.LastError, u.status.LastErrorAt = err.Error(), u.cfg.Clock.Now()
	u.mu.Unlock()
	if !same {
		u.log.Warn("upstream lost", "upstream", u.SafeURL(), "error", err.Error())
	}
	u.apply(evLost)
}

// keepStale remembers connections that may still run commands on the server.
// A handful of servers is remembered; more of them means a test, not a failover.
func (u *Upstream) keepStale(g *generation, runID string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.stale) >= 8 && u.stale[runID] == nil {
		clear(u.stale)
	}
	if u.stale[runID] == nil {
		u.stale[runID] = map[int64]struct{}{}
	}
	for id := range g.ids {
		u.stale[runID][id] = struct{}{}
	}
}

// apply moves the state machine and logs the transition. The attempts during
// an outage are logged at debug level only, and so are doubts: one that turns out
// true is logged as the loss.
func (u *Upstream) apply(e event) {
	u.mu.Lock()
	from := u.status.State
	to := from.next(e)
	if to == from {
		u.mu.Unlock()
		return
	}
	u.status.State, u.status.Since = to, u.cfg.Clock.Now()
	if to == StateUp && from == StateSyncing {
		if u.ups++; u.ups > 1 {
			u.status.Reconnects++
		}
	}
	again := u.stuck && to != StateUp
	u.stuck = again || from == StateSyncing && to == StateDown
	u.mu.Unlock()
	level := slog.LevelInfo
	if from == StateProbing && to == StateDown || to == StateProbing || to == StateSuspect || from == StateSuspect && to == StateUp || again {
		level = slog.LevelDebug
	}
	u.log.Log(context.Background(), level, "upstream state", "upstream", u.SafeURL(), "from", string(from), "to", string(to))
}
