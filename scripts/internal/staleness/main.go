// Command staleness judges the promise that no answer is stale beyond a stated
// bound: one proxy, clients through it, foreign writers straight to Redis, and a
// link that is cut, delayed and sliced. Run it with ./scripts/staleness.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	cfg := config{progress: os.Stdout}
	flag.StringVar(&cfg.binary, "holdfast", "", "the holdfast `BINARY` under test")
	flag.DurationVar(&cfg.duration, "duration", time.Minute, "how long to look")
	flag.Int64Var(&cfg.seed, "seed", 0, "seed of every random choice; 0 = a new one")
	flag.StringVar(&cfg.dir, "dir", "", "`DIR` for all files; empty = a temporary one")
	flag.Parse()
	if cfg.binary == "" || cfg.duration <= 0 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: ./scripts/staleness DURATION [SEED] (see its header)")
		os.Exit(2)
	}
	if cfg.seed == 0 {
		cfg.seed = time.Now().UnixNano() % 1_000_000_000
	}
	rep, err := run(cfg)
	if err != nil {
		fmt.Fprintf(os.Stderr, "staleness: the judge itself failed: %v\n", err)
		os.Exit(2)
	}
	rep.print(os.Stdout)
	if len(rep.violations) > 0 {
		os.Exit(1)
	}
}
