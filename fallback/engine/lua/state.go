package lua

import (
	"errors"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
)

// Machine runs one script: all its coroutines, within one budget. It is used by
// one goroutine at a time, but for Stop.
type Machine struct {
	// Unsure is called when the script asks for what differs between servers: the
	// address of a value, or an order that depends on it. nil: nobody asks.
	Unsure func()
	// StringMeta is the metatable of strings.
	StringMeta *Table
	// Globals are what loadstring gives its functions.
	Globals *Table

	main    *State
	steps   int
	stopped atomic.Pointer[Stopped]
	threads []*Thread
	over    int // of them that have ended
	json    *jsonConfig

	charged   int64 // bytes that were asked for, freed or not
	nextCheck int64
	heapAtRun int64
	memory    int64 // what the script may hold; 0: no bound
}

// Stopped is how a script ends that was told to: no pcall catches it.
type Stopped struct {
	Err error
	// Source and Line are where it was, as in Error.
	Source string
	Line   int
}

func (s *Stopped) Error() string { return s.Err.Error() }

// State is a running coroutine, or the main program.
type State struct {
	m       *Machine
	thread  *Thread // nil: the main program
	resumer *State  // who waits for it
	frames  []*frame
	depth   int // frames in use
	weight  int // of the stack in use, those of the coroutines around included
	calls   int // of natives and metamethods that nest
	stk     []Value
	sp      int
	spare   []Value
	rb      []Value // the values that are being returned
}

// frame is a function being executed. Frames are used again.
type frame struct {
	l      *State
	fn     *Function
	regs   []Value
	va     []Value
	ret    []Value
	tail   *Function // to be called instead of it
	site   *site     // where it calls, or fails
	inC    bool      // a native function that it called is running
	isC    bool      // stands for a native function that a native one called
	tailed bool      // it was reached by a tail call
}

const (
	maxWeight   = 20000 // calls of Lua functions in each other, as in Lua
	maxCalls    = 200   // of native functions and metamethods
	stepsToLook = 1000  // between two looks at whether the script was stopped
	memoryStep  = 32 << 20
	stackChunk  = 1 << 6
)

// NewMachine makes a machine that may hold about so many bytes of memory (0: no bound).
func NewMachine(memory int64) *Machine {
	m := &Machine{memory: memory, steps: stepsToLook}
	m.main = &State{m: m}
	m.nextCheck = memoryStep
	return m
}

// Main is the state of the main program.
func (m *Machine) Main() *State { return m.main }

// Stop ends the script soon, with err. It may be called by any goroutine.
func (m *Machine) Stop(err error) { m.stopped.CompareAndSwap(nil, &Stopped{Err: err}) }

// Close ends the coroutines that wait for ever.
func (m *Machine) Close() {
	for len(m.threads) > 0 {
		threads := m.threads
		m.threads = nil
		for _, t := range threads {
			t.abort()
		}
	}
}

// step is called for each turn of a loop and each call.
func (l *State) step() {
	if l.m.steps--; l.m.steps < 0 {
		l.Look()
	}
}

// turn is step for a loop.
func (f *frame) turn(where *site) {
	f.site = where
	f.l.step()
}

// Look ends the script if it was stopped. Natives that work for long call it.
func (l *State) Look() {
	l.m.steps = stepsToLook
	if s := l.m.stopped.Load(); s != nil {
		l.stop(s.Err)
	}
}

func (l *State) stop(err error) {
	at := l.place()
	panic(&Stopped{Err: err, Source: at.Source, Line: at.Line})
}

// charge counts memory that the script takes.
func (l *State) charge(n int) {
	if l.m.charged += int64(n); l.m.charged >= l.m.nextCheck && l.m.memory > 0 {
		if !l.m.affords(int64(n)) {
			l.stop(ErrMemory)
		}
	}
}

// Charge asks for n bytes before they are taken: the script ends if there is no
// room for them.
func (l *State) Charge(n int) { l.charge(n) }

// ErrMemory is why a script is stopped that holds too much memory.
var ErrMemory = errors.New("not enough memory")

// affords looks at what is really held: what was charged may be free again.
func (m *Machine) affords(asked int64) bool {
	m.nextCheck = m.charged + memoryStep
	if asked > m.memory {
		return false
	}
	if m.heapAtRun == 0 {
		m.heapAtRun = max(1, int64(heapBytes())-m.charged+asked)
	}
	held := func() int64 { return int64(heapBytes()) - m.heapAtRun + asked }
	if held() < m.memory {
		return true
	}
	runtime.GC()
	m.nextCheck = m.charged + m.memory/8 // near the bound, not for every step
	return held() < m.memory
}

