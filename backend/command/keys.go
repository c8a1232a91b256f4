package command

import "slices"

// keySpec is one of the server's key specifications: where the search for keys
// begins, and how far they go.
type keySpec struct {
	flags   string // as the server writes them: "RW access update"
	keyword string // begins after this word, searched from argument from; empty: begins at from
	from    int
	moves   bool // changes the key although its flags say RO
	counted bool // a number in the call says how many keys follow

	last, limit, step int // not counted: last key from the first; negative: from the end of the first 1/limit of the arguments
	countAt, first    int // counted: where, from the beginning, the number and the first key are
}

func (s *keySpec) writes() bool {
	// RO, RW, OW and RM begin the flags, in this order of harm.
	return s.moves || len(s.flags) < 2 || s.flags[:2] != "RO"
}

// access selects keys by what the command does with them.
type access uint8

const (
	anyAccess access = iota
	writeAccess
	readAccess
)

// searchFunc appends the selected keys of a call whose keys no keySpec describes.
type searchFunc func(dst, argv [][]byte, want access) [][]byte

// Keys appends the keys of the call argv to dst, without allocating when dst has
// room. Channels are not keys. Malformed calls give the keys that are still
// recognisable, often none: the server refuses such calls.
func (c *Command) Keys(dst, argv [][]byte) [][]byte { return c.collect(dst, argv, anyAccess) }

// NamesKeys reports whether a well-formed call of the command names keys.
func (c *Command) NamesKeys() bool { return len(c.specs) > 0 || c.search != nil }

// WriteKeys appends the keys that the call may change. A script may change all
// the keys it declares, unless it is one of the read-only kind.
func (c *Command) WriteKeys(dst, argv [][]byte) [][]byte {
	if c.Flags&(Write|Script) == 0 || c.Flags&Read != 0 {
		return dst
	}
	return c.collect(dst, argv, writeAccess)
}

// ReadKeys appends the keys that the call only reads.
func (c *Command) ReadKeys(dst, argv [][]byte) [][]byte {
	if c.Flags&(Write|Script) == 0 || c.Flags&Read != 0 {
		return c.collect(dst, argv, anyAccess)
	}
	return c.collect(dst, argv, readAccess)
}

// tells reports whether a reply may tell of keys that ReadKeys gives, or of any.
func (c *Command) tells() bool {
	switch {
	case c.Flags&(Read|Script) != 0:
		return true
	case c.Flags&Write == 0:
		return false
	}
	return c.search != nil || slices.ContainsFunc(c.specs, func(s keySpec) bool { return !s.writes() })
}

func (c *Command) collect(dst, argv [][]byte, want access) [][]byte {
	if c.search != nil {
		return c.search(dst, argv, want)
	}
	for i := range c.specs {
		s := &c.specs[i]
		if want != anyAccess && s.writes() != (want == writeAccess) {
			continue
		}
		first, last, step := s.span(argv)
		for k := first; k <= last; k += step {
			dst = append(dst, argv[k])
		}
	}
	return dst
}

// span gives the positions of the keys in argv; first > last when there are none.
func (s *keySpec) span(argv [][]byte) (first, last, step int) {
	n := len(argv)
	step = max(s.step, 1)
	first = s.begin(argv)
	if first <= 0 || first >= n {
		return 1, 0, 1
	}
	switch {
	case s.counted:
		count, ok := number(argv, first+s.countAt)
		first += s.first
		if !ok || count <= 0 || count > n {
			return 1, 0, 1
		}
		last = first + (count-1)*step
	case s.last >= 0:
		last = first + s.last
	case s.limit <= 1:
		last = n + s.last
	default:
		last = first + (n-first)/s.limit + s.last
	}
	if last >= n || last < first {
		return 1, 0, 1
	}
	return first, last, step
}

// begin is the position where the search starts, 0 for none. The last argument
// cannot be the keyword, as something has to follow it.
func (s *keySpec) begin(argv [][]byte) int {
	if s.keyword == "" {
		return s.from
	}
	if s.from < 0 {
		for i := len(argv) + s.from; i > 0; i-- {
			if isWord(argv[i], s.keyword) {
				return i + 1
			}
		}
		return 0
	}
	for i := s.from; i < len(argv)-1; i++ {
		if isWord(argv[i], s.keyword) {
			return i + 1
		}
	}
	return 0
}

// number reads argv[i] as a small decimal number.
func number(argv [][]byte, i int) (int, bool) {
	if i < 0 || i >= len(argv) || len(argv[i]) == 0 || len(argv[i]) > 9 {
		return 0, false
	}
	n := 0
	for _, c := range argv[i] {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// isWord reports whether b is word, which is in upper case, in any letter case.
func isWord(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i := range b {
		c := b[i]
		if c-'a' < 26 {
			c -= 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// sortKeys finds the keys of SORT: the one that is sorted and the
// last STORE destination. Keys that BY and GET make up from the data are unknown.
func sortKeys(dst, argv [][]byte, want access) [][]byte {
	if len(argv) < 2 {
		return dst
	}
	if want != writeAccess {
		dst = append(dst, argv[1])
	}
	var store []byte
	for i := 2; i < len(argv); i++ {
		switch {
		case isWord(argv[i], "LIMIT"):
			i += 2
		case isWord(argv[i], "BY"), isWord(argv[i], "GET"):
			i++
		case isWord(argv[i], "STORE") && i+1 < len(argv):
			store = argv[i+1]
		}
	}
	if store != nil && want != readAccess {
		dst = append(dst, store)
	}
	return dst
}

// migrateKeys finds the keys of MIGRATE: the third argument, or, when that is
// empty, everything after KEYS. A move changes all of them.
func migrateKeys(dst, argv [][]byte, want access) [][]byte {
	if want == readAccess || len(argv) < 4 {
		return dst
	}
	for i := 6; i < len(argv); i++ {
		switch {
		case isWord(argv[i], "AUTH"):
			i++
		case isWord(argv[i], "AUTH2"):
			i += 2
		case isWord(argv[i], "KEYS"):
			if len(argv[3]) == 0 {
				return append(dst, argv[i+1:]...)
			}
			return append(dst, argv[3])
		}
	}
	return append(dst, argv[3])
}
