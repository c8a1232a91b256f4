package engine

import "slices"

// list is a ring of strings: pushing and popping at both ends costs the same
// whatever its length.
type list struct {
	ring  []string
	first int // place of the head in ring
	n     int
	bytes int64
}

func newList(items ...string) *list {
	l := &list{}
	for _, s := range items {
		l.push(s, false)
	}
	return l
}

func (l *list) kind() string     { return "list" }
func (l *list) encoding() string { return "quicklist" }
func (l *list) size() int {
	if l == nil {
		return 0
	}
	return l.n
}
func (l *list) memory() int64 { return l.bytes + 16*int64(len(l.ring)) }

func (l *list) clone(func(int)) object {
	return &list{ring: l.slice(0, l.n), n: l.n, bytes: l.bytes}
}

// at is the element at an index from the head, which must exist.
func (l *list) at(i int) string { return l.ring[(l.first+i)%len(l.ring)] }

func (l *list) set(i int, s string) {
	p := &l.ring[(l.first+i)%len(l.ring)]
	l.bytes += int64(len(s) - len(*p))
	*p = s
}

// slice copies the elements from one index up to another one.
func (l *list) slice(from, to int) []string {
	out := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, l.at(i))
	}
	return out
}

func (l *list) push(s string, head bool) {
	if l.n == len(l.ring) {
		grown := make([]string, max(4, 2*l.n))
		copy(grown, l.slice(0, l.n))
		l.ring, l.first = grown, 0
	}
	at := l.first + l.n
	if head {
		l.first = (l.first + len(l.ring) - 1) % len(l.ring)
		at = l.first
	}
	l.ring[at%len(l.ring)] = s
	l.n++
	l.bytes += int64(len(s))
}

func (l *list) pop(head bool) string {
	at := l.first
	if head {
		l.first = (l.first + 1) % len(l.ring)
	} else {
		at = (l.first + l.n - 1) % len(l.ring)
	}
	s := l.ring[at]
	l.ring[at] = ""
	l.n--
	l.bytes -= int64(len(s))
	if len(l.ring) > 64 && l.n < len(l.ring)/4 {
		l.reset(l.slice(0, l.n))
	}
	return s
}

// reset makes items all that the list has.
func (l *list) reset(items []string) {
	l.ring, l.first, l.n, l.bytes = items, 0, len(items), 0
	for _, s := range items {
		l.bytes += int64(len(s))
	}
}

// insert puts an element before the index.
func (l *list) insert(i int, s string) {
	l.reset(slices.Insert(l.slice(0, l.n), i, s))
}
