package proxy

import (
	"bytes"
	"hash/maphash"
)

// asked are the reads of a call whose replies this client does not have yet.
// It belongs to one batch and is reused.
type asked struct {
	list    []askedKey
	byKey   map[uint64]int // hash of the key → 1 + its last place in list; kept once list is long
	keyless bool           // a reply to come may tell of any key
}

type askedKey struct {
	key []byte
	raw []byte // of a cacheable read that the cache knows of; nil for others
	// follows: another client sends it, perhaps later than this call.
	follows bool
	prev    int // 1 + the place of another one with the same hash
}

// about is what a call asks for about one key.
type about uint8

const (
	askedAtAll       about = 1 << iota
	askedOther             // by another read than the one in question
	askedFollows           // by a read that another client sends
	askedOtherFollow       // both
)

const (
	maxAskedList = 64   // beyond it keys are found by hash
	maxAskedKept = 1024 // room that is kept for the next batch
)

var askedSeed = maphash.MakeSeed()

func (a *asked) reset() {
	clear(a.list)
	a.list, a.keyless = a.list[:0], false
	if cap(a.list) > maxAskedKept {
		a.list, a.byKey = nil, nil
	}
	clear(a.byKey)
}

func (a *asked) add(k askedKey) {
	a.list = append(a.list, k)
	switch n := len(a.list); {
	case n == maxAskedList+1:
		if a.byKey == nil {
			a.byKey = map[uint64]int{}
		}
		for i := range a.list {
			a.link(i)
		}
	case n > maxAskedList:
		a.link(n - 1)
	}
}

func (a *asked) link(i int) {
	h := maphash.Bytes(askedSeed, a.list[i].key)
	a.list[i].prev = a.byKey[h]
	a.byKey[h] = i + 1
}

// about tells what is asked for about key, seen from the read raw.
func (a *asked) about(key, raw []byte) (found about) {
	if len(a.list) <= maxAskedList {
		for i := range a.list {
			found |= a.list[i].about(key, raw)
		}
		return found
	}
	for i := a.byKey[maphash.Bytes(askedSeed, key)]; i > 0; i = a.list[i-1].prev {
		found |= a.list[i-1].about(key, raw)
	}
	return found
}

func (k *askedKey) about(key, raw []byte) about {
	if !bytes.Equal(k.key, key) {
		return 0
	}
	found := askedAtAll
	if k.follows {
		found |= askedFollows
	}
	if !bytes.Equal(k.raw, raw) {
		if found |= askedOther; k.follows {
			found |= askedOtherFollow
		}
	}
	return found
}
