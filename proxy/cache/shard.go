package cache

import (
	"bytes"
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// groupCost is what a group of key names costs beside their records: an LRU
	// element (64 bytes), its slot in the LRU's map and in heads. The map's share
	// swings with its load; this is its mean.
	groupCost = 64 + 28 + 5
	// maxChain bounds the replies kept in one group, and with that the time a
	// lookup holds the lock: a hash read field by field may have thousands.
	maxChain = 128
	// maxChances bounds the groups that shrink passes by for one reply stored.
	maxChances = 1024
)

// groupsFor is how many groups a cache of that many bytes has. An element of the
// LRU is as large as a small reply: of a million of these, four share one. More
// in a group would make its chain slow.
func groupsFor(maxBytes int64) int64 {
	return min(maxBytes/512, max(1<<18, maxBytes/4096))
}

// shard is one part of the cache: all replies of the key names that hash to it,
// in groups. A group is one element of the LRU; its records are chained.
// Fields are guarded by mu.
type shard struct {
	c      *Cache
	budget int64

	mu      sync.Mutex
	lru     *simplelru.LRU[uint32, uint32] // group → slot in heads
	groups  uint32                         // how many there can be
	heads   []ref                          // first record of each group
	vacant  []uint32                       // slots of heads not in use
	arena   arena
	entries int64

	inflight map[uint64]*keyState // hashes of key names with reads or writes on the way
	spare    []*keyState          // of inflight, to be used again
	flushing int                  // writes to all keys on the way
	never    *simplelru.LRU[uint64, struct{}]

	unsettled unsettled
	hot       hot

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
	s := &shard{c: c, budget: budget, inflight: make(map[uint64]*keyState),
		groups: uint32(max(groupsFor(c.cfg.MaxBytes)/int64(c.cfg.Shards), 1))}
	s.never, _ = simplelru.NewLRU[uint64, struct{}](max(neverKeys, 1), nil) // fails for size <= 0 only
	s.reset()
	return s
}

// group is the group of a key name with that hash.
func (s *shard) group(hash uint64) uint32 { return uint32(hash) % s.groups }

// reset drops all records.
func (s *shard) reset() {
	s.lru, _ = simplelru.NewLRU[uint32, uint32](math.MaxInt, nil) // bounded by bytes, in shrink
	s.heads, s.vacant = nil, nil
	s.arena = newArena(min(max(int(s.budget/32), minSegment), maxSegment))
	s.entries = 0
}

func (s *shard) bytes() int64 { return s.arena.size + int64(s.lru.Len())*groupCost }

