package cache

import "bytes"

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

// unsettled remembers key names of which a client was told something so new that
// the invalidation of what is cached may be under way: nobody must get that any
// more. Once the look that is noted has passed, what is still cached is as new.
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

// noteOrder is called when a reply about a key is about to be handed out; id is
// empty for one that is never cached. If other replies are cached or under way,
// hits have to wait. Replies of one id come in order: one is under way at a time.
func (s *shard) noteOrder(hash uint64, key, id []byte) {
	o := s.c.cfg.Order
	if o == nil || !s.hasOthers(hash, key, id) {
		return
	}
	if n := o.Next(); n > 0 {
		s.unsettled.note(hash, n, o.Passed())
	}
}

// hasOthers reports whether a reply about the key of another id is stored, or
// under way and fit to be.
func (s *shard) hasOthers(hash uint64, key, id []byte) bool {
	if st := s.inflight[hash]; st != nil {
		for _, r := range st.reads {
			if !r.killed && !r.waiting && !bytes.Equal(r.id, id) {
				return true
			}
		}
	}
	slot, ok := s.lru.Peek(s.group(hash))
	if !ok {
		return false
	}
	for r := s.heads[slot]; r != 0; {
		rec := s.arena.rec(r)
		if other := identityOf(rec); bytes.Equal(keyOf(other), key) && !bytes.Equal(other, id) {
			return true
		}
		r = next(rec)
	}
	return false
}

// behind reports whether what is cached or under way about a key name may be
// older than what somebody was told.
func (s *shard) behind(hash uint64) uint64 {
	if s.unsettled.newest == 0 {
		return 0
	}
	return s.unsettled.after(hash, s.c.cfg.Order.Passed())
}

// Told notes that a client is about to be told of the key by a reply that the
// cache has nothing to do with (MGET, EXEC). To be called before it gets it.
func (c *Cache) Told(key []byte) {
	if c.cfg.Order == nil {
		return
	}
	c.locked(key, func(s *shard, hash uint64) { s.noteOrder(hash, key, nil) })
}
