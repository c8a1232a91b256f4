package lua

import (
	"strings"
)

// maxResults is how many values a function may return, or be given, in Redis: a
// script must not be acknowledged here that fails there.
const maxResults = 8000

func stringLib() *Table {
	return library(map[string]Native{
		"byte": stringByte, "char": stringChar, "dump": stringDump, "find": stringFind, "match": stringMatch,
		"format": stringFormat, "gmatch": stringGmatch, "gfind": stringGmatch, "gsub": stringGsub, "len": stringLen,
		"lower": func(l *State, args []Value) []Value { return mapASCII(l, args, 'A', 'Z') },
		"upper": func(l *State, args []Value) []Value { return mapASCII(l, args, 'a', 'z') },
		"rep":   stringRep, "reverse": stringReverse, "sub": stringSub,
	})
}

// library is a table of native functions.
func library(fns map[string]Native) *Table {
	t := newTable(0, len(fns))
	for name, fn := range fns {
		t.Set(name, NewFunction(fn))
	}
	return t
}

// NewFunction makes a value of a native function.
func NewFunction(fn Native) *Function { return &Function{native: fn} }

// span turns the ends of string.sub and string.byte into Go's.
func span(s string, i, j int) (from, to int) {
	if i < 0 {
		i = max(i+len(s)+1, 0)
	}
	if j < 0 {
		j = max(j+len(s)+1, 0)
	}
	from, to = max(i, 1)-1, min(j, len(s))
	return min(from, to), to
}

func stringSub(l *State, args []Value) []Value {
	s := l.CheckString(args, 1)
	from, to := span(s, l.CheckInteger(args, 2), l.OptInteger(args, 3, -1))
	return l.Return(s[max(from, 0):max(to, 0)])
}

func stringByte(l *State, args []Value) []Value {
	s := l.CheckString(args, 1)
	i := l.OptInteger(args, 2, 1)
	from, to := span(s, i, l.OptInteger(args, 3, i))
	if to-from > maxResults {
		l.Errorf("stack overflow (string slice too long)")
	}
	l.rb = l.rb[:0]
	for k := max(from, 0); k < to; k++ {
		l.rb = append(l.rb, Number(float64(s[k])))
	}
	return l.rb
}

func stringChar(l *State, args []Value) []Value {
	out := make([]byte, len(args))
	for i := range out {
		n := l.CheckInt(args, i+1)
		if n < 0 || n > 255 {
			l.ArgError(i+1, "invalid value")
		}
		out[i] = byte(n)
	}
	return l.Return(string(out))
}

// stringDump gives what nothing here loads: neither does Redis.
func stringDump(l *State, args []Value) []Value {
	if l.CheckFunction(args, 1).native != nil {
		l.Errorf("unable to dump given function")
	}
	l.m.unsure()
	return l.Return("\x1bLuaQ")
}

func stringLen(l *State, args []Value) []Value {
	return l.Return(Number(float64(len(l.CheckString(args, 1)))))
}

func stringRep(l *State, args []Value) []Value {
	s, n := l.CheckString(args, 1), max(l.CheckInt(args, 2), 0)
	if len(s) > 0 && n > maxString/len(s) {
		l.Errorf("resulting string too large")
	}
	l.charge(len(s) * n)
	if len(s) == 0 {
		n = 0
	}
	return l.Return(strings.Repeat(s, n))
}

func stringReverse(l *State, args []Value) []Value {
	s := []byte(l.CheckString(args, 1))
	for i, j := 0, len(s)-1; i < j; i, j = i+1, j-1 {
		s[i], s[j] = s[j], s[i]
	}
	l.charge(2 * len(s))
	return l.Return(string(s))
}

// mapASCII changes the case of the letters from to to.
func mapASCII(l *State, args []Value, from, to byte) []Value {
	out := []byte(l.CheckString(args, 1))
	for i, c := range out {
		if from <= c && c <= to {
			out[i] = c ^ 0x20
		}
	}
	l.charge(2 * len(out))
	return l.Return(string(out))
}

// value is a capture as Lua sees it; without captures the first is all of s to e.
func (m *matching) value(i, s, e int) Value {
	if i >= len(m.captures) {
		if i > 0 {
			m.l.Errorf("invalid capture index")
		}
		return m.src[s:e]
	}
	switch m.captures[i].size {
	case captureOpen:
		m.l.Errorf("unfinished capture")
	case capturePlace:
		return Number(float64(m.captures[i].start + 1))
	}
	return m.text(i)
}

// found are the captures, or all that was matched where there is none and whole
// says so.
func (m *matching) found(s, e int, whole bool) []Value {
	n := len(m.captures)
	if n == 0 && whole {
		n = 1
	}
	out := make([]Value, n)
	for i := range out {
		out[i] = m.value(i, s, e)
	}
	return out
}

// begin matches a whole pattern at s.
func (m *matching) begin(s, p int) int {
	m.captures, m.depth = m.captures[:0], 0
	return m.at(s, p)
}

