package main

import (
	"fmt"
	"strings"
)

// bar is a ratio that this project promises.
type bar struct {
	text        string
	name, other string
	least       float64
	holds       func(c testCase) bool // for which cases
}

func small(ops string, clients, pipeline int) func(testCase) bool {
	return func(c testCase) bool {
		return strings.Contains(ops, c.op) && c.clients == clients && c.pipeline == pipeline && c.size == 64
	}
}

var nearBars = []bar{
	{"forwarded GET and SET, 50 clients, P=1, to twemproxy", "holdfast", "twemproxy", 1, small("GET SET", 50, 1)},
	{"forwarded GET and SET, 50 clients, P=16, to twemproxy", "holdfast", "twemproxy", 1.5, small("GET SET", 50, 16)},
	{"forwarded GET, 50 clients, P=16, to direct Redis", "holdfast", "direct", 0.5, small("GET", 50, 16)},
	{"cached GET, 50 clients, to bare redcon", "holdfast hit", "redcon", 0.85, func(c testCase) bool { return small("GET", 50, 1)(c) || small("GET", 50, 16)(c) }},
	{"cached GET, 50 clients, P=1, to twemproxy", "holdfast hit", "twemproxy", 1.15, small("GET", 50, 1)},
	{"cached GET, 50 clients, P=16, to twemproxy", "holdfast hit", "twemproxy", 2, small("GET", 50, 16)},
}

var farBars = []bar{
	{"cached GET, one client, Redis a round trip away, to direct Redis", "holdfast hit", "direct", 15, small("GET", 1, 1)},
}

// addBars says of each promise what came out.
func (r *report) addBars(results []result, bars []bar) {
	fmt.Fprint(&r.b, "\n| promised | least | measured (least to most of the rounds) | |\n|---|---|---|---|\n")
	for _, b := range bars {
		for _, row := range results {
			c := row.cells[b.name]
			if !b.holds(row.testCase) || c == nil || len(c.ratios[b.other]) == 0 {
				continue
			}
			ratio, _, _ := spread(c.ratios[b.other])
			verdict := "kept"
			if ratio < b.least {
				verdict = "**missed**"
			}
			fmt.Fprintf(&r.b, "| %s: %v | %.2fx | %s | %s |\n", b.text, row.testCase, b.least, row.against(b.name, b.other), verdict)
		}
	}
}
