package lua

// site is where something is done with the value of e.
func (c *compiler) site(line int, e node_) *site { return &site{line: line, what: describe(e)} }

// describe names an expression as Lua's errors do.
func describe(e node_) string {
	switch e := e.(type) {
	case *localRef:
		return "local '" + e.v.name + "'"
	case *upRef:
		return "upvalue '" + e.name + "'"
	case *globalRef:
		return "global '" + e.name + "'"
	case *index:
		if k, ok := e.key.(*constant); ok {
			if s, ok := k.v.(string); ok {
				return "field '" + s + "'"
			}
		}
		return "field '?'"
	}
	return ""
}

// calledName is how an error calls the function that is called by e.
func calledName(e node_) string {
	switch e := e.(type) {
	case *localRef:
		return e.v.name
	case *upRef:
		return e.name
	case *globalRef:
		return e.name
	case *index:
		if k, ok := e.key.(*constant); ok {
			if s, ok := k.v.(string); ok {
				return s
			}
		}
	}
	return "?"
}

func (c *compiler) expr(e node_) expr {
	switch e := e.(type) {
	case *constant:
		v := e.v
		if v == Value(0.0) { // 0 and -0 are one constant in Lua: the first that comes
			if c.zero == nil {
				c.zero = v
			}
			v = c.zero
		}
		return func(*frame) Value { return v }
	case *localRef:
		slot := e.v.slot
		if e.v.captured {
			return func(f *frame) Value { return f.regs[slot].(*cell).v }
		}
		return func(f *frame) Value { return f.regs[slot] }
	case *upRef:
		i := e.index
		return func(f *frame) Value { return f.fn.up[i].v }
	case *globalRef:
		return c.global(e)
	case *index:
		return c.index(e)
	case *callNode, *varargs:
		m := c.multi(e)
		return func(f *frame) Value { return at(m(f), 0) }
	case *paren:
		return c.expr(e.e)
	case *funcNode:
		return c.closure(e.fn)
	case *unary:
		return c.unary(e)
	case *chain:
		return c.chain(e)
	case *concat:
		return c.concat(e)
	case *tableNode:
		return c.table(e)
	}
	panic("lua: unknown expression")
}

func (c *compiler) multi(e node_) multi {
	if call, ok := e.(*callNode); ok {
		return c.call(call)
	}
	return func(f *frame) []Value { return f.va }
}

func (c *compiler) global(e *globalRef) expr {
	name, hash, where := e.name, hashString(e.name), &site{line: e.line}
	return func(f *frame) Value {
		if v := f.fn.env.getString(name, hash); v != nil {
			return v
		}
		return f.l.index(f, where, f.fn.env, name)
	}
}

func (c *compiler) index(e *index) expr {
	obj, where := c.expr(e.obj), c.site(e.line, e.obj)
	if k, ok := e.key.(*constant); ok {
		if name, ok := k.v.(string); ok {
			hash := hashString(name)
			return func(f *frame) Value {
				o := obj(f)
				if t, ok := o.(*Table); ok {
					if v := t.getString(name, hash); v != nil {
						return v
					}
				}
				return f.l.index(f, where, o, name)
			}
		}
	}
	key := c.expr(e.key)
	return func(f *frame) Value {
		o := obj(f)
		k := key(f)
		if t, ok := o.(*Table); ok {
			if v := t.Get(k); v != nil {
				return v
			}
		}
		return f.l.index(f, where, o, k)
	}
}

// callee evaluates what is called, and the object of a method.
func (c *compiler) callee(e *callNode) (fn expr, self expr, where *site) {
	if e.method == "" {
		return c.expr(e.fn), nil, &site{line: e.line, name: calledName(e.fn), what: describe(e.fn)}
	}
	name := e.method
	return nil, c.expr(e.fn), &site{line: e.line, name: name, what: "method '" + name + "'", method: true}
}

// call evaluates a call. Its result is good until the next one.
func (c *compiler) call(e *callNode) multi {
	prepare, where := c.arguments(e)
	return func(f *frame) []Value {
		l := f.l
		stk, sp := l.stk, l.sp
		fn, args := prepare(f)
		r := l.callFrom(f, where, fn, args)
		l.stk, l.sp = stk, sp
		return r
	}
}

// tailCall leaves the frame to the function that it calls, so that a recursion of
// tail calls takes no stack.
func (c *compiler) tailCall(e *callNode) stmt {
	prepare, where := c.arguments(e)
	return func(f *frame) ctl {
		l := f.l
		stk, sp := l.stk, l.sp
		callee, args := prepare(f)
		if fn, ok := callee.(*Function); ok && fn.native == nil {
			f.site = where
			f.tail, f.ret = fn, l.Return(args...)
		} else {
			f.ret = l.callFrom(f, where, callee, args)
		}
		l.stk, l.sp = stk, sp
		return goReturn
	}
}

