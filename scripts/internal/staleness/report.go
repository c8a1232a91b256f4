package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// report is the verdict.
type report struct {
	cfg                      config
	dir                      string
	reads, writes, faults    int64
	histories, unclear, torn int64
	offline, older           int
	all, stale               []time.Duration // sorted
	violations               []string
}

func (j *judge) report() *report {
	m := &j.modes
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &report{cfg: j.cfg, dir: j.dir, reads: j.reads.Load(), writes: j.writes.Load(), faults: j.faults.Load(),
		histories: j.histories.Load(), unclear: j.unclear.Load(), torn: j.torn.Load(),
		offline: m.offline, older: m.older, all: m.online, violations: j.violations}
	slices.Sort(r.all)
	first, _ := slices.BinarySearch(r.all, 1)
	r.stale = r.all[first:]
	return r
}

// at is the value below which the given part of a sorted list lies.
func at(list []time.Duration, part float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	return list[min(len(list)-1, int(part*float64(len(list))))].Round(time.Microsecond)
}

func (r *report) print(out io.Writer) {
	row := func(name string, format string, args ...any) {
		fmt.Fprintf(out, "%-34s "+format+"\n", append([]any{name}, args...)...)
	}
	fmt.Fprintln(out)
	row("seed", "%d", r.cfg.seed)
	row("foreign writes", "%d", r.writes)
	row("reads", "%d, %d of them while online", r.reads, len(r.all))
	row("faults of the link", "%d", r.faults)
	row("bound while connected", "%v", bound)
	row("staleness of all reads online", "p50 %v  p99 %v  max %v", at(r.all, 0.5), at(r.all, 0.99), at(r.all, 1))
	row("staleness of the stale ones", "p50 %v  p99 %v  max %v of %d", at(r.stale, 0.5), at(r.stale, 0.99), at(r.stale, 1), len(r.stale))
	row("reads not online all the time", "%d, %d of them older than told before", r.offline, r.older)
	row("histories checked", "%d (%d too long to decide; %d without an order, but not online all the time)", r.histories, r.unclear, r.torn)
	if len(r.violations) == 0 {
		fmt.Fprintln(out, "\nNo answer was stale beyond the bound.")
		return
	}
	fmt.Fprintf(out, "\nFAILED: %d violations\n", len(r.violations))
	for i, v := range r.violations {
		if i == 40 {
			fmt.Fprintf(out, "  ... and %d more: see events.log\n", len(r.violations)-i)
			break
		}
		fmt.Fprintln(out, v)
	}
	fmt.Fprintf(out, "Again: ./scripts/staleness %v %d\nKept: %s\n", r.cfg.duration, r.cfg.seed, r.dir)
}
