package fallback

import (
	"strings"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"holdfast/fallback/record"
)

// entryOverhead is what one resident key costs beside its own bytes: the LRU
// node, two map slots and the engine's bookkeeping, rounded up.
const entryOverhead = 256

// residency knows which keys the local state can answer for: a key is resident
// when its value, or its absence, is known. Everything else is unknown, and an
// unknown key is never answered as nil. Guarded by the store's lock.
type residency struct {
	cfg      *Config
	complete map[int]bool                        // databases whose mirrored prefixes were loaded whole
	own      map[int]map[string]struct{}         // mirrored keys that are known before their prefix is
	lru      *simplelru.LRU[record.KeyID, int64] // the working set: known keys that are not mirrored
	bytes    int64                               // of the working set
	doubt    map[record.KeyID]struct{}           // mirrored keys whose new value is not here yet
	seen     map[int]struct{}                    // databases that ever had a resident key
	evict    func(record.KeyID)                  // drops the key from the engine
	whole    bool                                // the journal of an embedded store is being recovered: all there is, is here
	cleared  atomic.Uint64                       // counts clear: what was fetched before one is void
	interest interest                            // read without the lock
	allKnown atomic.Bool                         // every mirrored key of the base database is known; read without the lock
}

// noteKnown keeps allKnown true to complete and doubt.
func (r *residency) noteKnown() { r.allKnown.Store(r.complete[r.cfg.BaseDB] && len(r.doubt) == 0) }

// completed notes that the mirrored prefixes of a database were loaded whole.
func (r *residency) completed(db int) {
	r.complete[db] = true
	r.noteKnown()
}

func newResidency(cfg *Config, evict func(record.KeyID)) *residency {
	r := &residency{cfg: cfg, complete: map[int]bool{}, own: map[int]map[string]struct{}{}, seen: map[int]struct{}{}, doubt: map[record.KeyID]struct{}{}, evict: evict}
	// The bound is in bytes and kept by trim; the count only has to be out of its way.
	r.lru, _ = simplelru.NewLRU[record.KeyID, int64](1<<31-1, nil)
	return r
}

// known reports whether the local state can answer for the key.
func (r *residency) known(id record.KeyID) bool {
	if r.cfg.Embedded || r.whole {
		return true
	}
	if !r.cfg.mirrored(id.Key) {
		_, ok := r.lru.Get(id)
		return ok
	}
	if r.complete[id.DB] {
		_, doubtful := r.doubt[id]
		return !doubtful
	}
	_, ok := r.own[id.DB][id.Key]
	return ok
}

// rangeKnown reports whether every key that starts with prefix is known.
func (r *residency) rangeKnown(db int, prefix string) bool {
	if r.cfg.Embedded {
		return true
	}
	for id := range r.doubt {
		if id.DB == db && strings.HasPrefix(id.Key, prefix) {
			return false
		}
	}
	return r.complete[db] && r.cfg.mirrored(prefix)
}

// learn notes that the key's value (of about size bytes) or absence is known.
func (r *residency) learn(id record.KeyID, size int64) {
	if r.cfg.Embedded {
		return
	}
	if r.cfg.mirrored(id.Key) {
		if _, doubtful := r.doubt[id]; doubtful {
			delete(r.doubt, id)
			r.noteKnown()
		}
		if !r.complete[id.DB] { // else it is known by its prefix
			r.learnOwn(id)
		}
		return
	}
	size += entryOverhead + int64(2*len(id.Key))
	if old, ok := r.lru.Peek(id); ok {
		r.bytes -= old
	} else {
		r.interest.add(id.Key, 1)
	}
	r.lru.Add(id, size)
	r.seen[id.DB] = struct{}{}
	r.bytes += size
}

// learnOwn notes a mirrored key. It is not part of the bounded working set.
func (r *residency) learnOwn(id record.KeyID) {
	own := r.own[id.DB]
	if own == nil {
		own = map[string]struct{}{}
		r.own[id.DB], r.seen[id.DB] = own, struct{}{}
	}
	if _, ok := own[id.Key]; !ok {
		r.interest.add(id.Key, 1)
		own[id.Key] = struct{}{}
	}
}

// onlyKnown makes all mirrored keys of a database unknown but these, until the
// prefixes are loaded.
func (r *residency) onlyKnown(db int, keys map[string]struct{}) {
	delete(r.complete, db)
	r.noteKnown()
	for key := range r.own[db] {
		r.interest.add(key, -1)
	}
	delete(r.own, db)
	for key := range keys {
		r.learnOwn(record.KeyID{DB: db, Key: key})
	}
}

// forget makes the key unknown.
func (r *residency) forget(id record.KeyID) {
	if r.cfg.mirrored(id.Key) {
		r.doubt[id] = struct{}{}
		r.allKnown.Store(false)
		if _, ok := r.own[id.DB][id.Key]; ok {
			delete(r.own[id.DB], id.Key)
			r.interest.add(id.Key, -1)
		}
		return
	}
	if old, ok := r.lru.Peek(id); ok {
		r.bytes -= old
		r.remove(id)
	}
}

func (r *residency) remove(id record.KeyID) {
	r.lru.Remove(id)
	r.interest.add(id.Key, -1)
}

// trim evicts the least recently used keys beyond the bound. It is called only
// while online: offline a journaled write must stay visible.
func (r *residency) trim() {
	for r.bytes > r.cfg.MirrorBytes {
		id, size, ok := r.lru.GetOldest()
		if !ok {
			return
		}
		r.bytes -= size
		r.remove(id)
		r.evict(id)
	}
}

// resident reports whether the key itself was learned, whatever its prefix.
func (r *residency) resident(id record.KeyID) bool {
	if _, ok := r.own[id.DB][id.Key]; ok {
		return true
	}
	_, ok := r.lru.Peek(id)
	return ok
}

// eachResident calls fn for the keys that were learned, whatever their prefix.
func (r *residency) eachResident(fn func(record.KeyID)) {
	for _, id := range r.lru.Keys() {
		fn(id)
	}
	for db, own := range r.own {
		for key := range own {
			fn(record.KeyID{DB: db, Key: key})
		}
	}
}

// dbs are the databases with something resident or loaded.
func (r *residency) dbs() map[int]struct{} {
	out := make(map[int]struct{}, 2)
	for db := range r.complete {
		out[db] = struct{}{}
	}
	for db := range r.seen {
		out[db] = struct{}{}
	}
	return out
}

// clear forgets everything, after the server was flushed.
func (r *residency) clear() {
	r.cleared.Add(1)
	for _, id := range r.lru.Keys() {
		r.interest.add(id.Key, -1)
	}
	for _, own := range r.own {
		for key := range own {
			r.interest.add(key, -1)
		}
	}
	r.lru.Purge()
	r.own = map[int]map[string]struct{}{}
	r.bytes = 0
	r.complete = map[int]bool{}
	r.doubt = map[record.KeyID]struct{}{}
	r.noteKnown()
}
