package lua

import (
	"strings"
)

// Patterns are matched in the way of Lua 5.1: what a repetition takes is counted in
// a loop, and only the items of the pattern nest.

// Kinds of captures that have no length.
const (
	captureOpen  = -1
	capturePlace = -2 // of (): it stands for a position
)

const (
	maxCaptures     = 32
	maxPatternDepth = 10_000
	patternPatience = 1 << 16 // steps between two looks at whether the script was stopped
)

type capture struct{ start, size int }

// matching is one pattern at work on one string.
type matching struct {
	l        *State
	src, pat string
	captures []capture
	depth    int
	steps    int
}

// at matches the pattern from p on at s of the string; it returns the end of the
// match, -1 for none.
func (m *matching) at(s, p int) int {
	if m.depth++; m.depth > maxPatternDepth {
		m.l.Errorf("pattern too complex")
	}
	end := m.items(s, p)
	m.depth--
	return end
}

// step lets a match that backtracks for long be stopped.
func (m *matching) step() {
	if m.steps++; m.steps%patternPatience == 0 {
		m.l.Look()
	}
}

func (m *matching) items(s, p int) int {
	for p < len(m.pat) {
		m.step()
		switch m.pat[p] {
		case '(':
			if strings.HasPrefix(m.pat[p+1:], ")") {
				return m.open(s, p+2, capturePlace)
			}
			return m.open(s, p+1, captureOpen)
		case ')':
			return m.shut(s, p+1)
		case '$':
			if p+1 == len(m.pat) {
				if s == len(m.src) {
					return s
				}
				return -1
			}
		case '%':
			if end, next, special := m.special(s, p); special {
				if end < 0 {
					return -1
				}
				s, p = end, next
				continue
			}
		}
		end := m.classEnd(p)
		fits := s < len(m.src) && m.single(m.src[s], p, end)
		repeat := byte(0)
		if end < len(m.pat) {
			repeat = m.pat[end]
		}
		switch repeat {
		case '*':
			return m.most(s, p, end)
		case '+':
			if !fits {
				return -1
			}
			return m.most(s+1, p, end)
		case '-':
			return m.least(s, p, end)
		case '?':
			if fits {
				if e := m.at(s+1, end+1); e >= 0 {
					return e
				}
			}
			p = end + 1
		default:
			if !fits {
				return -1
			}
			s, p = s+1, end
		}
	}
	return s
}

// special matches %b, %f and %1 to %9, which are no single characters.
func (m *matching) special(s, p int) (end, next int, special bool) {
	if p+1 >= len(m.pat) {
		return 0, 0, false
	}
	switch c := m.pat[p+1]; {
	case c == 'b':
		return m.balance(s, p+2), p + 4, true
	case c == 'f':
		p += 2
		if p >= len(m.pat) || m.pat[p] != '[' {
			m.l.Errorf("missing '[' after '%%f' in pattern")
		}
		end := m.classEnd(p)
		var before, here byte
		if s > 0 {
			before = m.src[s-1]
		}
		if s < len(m.src) {
			here = m.src[s]
		}
		if m.set(before, p, end-1) || !m.set(here, p, end-1) {
			return -1, end, true
		}
		return s, end, true
	case '0' <= c && c <= '9':
		i := int(c - '1')
		if i < 0 || i >= len(m.captures) || m.captures[i].size == captureOpen {
			m.l.Errorf("invalid capture index")
		}
		if got := m.text(i); strings.HasPrefix(m.src[s:], got) {
			return s + len(got), p + 2, true
		}
		return -1, p + 2, true
	}
	return 0, 0, false
}

// text is what a capture took.
func (m *matching) text(i int) string {
	c := m.captures[i]
	return m.src[c.start : c.start+max(c.size, 0)]
}

func (m *matching) balance(s, p int) int {
	if p+1 >= len(m.pat) {
		m.l.Errorf("unbalanced pattern")
	}
	if s >= len(m.src) || m.src[s] != m.pat[p] {
		return -1
	}
	opened := 1
	for i := s + 1; i < len(m.src); i++ {
		switch m.src[i] {
		case m.pat[p+1]:
			if opened--; opened == 0 {
				return i + 1
			}
		case m.pat[p]:
			opened++
		}
	}
	return -1
}

