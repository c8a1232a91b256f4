package engine

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// CommandStat is what INFO commandstats tells of one command.
type CommandStat struct {
	Calls, Usec, Rejected, Failed int64

	Took [32]int64 // calls that took less than 1<<i microseconds, and not less than half of it
}

// Add adds what another one counted.
func (s *CommandStat) Add(o CommandStat) {
	s.Calls, s.Usec, s.Rejected, s.Failed = s.Calls+o.Calls, s.Usec+o.Usec, s.Rejected+o.Rejected, s.Failed+o.Failed
	for i, n := range o.Took {
		s.Took[i] += n
	}
}

// Time notes that n calls took so long each.
func (s *CommandStat) Time(took time.Duration, n int64) {
	usec := max(0, took.Microseconds())
	s.Usec += usec * n
	s.Took[min(bits.Len64(uint64(usec)), len(s.Took)-1)] += n
}

// stats count the commands that were executed, those of scripts included. What is loaded,
// or followed, is not counted.
type stats struct {
	counts []CommandStat           // by spec.id
	subs   map[string]*CommandStat // of containers, by "config|set"
	errors map[string]int64        // replies by their code
	plain  uint64                  // reads the short way, see readShort
}

func newStats() stats {
	return stats{counts: make([]CommandStat, len(table)), subs: map[string]*CommandStat{}, errors: map[string]int64{}}
}

// containers are the commands that are counted by their subcommands.
var containers = map[string]bool{"CONFIG": true, "OBJECT": true, "SCRIPT": true, "FUNCTION": true, "MEMORY": true, "XGROUP": true, "XINFO": true, "SLOWLOG": true}

// of is where the call is counted.
func (st *stats) of(c *call) *CommandStat {
	if !c.spec.container || len(c.args) < 2 {
		return &st.counts[c.spec.id]
	}
	name := strings.ToLower(c.args[0] + "|" + c.args[1])
	s := st.subs[name]
	if s == nil {
		s = &CommandStat{}
		if len(st.subs) < 256 { // names come from clients
			st.subs[name] = s
		}
	}
	return s
}

// account counts a call that has just been executed, and notes it if it was slow.
func (e *Engine) account(c *call, start time.Time) {
	if c.unlimited {
		return
	}
	took := time.Since(start)
	s := e.stats.of(c)
	s.Calls++
	s.Time(took, 1)
	if c.failed() {
		s.Failed++
		e.stats.failedWith(c.reply)
	}
	e.slow.note(e, c.argv, took)
}

// maxErrorCodes bounds the codes that are counted: scripts may make up any.
const maxErrorCodes = 128

func (st *stats) failedWith(reply []byte) {
	code := ErrorCode(reply)
	if _, known := st.errors[code]; code != "" && (known || len(st.errors) < maxErrorCodes) {
		st.errors[code]++
	}
}

// ErrorCode is the first word of an error reply; "" of any other.
func ErrorCode(reply []byte) string {
	if len(reply) == 0 || reply[0] != '-' {
		return ""
	}
	code, _, _ := strings.Cut(strings.TrimSpace(string(reply[1:])), " ")
	return code
}

// sampled is how many short reads share one look at the clock.
const sampled = 16

// readShort counts a read the short way; the time of one in sampled stands for all of
// them, since the clock costs as much as such a read.
func (e *Engine) readShort(s *spec) (done func()) {
	e.stats.plain++
	e.stats.counts[s.id].Calls++
	if e.stats.plain%sampled != 0 {
		return nil
	}
	start := time.Now()
	return func() { e.stats.counts[s.id].Time(time.Since(start), sampled) }
}

// all gives the statistics by name, with those that whoever owns the engine has counted.
func (st *stats) all(more map[string]CommandStat) map[string]CommandStat {
	out := maps.Clone(more)
	if out == nil {
		out = map[string]CommandStat{}
	}
	add := func(name string, s CommandStat) {
		o := out[name]
		o.Add(s)
		out[name] = o
	}
	for name, s := range table {
		if s := st.counts[s.id]; s.Calls > 0 {
			add(strings.ToLower(name), s)
		}
	}
	for name, s := range st.subs {
		add(name, *s)
	}
	return out
}

// CommandStats are the statistics by name, with those that the caller has counted.
func (e *Engine) CommandStats(more map[string]CommandStat) map[string]CommandStat {
	return e.stats.all(more)
}

func (e *Engine) infoCommandStats(f Facts) string {
	var b strings.Builder
	all := e.stats.all(f.Counted)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]
		per := 0.0
		if s.Calls > 0 {
			per = float64(s.Usec) / float64(s.Calls)
		}
		fmt.Fprintf(&b, "cmdstat_%s:calls=%d,usec=%d,usec_per_call=%.2f,rejected_calls=%d,failed_calls=%d\r\n", name, s.Calls, s.Usec, per, s.Rejected, s.Failed)
	}
	return b.String()
}

func (e *Engine) infoErrorStats(f Facts) string {
	all := maps.Clone(e.stats.errors)
	for code, n := range f.Errors {
		all[code] += n
	}
	var b strings.Builder
	for _, code := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "errorstat_%s:count=%d\r\n", code, all[code])
	}
	return b.String()
}

// errorReplies is how many errors were replied.
func errorReplies(e *Engine, f Facts) (n int64) {
	for _, counts := range []map[string]int64{e.stats.errors, f.Errors} {
		for _, m := range counts {
			n += m
		}
	}
	return n
}
