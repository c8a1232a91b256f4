package stream

import (
	"cmp"
	"math"
	"strconv"
	"strings"
)

// ID is the id of an entry: milliseconds of Unix time, and a sequence within them.
type ID struct{ Ms, Seq uint64 }

// Max is the highest id there is. No entry can follow it.
var Max = ID{math.MaxUint64, math.MaxUint64}

// Compare orders ids.
func (a ID) Compare(b ID) int {
	if a.Ms != b.Ms {
		return cmp.Compare(a.Ms, b.Ms)
	}
	return cmp.Compare(a.Seq, b.Seq)
}

// Less reports whether a comes before b.
func (a ID) Less(b ID) bool { return a.Compare(b) < 0 }

// IsZero reports whether it is 0-0, which no entry has.
func (a ID) IsZero() bool { return a == ID{} }

func (a ID) String() string {
	b := make([]byte, 0, 41)
	b = append(strconv.AppendUint(b, a.Ms, 10), '-')
	return string(strconv.AppendUint(b, a.Seq, 10))
}

// Next is the id after a; false: there is none.
func (a ID) Next() (ID, bool) {
	switch {
	case a == Max:
		return ID{}, false
	case a.Seq == math.MaxUint64:
		return ID{a.Ms + 1, 0}, true
	}
	return ID{a.Ms, a.Seq + 1}, true
}

// Prev is the id before a; false: there is none.
func (a ID) Prev() (ID, bool) {
	switch {
	case a.IsZero():
		return Max, false
	case a.Seq == 0:
		return ID{a.Ms - 1, math.MaxUint64}, true
	}
	return ID{a.Ms, a.Seq - 1}, true
}

// Parse reads "ms-seq", or "ms", which leaves the sequence to the caller.
func Parse(s string, seq uint64) (ID, bool) {
	head, tail, full := strings.Cut(s, "-")
	ms, ok := parseUint(head)
	if ok && full {
		seq, ok = parseUint(tail)
	}
	return ID{ms, seq}, ok && len(s) < 128
}

// parseUint takes what C's strtoull takes, as Redis does: blanks and a plus sign in
// front, and leading zeros.
func parseUint(s string) (uint64, bool) {
	s = strings.TrimPrefix(strings.TrimLeft(s, " \t\n\v\f\r"), "+")
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}
