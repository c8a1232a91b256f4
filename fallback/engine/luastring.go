package engine

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// openString replaces what the machine's library of strings and numbers does in
// another way than Lua 5.1: patterns (see luapattern.go), format, letters beyond
// ASCII, and numbers in strings.
func (s *luaState) openString() {
	t, _ := s.l.GetGlobal(lua.StringLibName).(*lua.LTable)
	s.l.SetFuncs(t, map[string]lua.LGFunction{
		"find":   func(l *lua.LState) int { return luaFind(l, true) },
		"match":  func(l *lua.LState) int { return luaFind(l, false) },
		"gmatch": luaGmatch, "gfind": luaGmatch, "gsub": luaGsub, "format": luaFormat, "char": luaChar, "rep": luaRep,
		"upper": func(l *lua.LState) int { return mapASCII(l, 'a', 'z') },
		"lower": func(l *lua.LState) int { return mapASCII(l, 'A', 'Z') },
	})
	s.l.SetGlobal("tonumber", s.l.NewFunction(luaToNumber))
	unpack, _ := s.l.GetGlobal("unpack").(*lua.LFunction)
	s.l.SetGlobal("unpack", s.l.NewFunction(func(l *lua.LState) int {
		last := 0.0
		if l.Get(3) != lua.LNil {
			last = numberArg(l, 3)
		} else {
			last = float64(l.CheckTable(1).Len())
		}
		from := 1.0
		if l.Get(2) != lua.LNil {
			from = numberArg(l, 2)
		}
		if last-from+1+float64(l.GetTop()) > maxResults {
			l.RaiseError("too many results to unpack")
		}
		return unpack.GFunction(l)
	}))
}

// maxResults is how many values a function may return in Redis: a script must not
// be acknowledged here that fails there.
const maxResults = 8000

// stringArg is luaL_checkstring.
func stringArg(l *lua.LState, i int) string {
	if n, ok := l.Get(i).(lua.LNumber); ok {
		return formatNumber(float64(n), 14)
	}
	return l.CheckString(i)
}

// numberArg is luaL_checknumber.
func numberArg(l *lua.LState, i int) float64 {
	if str, ok := l.Get(i).(lua.LString); ok {
		f, ok := parseLuaNumber(string(str))
		if !ok {
			l.TypeError(i, lua.LTNumber)
		}
		return f
	}
	return float64(l.CheckNumber(i))
}

const luaSpaces = " \t\n\v\f\r"

