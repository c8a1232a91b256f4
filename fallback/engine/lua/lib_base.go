package lua

import (
	"fmt"
	"strconv"
	"strings"
)

// NewGlobals makes a table of the standard library, as scripts of Redis have it
// since getfenv, setfenv and newproxy were taken from them for safety, and the metatable of strings. What the caller adds to it comes before Freeze.
func NewGlobals() (globals, stringMeta *Table) {
	g := library(map[string]Native{
		"assert": baseAssert, "collectgarbage": baseCollect, "error": baseError, "gcinfo": baseGCInfo,
		"getmetatable": baseGetmetatable, "setmetatable": baseSetmetatable,
		"ipairs": baseIpairs, "pairs": basePairs, "next": baseNext, "load": baseLoad, "loadstring": baseLoadstring,
		"pcall": basePcall, "xpcall": baseXpcall, "rawequal": baseRawequal, "rawget": baseRawget,
		"rawset": baseRawset, "select": baseSelect, "tonumber": baseTonumber, "tostring": baseTostring,
		"type": baseType, "unpack": baseUnpack,
	})
	strs := stringLib()
	for name, lib := range map[string]*Table{"string": strs, "table": tableLib(), "math": mathLib(), "coroutine": coroutineLib(),
		"cjson": cjsonLib(), "cmsgpack": cmsgpackLib(), "struct": structLib(), "bit": bitLib()} {
		g.Set(name, lib)
	}
	g.Set("_G", g)
	g.Set("_VERSION", "Lua 5.1")
	stringMeta = newTable(0, 1)
	stringMeta.Set("__index", strs)
	return g, stringMeta
}

// stepOf goes to the next element of a table; pairs gives it to its loop.
var stepOf = NewFunction(baseNext)

func (m *Machine) unsure() {
	if m.Unsure != nil {
		m.Unsure()
	}
}

func baseAssert(l *State, args []Value) []Value {
	if !Truth(l.CheckAny(args, 1)) {
		return l.Errorf("%s", l.OptString(args, 2, "assertion failed!"))
	}
	return l.Return(args...)
}

func baseCollect(l *State, args []Value) []Value {
	switch what := l.OptString(args, 1, "collect"); what {
	case "count":
		l.m.unsure()
		return l.Return(Number(float64(l.m.charged) / 1024))
	case "step":
		return l.Return(false)
	case "stop", "restart", "collect", "setpause", "setstepmul":
		return l.Return(Number(0))
	default:
		return l.ArgError(1, "invalid option '"+what+"'")
	}
}

func baseGCInfo(l *State, _ []Value) []Value {
	l.m.unsure()
	return l.Return(Number(float64(l.m.charged >> 10)))
}

func baseError(l *State, args []Value) []Value {
	v, lv := at(args, 0), l.OptInt(args, 2, 1)
	if s, ok := ToString(v); ok && lv > 0 {
		v = l.Where(lv) + s
	}
	return l.Raise(v)
}

func baseGetmetatable(l *State, args []Value) []Value {
	mt := l.metatable(l.CheckAny(args, 1))
	if mt == nil {
		return l.Return(nil)
	}
	if p := mt.Get("__metatable"); p != nil {
		return l.Return(p)
	}
	return l.Return(mt)
}

func baseSetmetatable(l *State, args []Value) []Value {
	t := l.CheckTable(args, 1)
	mt, ok := at(args, 1).(*Table)
	if !ok && (len(args) < 2 || args[1] != nil) {
		l.ArgError(2, "nil or table expected")
	}
	if t.meta != nil && t.meta.Get("__metatable") != nil {
		l.Errorf("cannot change a protected metatable")
	}
	if t.readonly {
		l.readonly()
	}
	t.meta = mt
	return l.Return(t)
}

func basePairs(l *State, args []Value) []Value {
	return l.Return(stepOf, l.CheckTable(args, 1), nil)
}

func baseNext(l *State, args []Value) []Value {
	t := l.CheckTable(args, 1)
	if t.unordered {
		l.m.unsure()
	}
	k, v, ok := t.Next(at(args, 1))
	if !ok {
		l.RunError("invalid key to 'next'")
	}
	if k == nil {
		return l.Return(nil)
	}
	return l.Return(k, v)
}

var ipairsStep = NewFunction(func(l *State, args []Value) []Value {
	t, i := l.CheckTable(args, 1), l.CheckInt(args, 2)+1
	v := t.Int(i)
	if v == nil {
		return nil
	}
	return l.Return(Number(float64(i)), v)
})

func baseIpairs(l *State, args []Value) []Value {
	return l.Return(ipairsStep, l.CheckTable(args, 1), Number(0))
}

// maxSource is the size of the largest script.
const maxSource = 64 << 20

// ErrTooLarge refuses a source that is larger than any that people write.
var ErrTooLarge = &CompileError{"script is too large"}

// chunkID is how errors call a chunk of that name.
func chunkID(name string) string {
	if strings.HasPrefix(name, "=") || strings.HasPrefix(name, "@") {
		return name[1:]
	}
	line, _, more := strings.Cut(name, "\n")
	const room = 60 - len(`[string ""...]`) - 3
	if len(line) > room {
		line, more = line[:room], true
	}
	if more {
		line += "..."
	}
	return `[string "` + line + `"]`
}

func (l *State) load(src, name string) []Value {
	if strings.HasPrefix(src, "\x1b") {
		return l.Return(nil, chunkID(name)+": bad binary format (precompiled chunks are not supported)")
	}
	l.charge(64 * min(len(src), maxTokens))
	fn, err := Compile(src, name, l.m.Globals)
	if err != nil {
		return l.Return(nil, err.Error())
	}
	return l.Return(fn)
}

