package main

import (
	"fmt"
	"io"
	"sort"
	"time"
)

// report is the verdict.
type report struct {
	cfg        config
	dir        string
	acked      int64
	refused    int64
	unknown    int64 // answered with "may or may not have been applied"
	broken     int64 // the proxy was killed before it answered
	reads      int64
	iterations int   // of collections, over whatever came between two steps
	notHeld    int64 // answers that a mirrored key is not known, as after a restart until it is loaded
	faults     int64
	kills      int64
	slowest    time.Duration
	local      localTimes
	texts      map[string]int64
	violations []violation
}

func (w *world) report(workers []*worker) *report {
	r := &report{cfg: w.cfg, dir: w.dir, faults: w.faults.Load(), kills: w.kills.Load(), local: w.local,
		violations: w.violations, texts: map[string]int64{}}
	for _, wk := range workers {
		r.acked += wk.acked
		r.refused += wk.refusedN
		r.unknown += wk.unknown - wk.broken
		r.broken += wk.broken
		r.reads += wk.reads
		r.notHeld += wk.notHeld
		for _, it := range wk.keys.iterated {
			r.iterations += it.rounds
		}
		r.slowest = max(r.slowest, wk.slowest)
		for text, n := range wk.texts {
			r.texts[text] += n
		}
	}
	return r
}

func (r *report) failed() bool { return len(r.violations) > 0 }

func (r *report) count(classes ...string) (n int) {
	for _, v := range r.violations {
		for _, c := range classes {
			if v.class == c {
				n++
			}
		}
	}
	return n
}

func (r *report) print(out io.Writer) {
	row := func(name string, format string, args ...any) {
		fmt.Fprintf(out, "%-34s "+format+"\n", append([]any{name}, args...)...)
	}
	fmt.Fprintln(out)
	row("seed", "%d", r.cfg.seed)
	row("acknowledged writes", "%d", r.acked)
	row("reads checked", "%d", r.reads)
	row("faults", "%d (the proxy itself ended %d times)", r.faults, r.kills)
	row("lost", "%d", r.count("lost"))
	row("doubled or out of order", "%d", r.count("doubled", "doubled or out of order", "torn unit", "unexpected key"))
	row("unexplained errors", "%d", r.count("unexplained error", "connection closed", "proxy died"))
	row("wrong answers", "%d", r.count("wrong answer", "wrong expiry"))
	row("other violations", "%d", r.count("slow answer", "did not return", "judge"))
	row("unknown outcomes", "%d answered so, %d when the proxy was killed", r.unknown, r.broken)
	row("refused writes", "%d", r.refused)
	row("iterations", "%d came to their end", r.iterations)
	row("mirrored keys not known", "%d answers", r.notHeld)
	row("longest answer", "%v (while the proxy lived)", r.slowest.Round(time.Millisecond))
	show := func(name string, list []time.Duration) {
		middle, largest := spread(list)
		row(name, "median %v, max %v of %d", middle.Round(time.Millisecond/10), largest.Round(time.Millisecond/10), len(list))
	}
	show("first local answer, link gone", r.local.gone)
	show("first local answer, Redis hangs", r.local.hung)
	var texts []string
	for text := range r.texts {
		texts = append(texts, text)
	}
	sort.Strings(texts)
	for _, text := range texts {
		fmt.Fprintf(out, "  %6d x %s\n", r.texts[text], text)
	}
	if !r.failed() {
		fmt.Fprintln(out, "\nEvery acknowledged write is in Redis, each once.")
		return
	}
	fmt.Fprintf(out, "\nFAILED: %d violations\n", len(r.violations))
	for i, v := range r.violations {
		if i == 40 {
			fmt.Fprintf(out, "  ... and %d more: see events.log\n", len(r.violations)-i)
			break
		}
		fmt.Fprintf(out, "%9.3fs %s: %s\n", v.at.Seconds(), v.class, v.text)
	}
	fmt.Fprintf(out, "Again: ./scripts/chaos %v %d\nKept: %s (events.log, redis, holdfast/data, holdfast/holdfast.log)\n", r.cfg.duration, r.cfg.seed, r.dir)
}
