package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/scripts/internal/procs"
)

// world is everything that is broken and judged.
type world struct {
	cfg      config
	dir      string
	began    time.Time
	redis    *procs.Redis
	link     *procs.Link
	holdfast *procs.Holdfast
	direct   *redis.Client // straight to Redis, past link and proxy
	stopping atomic.Bool

	fieldDeadlines bool // Redis has them (7.4 and later)

	faults, kills, acked atomic.Int64

	proxyMu sync.Mutex // one start or kill of the proxy at a time
	lifeMu  sync.Mutex
	life    life

	mu         sync.Mutex
	events     *os.File
	violations []violation
	local      localTimes
	leases     leases
}

// life is one process of the proxy.
type life struct {
	n       int64
	ready   bool // it took a connection
	ended   bool // it was killed, or is about to be
	trusted bool // its mirror was loaded since it started
}

// violation is a broken promise.
type violation struct {
	at    time.Duration
	class string
	text  string
}

func openWorld(cfg config, dir string) (*world, error) {
	w := &world{cfg: cfg, dir: dir, began: time.Now()}
	redisDir, proxyDir := filepath.Join(dir, "redis"), filepath.Join(dir, "holdfast")
	if err := makeDirs(redisDir, proxyDir); err != nil {
		return nil, err
	}
	var err error
	if w.events, err = os.Create(filepath.Join(dir, "events.log")); err != nil {
		return nil, err
	}
	w.logf("seed %d duration %v clients %d", cfg.seed, cfg.duration, cfg.workers)
	if w.redis, err = procs.NewRedis(redisDir); err != nil {
		return nil, err
	}
	if err := w.redis.Start(); err != nil {
		return nil, err
	}
	if w.link, err = procs.NewLink(w.redis.Addr()); err != nil {
		return nil, err
	}
	w.direct = openRedis(w.redis.Addr(), 0)
	info, err := w.direct.Command(context.Background()).Result()
	if err != nil {
		return nil, fmt.Errorf("ask Redis for its commands: %w", err)
	}
	_, w.fieldDeadlines = info["hpexpire"]
	if w.holdfast, err = procs.NewHoldfast(cfg.binary, proxyDir, w.link.Addr()); err != nil {
		return nil, err
	}
	if err := w.startProxy(); err != nil {
		return nil, err
	}
	if !w.awaitOnline(context.Background(), healTimeout) {
		return nil, fmt.Errorf("the proxy did not come online at first: see %s", dir)
	}
	return w, nil
}

// openRedis makes a client of Redis itself, past link and proxy.
func openRedis(addr string, db int) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: addr, DB: db, ReadTimeout: 10 * time.Second, MaxRetries: 5})
}

// startProxy begins a new life, unless the proxy runs.
func (w *world) startProxy() error {
	w.proxyMu.Lock()
	defer w.proxyMu.Unlock()
	if w.holdfast.Ended() != nil {
		return nil
	}
	w.lifeMu.Lock()
	w.life = life{n: w.life.n + 1}
	n := w.life.n
	w.lifeMu.Unlock()
	if err := w.holdfast.Start(); err != nil {
		return err
	}
	w.lifeMu.Lock()
	w.life.ready = true
	w.lifeMu.Unlock()
	w.logf("proxy: life %d takes clients", n)
	ended := w.holdfast.Ended()
	go func() {
		<-ended
		if !w.explained(n) {
			w.violate("proxy died", "life %d ended by itself: see holdfast.log", n)
		}
	}()
	return nil
}

// endProxy ends the life that runs, with kill -9 or gently.
func (w *world) endProxy(gently bool) {
	w.proxyMu.Lock()
	defer w.proxyMu.Unlock()
	w.lifeMu.Lock()
	w.life.ended = true // before the signal: whoever sees the end knows why
	w.lifeMu.Unlock()
	if gently {
		w.holdfast.Shutdown()
	} else {
		w.holdfast.Kill()
	}
}

func (w *world) currentLife() int64 {
	w.lifeMu.Lock()
	defer w.lifeMu.Unlock()
	return w.life.n
}

// lifeToDial is the life that a connection made now belongs to; 0 while the proxy
// may still refuse it, whatever is known of it when that comes to light.
func (w *world) lifeToDial() int64 {
	w.lifeMu.Lock()
	defer w.lifeMu.Unlock()
	if !w.life.ready {
		return 0
	}
	return w.life.n
}

// explained reports whether a connection made in life n may break.
func (w *world) explained(n int64) bool {
	w.lifeMu.Lock()
	defer w.lifeMu.Unlock()
	return n != w.life.n || w.life.ended || !w.life.ready
}

// trusted is the life whose local state must hold everything that was
// acknowledged; 0 when a restart may still serve an older snapshot.
func (w *world) trusted() int64 {
	w.lifeMu.Lock()
	defer w.lifeMu.Unlock()
	if w.life.trusted && !w.life.ended {
		return w.life.n
	}
	return 0
}

// watchTrust waits, in each life, until the mirror was loaded whole: before that
// an outage may bring back the snapshot, which may be older than what was
// acknowledged. The status does not tell the two apart, the log does.
func (w *world) watchTrust(ctx context.Context) {
	for ctx.Err() == nil {
		n := w.currentLife()
		loaded := w.trusted() != n && w.holdfast.Logged("mirror loaded")
		w.lifeMu.Lock()
		if loaded && n == w.life.n && w.life.ready {
			w.life.trusted = true
		}
		w.lifeMu.Unlock()
		sleep(ctx, 20*time.Millisecond)
	}
}

// awaitOnline waits until the proxy is online and nothing waits for Redis.
func (w *world) awaitOnline(ctx context.Context, patience time.Duration) bool {
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		if st, err := w.holdfast.Status(ctx); err == nil && st.Online() {
			return true
		}
		sleep(ctx, 5*time.Millisecond)
	}
	return false
}

func (w *world) since() string { return fmt.Sprintf("%9.3fs", time.Since(w.began).Seconds()) }

// logf writes a line to the event log.
func (w *world) logf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(w.events, w.since()+" "+format+"\n", args...)
}

// violate notes a broken promise.
func (w *world) violate(class, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.logf("VIOLATION %s: %s", class, text)
	w.mu.Lock()
	w.violations = append(w.violations, violation{time.Since(w.began), class, text})
	w.mu.Unlock()
}

func (w *world) violationCount() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.violations)
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
