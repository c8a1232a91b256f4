package embedded

import (
	"maps"
	"sync"

	"holdfast/backend/resp"
	"holdfast/fallback/engine"
)

// Counts are the statistics of what the proxy answers itself, for INFO: the engine counts
// what it executes. The zero value is empty. Safe for concurrent use.
type Counts struct {
	mu     sync.Mutex
	stats  map[string]engine.CommandStat
	errors map[string]int64
}

// Add adds to the statistics of a command.
func (n *Counts) Add(name string, more engine.CommandStat) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stats == nil {
		n.stats = map[string]engine.CommandStat{}
	}
	s := n.stats[name]
	s.Add(more)
	n.stats[name] = s
}

// Failed counts an error reply by its code.
func (n *Counts) Failed(reply []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.errors == nil {
		n.errors = map[string]int64{}
	}
	n.errors[engine.ErrorCode(reply)]++
}

// Reset forgets everything.
func (n *Counts) Reset() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stats, n.errors = nil, nil
}

// All are copies of the statistics by command, and of the counts of errors by code.
func (n *Counts) All() (map[string]engine.CommandStat, map[string]int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.stats), maps.Clone(n.errors)
}

// AppendHistogram appends what LATENCY HISTOGRAM tells of one command: how many calls took
// up to so many microseconds.
func AppendHistogram(out []byte, proto int, s engine.CommandStat) []byte {
	out = resp.AppendInt(resp.AppendBulkString(resp.AppendMapLen(out, proto, 2), "calls"), s.Calls)
	out = resp.AppendBulkString(out, "histogram_usec")
	var upTo []int64
	total := int64(0)
	for i, n := range s.Took {
		if total += n; n > 0 {
			upTo = append(upTo, int64(1)<<i, total)
		}
	}
	out = resp.AppendMapLen(out, proto, len(upTo)/2)
	for _, n := range upTo {
		out = resp.AppendInt(out, n)
	}
	return out
}
