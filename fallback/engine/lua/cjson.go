package lua

import (
	"math"
	"strconv"
	"strings"
)

// jsonConfig are the settings of a cjson module. Each script begins with the
// defaults: in Redis a setting stays for the scripts that come later.
type jsonConfig struct {
	sparseConvert          bool
	sparseRatio            int
	sparseSafe             int
	encodeDepth            int
	decodeDepth            int
	precision              int
	encodeInvalid          int // 0 refuses NaN and Inf, 1 writes them, 2 writes null
	decodeInvalid, keepBuf bool
}

var defaultJSON = jsonConfig{sparseRatio: 2, sparseSafe: 10, encodeDepth: 1000, decodeDepth: 1000, precision: 14, decodeInvalid: true, keepBuf: true}

// jsonNull stands for null: it is the null pointer.
var jsonNull = &Userdata{}

// maxJSONNesting is where Lua's stack ends, whatever depth is configured.
const maxJSONNesting = 2600

func cjsonLib() *Table {
	return jsonModule(func(l *State) *jsonConfig {
		if l.m.json == nil {
			cfg := defaultJSON
			l.m.json = &cfg
		}
		return l.m.json
	})
}

func jsonModule(config func(l *State) *jsonConfig) *Table {
	with := func(most int, fn func(l *State, cfg *jsonConfig, args []Value) []Value) Native {
		return func(l *State, args []Value) []Value {
			if len(args) > most {
				l.ArgError(most+1, "found too many arguments")
			}
			return fn(l, config(l), args)
		}
	}
	integer := func(lo, hi int, field func(c *jsonConfig) *int) Native {
		return with(1, func(l *State, c *jsonConfig, args []Value) []Value { return jsonInt(l, args, 1, lo, hi, field(c)) })
	}
	t := library(map[string]Native{
		"encode": func(l *State, args []Value) []Value { return jsonEncode(l, config(l), args) },
		"decode": func(l *State, args []Value) []Value { return jsonDecode(l, config(l), args) },
		"new": func(l *State, _ []Value) []Value {
			cfg := defaultJSON
			return l.Return(jsonModule(func(*State) *jsonConfig { return &cfg }))
		},
		"encode_sparse_array": with(3, func(l *State, c *jsonConfig, args []Value) []Value {
			jsonBool(l, args, &c.sparseConvert)
			jsonInt(l, args, 2, 0, math.MaxInt32, &c.sparseRatio)
			jsonInt(l, args, 3, 0, math.MaxInt32, &c.sparseSafe)
			return l.Return(c.sparseConvert, Number(float64(c.sparseRatio)), Number(float64(c.sparseSafe)))
		}),
		"encode_max_depth":        integer(1, math.MaxInt32, func(c *jsonConfig) *int { return &c.encodeDepth }),
		"decode_max_depth":        integer(1, math.MaxInt32, func(c *jsonConfig) *int { return &c.decodeDepth }),
		"encode_number_precision": integer(1, 14, func(c *jsonConfig) *int { return &c.precision }),
		"encode_keep_buffer":      with(1, func(l *State, c *jsonConfig, args []Value) []Value { return jsonBool(l, args, &c.keepBuf) }),
		"decode_invalid_numbers":  with(1, func(l *State, c *jsonConfig, args []Value) []Value { return jsonBool(l, args, &c.decodeInvalid) }),
		"encode_invalid_numbers":  with(1, jsonInvalid),
	})
	t.Set("null", jsonNull)
	t.Set("_NAME", "cjson")
	t.Set("_VERSION", "2.1.0")
	return t
}

func jsonInt(l *State, args []Value, n, lo, hi int, field *int) []Value {
	if at(args, n-1) != nil {
		v := l.CheckInteger(args, n)
		if v < lo || v > hi {
			l.ArgError(1, "expected integer between "+strconv.Itoa(lo)+" and "+strconv.Itoa(hi))
		}
		*field = v
	}
	return l.Return(Number(float64(*field)))
}

// option reads one of several words.
func option(l *State, args []Value, n int, words ...string) int {
	s := l.CheckString(args, n)
	for i, w := range words {
		if s == w {
			return i
		}
	}
	l.ArgError(n, "invalid option '"+s+"'")
	return 0
}

func jsonBool(l *State, args []Value, field *bool) []Value {
	switch b := at(args, 0).(type) {
	case nil:
	case bool:
		*field = b
	default:
		*field = option(l, args, 1, "off", "on") == 1
	}
	return l.Return(*field)
}

