package resp

import "bytes"

type splitState uint8

const (
	atType   splitState = iota // next byte is a reply's type
	inLine                     // inside a line whose content is not needed
	afterCR                    // in such a line, its last byte so far was CR
	inLen                      // inside the digits of a length
	lenLF                      // the LF that ends a length line
	inBulk                     // inside a bulk's bytes
	bulkCR                     // the CR after a bulk
	bulkLF                     // the LF after a bulk
	splitErr                   // broken for good
)

// Splitter finds the end of one reply in bytes that arrive in any pieces. It
// remembers where it is, so no byte is looked at twice and bulk bytes are not
// looked at at all, and it holds no buffer: nesting is only a count of the
// values that are still to come, since an aggregate of n is one value less and
// n more, and an attribute of n pairs is 2n more.
//
// The zero Splitter is ready and uses the default limits. After done it starts
// over with the next byte fed to it. Not safe for concurrent use.
type Splitter struct {
	Limits Limits

	state   splitState
	started bool
	kind    byte  // first type byte of the current reply
	typ     byte  // type byte of the current value
	pending int64 // values still to complete, the current one included
	n       int64 // length read so far, or bulk bytes still to come
	digits  int
	neg     bool
	err     error
}

// Reset forgets everything but the limits.
func (s *Splitter) Reset() { *s = Splitter{Limits: s.Limits} }

// Kind is the type byte of the current reply, or of the last one after done; 0
// before the first byte.
func (s *Splitter) Kind() byte { return s.kind }

// Idle reports whether the Splitter is between two replies.
func (s *Splitter) Idle() bool { return !s.started }

// Remaining is how many bytes the current bulk still needs, its CRLF included:
// a lower bound for what is missing of the reply. 0 outside of a bulk.
func (s *Splitter) Remaining() int64 {
	switch s.state {
	case inBulk:
		return s.n + 2
	case bulkCR:
		return 2
	case bulkLF:
		return 1
	}
	return 0
}

// Feed takes the next bytes. It consumes up to the end of the current reply,
// and then done is true and the rest of b belongs to the next one. An error is
// final: every later Feed gives it again until Reset.
func (s *Splitter) Feed(b []byte) (consumed int, done bool, err error) {
	if s.err != nil {
		return 0, false, s.err
	}
	i := 0
	for i < len(b) {
		n, complete, err := s.step(b[i:])
		i += n
		if err != nil {
			s.err, s.state = err, splitErr
			return i, false, err
		}
		if complete {
			s.pending--
			s.state = atType
			if s.pending == 0 {
				s.started = false
				return i, true, nil
			}
		}
	}
	return i, false, nil
}

// step consumes at least one byte of the non-empty b and reports whether a
// value without parts of its own (or the header of an aggregate, which counts
// as one) has ended.
func (s *Splitter) step(b []byte) (n int, complete bool, err error) {
	switch s.state {
	case atType:
		return 1, false, s.begin(b[0])
	case inLine, afterCR:
		return s.line(b)
	case inLen:
		return s.length(b)
	case lenLF:
		if b[0] != '\n' {
			return 1, false, ErrNoCRLF
		}
		complete, err = s.lengthDone()
		return 1, complete, err
	case inBulk:
		if int64(len(b)) < s.n {
			s.n -= int64(len(b))
			return len(b), false, nil
		}
		n, s.n, s.state = int(s.n), 0, bulkCR
		return n, false, nil
	case bulkCR:
		if b[0] != '\r' {
			return 1, false, ErrNoCRLF
		}
		s.state = bulkLF
		return 1, false, nil
	default: // bulkLF
		if b[0] != '\n' {
			return 1, false, ErrNoCRLF
		}
		return 1, true, nil
	}
}

func (s *Splitter) begin(c byte) error {
	if !s.started {
		s.started, s.kind, s.pending = true, c, 1
	}
	s.typ, s.n, s.digits, s.neg = c, 0, 0, false
	switch c {
	case '+', '-', ':', '_', ',', '#', '(':
		s.state = inLine
	case '$', '!', '=', '*', '%', '~', '>', '|':
		s.state = inLen
	default:
		return errReplyType(c)
	}
	return nil
}

// line skips to CRLF. A CR alone is content, as it is for hiredis.
func (s *Splitter) line(b []byte) (int, bool, error) {
	if s.state == afterCR {
		switch b[0] {
		case '\n':
			return 1, true, nil
		case '\r':
			return 1, false, s.grow(1)
		}
		s.state = inLine
		return 1, false, s.grow(1)
	}
	i := bytes.IndexByte(b, '\r')
	if i < 0 {
		return len(b), false, s.grow(len(b))
	}
	s.state = afterCR
	return i + 1, false, s.grow(i + 1)
}

func (s *Splitter) grow(n int) error {
	s.n += int64(n)
	if s.n > s.Limits.withDefaults().Bulk+2 {
		return ErrLineTooLong
	}
	return nil
}

// length reads the digits of a length. Nineteen digits are more than any cap
// allows, so the number cannot overflow.
func (s *Splitter) length(b []byte) (int, bool, error) {
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			if s.digits++; s.digits > 18 {
				return i + 1, false, s.badLength()
			}
			s.n = s.n*10 + int64(c-'0')
		case c == '-' && s.digits == 0 && !s.neg:
			s.neg = true
		case c == '?' && s.digits == 0 && !s.neg:
			return i + 1, false, ErrStreamed
		case c == '\r' && s.digits > 0:
			s.state = lenLF
			return i + 1, false, nil
		default:
			return i + 1, false, s.badLength()
		}
	}
	return len(b), false, nil
}

func (s *Splitter) isBulk() bool { return s.typ == '$' || s.typ == '!' || s.typ == '=' }

func (s *Splitter) badLength() error {
	if s.isBulk() {
		return ErrBulkLength
	}
	return ErrMultibulkLength
}

// lengthDone checks a complete length against the caps and goes on.
func (s *Splitter) lengthDone() (complete bool, err error) {
	lim := s.Limits.withDefaults()
	if s.neg {
		if s.n != 1 || s.typ != '$' && s.typ != '*' {
			return false, s.badLength()
		}
		return true, nil
	}
	if s.isBulk() {
		if s.n > lim.Bulk {
			return false, ErrBulkLength
		}
		s.state = inBulk
		if s.n == 0 {
			s.state = bulkCR
		}
		return false, nil
	}
	if s.n > lim.Elems {
		return false, ErrTooManyElems
	}
	more := s.n
	if s.typ == '%' || s.typ == '|' {
		more *= 2
	}
	if s.typ == '|' {
		more++ // the attribute stands before a value and is none itself
	}
	if s.pending > 1<<62-more {
		return false, ErrTooManyElems
	}
	s.pending += more
	return true, nil
}

// ReplyLen gives the length of the first complete reply in b, 0 when b does not
// hold all of it yet.
func ReplyLen(b []byte) (int, error) {
	var s Splitter
	n, done, err := s.Feed(b)
	if err != nil || !done {
		return 0, err
	}
	return n, nil
}
