package lua

// A function is compiled to Go closures: one for each statement and expression,
// which call each other. What a name refers to is decided before.

// ctl says how a statement ended.
type ctl int

const (
	goOn ctl = iota
	goBreak
	goReturn
)

type (
	stmt  func(f *frame) ctl
	expr  func(f *frame) Value
	multi func(f *frame) []Value // good until the next call or evaluation
	store func(f *frame, v Value)
)

// proto is a compiled function.
type proto struct {
	chunk  string
	source string // the name as it was given: error handlers are told it
	params []*local
	vararg bool
	slots  int
	weight int // what a call of it takes of the stack, in units
	ups    []upvalue
	body   stmt
}

// site is a place in the source that can fail or call.
type site struct {
	line   int
	name   string // of what is called: "rep"
	what   string // of what is used: "global 'x'"; "" if nobody knows
	method bool
}

// Compile compiles a chunk whose functions get their globals from env. Errors call it
// by its name: "@user_script" is "user_script", other names are source text. The error is a *CompileError. The time it takes is linear
// in the size of the source.
func Compile(src, name string, env *Table) (fn *Function, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *CompileError:
			fn, err = nil, r
		default:
			panic(r)
		}
	}()
	if len(src) > maxSource {
		return nil, ErrTooLarge
	}
	chunk := chunkID(name)
	tree := parse(src, chunk)
	c := &compiler{chunk: chunk, source: name}
	return &Function{proto: c.proto(tree), env: env}, nil
}

type compiler struct {
	chunk, source string
	zero          Value // the first constant that is 0, of the function being compiled; nil: none
}

func (c *compiler) proto(tree *function) *proto {
	outer := c.zero
	c.zero = nil
	defer func() { c.zero = outer }()
	return &proto{chunk: c.chunk, source: c.source, params: tree.params, vararg: tree.vararg,
		slots: tree.slots, weight: 1 + tree.depth/16, ups: tree.ups, body: c.block(tree.body)}
}

func (c *compiler) block(b *block) stmt {
	list := make([]stmt, len(b.body))
	for i, s := range b.body {
		list[i] = c.statement(s)
	}
	switch len(list) {
	case 0:
		return func(*frame) ctl { return goOn }
	case 1:
		return list[0]
	case 2:
		a, b := list[0], list[1]
		return func(f *frame) ctl {
			if r := a(f); r != goOn {
				return r
			}
			return b(f)
		}
	}
	return func(f *frame) ctl {
		for _, s := range list {
			if r := s(f); r != goOn {
				return r
			}
		}
		return goOn
	}
}

func (c *compiler) statement(s any) stmt {
	switch s := s.(type) {
	case *localStmt:
		return c.locals(s)
	case *assign:
		return c.assign(s)
	case *callStmt:
		call := c.call(s.call)
		return func(f *frame) ctl { call(f); return goOn }
	case *block:
		return c.block(s)
	case *while:
		return c.while(s)
	case *repeat:
		return c.repeat(s)
	case *ifStmt:
		return c.conditional(s)
	case *numFor:
		return c.numericFor(s)
	case *genFor:
		return c.genericFor(s)
	case *localFunc:
		fn, slot := c.closure(s.fn), s.v.slot
		if !s.v.captured {
			return func(f *frame) ctl { f.regs[slot] = fn(f); return goOn }
		}
		return func(f *frame) ctl {
			box := &cell{}
			f.regs[slot] = box
			box.v = fn(f)
			return goOn
		}
	case *returnStmt:
		return c.returns(s)
	}
	return func(*frame) ctl { return goBreak }
}

// declare gives a new variable its value: a new one each time, for closures.
func declare(v *local) store {
	slot := v.slot
	if v.captured {
		return func(f *frame, v Value) { f.regs[slot] = &cell{v} }
	}
	return func(f *frame, v Value) { f.regs[slot] = v }
}

func (c *compiler) locals(s *localStmt) stmt {
	if len(s.vars) == 1 && len(s.exprs) == 1 {
		e, set := c.expr(s.exprs[0]), declare(s.vars[0])
		return func(f *frame) ctl { set(f, e(f)); return goOn }
	}
	sets := make([]store, len(s.vars))
	for i, v := range s.vars {
		sets[i] = declare(v)
	}
	values := c.values(s.exprs)
	return func(f *frame) ctl {
		stk, sp := f.l.stk, f.l.sp
		vals := values(f)
		for i, set := range sets {
			set(f, at(vals, i))
		}
		f.l.stk, f.l.sp = stk, sp
		return goOn
	}
}

func at(vals []Value, i int) Value {
	if uint(i) < uint(len(vals)) {
		return vals[i]
	}
	return nil
}

