package cache

import (
	"bytes"
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// keyCost is what one key name costs beside its records: an LRU element
	// (64 bytes), its slot in the LRU's map and in heads. The map's share
	// swings with its load; this is its mean.
	keyCost = 64 + 28 + 5
	// maxChain bounds the replies kept for one key name, and with that the time
	// a lookup holds the lock: a hash read field by field may have thousands.
	maxChain = 128
)

// shard is one part of the cache: all replies of the key names that hash to it.
// Fields are guarded by mu.
type shard struct {
	c      *Cache
	budget int64

	mu      sync.Mutex
	lru     *simplelru.LRU[uint32, uint32] // hash of the key name → slot in heads
	heads   []ref                          // first record of each key name
	vacant  []uint32                       // slots of heads not in use
	arena   arena
	entries int64

	inflight map[uint64]*keyState // hashes of key names with reads or writes on the way
	spare    []*keyState          // of inflight, to be used again
	flushing int                  // writes to all keys on the way
	never    *simplelru.LRU[uint64, struct{}]

	hits, misses, fills, rejected, invalidations, evictions uint64
}

// maxSpare bounds shard.spare.
const maxSpare = 64

// keyState is what is on the way to the server for one key name. Names that
// share a hash share it: then a write to one keeps the other out as well.
type keyState struct {
	writers int
	reads   []*fill // at most one for each identity
}

func newShard(c *Cache, budget int64, neverKeys int) *shard {
	s := &shard{c: c, budget: budget, inflight: make(map[uint64]*keyState)}
	s.never, _ = simplelru.NewLRU[uint64, struct{}](max(neverKeys, 1), nil) // fails for size <= 0 only
	s.reset()
	return s
}

// reset drops all records.
func (s *shard) reset() {
	s.lru, _ = simplelru.NewLRU[uint32, uint32](math.MaxInt, nil) // bounded by bytes, in shrink
	s.heads, s.vacant = nil, nil
	s.arena = newArena(min(max(int(s.budget/32), minSegment), maxSegment))
	s.entries = 0
}

func (s *shard) bytes() int64 { return s.arena.size + int64(s.lru.Len())*keyCost }

// find returns the record of id and the one before it in its chain.
func (s *shard) find(hash uint32, id []byte) (slot uint32, prev, r ref, rec []byte) {
	slot, ok := s.lru.Get(hash)
	if !ok {
		return 0, 0, 0, nil
	}
	for r = s.heads[slot]; r != 0; prev, r = r, next(rec) {
		rec = s.arena.rec(r)
		if identityLen(rec) == len(id) && bytes.Equal(identityOf(rec), id) {
			return slot, prev, r, rec
		}
	}
	return slot, prev, 0, nil
}

// get appends the reply of id to dst.
func (s *shard) get(dst []byte, hash uint32, id []byte) ([]byte, bool) {
	slot, prev, r, rec := s.find(hash, id)
	if r == 0 {
		s.misses++
		return dst, false
	}
	if e := expires(rec); e != noExpiry && s.c.tick() >= e {
		s.unlink(hash, slot, prev, r)
		s.misses++
		return dst, false
	}
	if prev != 0 { // to the front: the hot replies of a key are found first
		setNext(s.arena.rec(prev), next(rec))
		setNext(rec, s.heads[slot])
		s.heads[slot] = r
	}
	s.hits++
	return appendReply(dst, rec), true
}

// unlink takes one record out of its chain and frees it.
func (s *shard) unlink(hash, slot uint32, prev, r ref) {
	after := next(s.arena.rec(r))
	switch {
	case prev != 0:
		setNext(s.arena.rec(prev), after)
	case after != 0:
		s.heads[slot] = after
	default:
		s.lru.Remove(hash)
		s.vacate(slot)
	}
	s.arena.free(r)
	s.entries--
}

func (s *shard) vacate(slot uint32) {
	s.heads[slot] = 0
	s.vacant = append(s.vacant, slot)
}

// store puts a reply into the cache; false when it does not fit.
func (s *shard) store(hash uint32, id, reply []byte, tick uint32) bool {
	body, isBulk := bulkBody(reply)
	if !isBulk {
		body = reply
	}
	size := headerLen + len(id) + len(body)
	if len(id) > maxIdentity || size > maxRecord || int64(size)+keyCost+segmentCost > s.budget/4 {
		return false
	}
	if slot, prev, r, _ := s.find(hash, id); r != 0 {
		s.unlink(hash, slot, prev, r)
	}
	r, rec, ok := s.arena.alloc(size)
	if !ok {
		return false
	}
	slot, known := s.lru.Peek(hash)
	if !known {
		slot = s.newSlot()
		s.lru.Add(hash, slot)
	}
	write(rec, s.heads[slot], tick, id, body, isBulk)
	s.heads[slot] = r
	s.entries++
	s.trimChain(hash, slot)
	s.shrink()
	return true
}

