package cache

import "encoding/binary"

const (
	// hotSample is the share of hits that are looked at, one in two to the power of it: a
	// key that is read often is met soon, and a hit costs next to nothing.
	hotSample = 4
	// hotBytes and hotKeys bound what a shard notes between two collections.
	hotBytes = 16 << 10
	hotKeys  = 256
)

// hot are the key names that a shard answered for, as far as samples of its hits tell.
// It is guarded by the shard's lock.
type hot struct {
	on   bool
	seen map[uint64]struct{} // hashes of the names in list
	list []byte              // identities, cut behind the key, one after the other
}

// sampled picks some of the numbers, spread so that no rhythm of the keys matters.
func sampled(n uint64) bool { return n*0x9E3779B97F4A7C15>>(64-hotSample) == 0 }

func (h *hot) note(hash uint64, id []byte) {
	key := keyOf(id)
	_, n := binary.Uvarint(id)
	_, m := binary.Uvarint(id[n:])
	size := n + m + len(key)
	if _, ok := h.seen[hash]; ok || len(h.seen) == hotKeys || len(h.list)+size > hotBytes {
		return
	}
	h.seen[hash] = struct{}{}
	h.list = append(h.list, id[:size]...)
}

// CollectHot gives the key names that hits were about since the last call, with their
// database and protocol: a sample of them that misses none that is read often. The bytes
// are the caller's. The first call begins to collect; with on false it ends.
func (c *Cache) CollectHot(on bool, found func(db, proto int, key []byte)) {
	for _, s := range c.shards {
		s.mu.Lock()
		list := s.hot.list
		s.hot = hot{on: on}
		if on {
			s.hot.seen, s.hot.list = make(map[uint64]struct{}, hotKeys), make([]byte, 0, hotBytes)
		}
		s.mu.Unlock()
		for len(list) > 0 {
			tag, n := binary.Uvarint(list)
			size, m := binary.Uvarint(list[n:])
			end := n + m + int(size)
			found(int(tag>>3), int(tag&3), list[n+m:end])
			list = list[end:]
		}
	}
}
