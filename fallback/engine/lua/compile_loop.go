package lua

func (c *compiler) while(s *while) stmt {
	cond, body, where := c.expr(s.cond), c.block(s.body), &site{line: s.line}
	return func(f *frame) ctl {
		for Truth(cond(f)) {
			f.turn(where)
			if r := body(f); r == goReturn {
				return r
			} else if r == goBreak {
				break
			}
		}
		return goOn
	}
}

func (c *compiler) repeat(s *repeat) stmt {
	body, cond, where := c.block(s.body), c.expr(s.cond), &site{line: s.line}
	return func(f *frame) ctl {
		for {
			f.turn(where)
			if r := body(f); r == goReturn {
				return r
			} else if r == goBreak || Truth(cond(f)) {
				return goOn
			}
		}
	}
}

func (c *compiler) numericFor(s *numFor) stmt {
	from, limit, step := c.expr(s.from), c.expr(s.limit), c.expr(s.step)
	set, body, where := declare(s.v), c.block(s.body), &site{line: s.line}
	return func(f *frame) ctl {
		a, b, d := from(f), limit(f), step(f)
		x := f.l.forNumber(f, where, a, "initial value")
		end := f.l.forNumber(f, where, b, "limit")
		by := f.l.forNumber(f, where, d, "step")
		for ; by > 0 && x <= end || by <= 0 && end <= x; x += by {
			f.turn(where)
			set(f, Number(x))
			if r := body(f); r == goReturn {
				return r
			} else if r == goBreak {
				break
			}
		}
		return goOn
	}
}

func (c *compiler) genericFor(s *genFor) stmt {
	values, body := c.values(s.exprs), c.block(s.body)
	where, state := &site{line: s.line, name: "(for generator)"}, s.state
	sets := make([]store, len(s.vars))
	for i, v := range s.vars {
		sets[i] = declare(v)
	}
	return func(f *frame) ctl {
		l := f.l
		stk, sp := l.stk, l.sp
		vals := values(f)
		for i := range 3 {
			f.regs[state+i] = at(vals, i)
		}
		l.stk, l.sp = stk, sp
		for {
			l.step()
			args := l.alloc(2)
			args[0], args[1] = f.regs[state+1], f.regs[state+2]
			vals := l.callFrom(f, where, f.regs[state], args)
			l.stk, l.sp = stk, sp
			first := at(vals, 0)
			if first == nil {
				return goOn
			}
			f.regs[state+2] = first
			for i, set := range sets {
				set(f, at(vals, i))
			}
			if r := body(f); r == goReturn {
				return r
			} else if r == goBreak {
				return goOn
			}
		}
	}
}
