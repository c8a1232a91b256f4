package fallback

import "holdfast/fallback/record"

// maxWritten bounds the keys of one outage that conflicts are looked for on.
const maxWritten = 1 << 20

// keySet is a bounded set of keys, by hash: a collision (one in 10^13 for a
// million keys) hides a conflict, nothing else. It has every key that was written in
// the outage, so it is a plain table of hashes: half of what a map takes.
type keySet struct {
	places []uint64 // hashes, each where find puts it; 0: free
	n      int
}

func hashKey(id record.KeyID) uint64 {
	h := uint64(14695981039346656037) ^ uint64(id.DB)
	for i := 0; i < len(id.Key); i++ {
		h = (h ^ uint64(id.Key[i])) * 1099511628211
	}
	return h
}

// has is also true for every key once the set is full.
func (k *keySet) has(id record.KeyID) bool { return k.n >= maxWritten || k.holds(id) }

// holds reports whether the key is in the set for certain.
func (k *keySet) holds(id record.KeyID) bool {
	if k.n == 0 {
		return false
	}
	return k.places[k.find(max(hashKey(id), 1))] != 0
}

func (k *keySet) add(id record.KeyID) { k.addHash(hashKey(id)) }

func (k *keySet) addHash(h uint64) {
	if k.n >= maxWritten {
		return
	}
	if k.n >= len(k.places)/4*3 {
		k.grow()
	}
	h = max(h, 1) // 0 is a free place
	if i := k.find(h); k.places[i] == 0 {
		k.places[i] = h
		k.n++
	}
}

// find is where the hash is, or the free place where it belongs. There is always
// a free one.
func (k *keySet) find(h uint64) int {
	last := len(k.places) - 1                 // the length is a power of two
	i := int(h*0x9e3779b97f4a7c15>>32) & last // the low bits of h are mixed least
	for k.places[i] != 0 && k.places[i] != h {
		i = (i + 1) & last
	}
	return i
}

func (k *keySet) grow() {
	old := k.places
	k.places = make([]uint64, max(64, 2*len(old)))
	for _, h := range old {
		if h != 0 {
			k.places[k.find(h)] = h
		}
	}
}

// each calls fn for every hash in the set.
func (k *keySet) each(fn func(h uint64)) {
	for _, h := range k.places {
		if h != 0 {
			fn(h)
		}
	}
}
