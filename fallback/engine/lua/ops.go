package lua

import (
	"math"
	"strings"
)

// maxLoop bounds chains of __index, as in Lua.
const maxLoop = 100

func (l *State) metatable(v Value) *Table {
	switch t := v.(type) {
	case *Table:
		return t.meta
	case string:
		return l.m.StringMeta
	case *Userdata:
		return t.meta
	}
	return nil
}

func (l *State) metamethod(v Value, event string) Value {
	if mt := l.metatable(v); mt != nil {
		return mt.Get(event)
	}
	return nil
}

// index is v[key].
func (l *State) index(f *frame, where *site, v, key Value) Value {
	for range maxLoop {
		var h Value
		if t, ok := v.(*Table); ok {
			if r := t.Get(key); r != nil || t.meta == nil {
				return r
			}
			if h = t.meta.Get("__index"); h == nil {
				return nil
			}
		} else if h = l.metamethod(v, "__index"); h == nil {
			f.at(where)
			l.typeError("index", where.what, v)
		}
		if fn, ok := h.(*Function); ok {
			f.at(where)
			return at(l.Call(fn, v, key), 0)
		}
		v = h
	}
	f.at(where)
	l.RunError("loop in gettable")
	return nil
}

// at notes where a function is, for errors. There is no frame when a native
// function asks.
func (f *frame) at(where *site) {
	if f != nil {
		f.site = where
	}
}

// setIndex is v[key] = val.
func (l *State) setIndex(f *frame, where *site, v, key, val Value) {
	for range maxLoop {
		var h Value
		if t, ok := v.(*Table); ok {
			if t.readonly {
				f.at(where)
				l.readonly()
			}
			if t.meta == nil {
				l.rawSet(f, where, t, key, val)
				return
			}
			if h = t.meta.Get("__newindex"); h == nil || t.Get(key) != nil {
				l.rawSet(f, where, t, key, val)
				return
			}
		} else if h = l.metamethod(v, "__newindex"); h == nil {
			f.at(where)
			l.typeError("index", where.what, v)
		}
		if fn, ok := h.(*Function); ok {
			f.at(where)
			l.Call(fn, v, key, val)
			return
		}
		v = h
	}
	f.at(where)
	l.RunError("loop in settable")
}

// rawSet sets a key of a table without metamethods.
func (l *State) rawSet(f *frame, where *site, t *Table, key, val Value) {
	switch k := key.(type) {
	case nil:
		f.at(where)
		l.RunError("table index is nil")
	case float64:
		if k != k {
			f.at(where)
			l.RunError("table index is NaN")
		}
	}
	if t.Set(key, val) {
		l.charge(t.bytes())
	}
}

// RawSet sets a key of a table for a native function.
func (l *State) RawSet(t *Table, key, val Value) {
	if t.readonly {
		l.readonly()
	}
	l.rawSet(nil, nil, t, key, val)
}

// Index is v[key] for a native function.
func (l *State) Index(v, key Value) Value { return l.index(nil, &site{}, v, key) }

func arith(op kind, a, b float64) float64 {
	switch op {
	case '+':
		return a + b
	case '-':
		return a - b
	case '*':
		return a * b
	case '/':
		return a / b
	case '%':
		return a - math.Floor(a/b)*b
	}
	return math.Pow(a, b)
}

var arithEvents = map[kind]string{'+': "__add", '-': "__sub", '*': "__mul", '/': "__div", '%': "__mod", '^': "__pow"}

// arithSlow is arithmetic on what are not two numbers. second is what the right
// operand is called.
func (l *State) arithSlow(f *frame, where *site, second string, op kind, a, b Value, negate bool) Value {
	f.at(where)
	x, ok1 := ToNumber(a)
	y, ok2 := ToNumber(b)
	if ok1 && ok2 {
		if negate {
			return Number(-x)
		}
		return Number(arith(op, x, y))
	}
	event := arithEvents[op]
	if negate {
		event = "__unm"
	}
	h := l.metamethod(a, event)
	if h == nil {
		h = l.metamethod(b, event)
	}
	if h != nil {
		return at(l.Call(h, a, b), 0)
	}
	if ok1 {
		l.typeError("perform arithmetic on", second, b)
	}
	l.typeError("perform arithmetic on", where.what, a)
	return nil
}