func jsonInvalid(l *State, c *jsonConfig, args []Value) []Value {
	switch b := at(args, 0).(type) {
	case nil:
	case bool:
		c.encodeInvalid = 0
		if b {
			c.encodeInvalid = 1
		}
	default:
		c.encodeInvalid = option(l, args, 1, "off", "on", "null")
	}
	if c.encodeInvalid == 2 {
		return l.Return("null")
	}
	return l.Return(c.encodeInvalid == 1)
}

type jsonEncoder struct {
	l       *State
	cfg     *jsonConfig
	b       []byte
	charged int
}

func jsonEncode(l *State, cfg *jsonConfig, args []Value) []Value {
	if len(args) != 1 {
		l.ArgError(1, "expected 1 argument")
	}
	e := jsonEncoder{l: l, cfg: cfg}
	e.value(args[0], 0)
	l.charge(len(e.b))
	return l.Return(string(e.b))
}

func (e *jsonEncoder) fail(v Value, why string) {
	e.l.Errorf("Cannot serialise %s: %s", TypeName(v), why)
}

func (e *jsonEncoder) value(v Value, depth int) {
	if e.l.step(); len(e.b)-e.charged > memoryStep {
		e.l.charge(2 * (len(e.b) - e.charged))
		if e.charged = len(e.b); e.charged > maxString {
			e.l.Errorf("string length overflow")
		}
	}
	switch t := v.(type) {
	case string:
		e.string(t)
	case float64:
		e.number(t)
	case bool:
		e.b = strconv.AppendBool(e.b, t)
	case nil:
		e.b = append(e.b, "null"...)
	case *Table:
		e.table(t, depth+1)
	default:
		if v != Value(jsonNull) {
			e.fail(v, "type not supported")
		}
		e.b = append(e.b, "null"...)
	}
}

func (e *jsonEncoder) number(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		switch {
		case e.cfg.encodeInvalid == 0:
			e.fail(f, "must not be NaN or Inf")
		case e.cfg.encodeInvalid == 2:
			e.b = append(e.b, "null"...)
			return
		case f != f:
			e.b = append(e.b, "nan"...)
			return
		}
	}
	e.b = append(e.b, formatG(f, e.cfg.precision)...)
}

func (e *jsonEncoder) table(t *Table, depth int) {
	if depth > e.cfg.encodeDepth || depth > maxJSONNesting {
		e.l.Errorf("Cannot serialise, excessive nesting (%d)", depth)
	}
	if n := e.arrayLen(t); n > 0 {
		e.b = append(e.b, '[')
		for i := 1; i <= n; i++ {
			if i > 1 {
				e.b = append(e.b, ',')
			}
			e.value(t.Int(i), depth)
		}
		e.b = append(e.b, ']')
		return
	}
	e.b = append(e.b, '{')
	first := true
	for k, v, _ := t.Next(nil); k != nil; k, v, _ = t.Next(k) {
		if !first {
			e.b = append(e.b, ',')
		}
		first = false
		switch key := k.(type) {
		case string:
			e.string(key)
		case float64:
			e.b = append(e.b, '"')
			e.number(key)
			e.b = append(e.b, '"')
		default:
			e.fail(k, "table key must be a number or string")
		}
		e.b = append(e.b, ':')
		e.value(v, depth)
	}
	e.b = append(e.b, '}')
}

// arrayLen is the length of a table that is an array, 0 or less for an object.
func (e *jsonEncoder) arrayLen(t *Table) int {
	most, items := 0.0, 0
	for k, _, _ := t.Next(nil); k != nil; k, _, _ = t.Next(k) {
		f, ok := k.(float64)
		if !ok || f < 1 || f != math.Floor(f) {
			return -1
		}
		most, items = max(most, f), items+1
	}
	if ratio := e.cfg.sparseRatio; ratio > 0 && most > float64(items*ratio) && most > float64(e.cfg.sparseSafe) {
		if !e.cfg.sparseConvert {
			e.fail(t, "excessively sparse array")
		}
		return -1
	}
	return int(most)
}

func (e *jsonEncoder) string(s string) {
	const hex = "0123456789abcdef"
	e.b = append(e.b, '"')
	for i := 0; i < len(s); i++ {
		ch := s[i]
		switch {
		case ch == '"' || ch == '\\' || ch == '/':
			e.b = append(e.b, '\\', ch)
		case ch >= 0x20 && ch != 0x7f:
			e.b = append(e.b, ch)
		default:
			if at := strings.IndexByte("\b\f\n\r\t", ch); at >= 0 {
				e.b = append(e.b, '\\', "bfnrt"[at])
				continue
			}
			e.b = append(e.b, '\\', 'u', '0', '0', hex[ch>>4], hex[ch&15])
		}
	}
	e.b = append(e.b, '"')
}
