package main

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/scripts/internal/clients"
)

// injectFaults breaks and repairs, one fault at a time, until ctx ends. Most
// faults are followed by a return to normal; some come before that.
func (w *world) injectFaults(ctx context.Context) {
	r := rand.New(rand.NewSource(w.cfg.seed))
	var pool []fault
	for _, f := range faults {
		if strings.Contains(f.name, w.cfg.only) {
			pool = append(pool, f)
		}
	}
	if len(pool) == 0 {
		w.violate("judge", "no fault is called %q", w.cfg.only)
		return
	}
	for {
		sleep(ctx, time.Duration(r.Intn(900))*time.Millisecond)
		if ctx.Err() != nil {
			return
		}
		w.oneFault(ctx, r, pool[r.Intn(len(pool))])
		if r.Intn(10) < 3 {
			continue // the next fault meets whatever the proxy is doing now
		}
		if !w.awaitOnline(ctx, healTimeout) && ctx.Err() == nil {
			w.violate("did not return", "not online %v after the last repair", healTimeout)
		}
	}
}

func (w *world) oneFault(ctx context.Context, r *rand.Rand, f fault) {
	hold := time.Duration(0)
	if f.longest > 0 {
		hold = time.Duration(r.Int63n(int64(f.longest)))
	}
	if f.hung {
		hold = max(hold, f.longest/2) // else the command time-out is rarely met
	}
	w.faults.Add(1)
	w.logf("fault: %s, for %v", f.name, hold.Round(time.Millisecond))
	st, err := w.holdfast.Status(ctx)
	probe := (f.gone || f.hung) && err == nil && st.Online()
	held, end := context.WithTimeout(ctx, hold)
	defer end()
	var probing sync.WaitGroup
	began := time.Now()
	w.must(f.name, f.inject(w, r))
	if f.gone {
		began = time.Now()
	}
	if probe {
		probing.Go(func() { w.probeLocal(held, began, f.hung) })
	}
	<-held.Done()
	if f.repair != nil {
		w.must("repair "+f.name, f.repair(w))
	}
	probing.Wait()
	w.logf("repaired: %s", f.name)
}

// localTimes are the times from a fault to the first write that was answered
// while Redis could not have been the one to answer.
type localTimes struct{ gone, hung []time.Duration }

// probeLocal writes until one write that began after the fault is answered. It
// counts only while the fault lasts and the proxy lives.
func (w *world) probeLocal(ctx context.Context, began time.Time, hung bool) {
	life := w.trusted()
	if life == 0 {
		return
	}
	c := clients.Raw(clients.Config{Addr: w.holdfast.Addr(), Proto: 2})
	defer c.Close()
	for ctx.Err() == nil && w.trusted() == life {
		replies, err := c.Do([][]string{{"SET", "aiclient:probe", fmt.Sprint(time.Now().UnixNano())}})
		took := time.Since(began)
		switch {
		case ctx.Err() != nil || w.trusted() != life || err != nil:
			return
		case replies[0].Err == "":
			w.mu.Lock()
			defer w.mu.Unlock()
			if hung {
				w.local.hung = append(w.local.hung, took)
			} else {
				w.local.gone = append(w.local.gone, took)
			}
			return
		}
	}
}

// killProxies kills the proxy again and again, in whatever phase it is, and
// starts it again.
func (w *world) killProxies(ctx context.Context) {
	r := rand.New(rand.NewSource(w.cfg.seed + 1))
	for {
		sleep(ctx, time.Duration(1000+r.Intn(9000))*time.Millisecond)
		if r.Intn(3) == 0 {
			w.awaitMode(ctx, "replaying", 5*time.Second) // the phase that is over soonest
			sleep(ctx, time.Duration(r.Intn(30))*time.Millisecond)
		}
		if ctx.Err() != nil {
			return
		}
		gently := r.Intn(5) == 0
		down := time.Duration(r.Intn(800)) * time.Millisecond
		if r.Intn(3) == 0 {
			down = 0
		}
		w.kills.Add(1)
		w.faults.Add(1)
		w.logf("fault: proxy ends (gently %v), for %v", gently, down)
		w.endProxy(gently)
		sleep(ctx, down)
		w.must("start holdfast", w.startProxy())
	}
}

func (w *world) awaitMode(ctx context.Context, mode string, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for ctx.Err() == nil {
		if st, err := w.holdfast.Status(ctx); err == nil && st.Mode == mode {
			return
		}
		sleep(ctx, time.Millisecond)
	}
}

// middle and largest of a list of times.
func spread(list []time.Duration) (middle, largest time.Duration) {
	if len(list) == 0 {
		return 0, 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2], sorted[len(sorted)-1]
}
