// Command tclsuite runs Redis's own TCL suite in its external mode, each unit on
// servers of its own: directly on Redis, through the proxy, on the embedded store,
// and on the local engine while Redis is away. It prints a table by unit, and the
// name of each test that passes directly and not here.
//
// ./scripts/tcl-suite fetches the suite and runs this.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// defaultUnits are the units that can run against a server that the suite did
// not start. The others start servers of their own, or test what a proxy has
// no part in (persistence, replication, cluster, TLS of the server).
var defaultUnits = []string{
	"unit/auth", "unit/protocol", "unit/keyspace", "unit/scan", "unit/info-command", "unit/dump",
	"unit/type/string", "unit/type/incr", "unit/type/list", "unit/type/list-2", "unit/type/list-3",
	"unit/type/set", "unit/type/zset", "unit/type/hash", "unit/type/stream", "unit/type/stream-cgroups",
	"unit/sort", "unit/expire", "unit/other", "unit/multi", "unit/quit", "unit/acl", "unit/acl-v2",
	"unit/pubsub", "unit/pubsubshard", "unit/slowlog", "unit/scripting", "unit/functions",
	"unit/introspection", "unit/introspection-2", "unit/limits", "unit/bitops", "unit/bitfield",
	"unit/geo", "unit/hyperloglog", "unit/lazyfree", "unit/info", "unit/latency-monitor",
	"unit/maxmemory", "unit/pause", "unit/querybuf", "unit/tracking", "unit/violations",
}

// options are the command line.
type options struct {
	suite      string // directory of the unpacked source
	holdfast   string // binary
	exceptions string // file; see readExceptions
	modes      string
	timeout    time.Duration // of one unit
	keep       string        // directory for the suite's output, written as it comes; "" throws it away
	units      []string
}

func main() {
	var o options
	flag.StringVar(&o.suite, "suite", "", "`DIR` of the unpacked source of redis")
	flag.StringVar(&o.holdfast, "holdfast", "", "holdfast `BINARY`")
	flag.StringVar(&o.exceptions, "exceptions", "", "`FILE` of tests that may fail, by name, with a reason each")
	flag.StringVar(&o.modes, "modes", "online,embedded,offline", "what is compared with direct")
	flag.DurationVar(&o.timeout, "timeout", 4*time.Minute, "bound of one unit")
	flag.StringVar(&o.keep, "keep", "", "`DIR` that gets the suite's whole output")
	flag.Parse()
	o.units = flag.Args()
	if len(o.units) == 0 {
		o.units = defaultUnits
	}
	failed, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tclsuite:", err)
		os.Exit(2)
	}
	if failed {
		os.Exit(1)
	}
}

// run runs every unit in every mode and reports whether a test that is no
// exception passes directly and not here.
func run(o options) (bool, error) {
	if o.suite == "" || o.holdfast == "" {
		return false, errors.New("--suite and --holdfast are needed")
	}
	excepted, err := readExceptions(o.exceptions)
	if err != nil {
		return false, err
	}
	modes, err := parseModes(o.modes)
	if err != nil {
		return false, err
	}
	report := newReport(modes, excepted)
	for _, unit := range o.units {
		for _, m := range runsFor(modes) {
			if slices.Contains(apart[m], unit) {
				report.add(unit, m, results{})
				continue
			}
			out, err := runUnit(o, m, unit)
			for try := 0; try < 5 && err == nil && strings.Contains(out, "couldn't open socket"); try++ {
				out, err = runUnit(o, m, unit) // somebody else had the port of the suite's own server
			}
			if err != nil {
				return false, fmt.Errorf("%s, %s: %w", unit, m, err)
			}
			report.add(unit, m, parseOutput(out))
		}
		report.printUnit(os.Stdout, unit)
	}
	return report.print(os.Stdout), nil
}

// apart are units that say nothing in a mode: what they are about waits for Redis.
var apart = map[mode][]string{offline: {"unit/type/stream-cgroups"}}

// runsFor is the order in which a unit is run: what the modes are compared with comes first.
func runsFor(modes []mode) (runs []mode) {
	for _, m := range modes {
		runs = append(runs, m.reference())
	}
	runs = append(append(runs, direct), modes...)
	slices.Sort(runs)
	return slices.Compact(runs)
}

// runUnit runs one unit of the suite against fresh servers of mode m and gives
// its output. A unit that takes too long is ended; its output tells where.
func runUnit(o options, m mode, unit string) (string, error) {
	dir, err := os.MkdirTemp("", "tclsuite")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	env, err := startServers(o.holdfast, dir, m)
	if err != nil {
		return "", err
	}
	defer env.stop()
	tests, err := copySuite(o.suite, dir, m)
	if err != nil {
		return "", err
	}
	host, port, _ := strings.Cut(env.addr, ":")
	args := []string{"-k", "5", fmt.Sprint(int(o.timeout.Seconds())), "tclsh", "tests/test_helper.tcl",
		"--host", host, "--port", port, "--single", unit, "--clients", "1", "--durable", "--ignore-digest",
		// What a replica is sent has our fences in it, and is nobody's reply.
		"--tags", "-needs:repl",
		// Runs of others beside this one look for ports in the same place.
		"--baseport", fmt.Sprint(11000 + 100*rand.IntN(200))}
	if m == single || m == offline {
		args = append(args, "--singledb")
	}
	cmd := exec.Command("timeout", args...)
	cmd.Dir = tests
	cmd.Env = append(os.Environ(), "TERM=dumb")
	out, err := stream(cmd, o, m, unit)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err
	}
	if exit != nil && exit.ExitCode() >= 124 {
		out += fmt.Sprintf("\n[timeout]: not over after %v\n", o.timeout)
	}
	return out, nil
}

// stream runs the suite and gives its output. With o.keep it is in a file from the first
// line on, so that a run can be watched and one that is stopped has said where it was.
func stream(cmd *exec.Cmd, o options, m mode, unit string) (string, error) {
	var out bytes.Buffer
	cmd.Stdout = &out
	if o.keep != "" {
		name := strings.ReplaceAll(unit, "/", "_") + "." + m.String()
		f, err := os.OpenFile(filepath.Join(o.keep, name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return "", err
		}
		defer f.Close()
		cmd.Stdout = io.MultiWriter(&out, f)
	}
	cmd.Stderr = cmd.Stdout
	err := cmd.Run()
	return out.String(), err
}
