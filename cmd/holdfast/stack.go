package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/urfave/cli/v2"

	"holdfast/backend"
	"holdfast/backend/descriptors"
	"holdfast/fallback"
	"holdfast/proxy"
)

// stack is a running proxy: upstream, local state, listeners. The only place
// where the packages meet.
type stack struct {
	settings *proxySettings
	upstream *backend.Upstream // nil when embedded
	store    *fallback.Store
	server   *proxy.Server
	admin    *proxy.Admin // nil when off
	link     *link

	fromFiles bool // the local state was filled from configuration files
}

func openStack(s *proxySettings) (_ *stack, err error) {
	st := &stack{settings: s, link: &link{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.Close())
		}
	}()
	if s.maxClients, err = clientsPossible(s); err != nil {
		return nil, err
	}
	if err := st.openUpstream(); err != nil {
		return nil, err
	}
	if st.upstream != nil {
		st.link.seed = &seeder{dir: s.configDir, dataDir: s.dataDir, prefix: s.prefix, db: st.upstream.DB(), store: st.store, log: s.logger}
		st.link.away = func() bool { return !st.upstream.Status().LastErrorAt.IsZero() }
		if err := st.startFromFiles(); err != nil {
			return nil, err
		}
	}
	cfg := proxy.Config{
		Listen: s.listen, TLS: s.tls, Password: s.password, Users: s.users, MaxClients: s.maxClients,
		IdleTimeout: s.idleTimeout, CommandTimeout: s.commandTimeout, CacheBytes: s.cacheBytes, MaxAge: s.maxAge,
		NoCache: s.noCache, Local: st.store, FromFiles: st.fromFiles, Version: buildVersion(), Logger: s.logger,
	}
	if st.upstream != nil {
		cfg.Upstream, cfg.BaseDB = st.upstream, st.upstream.DB()
	}
	if st.server, err = proxy.Open(cfg); err != nil {
		return nil, err
	}
	if s.admin != "off" && s.admin != "" {
		if st.admin, err = st.server.OpenAdmin(s.admin, s.adminHosts...); err != nil {
			return nil, err
		}
	}
	st.link.store, st.link.server = st.store, st.server
	return st, nil
}

// clientsPossible lowers --maxclients to what the limit of descriptors has room for, as
// Redis does. A client with a subscription or a blocking command needs two.
func clientsPossible(s *proxySettings) (int, error) {
	wanted := s.maxClients
	if wanted == 0 {
		return 0, nil // of a test: the proxy's own default
	}
	n, err := descriptors.Clients(wanted)
	if err == nil && n < wanted {
		s.logger.Warn("--maxclients is lowered: the limit of file descriptors has no room for more; raise it (ulimit -n), or ask for fewer",
			"wanted", wanted, "maxclients", n, "limit", descriptors.Limit(), "needed", wanted+descriptors.Own)
	}
	return n, err
}

// openUpstream opens the local state and the link to Redis. The link's name and
// its fence carry the data directory's stream id: a restarted process finds the
// connections of the one before it by that name.
func (st *stack) openUpstream() (err error) {
	s := st.settings
	cfg := backend.Config{URL: s.redisURL, ConnectTimeout: s.connectTimeout, CommandTimeout: s.commandTimeout, Logger: s.logger}
	if s.redisURL != "" { // check it before anything is made on disk
		if st.upstream, err = backend.Open(cfg); err != nil {
			return cli.Exit(err.Error(), exitUsage)
		}
	}
	if st.store, err = fallback.Open(st.storeConfig()); err != nil {
		return notAllowed(err, "data directory", s.dataDir)
	}
	if s.redisURL == "" {
		s.logger.Warn("no Redis: the data lives in the data directory only", "why", s.noRedis, "dir", s.dataDir,
			"remedy", "to use one, set REDIS_URL, or REDIS_HOST and REDIS_PORT, or --redis-url, or the redis block of config.json in --config-dir")
		return nil
	}
	cfg.ClientName = "holdfast-" + st.store.StreamID()
	if s.fenceWrites {
		cfg.FenceKey = fallback.FencePrefix + st.store.StreamID() + ":online"
	}
	st.upstream, err = backend.Open(cfg)
	return err
}

func (st *stack) storeConfig() fallback.Config {
	s := st.settings
	cfg := fallback.Config{
		Dir: s.dataDir, Embedded: st.upstream == nil, Detach: s.detach, MirrorPrefixes: s.mirror, MirrorBytes: s.mirrorBytes,
		JournalBytes: s.journalBytes, Policy: s.policy, Conflict: s.conflict, MaxStale: s.maxStale, Logger: s.logger,
	}
	if st.upstream != nil {
		cfg.BaseDB, cfg.NewClient = st.upstream.DB(), st.link.client
		cfg.Upstream, cfg.AdoptUpstream = st.upstream.SafeURL(), s.adopt
	}
	return cfg
}

