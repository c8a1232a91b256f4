package cache

import (
	"bytes"
	"math"
)

// Order numbers looks at the tracking connection: a look has passed once every
// invalidation of what changed before it began has been applied.
type Order interface {
	// Next is the number of a look that begins after the call; 0: there is none.
	Next() uint64
	// Passed is the newest look that has passed.
	Passed() uint64
}

// maxUnsettled bounds the key names an unsettled remembers one by one.
const maxUnsettled = 1024

// unsettled remembers key names about which different replies are cached, of
// which one is so new that the invalidation of the others may be under way: whoever has
// seen that one must not get the others. Once the look that is noted has passed,
// what is still cached is as new as all of them.
type unsettled struct {
	keys   map[uint64]uint64 // hash of the key name → look
	floor  uint64            // for all other names
	newest uint64            // no entry is higher; 0: there are none
}

func (u *unsettled) clear() { *u = unsettled{} }

// note makes hits of that key name wait for look n.
func (u *unsettled) note(hash, n, passed uint64) {
	if u.newest <= passed {
		u.clear()
	}
	if len(u.keys) >= maxUnsettled {
		u.clear()
		u.floor = n
	}
	if u.keys == nil {
		u.keys = make(map[uint64]uint64)
	}
	u.keys[hash] = n
	u.newest = max(u.newest, n)
}

// after is the look that a hit of that key name has to wait for; 0: none.
func (u *unsettled) after(hash, passed uint64) uint64 {
	if u.newest <= passed {
		u.clear()
		return 0
	}
	if n := max(u.keys[hash], u.floor); n > passed {
		return n
	}
	return 0
}

// noteOrder is called when the reply of f was stored. Alone of its key name it
// needs no order; beside other replies, or reads whose replies may come, it does.
func (s *shard) noteOrder(f *fill) {
	o := s.c.cfg.Order
	if o == nil || !s.hasSiblings(f) {
		return
	}
	if n := o.Next(); n > 0 {
		s.unsettled.note(f.hash, n, o.Passed())
	}
}

// hasSiblings reports whether another reply about the key of f is stored, or
// under way and fit to be.
func (s *shard) hasSiblings(f *fill) bool {
	if st := s.inflight[f.hash]; st != nil {
		for _, r := range st.reads {
			if r != f && !r.killed && !r.waiting {
				return true
			}
		}
	}
	slot, ok := s.lru.Peek(s.group(f.hash))
	if !ok {
		return false
	}
	key := keyOf(f.id)
	for r := s.heads[slot]; r != 0; {
		rec := s.arena.rec(r)
		if id := identityOf(rec); bytes.Equal(keyOf(id), key) && !bytes.Equal(id, f.id) {
			return true
		}
		r = next(rec)
	}
	return false
}

// Seen is what one client was told of keys by replies that are not in the cache:
// it must not get older ones from there. Not safe for concurrent use. The zero
// value is ready.
type Seen struct {
	replies [16]seenReply
	n       int    // how many of them there are
	at      int    // the next to be overwritten
	floor   uint64 // about any key
	newest  uint64 // no look is higher
}

type seenReply struct{ key, cmd, look uint64 }

// Empty reports whether nothing has to be looked at. It is cheap.
func (s *Seen) Empty() bool { return s.newest == 0 }

// All notes a reply that may tell of any key; look is from Order.Next after it came.
func (s *Seen) All(look uint64) {
	s.floor = max(s.floor, look)
	s.newest = max(s.newest, look)
}

// Saw notes a reply about the key. cmd is the command if it was a read that Begin
// had to do with: of these one is on the way at a time, so that they come in order.
func (c *Cache) Saw(s *Seen, key, cmd []byte, look uint64) {
	if look == 0 {
		return
	}
	r := seenReply{key: c.hash(key), look: look}
	if cmd != nil {
		r.cmd = c.hash(cmd)
	}
	s.newest = max(s.newest, look)
	for i := range s.replies[:s.n] {
		if o := &s.replies[i]; o.key == r.key && o.cmd == r.cmd {
			o.look = look
			return
		}
	}
	if s.n < len(s.replies) {
		s.replies[s.n] = r
		s.n++
		return
	}
	s.floor = max(s.floor, s.replies[s.at].look)
	s.replies[s.at] = r
	s.at = (s.at + 1) % len(s.replies)
}

// After is the look that a cached reply to cmd about the key, or one under way,
// has to wait for before this client may get it; 0: none.
func (c *Cache) After(s *Seen, key, cmd []byte) (look uint64) {
	passed := uint64(math.MaxUint64)
	if c.cfg.Order != nil {
		passed = c.cfg.Order.Passed()
	}
	if s.newest <= passed {
		*s = Seen{}
		return 0
	}
	look = s.floor
	hash, cmdHash := c.hash(key), c.hash(cmd)
	for _, r := range s.replies[:s.n] {
		if r.key == hash && r.cmd != cmdHash {
			look = max(look, r.look)
		}
	}
	if look <= passed {
		return 0
	}
	return look
}
