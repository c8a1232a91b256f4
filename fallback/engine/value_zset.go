package engine

import "math/bits"

// zset is a sorted set: a map of its members, and a skip list of them by score and
// name that counts what each step passes over, so that a rank is found as quickly.
type zset struct {
	nodes map[string]*znode
	head  *znode // stands before the first; has all levels
	last  *znode
	level int
	big   bool // beyond what Redis packs
	bytes int64
	coin  uint64 // state of the generator for heights
}

type znode struct {
	member string
	score  float64
	prev   *znode // nil for the first
	next   []zlink
}

// zlink leads to a node; span is how many places further it stands.
type zlink struct {
	to   *znode
	span int
}

const zlevels = 24

func newZset() *zset {
	return &zset{nodes: map[string]*znode{}, head: &znode{next: make([]zlink, zlevels)}, level: 1, coin: 0x9e3779b97f4a7c15}
}

func (z *zset) kind() string { return "zset" }
func (z *zset) encoding() string {
	if z.big {
		return "skiplist"
	}
	return "listpack"
}

func (z *zset) size() int {
	if z == nil {
		return 0
	}
	return len(z.nodes)
}

func (z *zset) memory() int64 { return z.bytes + (perElement+64)*int64(len(z.nodes)) }

func (z *zset) clone(spend func(int)) object {
	out := newZset()
	out.big = z.big
	for n := z.first(); n != nil; n = n.after() {
		spend(16)
		out.insert(n.member, n.score)
	}
	return out
}

func (z *zset) first() *znode {
	if z == nil {
		return nil
	}
	return z.head.next[0].to
}

func (n *znode) after() *znode { return n.next[0].to }

// before is the order of the members.
func (n *znode) before(score float64, member string) bool {
	return n.score < score || n.score == score && n.member < member
}

func (z *zset) score(member string) (float64, bool) {
	if z == nil {
		return 0, false
	}
	if n := z.nodes[member]; n != nil {
		return n.score, true
	}
	return 0, false
}

// put sets a member's score and says whether it is new.
func (z *zset) put(member string, score float64, lim *limits) (added bool) {
	if n := z.nodes[member]; n != nil {
		if n.score != score {
			z.unlink(n)
			z.insert(member, z.packed(score))
		}
		return false
	}
	if int64(len(member)) > lim.zsetValue || int64(len(z.nodes)) >= lim.zsetEntries {
		z.big = true
	}
	z.insert(member, z.packed(score))
	return true
}

// packed is a score as it comes out of the packed form, which has no negative zero.
func (z *zset) packed(score float64) float64 {
	if !z.big && score == 0 {
		return 0
	}
	return score
}

// settle makes a result a value: it says whether the value is packed.
func (z *zset) settle(lim *limits) {
	z.big = int64(len(z.nodes)) > lim.zsetEntries
	for m := range z.nodes {
		z.big = z.big || int64(len(m)) > lim.zsetValue
	}
	for _, n := range z.nodes {
		n.score = z.packed(n.score)
	}
}

// height is 1 and, with a chance of a quarter each time, more.
func (z *zset) height() int {
	z.coin ^= z.coin << 13
	z.coin ^= z.coin >> 7
	z.coin ^= z.coin << 17
	return min(1+bits.TrailingZeros64(z.coin|1<<62)/2, zlevels)
}

func (z *zset) insert(member string, score float64) {
	var path [zlevels]*znode
	var place [zlevels]int // how far path stands from the head
	at := z.head
	for i := z.level - 1; i >= 0; i-- {
		if i < z.level-1 {
			place[i] = place[i+1]
		}
		for l := at.next[i]; l.to != nil && l.to.before(score, member); l = at.next[i] {
			place[i] += l.span
			at = l.to
		}
		path[i] = at
	}
	h := z.height()
	for ; z.level < h; z.level++ {
		path[z.level] = z.head
		z.head.next[z.level] = zlink{span: len(z.nodes)}
	}
	n := &znode{member: member, score: score, next: make([]zlink, h)}
	for i := range z.level {
		p := &path[i].next[i]
		if i >= h {
			p.span++
			continue
		}
		passed := place[0] - place[i]
		n.next[i] = zlink{p.to, p.span - passed}
		*p = zlink{n, passed + 1}
	}
	if path[0] != z.head {
		n.prev = path[0]
	}
	if to := n.next[0].to; to != nil {
		to.prev = n
	} else {
		z.last = n
	}
	z.nodes[member] = n
	z.bytes += int64(len(member))
}

func (z *zset) remove(member string) bool {
	n := z.nodes[member]
	if n == nil {
		return false
	}
	z.unlink(n)
	return true
}

func (z *zset) unlink(n *znode) {
	at := z.head
	for i := z.level - 1; i >= 0; i-- {
		for l := at.next[i]; l.to != nil && l.to.before(n.score, n.member); l = at.next[i] {
			at = l.to
		}
		p := &at.next[i]
		if p.to == n {
			*p = zlink{n.next[i].to, p.span + n.next[i].span - 1}
		} else {
			p.span--
		}
	}
	if to := n.next[0].to; to != nil {
		to.prev = n.prev
	} else {
		z.last = n.prev
	}
	for z.level > 1 && z.head.next[z.level-1].to == nil {
		z.level--
	}
	delete(z.nodes, n.member)
	z.bytes -= int64(len(n.member))
}

// rank is the number of members before one that exists.
func (z *zset) rank(n *znode) (r int) {
	at := z.head
	for i := z.level - 1; i >= 0; i-- {
		for l := at.next[i]; l.to != nil && l.to.before(n.score, n.member); l = at.next[i] {
			r += l.span
			at = l.to
		}
	}
	return r
}

// nth is the member with a rank, nil where there is none.
func (z *zset) nth(rank int) *znode {
	if z == nil || rank < 0 || rank >= len(z.nodes) {
		return nil
	}
	at, left := z.head, rank+1
	for i := z.level - 1; i >= 0; i-- {
		for l := at.next[i]; l.to != nil && l.span <= left; l = at.next[i] {
			left -= l.span
			at = l.to
		}
	}
	return at
}

// seek is the first member of which past is true, where it is false of all before
// that and true of all behind; nil where there is none. rank is its place.
func (z *zset) seek(past func(n *znode) bool) (n *znode, rank int) {
	if z == nil {
		return nil, 0
	}
	at := z.head
	for i := z.level - 1; i >= 0; i-- {
		for l := at.next[i]; l.to != nil && !past(l.to); l = at.next[i] {
			rank += l.span
			at = l.to
		}
	}
	return at.next[0].to, rank
}
