package main

import (
	"fmt"
	"runtime"
	"strings"
)

// report collects the tables as Markdown.
type report struct{ b strings.Builder }

func newReport(o options) *report {
	r := &report{}
	fmt.Fprintf(&r.b, `# Benchmarks

Written by `+"`./scripts/bench`"+`: one run, one machine (%s/%s, %d cores shared by the load, the proxies and
Redis), everything on loopback. Each number is the median of %d rounds of %v; in a round all targets take
their turn, so ratios are between neighbours in time. Ratios count, absolute numbers do not.

- A cell is: thousand operations a second, the ratio to direct Redis (least to most of the rounds), and
  the processor time of the target's process for one operation in µs (for "direct" that of Redis itself).
- c is clients, P commands in one pipeline. HGETALL and MGET answer %d values of the given bytes together.
- "redcon" is a bare server on the same RESP library with maps behind it: no Redis, the floor for Holdfast.
- "holdfast" forwards (its keys are not cached), "holdfast hit" answers from its reply cache, "holdfast
  embedded" has no Redis and keeps every write on disk before it answers.
`, runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), o.rounds, o.measure, fields)
	if o.holdfast == "" {
		r.b.WriteString("\n**Measured WITHOUT Holdfast: it did not build.**\n")
	}
	return r
}

func (r *report) add(title string, results []result, bars []bar) {
	fmt.Fprintf(&r.b, "\n## %s\n\n", title)
	var names []string
	for _, row := range results {
		for _, name := range row.targets {
			if !contains(names, name) {
				names = append(names, name)
			}
		}
	}
	fmt.Fprintf(&r.b, "| case | %s |\n|---|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	for _, row := range results {
		fmt.Fprintf(&r.b, "| %v |", row.testCase)
		for _, name := range names {
			fmt.Fprintf(&r.b, " %s |", row.cells[name])
		}
		r.b.WriteString("\n")
	}
	if results != nil && results[0].cells["holdfast"] != nil {
		r.addPeers(results)
		r.addBars(results, bars)
	}
}

// addPeers compares Holdfast with what it is measured against, round by round.
func (r *report) addPeers(results []result) {
	fmt.Fprint(&r.b, "\n| case | forwarding to twemproxy | hit to twemproxy | hit to redcon |\n|---|---|---|---|\n")
	for _, row := range results {
		fmt.Fprintf(&r.b, "| %v | %s | %s | %s |\n", row.testCase,
			row.against("holdfast", "twemproxy"), row.against("holdfast hit", "twemproxy"), row.against("holdfast hit", "redcon"))
	}
}

// against is the ratio of two targets with its spread.
func (r *result) against(name, other string) string {
	c := r.cells[name]
	if c == nil || len(c.ratios[other]) == 0 {
		return ""
	}
	ratio, least, most := spread(c.ratios[other])
	return fmt.Sprintf("%.2fx (%.2f–%.2f)", ratio, least, most)
}

// String is the cell's text in the table.
func (c *cell) String() string {
	switch {
	case c == nil:
		return ""
	case c.failed != "":
		return "failed"
	case len(c.rates) == 0:
		return "-"
	}
	rate, _, _ := spread(c.rates)
	ratio, least, most := spread(c.ratios["direct"])
	return fmt.Sprintf("%.1fk · %.2fx (%.2f–%.2f) · %s µs", rate/1000, ratio, least, most, c.cpuPerOp())
}

func (r *report) String() string { return r.b.String() }

func contains(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}
