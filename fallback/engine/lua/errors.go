package lua

import "fmt"

// Error is a Lua error being raised.
type Error struct {
	Value Value
	// Source and Line are where it was raised, as an error handler sees it:
	// "@user_script", or "=[C]" and -1.
	Source string
	Line   int
}

func (e *Error) Error() string {
	if s, ok := e.Value.(string); ok {
		return s
	}
	return "(error object is a " + TypeName(e.Value) + " value)"
}

// level is one of the functions that are running, as debug.getinfo counts them.
type level struct {
	fn   *frame // nil: a native function
	tail bool   // stands for functions that left by a tail call
}

// at finds a level; ok: there is one.
func (l *State) level(n int) (lv level, ok bool) {
	for i := l.depth - 1; i >= 0; i-- {
		f := l.frames[i]
		list := [3]level{}
		found := list[:0]
		if f.inC {
			found = append(found, level{})
		}
		if f.isC {
			found = append(found, level{})
		} else {
			found = append(found, level{fn: f})
		}
		if f.tailed {
			found = append(found, level{tail: true})
		}
		if n < len(found) {
			return found[n], true
		}
		n -= len(found)
	}
	return level{}, false
}

// Where is "chunk:line: " of a level, "" if it is no Lua function.
func (l *State) Where(n int) string {
	if lv, ok := l.level(n); ok && lv.fn != nil && lv.fn.site != nil {
		return fmt.Sprintf("%s:%d: ", lv.fn.fn.proto.chunk, lv.fn.site.line)
	}
	return ""
}

// Raise raises any value.
func (l *State) Raise(v Value) []Value {
	e := l.place()
	e.Value = v
	panic(e)
}

// place is where the script is.
func (l *State) place() *Error {
	e := &Error{Source: "=[C]", Line: -1}
	lv, ok := l.level(0)
	if ok && lv.fn == nil && !lv.tail {
		lv, ok = l.level(1)
	}
	switch {
	case !ok:
		e.Source = ""
	case lv.tail:
		e.Source = "=(tail call)"
	case lv.fn != nil && lv.fn.site != nil:
		e.Source, e.Line = lv.fn.fn.proto.source, lv.fn.site.line
	}
	return e
}

// Errorf is what native functions raise: with the place that called them.
func (l *State) Errorf(format string, args ...any) []Value {
	return l.Raise(l.Where(1) + fmt.Sprintf(format, args...))
}

// RunError is what the machine raises: with the place, if Lua code is running.
func (l *State) RunError(format string, args ...any) {
	l.Raise(l.Where(0) + fmt.Sprintf(format, args...))
}

// typeError says that nothing of the kind can be done with a value.
func (l *State) typeError(do, what string, v Value) {
	if what == "" {
		l.RunError("attempt to %s a %s value", do, TypeName(v))
	}
	l.RunError("attempt to %s %s (a %s value)", do, what, TypeName(v))
}

func (l *State) readonly() { l.RunError("Attempt to modify a readonly table") }

// callee is how the running native function was called.
func (l *State) callee() (name string, method bool) {
	if l.depth > 0 {
		if f := l.frames[l.depth-1]; f.inC && f.site != nil && f.site.name != "" {
			return f.site.name, f.site.method
		}
	}
	return "?", false
}

// ArgError refuses an argument, counted from 1.
func (l *State) ArgError(n int, msg string) []Value {
	name, method := l.callee()
	if method {
		if n--; n == 0 {
			return l.Errorf("calling '%s' on bad self (%s)", name, msg)
		}
	}
	return l.Errorf("bad argument #%d to '%s' (%s)", n, name, msg)
}

// argType refuses an argument of the wrong type.
func (l *State) argType(args []Value, n int, expected string) {
	got := "no value"
	if n <= len(args) {
		got = TypeName(args[n-1])
	}
	l.ArgError(n, expected+" expected, got "+got)
}

// CheckString is an argument that is a string or a number.
func (l *State) CheckString(args []Value, n int) string {
	s, ok := ToString(at(args, n-1))
	if !ok {
		l.argType(args, n, "string")
	}
	return s
}

// OptString is CheckString of an argument that may be left out.
func (l *State) OptString(args []Value, n int, def string) string {
	if at(args, n-1) == nil {
		return def
	}
	return l.CheckString(args, n)
}

// CheckNumber is an argument that is a number, or a string that reads as one.
func (l *State) CheckNumber(args []Value, n int) float64 {
	f, ok := ToNumber(at(args, n-1))
	if !ok {
		l.argType(args, n, "number")
	}
	return f
}

// CheckInt is CheckNumber as C's int: without its fraction, and its low 32 bits.
func (l *State) CheckInt(args []Value, n int) int {
	return int(int32(ToInteger(l.CheckNumber(args, n))))
}

// CheckInteger is CheckNumber without its fraction.
func (l *State) CheckInteger(args []Value, n int) int { return int(ToInteger(l.CheckNumber(args, n))) }

// OptInteger is CheckInteger of an argument that may be left out.
func (l *State) OptInteger(args []Value, n, def int) int {
	if at(args, n-1) == nil {
		return def
	}
	return l.CheckInteger(args, n)
}

// OptInt is CheckInt of an argument that may be left out.
func (l *State) OptInt(args []Value, n, def int) int {
	if at(args, n-1) == nil {
		return def
	}
	return l.CheckInt(args, n)
}

// CheckTable is an argument that is a table.
func (l *State) CheckTable(args []Value, n int) *Table {
	t, ok := at(args, n-1).(*Table)
	if !ok {
		l.argType(args, n, "table")
	}
	return t
}

// CheckFunction is an argument that is a function.
func (l *State) CheckFunction(args []Value, n int) *Function {
	fn, ok := at(args, n-1).(*Function)
	if !ok {
		l.argType(args, n, "function")
	}
	return fn
}

// CheckAny is an argument that must be there.
func (l *State) CheckAny(args []Value, n int) Value {
	if n > len(args) {
		l.ArgError(n, "value expected")
	}
	return args[n-1]
}
