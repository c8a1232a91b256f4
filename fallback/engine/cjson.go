package engine

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"
)

// cjsonModule is the part of lua-cjson that scripts use, with its output byte by
// byte: {} for an empty table, \/ for a slash, 14 digits for numbers.
func cjsonModule(l *lua.LState) *lua.LTable {
	t := l.NewTable()
	null := &lua.LUserData{Value: "null"}
	t.RawSetString("null", null)
	l.SetFuncs(t, map[string]lua.LGFunction{
		"encode": func(l *lua.LState) int {
			if l.GetTop() != 1 {
				l.ArgError(1, "expected 1 argument")
			}
			enc := jsonEncoder{l: l}
			enc.value(l.Get(1), 1)
			l.Push(lua.LString(enc.b))
			return 1
		},
		"decode": func(l *lua.LState) int {
			dec := jsonDecoder{l: l, s: l.CheckString(1), null: null}
			v := dec.value(1)
			dec.space()
			if dec.i < len(dec.s) {
				dec.fail("the end")
			}
			l.Push(v)
			return 1
		},
	})
	// The settings of lua-cjson: taken, with their defaults kept.
	for _, name := range []string{"encode_keep_buffer", "encode_max_depth", "decode_max_depth", "encode_number_precision",
		"encode_invalid_numbers", "decode_invalid_numbers", "encode_sparse_array"} {
		t.RawSetString(name, l.NewFunction(func(*lua.LState) int { return 0 }))
	}
	return t
}

// jsonDepth is how deep values may nest, as in lua-cjson.
const jsonDepth = 1000

type jsonEncoder struct {
	l *lua.LState
	b []byte
}

func (e *jsonEncoder) value(v lua.LValue, depth int) {
	switch t := v.(type) {
	case lua.LString:
		e.string(string(t))
	case lua.LNumber:
		if f := float64(t); math.IsNaN(f) || math.IsInf(f, 0) {
			e.l.RaiseError("Cannot serialise number: must not be NaN or Inf")
		}
		e.b = append(e.b, formatNumber(float64(t), 14)...)
	case lua.LBool:
		e.b = strconv.AppendBool(e.b, bool(t))
	case *lua.LNilType:
		e.b = append(e.b, "null"...)
	case *lua.LUserData:
		e.b = append(e.b, "null"...)
	case *lua.LTable:
		if depth > jsonDepth {
			e.l.RaiseError("Cannot serialise, excessive depth (%d)", depth)
		}
		if n := e.arrayLen(t); n > 0 {
			e.array(t, n, depth)
			return
		}
		e.object(t, depth)
	default:
		e.l.RaiseError("Cannot serialise %s: type not supported", v.Type().String())
	}
}

// arrayLen is the length of a table that is an array, 0 for an object.
func (e *jsonEncoder) arrayLen(t *lua.LTable) int {
	top, items, array := 0, 0, true
	t.ForEach(func(k, _ lua.LValue) {
		n, ok := k.(lua.LNumber)
		if !ok || n < 1 || float64(n) != math.Floor(float64(n)) {
			array = false
			return
		}
		top, items = max(top, int(n)), items+1
	})
	if !array {
		return 0
	}
	if top > items*2 && top > 10 {
		e.l.RaiseError("Cannot serialise table: excessively sparse array")
	}
	return top
}

func (e *jsonEncoder) array(t *lua.LTable, n, depth int) {
	e.b = append(e.b, '[')
	for i := 1; i <= n; i++ {
		if i > 1 {
			e.b = append(e.b, ',')
		}
		e.value(t.RawGetInt(i), depth+1)
	}
	e.b = append(e.b, ']')
}

func (e *jsonEncoder) object(t *lua.LTable, depth int) {
	e.b = append(e.b, '{')
	first := true
	t.ForEach(func(k, v lua.LValue) {
		if !first {
			e.b = append(e.b, ',')
		}
		first = false
		switch key := k.(type) {
		case lua.LString:
			e.string(string(key))
		case lua.LNumber:
			e.b = append(append(append(e.b, '"'), formatNumber(float64(key), 14)...), '"')
		default:
			e.l.RaiseError("Cannot serialise %s: table key must be a number or string", k.Type().String())
		}
		e.b = append(e.b, ':')
		e.value(v, depth+1)
	})
	e.b = append(e.b, '}')
}

func (e *jsonEncoder) string(s string) {
	const hex = "0123456789abcdef"
	e.b = append(e.b, '"')
	for i := 0; i < len(s); i++ {
		ch := s[i]
		if at := strings.IndexByte("\"\\/\b\f\n\r\t", ch); at >= 0 {
			e.b = append(e.b, '\\', "\"\\/bfnrt"[at])
			continue
		}
		if ch < 0x20 || ch == 0x7f {
			e.b = append(e.b, '\\', 'u', '0', '0', hex[ch>>4], hex[ch&15])
			continue
		}
		e.b = append(e.b, ch)
	}
	e.b = append(e.b, '"')
}

type jsonDecoder struct {
	l    *lua.LState
	s    string
	i    int
	null lua.LValue
}

// fail raises lua-cjson's error.
func (d *jsonDecoder) fail(expected string) {
	found := "invalid token"
	if d.i >= len(d.s) {
		found = "T_END"
	} else if names := map[byte]string{'{': "T_OBJ_BEGIN", '}': "T_OBJ_END", '[': "T_ARR_BEGIN", ']': "T_ARR_END", ',': "T_COMMA", ':': "T_COLON", '"': "T_STRING"}; names[d.s[d.i]] != "" {
		found = names[d.s[d.i]]
	}
	d.l.RaiseError("Expected %s but found %s at character %d", expected, found, d.i+1)
}

