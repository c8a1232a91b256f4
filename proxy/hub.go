package proxy

import (
	"sync"
	"sync/atomic"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/engine"
)

// hub stands in for Redis where it pushes: messages between the clients of an
// embedded store, and invalidations for clients that track keys while their
// connection to Redis is gone.
type hub struct {
	mu      sync.Mutex // taken before a relay's lock
	members map[*relay]struct{}

	monitors atomic.Int64 // members in MONITOR
}

// These bound the messages that wait for a client that does not read; one more
// closes it, as Redis does.
const (
	maxOutbox      = 8192
	maxOutboxBytes = 32 << 20
)

func newHub() *hub { return &hub{members: map[*relay]struct{}{}} }

// join makes the relay a receiver. Its messages leave in a goroutine of their own, so that
// no publisher waits for a slow reader.
func (h *hub) join(r *relay) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.members[r]; ok || isDone(r.closed) {
		return
	}
	h.members[r] = struct{}{}
	if r.outbox != nil {
		return
	}
	r.outbox = make(chan []byte, maxOutbox)
	r.c.s.wg.Add(1)
	go func() {
		defer r.c.s.wg.Done()
		for {
			select {
			case m := <-r.outbox:
				_ = r.c.writeRaw(m)
				r.waiting.Add(-int64(len(m)))
			case <-r.closed:
				return
			}
		}
	}()
}

func (h *hub) leave(r *relay) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.members[r]; !ok {
		return
	}
	delete(h.members, r)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.monitor && r.sess == nil {
		h.monitors.Add(-1)
	}
}

// deliver queues a message. The hub's lock is held.
func (r *relay) deliver(m []byte) {
	n := int64(len(m))
	if r.waiting.Add(n) <= maxOutboxBytes {
		select {
		case r.outbox <- m:
			return
		default:
		}
	}
	r.waiting.Add(-n)
	_ = r.c.conn.Close()
}

// publish sends to subscribers and returns how many messages that were.
func (h *hub) publish(kind int, channel, message []byte) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.members {
		r.mu.Lock()
		proto := r.proto
		_, plain := r.subs.sets[kind][string(channel)]
		var patterns []string
		if kind == 0 {
			for p := range r.subs.sets[1] {
				if command.MatchGlob([]byte(p), channel) {
					patterns = append(patterns, p)
				}
			}
		}
		r.mu.Unlock()
		if plain {
			m := resp.AppendBulkString(resp.AppendPushLen(nil, proto, 3), kinds[kind]+"message")
			r.deliver(resp.AppendBulk(resp.AppendBulk(m, channel), message))
			n++
		}
		for _, p := range patterns {
			m := resp.AppendBulkString(resp.AppendPushLen(nil, proto, 4), "pmessage")
			m = resp.AppendBulkString(m, p)
			r.deliver(resp.AppendBulk(resp.AppendBulk(m, channel), message))
			n++
		}
	}
	return n
}

// tell publishes for a script.
func (h *hub) tell(sharded bool, channel, message string) int64 {
	kind := 0
	if sharded {
		kind = 2
	}
	return int64(h.publish(kind, []byte(channel), []byte(message)))
}

// wrote is told of each write of a client on the local state.
func (h *hub) wrote(_ int, by int64, commands [][][]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.members) == 0 {
		return
	}
	switch keys, all := changedKeys(commands); {
	case all:
		h.invalidateLocked(nil, by)
	case len(keys) > 0:
		h.invalidateLocked(keys, by)
	}
}

// expired is told of each key of the local state whose time is over.
func (h *hub) expired(_ int, key string) { h.invalidate([][]byte{[]byte(key)}, 0) }

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
