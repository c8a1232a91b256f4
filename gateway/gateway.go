package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/backend/descriptors"
	"holdfast/backend/hostguard"
	"holdfast/gateway/conversation"
	"holdfast/gateway/store"
)

// flushTimeout is the least time that counts get at the end to reach Redis.
const flushTimeout = 5 * time.Second

// Gateway serves the API. Make one with Open; its methods are safe for
// concurrent use.
type Gateway struct {
	cfg       Config
	log       *slog.Logger
	client    redis.UniversalClient
	link      *link
	roster    *roster
	counters  *counters
	tokens    *tokens
	metrics   *metrics
	forwarder *forwarder
	checker   *checker
	paths     map[string]endpoint
	guard     hostguard.Guard
	responses *conversation.Responses
	thoughts  *thoughts

	draining  atomic.Bool
	ready     chan struct{} // closed when the listener answers
	closed    chan struct{} // closed by Close
	closeOnce sync.Once
	closeErr  error

	mu      sync.Mutex
	running chan struct{} // closed when Run has returned; nil before Run
	addr    net.Addr
	active  int           // API requests in flight
	idle    chan struct{} // closed when draining and active is 0
}

// Open connects to Redis and loads the state: from Redis, or from ConfigDir
// when Redis does not answer, with a warning. With neither it opens all the
// same, unready, and goes on asking Redis. It fails on a configuration that
// cannot work, and with ErrInsecureBind.
func Open(cfg Config) (*Gateway, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configure gateway: %w", err)
	}
	client, err := newClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("configure gateway: %w", err)
	}
	k := keys{store.Keys{Prefix: cfg.KeyPrefix}}
	patience := cfg.ConnectTimeout + cfg.CommandTimeout
	g := &Gateway{
		cfg: cfg, log: cfg.Logger, client: client, guard: hostguard.Guard{Hosts: cfg.Hosts, Flag: cfg.HostsFlag},
		counters: newCounters(client, k, patience, cfg.Logger),
		ready:    make(chan struct{}), closed: make(chan struct{}), idle: make(chan struct{}),
	}
	upstream := newHTTPClient(cfg)
	g.tokens = newTokens(cfg, store.New(client, cfg.KeyPrefix), upstream)
	g.roster = newRoster(g.tokens)
	g.metrics = newMetrics(g.counters.pending, g.tokens.unsavedTokens)
	g.counters.metrics, g.tokens.metrics, g.tokens.counters = g.metrics, g.metrics, g.counters
	g.link = &link{
		cfg: cfg, client: client, log: cfg.Logger, metrics: g.metrics, roster: g.roster, tokens: g.tokens,
		loader: &loader{client: client, store: g.tokens.store, keys: k, timeout: patience, log: cfg.Logger},
	}
	g.tokens.redis = func(ctx context.Context) linkHealth { return g.link.probe(ctx, probeAge) }
	g.tokens.noticed = g.link.noticed
	g.link.state.Store(buildSnapshot(rawState{}, sourceNone, cfg.APIKey, nil))
	g.forwarder = &forwarder{
		client: upstream, headerTimeout: cfg.UpstreamHeaderTimeout, keepAlive: cfg.KeepAlive,
		roster: g.roster, tokens: g.tokens, counters: g.counters, metrics: g.metrics, log: cfg.Logger,
	}
	g.checker = &checker{forwarder: g.forwarder, roster: g.roster, state: g.link.snapshot, metrics: g.metrics, log: cfg.Logger}
	g.responses = conversation.NewResponses(conversation.New(conversation.Config{
		Client: client, Prefix: k.responses(), Lifetime: responseLifetime, Timeout: patience,
		MaxValue: maxKeptResponse, MaxTotal: maxKeptResponses, Logger: cfg.Logger,
	}))
	g.thoughts = &thoughts{conversation.New(conversation.Config{
		Client: client, Prefix: k.thoughts(), Lifetime: thoughtLifetime, Timeout: patience,
		MaxValue: maxKeptThought, MaxTotal: maxKeptThoughts, Logger: cfg.Logger,
	})}
	g.forwarder.thoughts = g.thoughts
	g.paths = g.endpoints()
	if err := g.firstState(); err != nil {
		_ = g.Close()
		return nil, err
	}
	return g, nil
}

// firstState loads the state for the first time and decides if the address is
// safe to listen on with it.
func (g *Gateway) firstState() error {
	if !g.link.poll(context.Background()) && g.cfg.ConfigDir != "" {
		raw, skipped, err := loadFiles(g.cfg.ConfigDir)
		if err != nil {
			return fmt.Errorf("load configuration directory: %w", err)
		}
		g.log.Warn("redis is not available: started from files, read-only; redis is tried again all the time", "config_dir", g.cfg.ConfigDir, "skipped_accounts", skipped)
		if !raw.empty() {
			g.link.adopt(raw, sourceFile)
		}
	}
	if g.cfg.Addr == "" {
		addr, err := ListenAddress([]byte(g.link.snapshot().raw.config))
		if err != nil {
			return err
		}
		g.cfg.Addr, g.link.listens = addr, addr
	}
	if s := g.link.snapshot().settings; !s.keySet {
		if !loopbackOnly(g.cfg.Addr) {
			return fmt.Errorf("listen on %s: %w: set REQUIRED_API_KEY, give an API key, or listen on 127.0.0.1", g.cfg.Addr, ErrInsecureBind)
		}
		g.log.Warn("no client API key is configured: every API request is refused until REQUIRED_API_KEY is set")
	}
	return nil
}

