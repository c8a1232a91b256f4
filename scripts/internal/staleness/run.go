package main

import (
	"context"
	"fmt"
	"io"
	"math/rand"
	"os"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/scripts/internal/procs"
)

type config struct {
	binary   string
	duration time.Duration
	seed     int64
	dir      string
	progress io.Writer
}

const (
	// bound is how old an answer may be while the proxy says that it is online:
	// the ping interval and the command time-out pass before a link that has gone
	// silent is given up. On a link that works it is one push.
	bound = 500*time.Millisecond + time.Second
	// slack is for a machine that does other things, too.
	slack = 500 * time.Millisecond

	readers      = 6
	foreignKeys  = 4 // of each kind
	onlineWithin = time.Minute
)

// judge is one run.
type judge struct {
	cfg      config
	dir      string
	began    time.Time
	redis    *procs.Redis
	link     *procs.Link
	holdfast *procs.Holdfast
	direct   *redis.Client
	keys     []*foreignKey
	modes    modes

	faults, reads, writes, histories, unclear, torn atomic.Int64

	mu         sync.Mutex
	violations []string
	events     *os.File
}

func run(cfg config) (*report, error) {
	dir := cfg.dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "holdfast-staleness-"); err != nil {
			return nil, err
		}
	}
	j := &judge{cfg: cfg, dir: dir, began: time.Now()}
	// Whatever hangs, the run ends: the children die with this process.
	watchdog := time.AfterFunc(cfg.duration+3*time.Minute, func() {
		fmt.Fprintf(os.Stderr, "staleness: not finished in time (seed %d, files in %s); goroutines:\n", cfg.seed, dir)
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		os.Exit(2)
	})
	defer watchdog.Stop()
	if err := j.open(); err != nil {
		return nil, err
	}
	defer j.close()
	fmt.Fprintf(cfg.progress, "staleness: seed %d, %v, files in %s\n", cfg.seed, cfg.duration, dir)
	j.look()
	rep := j.report()
	if len(rep.violations) == 0 && cfg.dir == "" {
		_ = os.RemoveAll(dir)
	}
	return rep, nil
}

func (j *judge) open() error {
	var err error
	if j.events, err = os.Create(j.dir + "/events.log"); err != nil {
		return err
	}
	if j.redis, err = procs.NewRedis(j.dir); err != nil {
		return err
	}
	if err := j.redis.Start(); err != nil {
		return err
	}
	if j.link, err = procs.NewLink(j.redis.Addr()); err != nil {
		return err
	}
	j.direct = redis.NewClient(&redis.Options{Addr: j.redis.Addr(), ReadTimeout: 20 * time.Second})
	if j.holdfast, err = procs.NewHoldfast(j.cfg.binary, j.dir, j.link.Addr()); err != nil {
		return err
	}
	if err := j.holdfast.Start(); err != nil {
		return err
	}
	if !j.awaitOnline(context.Background()) {
		return fmt.Errorf("the proxy did not come online at first: see %s", j.dir)
	}
	j.keys = newForeignKeys()
	return nil
}

func (j *judge) close() {
	_ = j.direct.Close()
	j.holdfast.Kill()
	j.redis.Kill()
	j.link.Cut()
	_ = j.events.Close()
}

// look lets writers, readers and faults loose for the time asked for.
func (j *judge) look() {
	ctx, cancel := context.WithTimeout(context.Background(), j.cfg.duration)
	defer cancel()
	watch, stop := context.WithCancel(context.Background())
	var all, watching sync.WaitGroup
	watching.Go(func() { j.watchModes(watch) })
	all.Go(func() { j.injectFaults(ctx, rand.New(rand.NewSource(j.cfg.seed))) })
	for i := range 2 {
		all.Go(func() { j.writeForeign(ctx, i, rand.New(rand.NewSource(j.cfg.seed+10+int64(i)))) })
	}
	for i := range readers {
		all.Go(func() { j.read(ctx, i, rand.New(rand.NewSource(j.cfg.seed+100+int64(i)))) })
	}
	all.Go(func() { j.linearize(ctx, rand.New(rand.NewSource(j.cfg.seed+1000))) })
	all.Go(func() { j.showProgress(ctx) })
	all.Wait()
	if err := j.link.Heal(); err != nil {
		j.violate("the judge cannot heal the link: %v", err)
	}
	if !j.awaitOnline(context.Background()) {
		j.violate("not online %v after everything was healed", onlineWithin)
	}
	stop()
	watching.Wait()
}

func (j *judge) awaitOnline(ctx context.Context) bool {
	for deadline := time.Now().Add(onlineWithin); time.Now().Before(deadline) && ctx.Err() == nil; {
		if st, err := j.holdfast.Status(ctx); err == nil && st.Online() {
			return true
		}
		sleep(ctx, 5*time.Millisecond)
	}
	return ctx.Err() != nil
}

func (j *judge) showProgress(ctx context.Context) {
	for {
		sleep(ctx, 10*time.Second)
		if ctx.Err() != nil {
			return
		}
		j.mu.Lock()
		n := len(j.violations)
		j.mu.Unlock()
		fmt.Fprintf(j.cfg.progress, "%9.3fs  %d faults, %d reads, %d foreign writes, %d histories, %d violations\n",
			time.Since(j.began).Seconds(), j.faults.Load(), j.reads.Load(), j.writes.Load(), j.histories.Load(), n)
	}
}

func (j *judge) logf(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(j.events, "%9.3fs "+format+"\n", append([]any{time.Since(j.began).Seconds()}, args...)...)
}

func (j *judge) violate(format string, args ...any) {
	text := fmt.Sprintf("%9.3fs ", time.Since(j.began).Seconds()) + fmt.Sprintf(format, args...)
	j.logf("VIOLATION %s", text)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.violations = append(j.violations, text)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
