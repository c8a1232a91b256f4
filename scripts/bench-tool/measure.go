package main

import (
	"context"
	"fmt"
	"log"
	"sort"
	"time"
)

// cell is what one target did in one case.
type cell struct {
	rates  []float64            // operations per second, one for each round
	ratios map[string][]float64 // to another target in the same round
	ops    int64
	cpu    time.Duration // of the target's process, over all rounds
	failed string        // why there are no numbers
}

// result is one row.
type result struct {
	testCase
	targets []string
	cells   map[string]*cell
}

// measureTable measures all cases with a field of its own. The rounds of a case
// go over all targets in turn, so that whatever else the machine does hits all.
func measureTable(ctx context.Context, o options, rtt time.Duration, cases []testCase, deadline time.Time) ([]result, error) {
	f, err := newField(o, rtt)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	var out []result
	for i, c := range cases {
		if time.Now().After(deadline) {
			log.Printf("!!! the time limit is over: %d of %d cases were not measured", len(cases)-i, len(cases))
			break
		}
		log.Printf("%d/%d %v", i+1, len(cases), c)
		r := result{testCase: c, cells: map[string]*cell{}}
		for _, t := range f.targets {
			if t.only != nil && !t.only[c.op] {
				continue
			}
			r.targets = append(r.targets, t.name)
			r.cells[t.name] = &cell{ratios: map[string][]float64{}}
			if err := do(t.addr, c.setup(t.prefix)...); err != nil {
				r.cells[t.name].fail(t, c, err)
			}
		}
		for round := range o.rounds {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			measureRound(f.targets, r, round, o.measure)
		}
		out = append(out, r)
	}
	return out, nil
}

// measureRound measures every target once, beginning with another one each round.
func measureRound(targets []target, r result, round int, d time.Duration) {
	rates := map[string]float64{}
	for i := range targets {
		t := targets[(i+round)%len(targets)]
		c := r.cells[t.name]
		if c == nil || c.failed != "" {
			continue
		}
		before, err := t.process.cpuTime()
		if err != nil {
			c.fail(t, r.testCase, err)
			continue
		}
		rate, ops, err := load(t.addr, r.clients, r.pipeline, r.request(t.prefix), d)
		if err != nil {
			c.fail(t, r.testCase, err)
			continue
		}
		after, err := t.process.cpuTime()
		if err != nil {
			c.fail(t, r.testCase, err)
			continue
		}
		rates[t.name] = rate
		c.rates = append(c.rates, rate)
		c.ops += ops
		c.cpu += after - before
	}
	for name, rate := range rates {
		c := r.cells[name]
		for _, other := range []string{"direct", "twemproxy", "redcon"} {
			if rates[other] > 0 {
				c.ratios[other] = append(c.ratios[other], rate/rates[other])
			}
		}
	}
}

func (c *cell) fail(t target, row testCase, err error) {
	c.failed = err.Error()
	log.Printf("!!! %s, %v: %v", t.name, row, err)
}

// cpuPerOp is the target's processor time for one operation.
func (c *cell) cpuPerOp() string {
	if c.ops == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(c.cpu.Microseconds())/float64(c.ops))
}

// spread gives the median, the least and the most.
func spread(values []float64) (median, least, most float64) {
	if len(values) == 0 {
		return 0, 0, 0
	}
	s := append([]float64(nil), values...)
	sort.Float64s(s)
	mid := s[len(s)/2]
	if len(s)%2 == 0 {
		mid = (mid + s[len(s)/2-1]) / 2
	}
	return mid, s[0], s[len(s)-1]
}