func heapBytes() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// alloc takes n places of the stack, empty ones. Whoever calls it puts stk and sp
// back as they were.
func (l *State) alloc(n int) []Value {
	if l.sp+n > len(l.stk) {
		size := max(stackChunk, 2*len(l.stk), n)
		if len(l.spare) >= n && len(l.spare) > 0 && (len(l.stk) == 0 || &l.spare[0] != &l.stk[0]) && len(l.spare) > len(l.stk) {
			l.stk = l.spare
		} else {
			l.charge(16 * size)
			l.stk = make([]Value, size)
			l.spare = l.stk
		}
		l.sp = 0
	}
	s := l.stk[l.sp : l.sp+n : l.sp+n]
	l.sp += n
	clear(s)
	return s
}

// Return makes a result of values.
func (l *State) Return(vals ...Value) []Value {
	l.rb = append(l.rb[:0], vals...)
	return l.rb
}

func (l *State) push(fn *Function) *frame {
	if l.depth == len(l.frames) {
		l.frames = append(l.frames, &frame{l: l})
	}
	f := l.frames[l.depth]
	l.depth++
	f.fn, f.site, f.ret, f.tail = fn, nil, nil, nil
	f.inC, f.isC, f.tailed = false, false, false
	return f
}

func (l *State) pop(f *frame) {
	f.regs, f.va, f.ret, f.tail = nil, nil, nil, nil
	l.depth--
}

// callFrom calls a value from Lua code.
func (l *State) callFrom(f *frame, where *site, callee Value, args []Value) []Value {
	fn, ok := callee.(*Function)
	if !ok {
		f.site = where
		fn, args = l.callable(callee, args, where)
	}
	f.site = where
	if fn.native == nil {
		return l.run(fn, args)
	}
	l.step()
	f.inC = true
	r := fn.native(l, args)
	f.inC = false
	return r
}

// callable is the function behind a value that is none.
func (l *State) callable(callee Value, args []Value, where *site) (*Function, []Value) {
	if fn, ok := l.metamethod(callee, "__call").(*Function); ok {
		return fn, append([]Value{callee}, args...)
	}
	what := ""
	if where != nil {
		what = where.what
	}
	l.typeError("call", what, callee)
	return nil, nil
}

// Call calls a value from a native function. Errors are raised.
func (l *State) Call(callee Value, args ...Value) []Value {
	fn, ok := callee.(*Function)
	if !ok {
		fn, args = l.callable(callee, args, nil)
	}
	if l.calls++; l.calls >= maxCalls {
		l.calls-- // whoever catches it is at the same place
		l.RunError("C stack overflow")
	}
	var r []Value
	if fn.native == nil {
		r = l.run(fn, args)
	} else {
		l.step()
		f := l.push(nil)
		f.isC = true
		r = fn.native(l, args)
		l.pop(f)
	}
	l.calls--
	return r
}

// run executes a Lua function.
func (l *State) run(fn *Function, args []Value) []Value {
	weight := fn.proto.weight
	if l.weight += weight; l.weight > maxWeight {
		l.weight -= weight
		l.RunError("stack overflow")
	}
	f := l.push(fn)
	stk, sp := l.stk, l.sp
	for {
		l.step()
		p := f.fn.proto
		f.regs = l.alloc(p.slots)
		f.begin(p, args)
		p.body(f)
		if f.tail == nil {
			break
		}
		l.stk, l.sp = stk, sp
		l.weight += f.tail.proto.weight - weight
		weight = f.tail.proto.weight
		args, f.fn, f.tail, f.ret, f.tailed = f.ret, f.tail, nil, nil, true
	}
	r := f.ret
	l.weight -= weight
	l.stk, l.sp = stk, sp
	l.pop(f)
	return r
}

// begin gives a function its arguments.
func (f *frame) begin(p *proto, args []Value) {
	n := min(len(p.params), len(args))
	copy(f.regs, args[:n])
	for i, v := range p.params {
		if v.captured {
			f.regs[i] = &cell{f.regs[i]}
		}
	}
	f.va = nil
	if p.vararg && len(args) > len(p.params) {
		f.l.charge(16 * (len(args) - n))
		f.va = append([]Value(nil), args[n:]...)
	}
}

// PCall calls a value and catches what it raises.
func (l *State) PCall(callee Value, args ...Value) (r []Value, err *Error) {
	stk, sp, depth, weight, calls := l.stk, l.sp, l.depth, l.weight, l.calls
	defer func() {
		if p := recover(); p != nil {
			raised, ok := p.(*Error)
			if !ok {
				panic(p)
			}
			l.stk, l.sp, l.depth, l.weight, l.calls = stk, sp, depth, weight, calls
			r, err = nil, raised
		}
	}()
	return l.Call(callee, args...), nil
}