// values evaluates a list into temporary space of the stack, which the caller
// gives back.
func (c *compiler) values(exprs []node_) multi {
	fixed, last := c.list(exprs)
	return func(f *frame) []Value {
		vals := f.l.alloc(len(fixed))
		for i, e := range fixed {
			vals[i] = e(f)
		}
		if last == nil {
			return vals
		}
		more := last(f)
		all := f.l.alloc(len(fixed) + len(more))
		copy(all[copy(all, vals):], more)
		return all
	}
}

// list splits a list in expressions of one value and one of many at the end.
func (c *compiler) list(exprs []node_) (fixed []expr, last multi) {
	n := len(exprs)
	if n > 0 && isMulti(exprs[n-1]) {
		n--
	}
	fixed = make([]expr, n)
	for i := range fixed {
		fixed[i] = c.expr(exprs[i])
	}
	if n < len(exprs) {
		last = c.multi(exprs[n])
	}
	return fixed, last
}

func (c *compiler) assign(s *assign) stmt {
	if len(s.targets) == 1 && len(s.exprs) == 1 {
		return c.assignOne(s.targets[0], c.expr(s.exprs[0]))
	}
	values := c.values(s.exprs)
	objs, keys, sets := make([]expr, len(s.targets)), make([]expr, len(s.targets)), make([]func(f *frame, obj, key, v Value), len(s.targets))
	for i, t := range s.targets {
		if ix, ok := t.(*index); ok {
			where := c.site(ix.line, ix.obj)
			objs[i], keys[i] = c.expr(ix.obj), c.expr(ix.key)
			sets[i] = func(f *frame, obj, key, v Value) { f.l.setIndex(f, where, obj, key, v) }
			continue
		}
		set := c.store(t)
		sets[i] = func(f *frame, _, _, v Value) { set(f, v) }
	}
	return func(f *frame) ctl {
		stk, sp := f.l.stk, f.l.sp
		places := f.l.alloc(2 * len(sets))
		for i := range sets {
			if objs[i] != nil {
				places[2*i], places[2*i+1] = objs[i](f), keys[i](f)
			}
		}
		vals := values(f)
		for i := len(sets) - 1; i >= 0; i-- {
			sets[i](f, places[2*i], places[2*i+1], at(vals, i))
		}
		f.l.stk, f.l.sp = stk, sp
		return goOn
	}
}

func (c *compiler) assignOne(target node_, e expr) stmt {
	if ix, ok := target.(*index); ok {
		obj, key, where := c.expr(ix.obj), c.expr(ix.key), c.site(ix.line, ix.obj)
		return func(f *frame) ctl {
			o, k := obj(f), key(f)
			f.l.setIndex(f, where, o, k, e(f))
			return goOn
		}
	}
	if r, ok := target.(*localRef); ok && !r.v.captured {
		slot := r.v.slot
		return func(f *frame) ctl { f.regs[slot] = e(f); return goOn }
	}
	set := c.store(target)
	return func(f *frame) ctl { set(f, e(f)); return goOn }
}

// store assigns to a variable.
func (c *compiler) store(target node_) store {
	switch t := target.(type) {
	case *localRef:
		slot := t.v.slot
		if t.v.captured {
			return func(f *frame, v Value) { f.regs[slot].(*cell).v = v }
		}
		return func(f *frame, v Value) { f.regs[slot] = v }
	case *upRef:
		i := t.index
		return func(f *frame, v Value) { f.fn.up[i].v = v }
	}
	g := target.(*globalRef)
	name, where := g.name, &site{line: g.line}
	return func(f *frame, v Value) { f.l.setIndex(f, where, f.fn.env, name, v) }
}

func (c *compiler) conditional(s *ifStmt) stmt {
	conds, blocks := make([]expr, len(s.conds)), make([]stmt, len(s.conds))
	for i := range conds {
		conds[i], blocks[i] = c.expr(s.conds[i]), c.block(s.blocks[i])
	}
	els := func(*frame) ctl { return goOn }
	if s.els != nil {
		els = c.block(s.els)
	}
	if len(conds) == 1 {
		cond, then := conds[0], blocks[0]
		return func(f *frame) ctl {
			if Truth(cond(f)) {
				return then(f)
			}
			return els(f)
		}
	}
	return func(f *frame) ctl {
		for i, cond := range conds {
			if Truth(cond(f)) {
				return blocks[i](f)
			}
		}
		return els(f)
	}
}

func (c *compiler) returns(s *returnStmt) stmt {
	if len(s.exprs) == 1 {
		switch e := s.exprs[0].(type) {
		case *callNode:
			return c.tailCall(e)
		case *varargs:
			return func(f *frame) ctl { f.ret = f.va; return goReturn }
		}
		e := c.expr(s.exprs[0])
		return func(f *frame) ctl {
			f.ret = f.l.Return(e(f))
			return goReturn
		}
	}
	values := c.values(s.exprs)
	return func(f *frame) ctl {
		stk, sp := f.l.stk, f.l.sp
		f.ret = f.l.Return(values(f)...)
		f.l.stk, f.l.sp = stk, sp
		return goReturn
	}
}