// equal is a == b.
func (l *State) equal(a, b Value) bool {
	if a == b {
		return true
	}
	switch a.(type) {
	case *Table, *Userdata:
		if TypeName(a) != TypeName(b) {
			return false
		}
		h := l.metamethod(a, "__eq")
		if h == nil || !rawEqual(h, l.metamethod(b, "__eq")) {
			return false
		}
		return Truth(at(l.Call(h, a, b), 0))
	}
	return false
}

// less is a < b; orEqual: a <= b.
func (l *State) less(f *frame, where *site, a, b Value, orEqual bool) bool {
	switch x := a.(type) {
	case float64:
		if y, ok := b.(float64); ok {
			return x < y || orEqual && x == y
		}
	case string:
		if y, ok := b.(string); ok {
			return x < y || orEqual && x == y
		}
	}
	f.at(where)
	event := "__lt"
	if orEqual {
		event = "__le"
	}
	if TypeName(a) == TypeName(b) {
		if h := l.sameMeta(a, b, event); h != nil {
			return Truth(at(l.Call(h, a, b), 0))
		}
		if h := l.sameMeta(a, b, "__lt"); orEqual && h != nil {
			return !Truth(at(l.Call(h, b, a), 0))
		}
		l.RunError("attempt to compare two %s values", TypeName(a))
	}
	l.RunError("attempt to compare %s with %s", TypeName(a), TypeName(b))
	return false
}

// sameMeta is a metamethod that both values have.
func (l *State) sameMeta(a, b Value, event string) Value {
	if h := l.metamethod(a, event); h != nil && rawEqual(h, l.metamethod(b, event)) {
		return h
	}
	return nil
}

func (l *State) length(f *frame, where *site, v Value) Value {
	switch t := v.(type) {
	case string:
		return Number(float64(len(t)))
	case *Table:
		return Number(float64(t.Len()))
	}
	f.at(where)
	if h := l.metamethod(v, "__len"); h != nil {
		return at(l.Call(h, v, nil), 0)
	}
	l.typeError("get length of", where.what, v)
	return nil
}

// maxString is the length of the longest string: nobody could store a longer one.
const maxString = 512 << 20

// concat joins values from the right, as many at once as are strings.
func (l *State) concat(f *frame, where *site, names []string, vals []Value) Value {
	acc, top := vals[len(vals)-1], len(vals)-1
	for top > 0 {
		_, ok := ToString(acc)
		size, from := 0, top
		for ok && from > 0 {
			s, is := vals[from-1].(string)
			if !is {
				if s, is = ToString(vals[from-1]); !is {
					break
				}
				vals[from-1] = s
			}
			size += len(s)
			from--
		}
		if from == top { // no string, or none to its left
			f.at(where)
			acc = l.concatMeta(names, vals, acc, top)
			top--
			continue
		}
		last, _ := ToString(acc)
		acc = l.join(f, where, vals[from:top], last, size)
		top = from
	}
	return acc
}

func (l *State) join(f *frame, where *site, parts []Value, last string, size int) Value {
	if size += len(last); size > maxString {
		f.at(where)
		l.RunError("string length overflow")
	}
	l.charge(size + 16)
	if len(parts) == 1 {
		return parts[0].(string) + last
	}
	var out strings.Builder
	out.Grow(size)
	for _, p := range parts {
		out.WriteString(p.(string))
	}
	out.WriteString(last)
	return out.String()
}

func (l *State) concatMeta(names []string, vals []Value, acc Value, top int) Value {
	a, name := vals[top-1], ""
	h := l.metamethod(a, "__concat")
	if h == nil {
		h = l.metamethod(acc, "__concat")
	}
	if h != nil {
		return at(l.Call(h, a, acc), 0)
	}
	culprit := a
	if _, ok := ToString(a); ok {
		culprit = acc
		if top == len(vals)-1 {
			name = names[top]
		}
	} else {
		name = names[top-1]
	}
	l.typeError("concatenate", name, culprit)
	return nil
}

// forNumber is a number of a numeric for.
func (l *State) forNumber(f *frame, where *site, v Value, what string) float64 {
	n, ok := ToNumber(v)
	if !ok {
		f.at(where)
		l.RunError("'for' %s must be a number", what)
	}
	return n
}