func baseLoadstring(l *State, args []Value) []Value {
	src := l.CheckString(args, 1)
	return l.load(src, l.OptString(args, 2, src))
}

func baseLoad(l *State, args []Value) []Value {
	fn, name := l.CheckFunction(args, 1), l.OptString(args, 2, "=(load)")
	var src strings.Builder
	for {
		l.step()
		v := at(l.Call(fn), 0)
		piece, ok := ToString(v)
		if v == nil || piece == "" && ok {
			break
		}
		if !ok {
			l.Errorf("reader function must return a string")
		}
		l.charge(len(piece))
		if src.WriteString(piece); src.Len() > maxSource {
			break
		}
	}
	return l.load(src.String(), name)
}

// basePcall is Redis's pcall: of a table with an error in it, it gives the error.
func basePcall(l *State, args []Value) []Value {
	if len(args) == 0 {
		args = []Value{true} // what Redis finds on its stack then
	}
	r, err := l.PCall(args[0], args[1:]...)
	if err == nil {
		l.rb = append(append(l.rb[:0:0], true), r...)
		return l.rb
	}
	v := err.Value
	if t, ok := v.(*Table); ok {
		if msg, ok := ToString(l.Index(t, "err")); ok {
			v = msg
		}
	}
	return l.Return(false, v)
}

func baseXpcall(l *State, args []Value) []Value {
	handler := l.CheckAny(args, 2)
	r, err := l.PCall(args[0])
	if err == nil {
		l.rb = append(append(l.rb[:0:0], true), r...)
		return l.rb
	}
	r, again := l.PCall(handler, err.Value)
	if again != nil {
		return l.Return(false, again.Value)
	}
	l.rb = append(append(l.rb[:0:0], false), r...)
	return l.rb
}

func baseRawequal(l *State, args []Value) []Value {
	return l.Return(rawEqual(l.CheckAny(args, 1), l.CheckAny(args, 2)))
}

func baseRawget(l *State, args []Value) []Value {
	return l.Return(l.CheckTable(args, 1).Get(l.CheckAny(args, 2)))
}

func baseRawset(l *State, args []Value) []Value {
	t, k, v := l.CheckTable(args, 1), l.CheckAny(args, 2), l.CheckAny(args, 3)
	l.RawSet(t, k, v)
	return l.Return(t)
}

func baseSelect(l *State, args []Value) []Value {
	if s, ok := at(args, 0).(string); ok && strings.HasPrefix(s, "#") {
		return l.Return(Number(float64(len(args) - 1)))
	}
	i := l.CheckInt(args, 1)
	switch {
	case i < 0:
		i += len(args)
	case i > len(args):
		i = len(args)
	}
	if i < 1 {
		l.ArgError(1, "index out of range")
	}
	return l.Return(args[i:]...)
}

func baseTonumber(l *State, args []Value) []Value {
	base := l.OptInt(args, 2, 10)
	var f float64
	ok := false
	if base == 10 {
		f, ok = ToNumber(l.CheckAny(args, 1))
	} else {
		s := l.CheckString(args, 1)
		if base < 2 || base > 36 {
			l.ArgError(2, "base out of range")
		}
		f, ok = parseBase(s, base)
	}
	if !ok {
		return l.Return(nil)
	}
	return l.Return(Number(f))
}

// parseBase is C's strtoul.
func parseBase(s string, base int) (float64, bool) {
	s, _, _ = strings.Cut(s, "\x00")
	s = strings.Trim(s, spaces)
	digits := strings.TrimPrefix(strings.TrimPrefix(s, "+"), "-")
	if base == 16 && strings.HasPrefix(strings.ToLower(digits), "0x") {
		digits = digits[2:]
	}
	if strings.ContainsAny(digits, "_+-") {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil && n != 1<<64-1 {
		return 0, false
	}
	if strings.HasPrefix(s, "-") && err == nil {
		n = -n
	}
	return float64(n), true
}

func baseTostring(l *State, args []Value) []Value {
	v := l.CheckAny(args, 1)
	if h := l.metamethod(v, "__tostring"); h != nil {
		return l.Return(at(l.Call(h, v), 0))
	}
	return l.Return(l.text(v))
}

// text is what tostring gives without metamethods.
func (l *State) text(v Value) string {
	switch t := v.(type) {
	case nil:
		return "nil"
	case bool:
		return strconv.FormatBool(t)
	}
	if s, ok := ToString(v); ok {
		return s
	}
	l.m.unsure()
	id, _ := identOf(v)
	return fmt.Sprintf("%s: 0x%012x", TypeName(v), 0x7f0000000000+uint64(id)*32)
}

func baseType(l *State, args []Value) []Value { return l.Return(TypeName(l.CheckAny(args, 1))) }

func baseUnpack(l *State, args []Value) []Value {
	t, i := l.CheckTable(args, 1), l.OptInt(args, 2, 1)
	var e int
	if at(args, 2) == nil {
		e = t.Len()
	} else {
		e = l.CheckInt(args, 3)
	}
	if i > e {
		return nil
	}
	if n := e - i + 1; n <= 0 || n+len(args) > maxResults {
		l.Errorf("too many results to unpack")
	}
	l.rb = l.rb[:0]
	for ; i <= e; i++ {
		l.rb = append(l.rb, t.Int(i))
	}
	return l.rb
}
