package front

import (
	"bytes"
	"fmt"
	"math"
)

const (
	unauthMaxArgs = 10    // Redis's cap on arguments before authentication
	unauthMaxBulk = 16384 // Redis's cap on one argument before authentication
	minHeader     = 8     // bytes searched for a line end before MaxInline matters
)

// event is what scanner.step found.
type event uint8

const (
	needMore event = iota // the bytes end inside a command
	gotCommand
	gotBlank  // an array of no arguments, which Redis ignores
	gotInline // the next command does not begin with '*'
	gotBad    // a violation; see scanner.msg
)

// scanner walks a stream of RESP commands by their headers, skipping bodies by
// length. It resumes where the bytes ended. A violation changes no state, so
// the same header can be judged again (after an AUTH before it has run).
type scanner struct {
	lim    *Limits
	authed func() bool
	args   int    // arguments still to come of the command being read; 0: between commands
	body   int64  // bytes of the current argument and its line end still to come
	size   int64  // bytes of the command up to the end of the current argument
	seen   int    // bytes of the unfinished line that hold no line end
	msg    string // text of the violation; "" closes without a word, as Redis does
}

// step reads on at b[i] and returns where it stopped. The two bytes after each
// argument and the one after each header's '\r' are not checked by Redis; they
// are overwritten with what redcon expects.
func (s *scanner) step(b []byte, i int) (int, event) {
	for {
		if s.body > 0 {
			if i = s.skipBody(b, i); s.body > 0 {
				return i, needMore
			}
			if s.args--; s.args == 0 {
				s.size = 0
				return i, gotCommand
			}
		}
		if i == len(b) {
			return i, needMore
		}
		if s.args == 0 && b[i] != '*' {
			return i, gotInline
		}
		end, ev := s.line(b, i)
		if ev != gotCommand {
			return i, ev
		}
		n, ok := parseLength(b[min(i+1, end-2) : end-2]) // the line may be empty
		if s.args > 0 {
			if !s.takeBulk(b[i], n, ok, end-i) {
				return i, gotBad
			}
			i = end
			continue
		}
		if !s.takeArray(n, ok, end-i) {
			return i, gotBad
		}
		if i = end; n <= 0 {
			s.size = 0
			return i, gotBlank
		}
	}
}

// skipBody moves over the part of the current argument that b holds.
func (s *scanner) skipBody(b []byte, i int) int {
	n := int(min(s.body, int64(len(b)-i)))
	end := int64(i) + s.body
	if k := end - 2; k >= int64(i) && k < int64(i+n) {
		b[k] = '\r'
	}
	if k := end - 1; k < int64(i+n) {
		b[k] = '\n'
	}
	s.body -= int64(n)
	return i + n
}

// line finds the end of the header that begins at b[i]: Redis's '\r' and
// whatever one byte follows it. A NUL hides the rest of a line from Redis,
// which then waits until the line is too long; so does the guard.
func (s *scanner) line(b []byte, i int) (int, event) {
	for k := i; k < min(len(b)-1, i+minHeader) && b[k] != 0; k++ { // nearly all headers are this short
		if b[k] == '\r' {
			s.seen = 0
			b[k+1] = '\n'
			return k + 2, gotCommand
		}
	}
	cr := bytes.IndexByte(b[i+s.seen:], '\r')
	if cr >= 0 && bytes.IndexByte(b[i:i+s.seen+cr], 0) < 0 {
		cr += s.seen
		if cr <= s.lim.MaxInline {
			if i+cr+1 == len(b) {
				return i, needMore
			}
			s.seen = 0
			b[i+cr+1] = '\n'
			return i + cr + 2, gotCommand
		}
	}
	if len(b)-i > s.lim.MaxInline {
		s.msg = "too big mbulk count string"
		if s.args > 0 {
			s.msg = "too big bulk count string"
		}
		return i, gotBad
	}
	if cr < 0 {
		s.seen = len(b) - i
	}
	return i, needMore
}

func (s *scanner) takeArray(n int64, ok bool, header int) bool {
	switch {
	case !ok || n > int64(s.lim.MaxArgs):
		s.msg = "invalid multibulk length"
	case n > unauthMaxArgs && !s.authed():
		s.msg = "unauthenticated multibulk length"
	default:
		s.args, s.size = max(int(n), 0), int64(header)
		return true
	}
	return false
}

func (s *scanner) takeBulk(first byte, n int64, ok bool, header int) bool {
	size := s.size + int64(header) + n + 2
	switch {
	case first != '$':
		s.msg = expected(first)
	case !ok || n < 0 || n > s.lim.MaxBulk:
		s.msg = "invalid bulk length"
	case n > unauthMaxBulk && !s.authed():
		s.msg = "unauthenticated bulk length"
	case size > s.lim.QueryBuffer:
		s.msg = ""
	default:
		s.body, s.size = n+2, size
		return true
	}
	return false
}

// expected is Redis's text, in which a line end becomes a blank.
func expected(got byte) string {
	if got == '\r' || got == '\n' {
		got = ' '
	}
	return fmt.Sprintf("expected '$', got '%s'", []byte{got})
}

// parseLength reads a decimal as Redis's string2ll does: no plus, no leading
// zeros, no blanks, no overflow.
func parseLength(b []byte) (int64, bool) {
	if len(b) == 1 && b[0] == '0' {
		return 0, true
	}
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 19 || b[0] < '1' || b[0] > '9' {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0') // 19 digits fit in 64 bits
	}
	if n > math.MaxInt64 {
		return math.MinInt64, neg && n == math.MaxInt64+1
	}
	if neg {
		return -int64(n), true
	}
	return int64(n), true
}
