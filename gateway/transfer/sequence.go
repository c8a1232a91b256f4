package transfer

import (
	"bytes"
	"io"
	"strings"

	"holdfast/gateway/store"
)

// sequence writes the elements of an array or the members of an object between
// its brackets, as its layout says. Where elements are missing or added since,
// it keeps the commas right and follows the style of those that are there.
type sequence struct {
	w     io.Writer
	err   error
	first []byte // what stands before the first element
	comma []byte // what stood between two elements last
	items int    // of the layout, so far
	fresh bool   // there is no layout
	begun bool
}

// newSequence starts a sequence by a layout ("" for none), else in a style of its
// own: bracket, line break and indentation, end. It gives what comes at the end.
func newSequence(w io.Writer, layout, bracket, indent, end string) (*sequence, []byte) {
	s := &sequence{w: w}
	l, err := store.NewLayoutReader(strings.NewReader(layout))
	tail := []byte(end)
	if err != nil {
		s.fresh, s.first = true, []byte(indent)
		s.write([]byte(bracket))
		return s, tail
	}
	for err == nil {
		_, err = l.Next()
	}
	s.write(l.Prefix)
	return s, l.Tail
}

// Write makes a sequence the writer of one inside it.
func (s *sequence) Write(b []byte) (int, error) {
	s.write(b)
	return len(b), s.err
}

func (s *sequence) write(b []byte) {
	if s.err == nil && len(b) > 0 {
		_, s.err = s.w.Write(b)
	}
}

// next comes before an element that the layout has at this place.
func (s *sequence) next(gap []byte) {
	s.absent(gap)
	if !s.begun {
		gap = s.first // those before it are gone, and the comma with them
	}
	s.begun = true
	s.write(gap)
}

// absent passes over an element of the layout that does not exist any more.
func (s *sequence) absent(gap []byte) {
	if s.items == 0 {
		s.first = gap
	} else {
		s.comma = gap
	}
	s.items++
}

// extra comes before an element that the layout does not have.
func (s *sequence) extra() {
	switch {
	case !s.begun:
		s.write(s.first)
	case s.comma != nil:
		s.write(s.comma)
	default:
		s.write([]byte{','})
		s.write(s.first)
	}
	s.begun = true
}

// close ends the sequence.
func (s *sequence) close(tail []byte) error {
	if !s.begun && (s.items > 0 || s.fresh) {
		tail = bytes.TrimLeft(tail, " \t\r\n") // an emptied one: the space was for what is gone
	}
	s.write(tail)
	return s.err
}
