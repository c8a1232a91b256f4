// Command chaos judges the promise that no acknowledged write is lost and none
// is applied twice. It runs a real redis-server, a network with faults, the real
// holdfast binary and real clients, breaks them at random, and in the end
// compares Redis itself with what the clients were told. Run it with
// ./scripts/chaos.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	cfg := config{}
	flag.StringVar(&cfg.binary, "holdfast", "", "the holdfast `BINARY` under test")
	flag.DurationVar(&cfg.duration, "duration", time.Minute, "how long faults are injected")
	flag.Int64Var(&cfg.seed, "seed", 0, "seed of every random choice; 0 = a new one")
	flag.IntVar(&cfg.workers, "clients", 12, "number of clients")
	flag.StringVar(&cfg.dir, "dir", "", "`DIR` for all files, kept after a violation; empty = a temporary one")
	flag.StringVar(&cfg.only, "faults", "", "only faults whose name contains this, for a closer look; empty = all")
	flag.BoolVar(&cfg.noKills, "no-proxy-kills", false, "leave the proxy alone")
	flag.Parse()
	if cfg.binary == "" || cfg.duration <= 0 || cfg.workers < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: ./scripts/chaos DURATION [SEED] (see its header)")
		os.Exit(2)
	}
	if cfg.seed == 0 {
		cfg.seed = time.Now().UnixNano() % 1_000_000_000
	}
	cfg.progress = os.Stdout
	rep, err := run(cfg)
	if err != nil {
		fmt.Fprintf(os.Stderr, "chaos: the judge itself failed: %v\n", err)
		os.Exit(2)
	}
	rep.print(os.Stdout)
	if rep.failed() {
		os.Exit(1)
	}
}