// run serves until ctx ends, then stops in the reverse order of dependence:
// clients are drained before the local state and the upstream go.
func (st *stack) run(ctx context.Context) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	start := func(run func(context.Context) error) {
		wg.Go(func() {
			if err := run(inner); err != nil {
				errs <- err
			}
		})
	}
	start(st.store.Run)
	start(st.paceCollector)
	if st.upstream != nil {
		start(func(ctx context.Context) error { return st.upstream.Run(ctx, st.link) })
	}
	if st.admin != nil {
		start(st.admin.Run)
	}
	err := st.server.Run(ctx)
	cancel()
	wg.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

// Close releases everything; idempotent.
func (st *stack) Close() error {
	var errs []error
	if st.server != nil {
		errs = append(errs, st.server.Close())
	}
	if st.admin != nil {
		errs = append(errs, st.admin.Close())
	}
	if st.upstream != nil {
		errs = append(errs, st.upstream.Close())
	}
	if st.store != nil {
		errs = append(errs, st.store.Close())
	}
	return errors.Join(errs...)
}

// firstLook waits until it is known whether Redis is there, for at most d. False: ctx
// ended. An error: it is there, and is not the one that the queued writes are for. A
// Redis that turns out to be so later leaves the proxy offline, and status says why.
func (st *stack) firstLook(ctx context.Context, d time.Duration) (bool, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for st.upstream != nil && !st.upstream.Up() && st.upstream.Status().LastErrorAt.IsZero() {
		select {
		case <-ctx.Done():
			return false, nil
		case <-timer.C:
			return true, nil
		case <-st.store.Changed():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return ctx.Err() == nil, st.store.Refused()
}

func (st *stack) readyLine() string {
	admin := "off"
	if st.admin != nil {
		admin = st.admin.Addr().String()
	}
	mode := st.store.Mode().String()
	if mode == fallback.Replaying.String() {
		mode = fallback.Offline.String()
	}
	return fmt.Sprintf("ready listen=%s admin=%s mode=%s", st.server.Describe(), admin, mode)
}

// link passes the events of the upstream to the local state and the proxy.
type link struct {
	store  *fallback.Store
	server *proxy.Server
	seed   *seeder
	away   func() bool // Redis did not answer at some time since the start
	dial   atomic.Pointer[func(ctx context.Context) (net.Conn, error)]
	ended  chan struct{} // the watcher of the last link is done
}

var _ backend.Events = (*link)(nil)

// Connected replays and hands over. From here on the end of this link puts the
// local state back in charge, even if it comes before Up: a watcher sees to it,
// and the next Connected waits for the watcher of the last.
func (l *link) Connected(ctx context.Context, info backend.Info, dial func(ctx context.Context) (net.Conn, error)) error {
	if l.ended != nil {
		<-l.ended
	}
	for l.server.Fencing() && ctx.Err() == nil {
		time.Sleep(time.Millisecond) // bounded by the command time-out
	}
	l.dial.Store(&dial)
	if err := l.seedRedis(ctx); err != nil {
		return err
	}
	srv := fallback.Server{RunID: info.RunID, NoPXAT: info.NoPXAT()}
	if !info.Time.Time.IsZero() {
		srv.Time = info.Time.Now(time.Now())
	}
	err := l.store.Connected(ctx, srv)
	ended := make(chan struct{})
	l.ended = ended
	go func() {
		defer close(ended)
		<-ctx.Done()
		l.server.Lost()
		l.store.Lost(context.Cause(ctx))
	}()
	return err
}

// seedRedis gives an empty Redis its configuration. It comes before the replay:
// what was queued is on top of that configuration.
func (l *link) seedRedis(ctx context.Context) error {
	if l.seed == nil {
		return nil
	}
	client := l.client(l.seed.db)
	return errors.Join(l.seed.connected(ctx, client, l.away()), client.Close())
}

// Up has nothing to add: the store switched to Online in Connected.
func (l *link) Up() {}

// Lost is handled by the watcher, which also sees links that never came up.
func (l *link) Lost(error) { <-l.ended }

func (l *link) Invalidate(keys [][]byte) {
	l.server.Invalidate(keys)
	l.store.Invalidate(keys)
}

func (l *link) Time(now time.Time) { l.store.SetServerTime(now) }

var errNoLink = errors.New("no link to redis yet")

// client makes a go-redis client whose connections are the upstream's own:
// authenticated, known by id, and closed when the link is lost. It never
// retries: whether a write was applied is the caller's to find out.
func (l *link) client(db int) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:                     "127.0.0.1:1", // never dialed: the dialer knows where
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		DB:                       db, Protocol: 2, MaxRetries: -1, DisableIdentity: true, PoolSize: 4, DialerRetries: 1,
		ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, ContextTimeoutEnabled: true,
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			dial := l.dial.Load()
			if dial == nil {
				return nil, errNoLink
			}
			return (*dial)(ctx)
		},
	})
}
