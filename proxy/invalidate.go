package proxy

import (
	"bytes"

	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// redirectChannel is where RESP2 clients get the invalidations that others redirect to
// them.
const redirectChannel = "__redis__:invalidate"

// tracks reports whether somebody tracks keys of the local state.
func (h *hub) tracks() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.members {
		if r.tracksLocally() {
			return true
		}
	}
	return false
}

func (r *relay) tracksLocally() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.track != nil
}

// invalidate tells those who track keys that these have changed, by a client (0: by
// nobody, they have expired); nil: all keys.
func (h *hub) invalidate(keys [][]byte, by int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.invalidateLocked(keys, by)
}

func (h *hub) invalidateLocked(keys [][]byte, by int64) {
	for r := range h.members {
		r.mu.Lock()
		t := r.track
		if t == nil || t.noloop && by == r.c.id && keys != nil {
			r.mu.Unlock()
			continue
		}
		told, to := t.concerned(keys), t.redirect
		r.mu.Unlock()
		if keys != nil && len(told) == 0 {
			continue
		}
		if to == 0 || to == r.c.id {
			r.announce(told, true)
			continue
		}
		for other := range h.members {
			if other.c.id == to {
				other.announce(told, false)
			}
		}
	}
}

// concerned picks the keys that the client is to be told of, once each. The relay's
// lock is held.
func (t *tracking) concerned(keys [][]byte) (told [][]byte) {
	if keys == nil {
		clear(t.keys)
	}
	for _, k := range keys {
		if t.bcast {
			if t.covers(k) {
				told = append(told, k)
			}
			continue
		}
		if _, ok := t.keys[string(k)]; ok || t.unknown {
			delete(t.keys, string(k))
			told = append(told, k)
		}
	}
	return told
}

func (t *tracking) covers(key []byte) bool {
	for _, p := range t.prefixes {
		if bytes.HasPrefix(key, p) {
			return true
		}
	}
	return len(t.prefixes) == 0
}

// announce sends an invalidation: a push, or in RESP2 a message to a client that has
// subscribed to them. The hub's lock is held.
func (r *relay) announce(keys [][]byte, own bool) {
	r.mu.Lock()
	proto := r.proto
	_, listens := r.subs.sets[0][redirectChannel]
	r.mu.Unlock()
	var out []byte
	switch {
	case proto == 3:
		out = []byte(">2\r\n$10\r\ninvalidate\r\n")
	case listens && !own:
		out = resp.AppendBulkString([]byte("*3\r\n$7\r\nmessage\r\n"), redirectChannel)
	default:
		return
	}
	if keys == nil {
		r.deliver(resp.AppendNullArray(out, proto))
		return
	}
	out = resp.AppendArrayLen(out, len(keys))
	for _, k := range keys {
		out = resp.AppendBulk(out, k)
	}
	r.deliver(out)
}

// changedKeys are the keys that the commands may have changed; nil where one names none.
func changedKeys(commands [][][]byte) (keys [][]byte, all bool) {
	for _, argv := range commands {
		cmd, ok := command.Lookup(argv)
		if !ok || cmd.Flags&(command.Write|command.Script) == 0 {
			continue
		}
		n := len(keys)
		if keys = cmd.WriteKeys(keys, argv); len(keys) == n && cmd.Flags&command.MayReplicate|cmd.Flags&command.Write != 0 {
			return nil, true
		}
	}
	return keys, false
}
