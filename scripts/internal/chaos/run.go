package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"time"
)

type config struct {
	binary   string
	duration time.Duration
	seed     int64
	workers  int
	dir      string
	only     string
	noKills  bool
	progress io.Writer
}

// healTimeout bounds how long the proxy may take to be online with an empty
// journal once everything is well again.
const healTimeout = 90 * time.Second

// run does everything: break, heal, compare. The error is the judge's own.
func run(cfg config) (*report, error) {
	dir := cfg.dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "holdfast-chaos-"); err != nil {
			return nil, err
		}
	}
	w, err := openWorld(cfg, dir)
	if err != nil {
		return nil, err
	}
	// Whatever hangs, the run ends: the children die with this process.
	watchdog := time.AfterFunc(cfg.duration+5*time.Minute, func() {
		fmt.Fprintf(os.Stderr, "chaos: not finished 5 minutes after the last fault (seed %d, files in %s); goroutines:\n", cfg.seed, dir)
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		w.holdfast.Dump()
		os.Exit(2)
	})
	defer watchdog.Stop()
	fmt.Fprintf(cfg.progress, "chaos: seed %d, %v, %d clients, files in %s\n", cfg.seed, cfg.duration, cfg.workers, dir)

	workers, foreign := w.breakThings()
	w.heal()
	w.check(workers, foreign)
	w.close()
	rep := w.report(workers)
	if !rep.failed() && cfg.dir == "" {
		_ = os.RemoveAll(dir)
	}
	return rep, nil
}

// breakThings lets the clients and the faults loose for the time asked for.
func (w *world) breakThings() ([]*worker, *foreigner) {
	ctx, cancel := context.WithTimeout(context.Background(), w.cfg.duration)
	defer cancel()
	var faulty, busy sync.WaitGroup
	workers := make([]*worker, w.cfg.workers)
	for i := range workers {
		workers[i] = newWorker(w, i)
	}
	for i := range hotWorkers {
		workers = append(workers, newHotWorker(w, w.cfg.workers, i))
	}
	for _, wk := range workers {
		wk.all = workers
		busy.Go(wk.run)
	}
	foreign := newForeigner(w)
	faulty.Go(func() { foreign.run(ctx) })
	faulty.Go(func() { w.watchTrust(ctx) })
	faulty.Go(func() { w.injectFaults(ctx) })
	if !w.cfg.noKills {
		faulty.Go(func() { w.killProxies(ctx) })
	}
	faulty.Go(func() { w.showProgress(ctx, workers) })
	faulty.Wait()
	w.stopping.Store(true)
	busy.Wait()
	return workers, foreign
}

func (w *world) showProgress(ctx context.Context, workers []*worker) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		fmt.Fprintf(w.cfg.progress, "%s  %d faults, %d proxy kills, %d acknowledged, %d violations\n",
			w.since(), w.faults.Load(), w.kills.Load(), w.acked.Load(), w.violationCount())
	}
}

// heal repairs everything and waits until all that was queued is in Redis.
func (w *world) heal() {
	w.logf("heal everything")
	w.must("heal the link", w.link.Heal())
	_ = w.redis.Resume()
	w.must("start redis", w.redis.Start())
	w.must("heal redis", w.healServer())
	w.must("start holdfast", w.startProxy())
	if !w.awaitOnline(context.Background(), healTimeout) {
		st, err := w.holdfast.Status(context.Background())
		w.violate("did not return", "%v after everything was healed: status %+v, %v", healTimeout, st, err)
	}
	time.Sleep(expiryGrace) // what was to expire has expired
}

func (w *world) must(what string, err error) {
	if err != nil {
		w.violate("judge", "%s: %v", what, err)
	}
}

func (w *world) close() {
	w.endProxy(false)
	w.redis.Kill()
	w.link.Cut()
	_ = w.direct.Close()
	_ = w.events.Close()
}

func makeDirs(dirs ...string) error {
	for _, d := range dirs {
		if err := os.MkdirAll(filepath.Clean(d), 0o700); err != nil {
			return err
		}
	}
	return nil
}
