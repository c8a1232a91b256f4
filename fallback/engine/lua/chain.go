package lua

// chain compiles a row of operators. A short one becomes closures in each other, a
// long one a loop.
func (c *compiler) chain(e *chain) expr {
	acc := c.expr(e.first)
	names := describe(e.first)
	if len(e.rest) <= 4 {
		for _, ln := range e.rest {
			acc = c.link(acc, names, ln)
			names = ""
		}
		return acc
	}
	type step struct{ apply func(f *frame, v Value) Value }
	steps := make([]step, len(e.rest))
	for i, ln := range e.rest {
		steps[i] = step{c.applied(names, ln)}
		names = ""
	}
	return func(f *frame) Value {
		v := acc(f)
		for _, s := range steps {
			v = s.apply(f, v)
		}
		return v
	}
}

// applied is a link as a function of its left operand.
func (c *compiler) applied(name string, ln link) func(f *frame, v Value) Value {
	y := c.expr(ln.e)
	op := c.operator(name, ln)
	switch ln.op {
	case tkAnd:
		return func(f *frame, v Value) Value {
			if !Truth(v) {
				return v
			}
			return y(f)
		}
	case tkOr:
		return func(f *frame, v Value) Value {
			if Truth(v) {
				return v
			}
			return y(f)
		}
	}
	return func(f *frame, v Value) Value { return op(f, v, y(f)) }
}

func (c *compiler) link(x expr, name string, ln link) expr {
	switch ln.op {
	case tkAnd, tkOr:
		apply := c.applied(name, ln)
		return func(f *frame) Value { return apply(f, x(f)) }
	}
	y, op := c.expr(ln.e), c.operator(name, ln)
	if ln.op == '+' || ln.op == '-' {
		sign := 1.0
		if ln.op == '-' {
			sign = -1
		}
		return func(f *frame) Value {
			a, b := x(f), y(f)
			if p, ok := a.(float64); ok {
				if q, ok := b.(float64); ok {
					return Number(p + sign*q)
				}
			}
			return op(f, a, b)
		}
	}
	return func(f *frame) Value {
		a := x(f)
		return op(f, a, y(f))
	}
}

// operator is a binary operator on two values.
func (c *compiler) operator(name string, ln link) func(f *frame, a, b Value) Value {
	op, where, second := ln.op, &site{line: ln.line, what: name}, describe(ln.e)
	switch op {
	case tkAnd, tkOr:
		return nil
	case tkEq:
		return func(f *frame, a, b Value) Value { f.at(where); return f.l.equal(a, b) }
	case tkNe:
		return func(f *frame, a, b Value) Value { f.at(where); return !f.l.equal(a, b) }
	case '<':
		return func(f *frame, a, b Value) Value { return f.l.less(f, where, a, b, false) }
	case tkLe:
		return func(f *frame, a, b Value) Value { return f.l.less(f, where, a, b, true) }
	case '>':
		return func(f *frame, a, b Value) Value { return f.l.less(f, where, b, a, false) }
	case tkGe:
		return func(f *frame, a, b Value) Value { return f.l.less(f, where, b, a, true) }
	}
	return func(f *frame, a, b Value) Value {
		if x, ok := a.(float64); ok {
			if y, ok := b.(float64); ok {
				return Number(arith(op, x, y))
			}
		}
		return f.l.arithSlow(f, where, second, op, a, b, false)
	}
}
