package proxy

import (
	"bytes"
	"slices"

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
		for _, together := range told {
			h.announceTo(r, to, together)
		}
	}
}

// announceTo sends one invalidation to the relay's client, or to the one that it
// redirects them to. The hub's lock is held.
func (h *hub) announceTo(r *relay, to int64, keys [][]byte) {
	if to == 0 || to == r.c.id {
		r.announce(keys, true)
		return
	}
	if !r.c.s.hasClient(to) {
		tellBroken(r, to)
	}
	for other := range h.members {
		if other.c.id == to {
			other.announce(keys, false)
		}
	}
}

// tellBroken tells a client of RESP3 that the one that gets its invalidations has gone. The
// hub's lock is held.
func tellBroken(r *relay, id int64) {
	r.mu.Lock()
	proto := r.proto
	r.mu.Unlock()
	if proto == 3 {
		r.deliver(resp.AppendInt([]byte(">2\r\n$21\r\ntracking-redir-broken\r\n"), id))
	}
}

// concerned picks the keys that the client is to be told of, once each, and what goes into
// one message, as Redis does: the keys of one prefix, or a single key that was read. The
// relay's lock is held.
func (t *tracking) concerned(keys [][]byte) (told [][][]byte) {
	if keys == nil {
		clear(t.keys)
		return [][][]byte{nil}
	}
	if t.bcast {
		return t.covered(keys)
	}
	for _, k := range keys {
		if _, ok := t.keys[string(k)]; ok || t.unknown {
			delete(t.keys, string(k))
			told = append(told, [][]byte{k})
		}
	}
	return told
}

// covered gives the keys below each prefix.
func (t *tracking) covered(keys [][]byte) (told [][][]byte) {
	prefixes := t.prefixes
	if len(prefixes) == 0 {
		prefixes = [][]byte{nil}
	}
	for _, p := range prefixes {
		var below [][]byte
		for _, k := range keys {
			if bytes.HasPrefix(k, p) && !slices.ContainsFunc(below, func(b []byte) bool { return bytes.Equal(b, k) }) {
				below = append(below, k)
			}
		}
		if len(below) > 0 {
			told = append(told, below)
		}
	}
	return told
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
