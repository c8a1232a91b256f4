package stream

import "github.com/tidwall/btree"

// Limits bound a block, as stream-node-max-entries and stream-node-max-bytes do in
// Redis; 0 is no bound.
type Limits struct{ Entries, Bytes int }

// DefaultLimits are Redis's.
var DefaultLimits = Limits{100, 4096}

// block is a run of entries that Redis would have in one node of its tree: what
// approximate trimming removes as a whole. In the tree it is never changed.
type block struct {
	first, last ID
	live        int // entries that are there
	total       int // with those that were deleted
	bytes       int
}

// blocks is how the entries of a stream lie together.
type blocks struct {
	full *btree.BTree // *block by first id
	tail block        // the one that takes new entries; none while its total is 0
}

func newBlocks() blocks {
	return blocks{full: newTree(func(a, b any) bool { return a.(*block).first.Less(b.(*block).first) })}
}

func (b *blocks) clone() blocks { return blocks{b.full.Copy(), b.tail} }

func (b *blocks) count() int {
	if b.tail.total == 0 {
		return b.full.Len()
	}
	return b.full.Len() + 1
}

func (b *blocks) append(id ID, fields []string, limits Limits) {
	size := 0
	for _, f := range fields {
		size += len(f)
	}
	t := &b.tail
	if t.total > 0 && (limits.Entries > 0 && t.total >= limits.Entries || limits.Bytes > 0 && t.bytes+size >= limits.Bytes) {
		b.full.Load(&block{t.first, t.last, t.live, t.total, t.bytes})
		*t = block{}
	}
	if t.total == 0 {
		t.first, t.bytes = id, size/2 // the first entry's names, once for all
	}
	t.last = id
	t.live++
	t.total++
	t.bytes += size + 8
}

func (b *blocks) delete(id ID) {
	if b.tail.total > 0 && !id.Less(b.tail.first) {
		if b.tail.live--; b.tail.live == 0 {
			b.tail = block{}
		}
		return
	}
	var found *block
	b.full.Descend(&block{first: id}, func(item any) bool {
		found = item.(*block)
		return false
	})
	if found == nil {
		return
	}
	if found.live == 1 {
		b.full.Delete(found)
		return
	}
	changed := *found
	changed.live--
	b.full.Set(&changed)
}

// oldest is the first block, nil when there is none.
func (b *blocks) oldest() *block {
	if first, ok := b.full.Min().(*block); ok {
		return first
	}
	if b.tail.total > 0 {
		return &b.tail
	}
	return nil
}

// Trimming says which entries are to go: the oldest until MaxLen are left, or those
// before MinID if ByID.
type Trimming struct {
	ByID   bool
	MaxLen int64
	MinID  ID
	Approx bool  // only whole blocks, as a Redis would have them
	Limit  int64 // with Approx: the number of entries that go at most; 0: any
}

// Trim removes the oldest entries and returns how many went.
func (s *Stream) Trim(t Trimming) (n int64) {
	if t.Approx {
		return s.trimBlocks(t)
	}
	for {
		first := s.First()
		switch {
		case first == nil, t.ByID && !first.ID.Less(t.MinID), !t.ByID && int64(s.Len()) <= t.MaxLen:
			return n
		}
		s.remove(first.ID)
		n++
	}
}

func (s *Stream) trimBlocks(t Trimming) (n int64) {
	for {
		b := s.blocks.oldest()
		if b == nil || t.Limit > 0 && n+int64(b.live) > t.Limit {
			return n
		}
		if t.ByID && !b.last.Less(t.MinID) || !t.ByID && int64(s.Len()-b.live) < t.MaxLen {
			return n
		}
		for last, left := b.last, b.live; left > 0; left-- {
			if first := s.First(); first == nil || last.Less(first.ID) {
				break
			}
			s.remove(s.First().ID)
			n++
		}
	}
}
