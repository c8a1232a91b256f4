package fallback

// maxWritten bounds the keys of one outage that conflicts are looked for on.
const maxWritten = 1 << 20

// keySet is a bounded set of keys, by hash: a collision (one in 10^13 for a
// million keys) hides a conflict, nothing else.
type keySet map[uint64]struct{}

func hashKey(id keyID) uint64 {
	h := uint64(14695981039346656037) ^ uint64(id.db)
	for i := 0; i < len(id.key); i++ {
		h = (h ^ uint64(id.key[i])) * 1099511628211
	}
	return h
}

// has is also true for every key once the set is full.
func (k keySet) has(id keyID) bool {
	_, ok := k[hashKey(id)]
	return ok || len(k) >= maxWritten
}

// holds reports whether the key is in the set for certain.
func (k keySet) holds(id keyID) bool {
	_, ok := k[hashKey(id)]
	return ok
}

func (k keySet) add(id keyID) {
	if len(k) < maxWritten {
		k[hashKey(id)] = struct{}{}
	}
}