func (s *shard) newSlot() uint32 {
	if n := len(s.vacant); n > 0 {
		slot := s.vacant[n-1]
		s.vacant = s.vacant[:n-1]
		return slot
	}
	if len(s.heads) == cap(s.heads) { // append would double it
		grown := make([]ref, len(s.heads), len(s.heads)+len(s.heads)/8+64)
		copy(grown, s.heads)
		s.heads = grown
	}
	s.heads = append(s.heads, 0)
	return uint32(len(s.heads) - 1)
}

// trimChain drops the least recently used reply of a key name that has too many.
func (s *shard) trimChain(hash, slot uint32) {
	prev, r := ref(0), s.heads[slot]
	for n := 1; ; n++ {
		after := next(s.arena.rec(r))
		if after == 0 {
			if n > maxChain {
				s.unlink(hash, slot, prev, r)
				s.evictions++
			}
			return
		}
		prev, r = r, after
	}
}

// shrink brings the shard back under its budget: dead room first, then the
// least recently used key names.
func (s *shard) shrink() {
	for s.bytes() > s.budget {
		if s.arena.dead > s.arena.size/8 && s.compact() {
			continue
		}
		_, slot, ok := s.lru.RemoveOldest()
		if !ok {
			return
		}
		s.evictions += uint64(s.freeChain(slot))
	}
}

func (s *shard) freeChain(slot uint32) (n int) {
	for r := s.heads[slot]; r != 0; n++ {
		after := next(s.arena.rec(r))
		s.arena.free(r)
		r = after
	}
	s.vacate(slot)
	s.entries -= int64(n)
	return n
}

// compact moves the live records out of the segment with most dead room, which
// frees it; false when no segment is worth it.
func (s *shard) compact() bool {
	victim := s.arena.victim()
	if victim == 0 {
		return false
	}
	s.arena.each(victim, func(old ref, rec []byte) {
		hash := uint32(s.c.hash(keyOf(identityOf(rec))))
		moved, to, ok := s.arena.alloc(len(rec))
		if !ok {
			return // it stays where it is
		}
		copy(to[4:], rec[4:])
		s.relink(hash, old, moved)
		s.arena.free(old)
	})
	return s.arena.segs[victim].buf == nil
}

// relink makes the one reference to a record follow its move. Peek keeps the
// order of use.
func (s *shard) relink(hash uint32, old, moved ref) {
	slot, _ := s.lru.Peek(hash)
	if s.heads[slot] == old {
		s.heads[slot] = moved
		return
	}
	for r := s.heads[slot]; r != 0; {
		rec := s.arena.rec(r)
		if next(rec) == old {
			setNext(rec, moved)
			return
		}
		r = next(rec)
	}
}

// drop removes the replies of a key name (and of one that shares its hash).
func (s *shard) drop(hash uint32) int {
	slot, ok := s.lru.Peek(hash)
	if !ok {
		return 0
	}
	s.lru.Remove(hash)
	return s.freeChain(slot)
}

// kill makes the reads on the way for one key name unfit for the cache and for
// callers who come from now on, if the name has the prefix. They stay listed until they are back, so that
// the next read of each waits for that. Reads not begun will see what changed.
func (st *keyState) kill(prefix []byte) {
	for _, f := range st.reads {
		if bytes.HasPrefix(keyOf(f.id), prefix) {
			f.killed = !f.waiting
		}
	}
}

// find is the read of id that is on the way, or whose turn it is.
func (st *keyState) find(id []byte) *fill {
	for _, f := range st.reads {
		if bytes.Equal(f.id, id) {
			return f
		}
	}
	return nil
}

// dropKey removes and kills everything of one key name.
func (s *shard) dropKey(hash uint64) {
	s.drop(uint32(hash))
	if st := s.inflight[hash]; st != nil {
		st.kill(nil)
		s.forget(hash, st)
	}
}

// dropAll removes and kills everything.
func (s *shard) dropAll() {
	if s.lru.Len() > 0 {
		s.reset()
	}
	for hash, st := range s.inflight {
		st.kill(nil)
		s.forget(hash, st)
	}
}

func (s *shard) state(hash uint64) *keyState {
	st := s.inflight[hash]
	if st == nil {
		if n := len(s.spare); n > 0 {
			st, s.spare = s.spare[n-1], s.spare[:n-1]
		} else {
			st = &keyState{}
		}
		s.inflight[hash] = st
	}
	return st
}

// forget drops the state of a key name with nothing on the way.
func (s *shard) forget(hash uint64, st *keyState) {
	if st.writers > 0 || len(st.reads) > 0 {
		return
	}
	delete(s.inflight, hash)
	if len(s.spare) < maxSpare && cap(st.reads) <= maxSpare {
		s.spare = append(s.spare, st)
	}
}
