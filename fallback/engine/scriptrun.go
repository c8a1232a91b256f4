package engine

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"holdfast/fallback/engine/lua"
)

// scripting is what the engine has of scripts and functions.
type scripting struct {
	scripts      *scriptCache
	compiler     *compiler
	world        *world // what scripts find
	libs         *libraries
	libCounts    atomic.Pointer[[2]int] // of libraries and functions
	running      atomic.Pointer[Running]
	run          *scriptRun
	rand48       uint64       // the state of math.random
	scriptMemory int64        // what a script may hold
	busyAfter    atomic.Int64 // nanoseconds
}

// beginScripting sets scripting up.
func (e *Engine) beginScripting() {
	e.scripts, e.compiler, e.scriptMemory = newScriptCache(), newCompiler(), maxScriptMemory
	e.world, e.rand48 = newWorld(e), e.random
	e.setLibraries(newLibraries())
	e.SetBusyAfter(5 * time.Second)
}

// BusyAfter is how long a script runs until other clients are told that it is busy: the
// parameter busy-reply-threshold, or lua-time-limit. Any goroutine may ask. 0: never.
func (e *Engine) BusyAfter() time.Duration { return time.Duration(e.busyAfter.Load()) }

// SetBusyAfter sets what BusyAfter gives.
func (e *Engine) SetBusyAfter(d time.Duration) { e.busyAfter.Store(int64(d)) }

// maxScriptMemory is how much a script may hold: enough for the largest value, and a
// string that grows without end does not take the process with it.
const maxScriptMemory = 512 << 20

// invocation is what is to be run: a compiled script, or a function.
type invocation struct {
	name     string // as errors tell it: the digest, or the function's
	fn       *lua.Function
	globals  *lua.Table
	args     []lua.Value
	function string // "" for EVAL
}

// runScript executes an invocation and leaves its reply in c. If that is an error,
// the caller undoes what was written.
func (c *call) runScript(run *scriptRun, inv *invocation) {
	e := c.e
	m := lua.NewMachine(e.scriptMemory)
	m.StringMeta, m.Globals, m.Unsure = e.world.strings, inv.globals, e.noteTime
	defer m.Close()
	end := e.begin(&Running{Function: inv.function, Command: c.argv, Started: time.Now(), machine: m})
	defer end()
	e.run = run
	defer func() { e.run = nil }()
	if err := c.protected(run, inv, m); err != nil {
		c.fail(err.text(inv.name))
	}
}

// begin makes a script the running one; end is called when it is over.
func (e *Engine) begin(r *Running) (end func()) {
	var timer *time.Timer
	if e.cfg.Deadline != nil {
		if at := e.cfg.Deadline(); !at.IsZero() {
			timer = time.AfterFunc(time.Until(at), func() { r.machine.Stop(errTime) })
		}
	}
	e.running.Store(r)
	ended := func() {}
	if e.cfg.ScriptBegins != nil {
		ended = e.cfg.ScriptBegins(r)
	}
	return func() {
		e.running.Store(nil)
		if timer != nil {
			timer.Stop()
		}
		ended()
	}
}

// scriptError is why a script failed.
type scriptError struct {
	msg    string // with its code
	source string // "" if it has no place
	line   int
	plain  bool // told as it is
}

func (e *scriptError) text(name string) string {
	if e.plain || e.source == "" {
		return e.msg
	}
	return fmt.Sprintf("%s script: %s, on %s:%d.", e.msg, name, e.source, e.line)
}

// protected runs an invocation; whatever goes wrong in it is its error.
func (c *call) protected(run *scriptRun, inv *invocation, m *lua.Machine) (failed *scriptError) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *lua.Stopped:
			failed = stoppedError(p, inv.name)
		default:
			failed = &scriptError{msg: "ERR this script is not supported offline", plain: true}
		}
	}()
	l := m.Main()
	values, err := l.PCall(inv.fn, inv.args...)
	if err != nil {
		return raisedError(err)
	}
	var result lua.Value
	if len(values) > 0 {
		result = values[0]
	}
	w := luaReply{l: l, r: c.buf(), proto: run.proto}
	w.value(result, 0)
	c.reply = w.r.b
	return nil
}

func stoppedError(p *lua.Stopped, name string) *scriptError {
	switch {
	case errors.Is(p.Err, lua.ErrMemory):
		return &scriptError{msg: "ERR Error running script " + name + ", " + p.Err.Error(), plain: true}
	case errors.Is(p.Err, errKilled):
		return &scriptError{msg: "ERR " + p.Err.Error(), source: p.Source, line: p.Line}
	case errors.Is(p.Err, errTime):
		return &scriptError{msg: p.Err.Error(), plain: true}
	}
	return &scriptError{msg: "ERR " + p.Err.Error(), plain: true}
}

// raisedError words an error that a script did not catch as Redis does.
func raisedError(err *lua.Error) *scriptError {
	out := &scriptError{source: err.Source, line: err.Line}
	t, ok := err.Value.(*lua.Table)
	if !ok {
		out.msg = "ERR " + plainText(err.Value)
		return out
	}
	if out.msg, ok = lua.ToString(t.Get("err")); !ok {
		out.msg = "ERR unknown error" // Redis crashes
	}
	return out
}

// plainText is tostring of an error that is neither string nor table.
func plainText(v lua.Value) string {
	if s, ok := lua.ToString(v); ok {
		return s
	}
	switch t := v.(type) {
	case nil:
		return "nil"
	case bool:
		return fmt.Sprint(t)
	}
	return lua.TypeName(v)
}

// list is a Lua list of strings.
func luaList(items []string) *lua.Table {
	t := lua.NewTable()
	for i, s := range items {
		t.SetInt(i+1, s)
	}
	return t
}