// most takes as many characters as fit, then fewer and fewer.
func (m *matching) most(s, p, end int) int {
	n := s
	for n < len(m.src) && m.single(m.src[n], p, end) {
		n++
	}
	for ; n >= s; n-- {
		m.step()
		if e := m.at(n, end+1); e >= 0 {
			return e
		}
	}
	return -1
}

// least takes as few characters as it can.
func (m *matching) least(s, p, end int) int {
	for {
		m.step()
		if e := m.at(s, end+1); e >= 0 {
			return e
		}
		if s >= len(m.src) || !m.single(m.src[s], p, end) {
			return -1
		}
		s++
	}
}

func (m *matching) open(s, p, kind int) int {
	if len(m.captures) >= maxCaptures {
		m.l.Errorf("too many captures")
	}
	level := len(m.captures)
	m.captures = append(m.captures, capture{s, kind})
	end := m.at(s, p)
	if end < 0 {
		m.captures = m.captures[:level]
	}
	return end
}

func (m *matching) shut(s, p int) int {
	i := len(m.captures) - 1
	for i >= 0 && m.captures[i].size != captureOpen {
		i--
	}
	if i < 0 {
		m.l.Errorf("invalid pattern capture")
	}
	m.captures[i].size = s - m.captures[i].start
	end := m.at(s, p)
	if end < 0 {
		m.captures[i].size = captureOpen
	}
	return end
}

// classEnd is where the single character at p of the pattern ends.
func (m *matching) classEnd(p int) int {
	c := m.pat[p]
	p++
	if c == '%' {
		if p >= len(m.pat) {
			m.l.Errorf("malformed pattern (ends with '%%')")
		}
		return p + 1
	}
	if c != '[' {
		return p
	}
	if p < len(m.pat) && m.pat[p] == '^' {
		p++
	}
	for first := true; ; first = false {
		if p >= len(m.pat) {
			m.l.Errorf("malformed pattern (missing ']')")
		}
		c := m.pat[p]
		p++
		switch {
		case c == ']' && !first:
			return p
		case c == '%' && p < len(m.pat):
			p++
		}
	}
}

func (m *matching) single(c byte, p, end int) bool {
	switch m.pat[p] {
	case '.':
		return true
	case '%':
		return inClass(c, m.pat[p+1])
	case '[':
		return m.set(c, p, end-1)
	}
	return m.pat[p] == c
}

// set matches [...]; last is the place of its ].
func (m *matching) set(c byte, p, last int) bool {
	is := true
	if m.pat[p+1] == '^' {
		is = false
		p++
	}
	for p++; p < last; p++ {
		switch {
		case m.pat[p] == '%':
			if p++; inClass(c, m.pat[p]) {
				return is
			}
		case p+2 < last && m.pat[p+1] == '-':
			if m.pat[p] <= c && c <= m.pat[p+2] {
				return is
			}
			p += 2
		case m.pat[p] == c:
			return is
		}
	}
	return !is
}

// inClass reports whether c is of a class such as %a; %A is all the others.
func inClass(c, class byte) bool {
	lower, upper, digit := 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9'
	var is bool
	switch class | 0x20 {
	case 'a':
		is = lower || upper
	case 'd':
		is = digit
	case 'l':
		is = lower
	case 'u':
		is = upper
	case 'w':
		is = lower || upper || digit
	case 's':
		is = c == ' ' || '\t' <= c && c <= '\r'
	case 'c':
		is = c < 0x20 || c == 0x7f
	case 'p':
		is = 0x20 < c && c < 0x7f && !lower && !upper && !digit
	case 'x':
		is = digit || 'a' <= c|0x20 && c|0x20 <= 'f'
	case 'z':
		is = c == 0
	default:
		return class == c
	}
	if 'A' <= class && class <= 'Z' {
		return !is
	}
	return is
}
