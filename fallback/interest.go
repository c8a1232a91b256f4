package fallback

import "sync/atomic"

// interest counts, by hash of the key's name, why the mirror cares for a key
// outside its prefixes: it is resident, being fetched, or in an acknowledged
// write that waits to be followed. Zero says for certain that a change of the
// key is nothing to the mirror, so that the busy path of a proxy ends there,
// without a lock or an allocation. Keys that share a slot only cost each other
// work. The database is left out: invalidations do not name one.
//
// A reason is counted before what it stands for begins: before the fetch is
// sent, and before the write can be seen in the queue.
type interest [1 << 16]atomic.Int32

func slotOfName[T string | []byte](key T) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(key); i++ {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return (h ^ h>>32) % uint64(len(interest{}))
}

func (n *interest) add(key string, delta int32) { n[slotOfName(key)].Add(delta) }

func (n *interest) in(key []byte) bool { return n[slotOfName(key)].Load() != 0 }