// parseLuaNumber reads what C's strtod does, and hexadecimal integers.
func parseLuaNumber(s string) (float64, bool) {
	s = strings.Trim(s, luaSpaces)
	if strings.ContainsAny(s, "_\x00") {
		return 0, false
	}
	if digits := strings.ToLower(strings.TrimLeft(s, "+-")); strings.HasPrefix(digits, "0x") && !strings.Contains(digits, "p") {
		s += "p0"
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil || math.IsInf(f, 0) // out of range is no error in C
}

// luaToNumber is tonumber.
func luaToNumber(l *lua.LState) int {
	base := 10.0
	if l.Get(2) != lua.LNil {
		base = numberArg(l, 2)
	}
	v := l.CheckAny(1)
	var f float64
	ok := false
	switch {
	case base == 10 && v.Type() == lua.LTNumber:
		l.Push(v)
		return 1
	case base == 10:
		if str, is := v.(lua.LString); is {
			f, ok = parseLuaNumber(string(str))
		}
	case base < 2 || base > 36:
		l.ArgError(2, "base out of range")
	default:
		f, ok = parseBase(stringArg(l, 1), int(base))
	}
	if !ok {
		l.Push(lua.LNil)
		return 1
	}
	l.Push(lua.LNumber(f))
	return 1
}

// parseBase is C's strtoul.
func parseBase(s string, base int) (float64, bool) {
	s = strings.Trim(s, luaSpaces)
	digits := strings.TrimPrefix(strings.TrimPrefix(s, "+"), "-")
	if base == 16 && strings.HasPrefix(strings.ToLower(digits), "0x") {
		digits = digits[2:]
	}
	if strings.ContainsAny(digits, "_+-") {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil && n != math.MaxUint64 {
		return 0, false
	}
	if strings.HasPrefix(s, "-") && err == nil {
		n = -n
	}
	return float64(n), true
}

func luaChar(l *lua.LState) int {
	out := make([]byte, l.GetTop())
	for i := range out {
		n := luaInteger(numberArg(l, i+1))
		if n < 0 || n > 255 {
			l.ArgError(i+1, "invalid value")
		}
		out[i] = byte(n)
	}
	l.Push(lua.LString(out))
	return 1
}

// luaRep is string.rep. Nobody can store more than a string may be long, and the
// process must not end for want of memory.
func luaRep(l *lua.LState) int {
	str, n := stringArg(l, 1), max(luaInteger(numberArg(l, 2)), 0)
	if len(str) > 0 && n > int64(maxString/len(str)) {
		l.RaiseError("resulting string too large")
	}
	l.Push(lua.LString(strings.Repeat(str, int(n))))
	return 1
}

// mapASCII changes the case of the letters from to to.
func mapASCII(l *lua.LState, from, to byte) int {
	out := []byte(stringArg(l, 1))
	for i, c := range out {
		if from <= c && c <= to {
			out[i] = c ^ 0x20
		}
	}
	l.Push(lua.LString(out))
	return 1
}

// value is a capture as Lua sees it; without captures the first is all of s to e.
func (m *matching) value(i, s, e int) lua.LValue {
	if i >= len(m.captures) {
		if i > 0 {
			m.l.RaiseError("invalid capture index")
		}
		return lua.LString(m.src[s:e])
	}
	switch m.captures[i].size {
	case captureOpen:
		m.l.RaiseError("unfinished capture")
	case capturePlace:
		return lua.LNumber(m.captures[i].start + 1)
	}
	return lua.LString(m.text(i))
}

// push pushes the captures, or all that was matched where there is none and whole
// says so, and returns their number.
func (m *matching) push(s, e int, whole bool) int {
	n := len(m.captures)
	if n == 0 && whole {
		n = 1
	}
	for i := range n {
		m.l.Push(m.value(i, s, e))
	}
	return n
}

// begin matches a whole pattern at s.
func (m *matching) begin(s, p int) int {
	m.captures, m.depth = m.captures[:0], 0
	return m.at(s, p)
}

// luaFind is string.find and string.match.
func luaFind(l *lua.LState, find bool) int {
	m := &matching{l: l, src: stringArg(l, 1), pat: stringArg(l, 2)}
	from := 1
	if l.Get(3) != lua.LNil {
		from = int(luaInteger(numberArg(l, 3)))
	}
	if from < 0 {
		from += len(m.src) + 1
	}
	from = min(max(from-1, 0), len(m.src))
	if find && (lua.LVAsBool(l.Get(4)) || !strings.ContainsAny(m.pat, "^$*+?.([%-")) {
		at := strings.Index(m.src[from:], m.pat)
		if at < 0 {
			l.Push(lua.LNil)
			return 1
		}
		l.Push(lua.LNumber(from + at + 1))
		l.Push(lua.LNumber(from + at + len(m.pat)))
		return 2
	}
	p := 0
	if strings.HasPrefix(m.pat, "^") {
		p = 1
	}
	for s := from; s <= len(m.src); s++ {
		if e := m.begin(s, p); e >= 0 {
			if !find {
				return m.push(s, e, true)
			}
			l.Push(lua.LNumber(s + 1))
			l.Push(lua.LNumber(e))
			return 2 + m.push(s, e, false)
		}
		if p == 1 {
			break
		}
	}
	l.Push(lua.LNil)
	return 1
}

func luaGmatch(l *lua.LState) int {
	src, pat, from := stringArg(l, 1), stringArg(l, 2), 0
	l.Push(l.NewFunction(func(l *lua.LState) int {
		m := &matching{l: l, src: src, pat: pat}
		for s := from; s <= len(src); s++ {
			e := m.begin(s, 0)
			if e < 0 {
				continue
			}
			if from = e; e == s {
				from++
			}
			return m.push(s, e, true)
		}
		from = len(src) + 1
		return 0
	}))
	return 1
}

func luaGsub(l *lua.LState) int {
	m := &matching{l: l, src: stringArg(l, 1), pat: stringArg(l, 2)}
	repl := l.Get(3)
	switch repl.Type() {
	case lua.LTNumber:
		repl = lua.LString(stringArg(l, 3))
	case lua.LTString, lua.LTTable, lua.LTFunction:
	default:
		l.ArgError(3, "string/function/table expected")
	}
	most := int64(len(m.src)) + 1
	if l.Get(4) != lua.LNil {
		most = luaInteger(numberArg(l, 4))
	}
	p := 0
	if strings.HasPrefix(m.pat, "^") {
		p = 1
	}
	var out strings.Builder
	s, n := 0, int64(0)
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
		if p == 1 {
			break
		}
	}
	out.WriteString(m.src[s:])
	l.Push(lua.LString(out.String()))
	l.Push(lua.LNumber(n))
	return 2
}

// replace appends what stands for a match from s to e.
func (m *matching) replace(out *strings.Builder, repl lua.LValue, s, e int) {
	v := lua.LValue(lua.LNil)
	switch r := repl.(type) {
	case lua.LString:
		m.expand(out, string(r), s, e)
		return
	case *lua.LTable:
		v = m.l.GetTable(r, m.value(0, s, e))
	case *lua.LFunction:
		m.l.Push(r)
		captures := append([]capture(nil), m.captures...) // r may match, too
		m.l.Call(m.push(s, e, true), 1)
		m.captures = captures
		v = m.l.Get(-1)
		m.l.Pop(1)
	}
	switch t := v.(type) {
	case lua.LString:
		out.WriteString(string(t))
	case lua.LNumber:
		out.WriteString(formatNumber(float64(t), 14))
	default:
		if !lua.LVIsFalse(v) {
			m.l.RaiseError("invalid replacement value (a %s)", v.Type().String())
		}
		out.WriteString(m.src[s:e])
	}
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
			fmt.Fprint(out, m.value(int(repl[i]-'1'), s, e))
		default:
			out.WriteByte(repl[i])
		}
	}
}
