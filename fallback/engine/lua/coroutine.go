package lua

import "iter"

// Thread is a coroutine. It runs on a stack of its own, but never at the same time
// as whoever resumed it.
type Thread struct {
	state  *State
	body   *Function
	status string // suspended, running, normal, dead
	args   []Value
	next   func() ([]Value, bool)
	cancel func()
	yield  func([]Value) bool
	done   []Value // what it returned
	failed any     // what it panicked with
	id     ident
}

// aborted unwinds a coroutine that nobody will resume.
type aborted struct{}

// maxThreads is how deep coroutines may run each other, as in Lua.
const maxThreads = 200

func coroutineLib() *Table {
	return library(map[string]Native{
		"create": coCreate, "resume": coResume, "running": coRunning, "status": coStatus, "wrap": coWrap, "yield": coYield,
	})
}

func (l *State) newThread(body *Function) *Thread {
	l.charge(8 << 10)
	t := &Thread{body: body, status: "suspended"}
	t.state = &State{m: l.m, thread: t}
	t.next, t.cancel = iter.Pull(t.run)
	l.m.threads = append(l.m.threads, t)
	return t
}

// run is the coroutine; yield gives values to whoever resumed it.
func (t *Thread) run(yield func([]Value) bool) {
	t.yield = yield
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(aborted); !ok {
				t.failed = p
			}
		}
	}()
	args := t.args
	t.args = nil
	if t.body.native != nil {
		t.done = append([]Value(nil), t.state.Call(t.body, args...)...)
		return
	}
	t.done = append([]Value(nil), t.state.run(t.body, args)...)
}

func (t *Thread) abort() {
	if t.status != "dead" {
		t.status = "dead"
		t.cancel()
	}
}

// resume runs a coroutine until it yields or ends. msg: why it could not.
func (l *State) resume(t *Thread, args []Value) (r []Value, err *Error, msg string) {
	if t.status != "suspended" {
		return nil, nil, "cannot resume " + t.status + " coroutine"
	}
	depth := 0
	for s := l; s.thread != nil; s = s.thread.state.from() {
		if depth++; depth >= maxThreads {
			return nil, nil, "C stack overflow"
		}
	}
	t.args = append([]Value(nil), args...)
	t.state.weight += l.weight // one Go stack each, but one bound for all
	weight := l.weight
	t.status = "running"
	if l.thread != nil {
		l.thread.status = "normal"
	}
	t.state.resumer = l
	r, more := t.next()
	t.state.resumer = nil
	t.state.weight -= weight
	if l.thread != nil {
		l.thread.status = "running"
	}
	if more {
		t.status = "suspended"
		return r, nil, ""
	}
	t.status = "dead"
	l.m.forget(t)
	switch p := t.failed.(type) {
	case nil:
		return t.done, nil, ""
	case *Error:
		return nil, p, ""
	default:
		panic(p)
	}
}

// from is the state that resumed this one.
func (l *State) from() *State { return l.resumer }

// forget drops a thread that is over, so that many of them take no memory.
func (m *Machine) forget(t *Thread) {
	if n := len(m.threads); n > 0 && m.threads[n-1] == t {
		m.threads = m.threads[:n-1]
	} else if m.over++; m.over > 64 && m.over > n/2 {
		kept := m.threads[:0]
		for _, th := range m.threads {
			if th.status != "dead" {
				kept = append(kept, th)
			}
		}
		clear(m.threads[len(kept):])
		m.threads, m.over = kept, 0
	}
}

func checkThread(l *State, args []Value) *Thread {
	t, ok := at(args, 0).(*Thread)
	if !ok {
		l.ArgError(1, "coroutine expected")
	}
	return t
}

func (l *State) luaFunction(args []Value) *Function {
	fn, ok := at(args, 0).(*Function)
	if !ok || fn.native != nil {
		l.ArgError(1, "Lua function expected")
	}
	return fn
}

func coCreate(l *State, args []Value) []Value { return l.Return(l.newThread(l.luaFunction(args))) }

func coResume(l *State, args []Value) []Value {
	t := checkThread(l, args)
	r, err, msg := l.resume(t, args[1:])
	switch {
	case msg != "":
		return l.Return(false, msg)
	case err != nil:
		return l.Return(false, err.Value)
	}
	l.rb = append(append(l.rb[:0:0], true), r...)
	return l.rb
}

func coWrap(l *State, args []Value) []Value {
	t := l.newThread(l.luaFunction(args))
	return l.Return(NewFunction(func(l *State, args []Value) []Value {
		r, err, msg := l.resume(t, args)
		switch {
		case msg != "":
			return l.Raise(l.Where(1) + msg)
		case err != nil:
			if s, ok := err.Value.(string); ok {
				return l.Raise(l.Where(1) + s)
			}
			return l.Raise(err.Value)
		}
		return l.Return(r...)
	}))
}

func coYield(l *State, args []Value) []Value {
	t := l.thread
	if t == nil || l.calls > 0 {
		l.RunError("attempt to yield across metamethod/C-call boundary")
	}
	if !t.yield(append([]Value(nil), args...)) {
		panic(aborted{})
	}
	r := t.args
	t.args = nil
	return l.Return(r...)
}

func coStatus(l *State, args []Value) []Value { return l.Return(checkThread(l, args).status) }

func coRunning(l *State, _ []Value) []Value {
	if l.thread == nil {
		return l.Return(nil)
	}
	return l.Return(l.thread)
}
