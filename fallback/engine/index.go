package engine

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"

	"github.com/tidwall/btree"

	"holdfast/fallback/engine/stream"
)

// entry is a key with its value.
type entry struct {
	key      string
	value    string         // of a string
	obj      object         // of a list, a set, a hash or a sorted set
	hash     uint64         // place in SCAN's order
	deadline int64          // Unix ms at which the key expires; 0 = never
	field    int64          // Unix ms of the nearest hash field deadline; 0 = none
	version  uint64         // Engine.writes at the last change
	kind     string         // type as TYPE names it
	stream   *stream.Stream // the value of a stream
	place    int32          // index in the heap, -1 when not in it
	db       uint8
	form     stringForm // of a string: see encoding
}

// next is the moment at which something of the key is due; 0 = never.
func (en *entry) next() int64 {
	if en.deadline == 0 || (en.field != 0 && en.field < en.deadline) {
		return en.field
	}
	return en.deadline
}

// dbIndex finds the keys of one database by name and in the order of their
// hashes. With that order a SCAN cursor is just a hash: every key that is there
// during the whole iteration is returned, and no state is kept for it.
type dbIndex struct {
	keys   map[string]*entry
	byHash *btree.BTree // nil while many keys are being loaded: see ordered
}

// ordered is the keys in the order of their hashes. After a load they are
// sorted once, which costs a fraction of inserting them one by one.
func (ix *dbIndex) ordered() *btree.BTree {
	if ix.byHash != nil {
		return ix.byHash
	}
	type place struct { // the hash beside the pointer: comparing fetches no entry
		hash uint64
		en   *entry
	}
	all := make([]place, 0, len(ix.keys))
	for _, en := range ix.keys {
		all = append(all, place{en.hash, en})
	}
	slices.SortFunc(all, func(a, b place) int {
		if a.hash != b.hash {
			return cmp.Compare(a.hash, b.hash)
		}
		return strings.Compare(a.en.key, b.en.key)
	})
	ix.byHash = btree.NewNonConcurrent(hashLess)
	for _, p := range all {
		ix.byHash.Load(p.en)
	}
	return ix.byHash
}

func newEntry(db int, key string) *entry {
	return &entry{key: key, db: uint8(db), hash: scanHash(key), place: -1}
}

func (ix *dbIndex) insert(en *entry) {
	ix.keys[en.key] = en
	if ix.byHash != nil {
		ix.byHash.Set(en)
	}
}

func (ix *dbIndex) remove(en *entry) {
	delete(ix.keys, en.key)
	if ix.byHash != nil {
		ix.byHash.Delete(en)
	}
}

// hashBits keeps cursors within what a float64 holds exactly, for clients that
// parse them as one.
const hashBits = 48

func scanHash(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(key); i++ {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	// FNV's low bits mix poorly into the high ones for short keys.
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	return h>>(64-hashBits) | 1 // never 0, the cursor of start and end
}

func hashLess(a, b any) bool {
	x, y := a.(*entry), b.(*entry)
	if x.hash != y.hash {
		return x.hash < y.hash
	}
	return x.key < y.key
}

func (e *Engine) index(db int) *dbIndex {
	ix := e.dbs[db]
	if ix == nil {
		ix = &dbIndex{keys: map[string]*entry{}}
		if !e.loading {
			ix.ordered()
		}
		e.dbs[db] = ix
	}
	return ix
}

// find is the entry of a key, or nil when it does not exist.
func (e *Engine) find(db int, key string) *entry {
	if ix := e.dbs[db]; ix != nil {
		return ix.keys[key]
	}
	return nil
}

func (e *Engine) keyType(db int, key string) string {
	if en := e.find(db, key); en != nil {
		return en.kind
	}
	return "none"
}

// version tells two states of a key apart; 0 when it does not exist.
func (e *Engine) version(db int, key string) uint64 {
	if en := e.find(db, key); en != nil {
		return en.version
	}
	return 0
}

// touch gives a key that was written a new version.
func (e *Engine) touch(db int, key string) {
	if en := e.find(db, key); en != nil {
		e.writes++
		en.version = e.writes
	}
}

// schedule puts the entry at its place in the heap, or takes it out.
func (e *Engine) schedule(en *entry) {
	switch due := en.next() != 0; {
	case due && en.place < 0:
		heap.Push(&e.due, en)
	case due:
		heap.Fix(&e.due, int(en.place))
	case en.place >= 0:
		heap.Remove(&e.due, int(en.place))
	}
}

// forget removes a key from the index.
func (e *Engine) forget(ix *dbIndex, en *entry) {
	e.writes++
	ix.remove(en)
	if en.place >= 0 {
		heap.Remove(&e.due, int(en.place))
	}
}

// drop deletes a key, if it exists.
func (e *Engine) drop(db int, key string) {
	if en := e.find(db, key); en != nil {
		e.forget(e.dbs[db], en)
	}
}

func (e *Engine) flushDB(db int, ix *dbIndex) {
	left := e.due[:0]
	for _, en := range e.due {
		if int(en.db) != db {
			en.place = int32(len(left))
			left = append(left, en)
		}
	}
	clear(e.due[len(left):])
	e.due = left
	heap.Init(&e.due)
	e.writes++
	delete(e.dbs, db)
}

// expireDue deletes the keys and hash fields whose deadline has passed. Like
// Redis, a key still lives in the very millisecond of its deadline.
func (e *Engine) expireDue() {
	for len(e.due) > 0 && e.due[0].next() < e.nowMS {
		en := e.due[0]
		if e.cfg.Expiring != nil {
			e.expiring = true
			e.cfg.Expiring(int(en.db), en.key)
			e.expiring = false
		}
		if en.deadline != 0 && en.deadline < e.nowMS {
			e.drop(int(en.db), en.key)
			e.expired++
			e.event(eventExpired, "expired", int(en.db), en.key)
			continue
		}
		e.expireFields(en)
	}
}

// deadlineHeap orders entries by what is due first; for container/heap.
type deadlineHeap []*entry

func (h deadlineHeap) Len() int           { return len(h) }
func (h deadlineHeap) Less(i, j int) bool { return h[i].next() < h[j].next() }
func (h deadlineHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = int32(i), int32(j)
}

// Push is part of heap.Interface.
func (h *deadlineHeap) Push(x any) {
	en := x.(*entry)
	en.place = int32(len(*h))
	*h = append(*h, en)
}

// Pop is part of heap.Interface.
func (h *deadlineHeap) Pop() any {
	old := *h
	en := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	en.place = -1
	return en
}
