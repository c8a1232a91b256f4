package proxy

import (
	"maps"
	"sync"
	"time"

	"holdfast/backend/command"
	"holdfast/fallback/engine"
)

// counted are the statistics of what the proxy of an embedded store answers itself, for
// INFO: the engine counts what it executes.
type counted struct {
	mu     sync.Mutex
	stats  map[string]engine.CommandStat
	errors map[string]int64
}

func (n *counted) add(name string, more engine.CommandStat) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stats == nil {
		n.stats = map[string]engine.CommandStat{}
	}
	s := n.stats[name]
	s.Add(more)
	n.stats[name] = s
}

func (n *counted) failed(reply []byte) {
	code := engine.ErrorCode(reply)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.errors == nil {
		n.errors = map[string]int64{}
	}
	n.errors[code]++
}

func (n *counted) reset() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stats, n.errors = nil, nil
}

func (n *counted) all() (map[string]engine.CommandStat, map[string]int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.stats), maps.Clone(n.errors)
}

// counting counts a command that the proxy of an embedded store answers itself.
func (c *client) counting(cmd *command.Command, argv [][]byte) (done func()) {
	start, at := time.Now(), c.answeredBytes()
	return func() {
		took := time.Since(start)
		stat := engine.CommandStat{Calls: 1}
		stat.Time(took, 1)
		if out := c.lastAnswers(); len(out) > at && out[at] == '-' {
			stat.Failed = 1
			c.s.counted.failed(out[at:])
		}
		c.s.counted.add(cmd.Name, stat)
		after := c.s.cfg.Local.SlowAfter()
		if after < 0 || took.Microseconds() < after || neverSlow[cmd.Name] {
			return
		}
		c.s.cfg.Local.LogSlow(argv, took, c.who)
	}
}

// lastAnswers are the replies that were given and not yet sent.
func (c *client) lastAnswers() []byte {
	if c.multi != nil && !c.multi.free {
		return c.multi.held.replies
	}
	return c.batch.out
}

func (c *client) answeredBytes() int { return len(c.lastAnswers()) }

// neverSlow are commands that SLOWLOG does not show: those of a unit are shown instead of
// EXEC, and what has a password in it is not.
var neverSlow = map[string]bool{"exec": true, "auth": true, "hello": true}

// whoAsks is what SLOWLOG tells of the client.
func (c *client) whoAsks() (addr, name string) {
	if p := c.name.Load(); p != nil {
		name = *p
	}
	return c.addr, name
}

// tracked is what INFO tells of clients that track keys of the local state.
func (h *hub) tracked() (out engine.Tracked) {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys, prefixes := map[string]struct{}{}, map[string]struct{}{}
	for r := range h.members {
		r.mu.Lock()
		if t := r.track; t != nil {
			out.Clients++
			out.Items += len(t.keys)
			for k := range t.keys {
				keys[k] = struct{}{}
			}
			for _, p := range t.prefixes {
				prefixes[string(p)] = struct{}{}
			}
			if t.bcast && len(t.prefixes) == 0 {
				prefixes[""] = struct{}{}
			}
		}
		r.mu.Unlock()
	}
	out.Keys, out.Prefixes = len(keys), len(prefixes)
	return out
}