func stringFind(l *State, args []Value) []Value  { return find(l, args, true) }
func stringMatch(l *State, args []Value) []Value { return find(l, args, false) }

func find(l *State, args []Value, find bool) []Value {
	m := &matching{l: l, src: l.CheckString(args, 1), pat: l.CheckString(args, 2)}
	from := l.OptInteger(args, 3, 1)
	if from < 0 {
		from += len(m.src) + 1
	}
	from = min(max(from-1, 0), len(m.src))
	pattern, _, _ := strings.Cut(m.pat, "\x00") // where a string of C ends
	if find && (Truth(at(args, 3)) || !strings.ContainsAny(pattern, "^$*+?.([%-")) {
		i := strings.Index(m.src[from:], m.pat)
		if i < 0 {
			return l.Return(nil)
		}
		return l.Return(Number(float64(from+i+1)), Number(float64(from+i+len(m.pat))))
	}
	m.pat = pattern
	p := 0
	if strings.HasPrefix(m.pat, "^") {
		p = 1
	}
	for s := from; s <= len(m.src); s++ {
		if e := m.begin(s, p); e >= 0 {
			if !find {
				return m.found(s, e, true)
			}
			return append([]Value{Number(float64(s + 1)), Number(float64(e))}, m.found(s, e, false)...)
		}
		if p == 1 {
			break
		}
	}
	return l.Return(nil)
}

func stringGmatch(l *State, args []Value) []Value {
	src, pat, from := l.CheckString(args, 1), l.CheckString(args, 2), 0
	pat, _, _ = strings.Cut(pat, "\x00")
	return l.Return(NewFunction(func(l *State, _ []Value) []Value {
		m := &matching{l: l, src: src, pat: pat}
		for s := from; s <= len(src); s++ {
			e := m.begin(s, 0)
			if e < 0 {
				continue
			}
			if from = e; e == s {
				from++
			}
			return m.found(s, e, true)
		}
		from = len(src) + 1
		return nil
	}))
}

func stringGsub(l *State, args []Value) []Value {
	m := &matching{l: l, src: l.CheckString(args, 1), pat: l.CheckString(args, 2)}
	m.pat, _, _ = strings.Cut(m.pat, "\x00")
	repl := at(args, 2)
	switch r := repl.(type) {
	case float64:
		repl, _ = ToString(r)
	case string, *Table, *Function:
	default:
		l.ArgError(3, "string/function/table expected")
	}
	most := int64(len(m.src)) + 1
	if at(args, 3) != nil {
		most = int64(l.CheckInt(args, 4))
	}
	p := 0
	if strings.HasPrefix(m.pat, "^") {
		p = 1
	}
	var out strings.Builder
	s, n, charged := 0, int64(0), 0
	for n < most {
		e := m.begin(s, p)
		if e >= 0 {
			n++
			m.replace(&out, repl, s, e)
		}
		switch {
		case e > s:
			s = e
		case s < len(m.src):
			out.WriteByte(m.src[s])
			s++
		default:
			most = 0
		}
		if out.Len()-charged > memoryStep {
			l.charge(2 * (out.Len() - charged))
			charged = out.Len()
			if charged > maxString {
				l.Errorf("resulting string too large")
			}
		}
		if p == 1 {
			break
		}
	}
	out.WriteString(m.src[s:])
	l.charge(out.Len() - charged)
	return l.Return(out.String(), Number(float64(n)))
}

// replace appends what stands for a match from s to e.
func (m *matching) replace(out *strings.Builder, repl Value, s, e int) {
	var v Value
	switch r := repl.(type) {
	case string:
		m.expand(out, r, s, e)
		return
	case *Table:
		v = m.l.Index(r, m.value(0, s, e))
	case *Function:
		captures := append([]capture(nil), m.captures...) // r may match, too
		v = at(m.l.Call(r, m.found(s, e, true)...), 0)
		m.captures = captures
	}
	if text, ok := ToString(v); ok {
		out.WriteString(text)
		return
	}
	if Truth(v) {
		m.l.Errorf("invalid replacement value (a %s)", TypeName(v))
	}
	out.WriteString(m.src[s:e])
}

// expand appends a replacement with %0 to %9 in it.
func (m *matching) expand(out *strings.Builder, repl string, s, e int) {
	for i := 0; i < len(repl); i++ {
		c := repl[i]
		if c != '%' {
			out.WriteByte(c)
			continue
		}
		i++
		switch {
		case i == len(repl):
			out.WriteByte(0) // as the end of a string in C
		case repl[i] == '0':
			out.WriteString(m.src[s:e])
		case '1' <= repl[i] && repl[i] <= '9':
			text, _ := ToString(m.value(int(repl[i]-'1'), s, e))
			out.WriteString(text)
		default:
			out.WriteByte(repl[i])
		}
	}
}