// Run listens and serves until ctx ends or Close is called. Then it drains:
// /readyz turns to 503 and new API requests are refused, those in flight go on
// for DrainTimeout at most, then renewed tokens are saved and counts delivered.
// It returns nil after a drain in which nothing was cut or lost. Call it once.
func (g *Gateway) Run(ctx context.Context) error {
	listener, err := g.listen(ctx)
	if err != nil {
		return err
	}
	defer close(g.running)
	hard, cut := context.WithCancelCause(context.Background())
	defer cut(nil)
	server := &http.Server{
		Handler: g, BaseContext: func(net.Listener) context.Context { return hard },
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 65 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
	background, stopBackground := context.WithCancel(context.Background())
	defer stopBackground()
	var wg sync.WaitGroup
	wg.Go(func() { g.link.run(background) })
	wg.Go(func() { g.counters.run(background) })
	wg.Go(func() { g.tokens.run(background, g.link.snapshot) })
	wg.Go(func() { g.checker.run(background) })
	serveErr := make(chan error, 1)
	wg.Go(func() { serveErr <- server.Serve(listener) })
	close(g.ready)
	g.log.Info("gateway listening", "addr", listener.Addr().String())

	select {
	case <-ctx.Done():
	case <-g.closed:
	case err = <-serveErr:
		err = fmt.Errorf("serve http: %w", err)
	}
	deadline := time.Now().Add(g.cfg.DrainTimeout)
	cutErr := g.drain(server, cut, deadline)
	stopBackground()
	wg.Wait()
	tokenErr := g.tokens.finish(deadline)
	g.forwarder.client.CloseIdleConnections()
	return errors.Join(err, cutErr, tokenErr, g.lastFlush(deadline))
}

// listen binds and marks the gateway as running.
func (g *Gateway) listen(ctx context.Context) (net.Listener, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.closed:
		return nil, fmt.Errorf("run gateway: %w", ErrClosed)
	default:
	}
	if g.running != nil {
		return nil, errors.New("run gateway: it was run before")
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", g.cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", g.cfg.Addr, err)
	}
	g.running, g.addr = make(chan struct{}), listener.Addr()
	return descriptors.Listener(listener), nil
}

// drain lets requests finish until deadline. The listener stays open meanwhile,
// so that whoever asks learns that the gateway is not ready.
func (g *Gateway) drain(server *http.Server, cut context.CancelCauseFunc, deadline time.Time) error {
	g.mu.Lock()
	g.draining.Store(true)
	active := g.active
	if active == 0 {
		close(g.idle)
	}
	g.mu.Unlock()
	g.log.Info("gateway draining", "in_flight", active)
	var err error
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-g.idle:
	case <-timer.C:
		err = fmt.Errorf("drain requests: some were still running after %v and were cut", g.cfg.DrainTimeout)
		g.log.Warn("drain time is over: requests are cut")
		cut(errShuttingDown) // streams still get an error event and their end
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close()
	}
	return err
}

// lastFlush delivers the counts that wait, until deadline but for a few seconds
// at least.
func (g *Gateway) lastFlush(deadline time.Time) error {
	if least := time.Now().Add(flushTimeout); deadline.Before(least) {
		deadline = least
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	err := g.counters.flush(ctx)
	if err != nil {
		g.counters.logLost()
		return fmt.Errorf("deliver the last counts (each is in the log): %w", err)
	}
	g.log.Info("gateway stopped")
	return nil
}

// enter counts a request in; false while draining.
func (g *Gateway) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining.Load() {
		return false
	}
	g.active++
	g.metrics.inFlight.Inc()
	return true
}

func (g *Gateway) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.active--
	g.metrics.inFlight.Dec()
	if g.active == 0 && g.draining.Load() {
		close(g.idle)
	}
}

// Ready is closed once the listener answers; Addr is set from then on.
func (g *Gateway) Ready() <-chan struct{} { return g.ready }

// Addr is the address that is listened on, nil before Run has bound it.
func (g *Gateway) Addr() net.Addr {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.addr
}

// Close ends Run, waits for its drain and lets go of Redis. Idempotent.
func (g *Gateway) Close() error {
	g.closeOnce.Do(func() {
		g.mu.Lock()
		close(g.closed)
		running := g.running
		g.mu.Unlock()
		if running != nil {
			<-running
		}
		g.closeErr = g.client.Close()
	})
	return g.closeErr
}
