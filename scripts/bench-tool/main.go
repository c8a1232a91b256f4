// Command bench-tool measures Redis proxies side by side; scripts/bench builds
// and runs it. Every process it starts listens on a free loopback port, has a
// directory of its own and dies with it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// options are the bounds of one run.
type options struct {
	holdfast  string        // path of the binary; empty: measured without it
	out       string        // file for the table; empty: standard output only
	rounds    int           // interleaved rounds for each case
	measure   time.Duration // one target, one case, one round
	rtt       time.Duration // round trip to Redis in the second table; 0: no such table
	timeLimit time.Duration // no new case begins after it
	quick     bool
	outage    bool // measure the outage as well
	gateway   bool // and the gateway

	onlyGateway bool
	match       string // part of a case's name; empty: all
}

// matching are the cases that were asked for.
func (o *options) matching(cases []testCase) (out []testCase) {
	for _, c := range cases {
		if strings.Contains(c.String(), o.match) {
			out = append(out, c)
		}
	}
	return out
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	var o options
	flag.StringVar(&o.holdfast, "holdfast", "", "`path` of the holdfast binary")
	flag.StringVar(&o.out, "out", "docs/benchmarks.md", "`file` for the table; with -quick only when given")
	flag.IntVar(&o.rounds, "rounds", 5, "interleaved rounds for each case")
	flag.DurationVar(&o.measure, "measure", 300*time.Millisecond, "time for one target in one round of one case")
	flag.DurationVar(&o.rtt, "rtt", time.Millisecond, "round trip to Redis in the second table; 0 for none")
	flag.DurationVar(&o.timeLimit, "time-limit", 30*time.Minute, "begin no new case after this")
	flag.BoolVar(&o.quick, "quick", false, "few, short cases")
	flag.StringVar(&o.match, "match", "", "measure only cases with this `text` in their name, such as \"SET c=50\"; prints only, unless -out is given")
	flag.BoolVar(&o.outage, "outage", true, "measure what happens without Redis, and memory, as well")
	flag.BoolVar(&o.gateway, "gateway", true, "measure the gateway as well")
	flag.BoolVar(&o.onlyGateway, "only-gateway", false, "measure nothing but the gateway; prints only, unless -out is given")
	serve := flag.String("serve-redcon", "", "internal: be the bare redcon server on this address")
	provider := flag.String("serve-provider", "", "internal: be the provider on this address")
	reverse := flag.String("serve-reverse", "", "internal: be the bare reverse proxy on this address")
	to := flag.String("reverse-to", "", "internal: where the reverse proxy leads")
	flag.Parse()
	switch {
	case *serve != "":
		log.Fatal(serveRedcon(*serve))
	case *provider != "":
		log.Fatal(serveProvider(*provider))
	case *reverse != "":
		log.Fatal(serveReverse(*reverse, *to))
	}
	if o.quick {
		o.rounds, o.measure = min(o.rounds, 3), min(o.measure, 100*time.Millisecond)
	}
	if (o.quick || o.match != "" || o.onlyGateway) && !isSet("out") {
		o.out = ""
	}
	if o.rounds < 1 || o.measure <= 0 {
		log.Fatalf("-rounds %d and -measure %v must be more than 0", o.rounds, o.measure)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		stop()
		log.Fatal(err)
	}
}

func isSet(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// run measures both tables and writes them.
func run(ctx context.Context, o options) error {
	if o.holdfast == "" {
		log.Print("!!! no holdfast binary: the table will be WITHOUT Holdfast")
	}
	deadline := time.Now().Add(o.timeLimit)
	tables := []struct {
		title string
		rtt   time.Duration
		cases []testCase
		bars  []bar
	}{{title: "Loopback", cases: o.matching(allCases(o.quick)), bars: nearBars}}
	if o.rtt > 0 {
		tables = append(tables, struct {
			title string
			rtt   time.Duration
			cases []testCase
			bars  []bar
		}{fmt.Sprintf("%v round trip to Redis", o.rtt), o.rtt, o.matching(farCases(o.quick)), farBars})
	}
	report := newReport(o)
	for _, t := range tables {
		if len(t.cases) == 0 || o.onlyGateway {
			continue
		}
		results, err := measureTable(ctx, o, t.rtt, t.cases, deadline)
		if err != nil {
			return fmt.Errorf("measure %q: %w", t.title, err)
		}
		report.add(t.title, results, t.bars)
	}
	if o.gateway && o.holdfast != "" {
		report.addGateway(measureGateway(o))
	}
	if o.outage && o.holdfast != "" && !o.onlyGateway {
		report.addOutage(measureOutage(o))
	}
	text := report.String()
	fmt.Print(text)
	if o.out == "" {
		return nil
	}
	return os.WriteFile(o.out, []byte(text), 0o644)
}