// find returns the record of id and the one before it in its chain.
func (s *shard) find(g uint32, id []byte) (slot uint32, prev, r ref, rec []byte) {
	slot, ok := s.lru.Peek(g)
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
func (s *shard) get(dst []byte, hash uint64, id []byte) ([]byte, bool) {
	g := s.group(hash)
	slot, prev, r, rec := s.find(g, id)
	if r == 0 {
		s.misses++
		return dst, false
	}
	if e := expires(rec); e != noExpiry && s.c.tick() >= e {
		s.unlink(g, slot, prev, r)
		s.misses++
		return dst, false
	}
	if prev == 0 && next(rec) == 0 {
		s.lru.Get(g) // alone: the group is as recent as it is
	} else {
		setUsed(rec)
	}
	if prev != 0 { // to the front: the hot replies of a group are found first
		setNext(s.arena.rec(prev), next(rec))
		setNext(rec, s.heads[slot])
		s.heads[slot] = r
	}
	if s.hits++; s.hot.on && sampled(s.hits) {
		s.hot.note(hash, id)
	}
	return appendReply(dst, rec), true
}

// unlink takes one record out of its chain and frees it.
func (s *shard) unlink(g, slot uint32, prev, r ref) {
	after := next(s.arena.rec(r))
	switch {
	case prev != 0:
		setNext(s.arena.rec(prev), after)
	case after != 0:
		s.heads[slot] = after
	default:
		s.lru.Remove(g)
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
func (s *shard) store(hash uint64, id, reply []byte, tick uint32) bool {
	body, isBulk := bulkBody(reply)
	if !isBulk {
		body = reply
	}
	size := headerLen + len(id) + len(body)
	if len(id) > maxIdentity || size > maxRecord || int64(size)+groupCost+segmentCost > s.budget/4 {
		return false
	}
	g := s.group(hash)
	if slot, prev, r, _ := s.find(g, id); r != 0 {
		s.unlink(g, slot, prev, r)
	}
	r, rec, ok := s.arena.alloc(size)
	if !ok {
		return false
	}
	slot, known := s.lru.Peek(g)
	if !known {
		slot = s.newSlot()
		s.lru.Add(g, slot)
	}
	write(rec, s.heads[slot], tick, id, body, isBulk)
	s.heads[slot] = r
	s.entries++
	s.trimChain(g, slot)
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

// trimChain drops the least recently used reply of a group that has too many.
func (s *shard) trimChain(g, slot uint32) {
	prev, r := ref(0), s.heads[slot]
	for n := 1; ; n++ {
		after := next(s.arena.rec(r))
		if after == 0 {
			if n > maxChain {
				s.unlink(g, slot, prev, r)
				s.evictions++
			}
			return
		}
		prev, r = r, after
	}
}

// shrink brings the shard back under its budget: dead room first, then from the
// oldest group its oldest reply.
func (s *shard) shrink() {
	for chances := maxChances; s.bytes() > s.budget; chances-- {
		if s.arena.dead > s.arena.size/8 && s.compact() {
			continue
		}
		g, slot, ok := s.lru.GetOldest()
		if !ok {
			return
		}
		s.shed(g, slot, chances > 0)
		s.lru.Get(g) // what is left of it is the newest now
	}
}

// shed drops the last reply of a group that was not used since the group came to
// its place. Those behind it, or all when there is none, have had their chance.
func (s *shard) shed(g, slot uint32, chance bool) {
	var prev, before, victim ref
	for r := s.heads[slot]; r != 0; prev, r = r, next(s.arena.rec(r)) {
		if !chance || !isUsed(s.arena.rec(r)) {
			before, victim = prev, r
		}
	}
	after := s.heads[slot]
	if victim != 0 {
		after = next(s.arena.rec(victim))
		s.unlink(g, slot, before, victim)
		s.evictions++
	}
	for r := after; r != 0; r = next(s.arena.rec(r)) {
		clearUsed(s.arena.rec(r))
	}
}

// filter drops the records of a group that keep is false for, and tells how many.
func (s *shard) filter(g, slot uint32, keep func(rec []byte) bool) (n int) {
	for prev, r := ref(0), s.heads[slot]; r != 0; {
		rec := s.arena.rec(r)
		after := next(rec)
		if keep(rec) {
			prev = r
		} else {
			s.unlink(g, slot, prev, r)
			n++
		}
		r = after
	}
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
		g := s.group(s.c.hash(keyOf(identityOf(rec))))
		moved, to, ok := s.arena.alloc(len(rec))
		if !ok {
			return // it stays where it is
		}
		copy(to[4:], rec[4:])
		s.relink(g, old, moved)
		s.arena.free(old)
	})
	return s.arena.segs[victim].buf == nil
}

// relink makes the one reference to a record follow its move. Peek keeps the
// order of use.
func (s *shard) relink(g uint32, old, moved ref) {
	slot, _ := s.lru.Peek(g)
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

// drop removes the replies of one key name.
func (s *shard) drop(hash uint64, key []byte) {
	g := s.group(hash)
	if slot, ok := s.lru.Peek(g); ok {
		s.filter(g, slot, func(rec []byte) bool { return !bytes.Equal(keyOf(identityOf(rec)), key) })
	}
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
func (s *shard) dropKey(hash uint64, key []byte) {
	s.drop(hash, key)
	delete(s.unsettled.keys, hash) // nothing is left that could be too old
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
	s.unsettled.clear()
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