func (d *jsonDecoder) space() {
	for d.i < len(d.s) && strings.IndexByte(" \t\r\n", d.s[d.i]) >= 0 {
		d.i++
	}
}

// peek is the next character after white space, 0 at the end.
func (d *jsonDecoder) peek() byte {
	d.space()
	if d.i < len(d.s) {
		return d.s[d.i]
	}
	return 0
}

func (d *jsonDecoder) value(depth int) lua.LValue {
	if depth > jsonDepth {
		d.l.RaiseError("Found too many nested data structures (%d)", depth)
	}
	switch ch := d.peek(); {
	case ch == '{':
		return d.object(depth)
	case ch == '[':
		return d.array(depth)
	case ch == '"':
		return lua.LString(d.string())
	case ch == '-' || '0' <= ch && ch <= '9':
		return d.number()
	}
	for word, v := range map[string]lua.LValue{"true": lua.LTrue, "false": lua.LFalse, "null": d.null} {
		if strings.HasPrefix(d.s[d.i:], word) {
			d.i += len(word)
			return v
		}
	}
	d.fail("value")
	return nil
}

func (d *jsonDecoder) number() lua.LValue {
	from := d.i
	for d.i < len(d.s) && strings.IndexByte("+-.eE0123456789", d.s[d.i]) >= 0 {
		d.i++
	}
	f, err := strconv.ParseFloat(d.s[from:d.i], 64)
	if err != nil && f == 0 {
		d.i = from
		d.fail("value")
	}
	return lua.LNumber(f)
}

func (d *jsonDecoder) array(depth int) lua.LValue {
	t := d.l.NewTable()
	d.i++
	if d.peek() == ']' {
		d.i++
		return t
	}
	for n := 1; ; n++ {
		t.RawSetInt(n, d.value(depth+1))
		switch d.peek() {
		case ',':
			d.i++
		case ']':
			d.i++
			return t
		default:
			d.fail("comma or array end")
		}
	}
}

func (d *jsonDecoder) object(depth int) lua.LValue {
	t := d.l.NewTable()
	d.i++
	if d.peek() == '}' {
		d.i++
		return t
	}
	for {
		if d.peek() != '"' {
			d.fail("object key string")
		}
		key := d.string()
		if d.peek() != ':' {
			d.fail("colon")
		}
		d.i++
		d.l.RawSet(t, lua.LString(key), d.value(depth+1))
		switch d.peek() {
		case ',':
			d.i++
		case '}':
			d.i++
			return t
		default:
			d.fail("comma or object end")
		}
	}
}

func (d *jsonDecoder) string() string {
	var out []byte
	start := d.i
	for d.i++; d.i < len(d.s); d.i++ {
		switch ch := d.s[d.i]; {
		case ch == '"':
			d.i++
			return string(out)
		case ch == 0:
			d.i = start
			d.fail("value")
		case ch != '\\':
			out = append(out, ch)
		case d.i+1 >= len(d.s):
		case d.s[d.i+1] == 'u':
			r := d.escape(d.i + 2)
			d.i += 5
			if 0xd800 <= r && r < 0xdc00 && strings.HasPrefix(d.s[min(d.i+1, len(d.s)):], `\u`) {
				r = (r-0xd800)<<10 + d.escape(d.i+3) - 0xdc00 + 0x10000
				d.i += 6
			}
			out = utf8.AppendRune(out, r)
		default:
			d.i++
			at := strings.IndexByte(`"\/bfnrt`, d.s[d.i])
			if at < 0 {
				d.i = start
				d.fail("value")
			}
			out = append(out, "\"\\/\b\f\n\r\t"[at])
		}
	}
	d.i = start
	d.fail("value")
	return ""
}

// escape reads the four hex digits of \u at i.
func (d *jsonDecoder) escape(i int) rune {
	if i+4 <= len(d.s) {
		if n, err := strconv.ParseUint(d.s[i:i+4], 16, 32); err == nil {
			return rune(n)
		}
	}
	d.fail("value")
	return 0
}

// bitModule is the part of Lua BitOp that scripts use, on 32 bits.
func bitModule(l *lua.LState) *lua.LTable {
	t := l.NewTable()
	arg := func(l *lua.LState, i int) uint32 { return uint32(int64(math.Mod(float64(l.CheckNumber(i)), 1<<32))) }
	fold := func(op func(a, b uint32) uint32) lua.LGFunction {
		return func(l *lua.LState) int {
			x := arg(l, 1)
			for i := 2; i <= l.GetTop(); i++ {
				x = op(x, arg(l, i))
			}
			l.Push(lua.LNumber(int32(x)))
			return 1
		}
	}
	shift := func(op func(a uint32, n uint32) uint32) lua.LGFunction {
		return func(l *lua.LState) int {
			l.Push(lua.LNumber(int32(op(arg(l, 1), arg(l, 2)&31))))
			return 1
		}
	}
	l.SetFuncs(t, map[string]lua.LGFunction{
		"band":    fold(func(a, b uint32) uint32 { return a & b }),
		"bor":     fold(func(a, b uint32) uint32 { return a | b }),
		"bxor":    fold(func(a, b uint32) uint32 { return a ^ b }),
		"tobit":   fold(func(a, _ uint32) uint32 { return a }),
		"bnot":    func(l *lua.LState) int { l.Push(lua.LNumber(int32(^arg(l, 1)))); return 1 },
		"lshift":  shift(func(a, n uint32) uint32 { return a << n }),
		"rshift":  shift(func(a, n uint32) uint32 { return a >> n }),
		"arshift": shift(func(a, n uint32) uint32 { return uint32(int32(a) >> n) }),
	})
	return t
}
