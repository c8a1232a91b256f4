package lua

import "sync/atomic"

// Value is a Lua value: nil, bool, float64, string, *Table, *Function, *Thread
// or *Userdata.
type Value = any

// Native is a function that is not written in Lua. Its result is good until the
// next call of anything; it must not keep args.
type Native func(l *State, args []Value) []Value

// Function is a closure, or a native function.
type Function struct {
	native Native
	proto  *proto
	up     []*cell
	env    *Table
	id     ident
}

// Fresh is the same function as if it had just been made: what setfenv does to one
// does not reach the other.
func (f *Function) Fresh() *Function {
	return &Function{native: f.native, proto: f.proto, up: f.up, env: f.env}
}

// With is the function with other globals.
func (f *Function) With(env *Table) *Function {
	out := f.Fresh()
	out.env = env
	return out
}

// Userdata is an opaque value, such as cjson.null.
type Userdata struct {
	meta *Table
	id   ident
}

// cell holds a local variable that a closure uses.
type cell struct{ v Value }

// ident tells values apart that are what they are by identity. Numbers are given
// when one is asked for: most values never need it.
type ident struct{ n atomic.Uint32 }

var lastIdent atomic.Uint32

func (i *ident) number() uint32 {
	if n := i.n.Load(); n != 0 {
		return n
	}
	i.n.CompareAndSwap(0, lastIdent.Add(1))
	return i.n.Load()
}

func identOf(v Value) (id uint32, ok bool) {
	switch t := v.(type) {
	case *Table:
		return t.id.number(), true
	case *Function:
		return t.id.number(), true
	case *Thread:
		return t.id.number(), true
	case *Userdata:
		return t.id.number(), true
	}
	return 0, false
}

// TypeName is the name of a value's type, as type() gives it.
func TypeName(v Value) string {
	switch v.(type) {
	case nil:
		return "nil"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	case *Table:
		return "table"
	case *Function:
		return "function"
	case *Thread:
		return "thread"
	}
	return "userdata"
}

// Truth reports whether a condition holds: all but nil and false.
func Truth(v Value) bool {
	b, ok := v.(bool)
	return v != nil && (!ok || b)
}

// smallInts saves the allocation for the numbers that scripts count with.
var smallInts = func() (out [1024]Value) {
	for i := range out {
		out[i] = float64(i)
	}
	return out
}()

// Number makes a value of a float.
func Number(f float64) Value {
	if i := int(f); uint(i) < uint(len(smallInts)) && float64(i) == f && (i != 0 || 1/f > 0) {
		return smallInts[i]
	}
	return f
}

// rawEqual compares without metamethods.
func rawEqual(a, b Value) bool { return a == b }