// arguments evaluates the function and its arguments, onto the stack.
func (c *compiler) arguments(e *callNode) (prepare func(f *frame) (fn Value, args []Value), where *site) {
	callee, self, where := c.callee(e)
	fixed, last := c.list(e.args)
	if self == nil && last == nil {
		return func(f *frame) (Value, []Value) {
			fn := callee(f)
			args := f.l.alloc(len(fixed))
			for i, arg := range fixed {
				args[i] = arg(f)
			}
			return fn, args
		}, where
	}
	selfSite, method, n := c.site(e.line, e.fn), e.method, len(fixed)
	if self != nil {
		n++
	}
	return func(f *frame) (fn Value, args []Value) {
		var obj Value
		if self != nil {
			obj = self(f)
			fn = f.l.index(f, selfSite, obj, method)
		} else {
			fn = callee(f)
		}
		args = f.l.alloc(n)
		if self != nil {
			args[0] = obj
		}
		for i, arg := range fixed {
			args[n-len(fixed)+i] = arg(f)
		}
		if last == nil {
			return fn, args
		}
		more := last(f)
		all := f.l.alloc(n + len(more))
		copy(all[copy(all, args):], more)
		return fn, all
	}, where
}

func (c *compiler) closure(fn *function) expr {
	p := c.proto(fn)
	return func(f *frame) Value {
		f.l.charge(96 + 16*len(p.ups))
		out := &Function{proto: p, env: f.fn.env}
		if len(p.ups) > 0 {
			out.up = make([]*cell, len(p.ups))
		}
		for i, u := range p.ups {
			if u.fromLocal {
				out.up[i] = f.regs[u.local.slot].(*cell)
			} else {
				out.up[i] = f.fn.up[u.index]
			}
		}
		return out
	}
}

func (c *compiler) unary(e *unary) expr {
	x, where := c.expr(e.e), c.site(e.line, e.e)
	switch e.op {
	case tkNot:
		return func(f *frame) Value { return !Truth(x(f)) }
	case '#':
		return func(f *frame) Value { return f.l.length(f, where, x(f)) }
	}
	return func(f *frame) Value {
		v := x(f)
		if n, ok := v.(float64); ok {
			return Number(-n)
		}
		return f.l.arithSlow(f, where, "", '-', v, v, true)
	}
}

func (c *compiler) concat(e *concat) expr {
	parts, names := make([]expr, len(e.parts)), make([]string, len(e.parts))
	for i, p := range e.parts {
		parts[i], names[i] = c.expr(p), describe(p)
	}
	where := &site{line: e.line}
	return func(f *frame) Value {
		stk, sp := f.l.stk, f.l.sp
		vals := f.l.alloc(len(parts))
		for i, p := range parts {
			vals[i] = p(f)
		}
		v := f.l.concat(f, where, names, vals)
		f.l.stk, f.l.sp = stk, sp
		return v
	}
}

// fieldsPerFlush is after how many elements of a list Lua stores them.
const fieldsPerFlush = 50

func (c *compiler) table(e *tableNode) expr {
	type field struct {
		key, val expr
		where    *site
	}
	array, hash := sizeByte(e.array), sizeByte(e.hash)
	var fields []field
	var last multi
	for i, it := range e.items {
		if it.key == nil && i == len(e.items)-1 && isMulti(it.val) {
			last = c.multi(it.val)
			break
		}
		fl := field{val: c.expr(it.val), where: &site{line: it.line}}
		if it.key != nil {
			fl.key = c.expr(it.key)
		}
		fields = append(fields, fl)
	}
	return func(f *frame) Value {
		l := f.l
		t := newTable(array, hash)
		l.charge(t.bytes())
		stk, sp := l.stk, l.sp
		pending := l.alloc(min(e.array, fieldsPerFlush))
		done, n := 0, 0
		for _, fl := range fields {
			if n == fieldsPerFlush {
				done, n = t.append(done, pending), 0
			}
			if fl.key != nil {
				k := fl.key(f)
				l.rawSet(f, fl.where, t, k, fl.val(f))
				continue
			}
			pending[n] = fl.val(f)
			n++
		}
		if last != nil {
			if n == fieldsPerFlush {
				done, n = t.append(done, pending), 0
			}
			more := last(f)
			l.charge(16 * len(more))
			t.append(done, append(append([]Value(nil), pending[:n]...), more...))
		} else if n > 0 {
			t.append(done, pending[:n])
		}
		l.stk, l.sp = stk, sp
		return t
	}
}

// append stores more elements of a list behind the first n, from the last one on, and
// returns how many there are then.
func (t *Table) append(n int, more []Value) int {
	t.growArray(n + len(more))
	for i := len(more); i > 0; i-- {
		t.SetInt(n+i, more[i-1])
	}
	return n + len(more)
}

// sizeByte rounds a size up to what the byte in Lua's instruction can say.
func sizeByte(n int) int {
	e := 0
	for n >= 16 {
		n = (n + 1) / 2
		e++
	}
	return n << e
}
