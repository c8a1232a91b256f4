package lua

// priority of the binary operators, left and right.
var priority = map[kind][2]int{
	'+': {6, 6}, '-': {6, 6}, '*': {7, 7}, '/': {7, 7}, '%': {7, 7}, '^': {10, 9}, tkConcat: {5, 4},
	tkNe: {3, 3}, tkEq: {3, 3}, '<': {3, 3}, tkLe: {3, 3}, '>': {3, 3}, tkGe: {3, 3}, tkAnd: {2, 2}, tkOr: {1, 1},
}

const unaryPriority = 8

func (p *parser) expr() node_ { return p.sub(0) }

// sub reads an expression of operators that bind more tightly than limit.
func (p *parser) sub(limit int) node_ {
	p.enter()
	defer p.leave()
	var e node_
	if k := p.tok.kind; k == tkNot || k == '-' || k == '#' {
		line := p.line
		p.next()
		e = foldUnary(&unary{k, p.sub(unaryPriority), line})
	} else {
		e = p.simple()
	}
	for {
		op := p.tok.kind
		prio, ok := priority[op]
		if !ok || prio[0] <= limit {
			return e
		}
		line := p.line
		p.next()
		e = joined(op, e, p.sub(prio[1]), line)
	}
}

// joined joins two expressions: as one more link of a chain, where there is one.
func joined(op kind, a, b node_, line int) node_ {
	if op == tkConcat {
		if c, ok := b.(*concat); ok { // a .. (b .. c), without parentheses
			c.parts = append(c.parts, nil)
			copy(c.parts[1:], c.parts)
			c.parts[0] = a
			return c
		}
		return &concat{[]node_{a, b}, line}
	}
	if c, ok := a.(*chain); ok {
		c.rest = append(c.rest, link{op, b, line})
		return c
	}
	if v, ok := foldBinary(op, a, b); ok {
		return v
	}
	return &chain{a, []link{{op, b, line}}}
}

// foldBinary computes what is constant; a division by zero is left for later, as
// in Lua.
func foldBinary(op kind, a, b node_) (node_, bool) {
	x, ok1 := a.(*constant)
	y, ok2 := b.(*constant)
	if !ok1 || !ok2 {
		return nil, false
	}
	f, ok1 := x.v.(float64)
	g, ok2 := y.v.(float64)
	if !ok1 || !ok2 || priority[op][0] < 6 || g == 0 && (op == '/' || op == '%') {
		return nil, false
	}
	r := arith(op, f, g)
	if r != r {
		return nil, false
	}
	return &constant{Number(r)}, true
}

func foldUnary(u *unary) node_ {
	c, ok := u.e.(*constant)
	if !ok {
		return u
	}
	if f, is := c.v.(float64); is && u.op == '-' {
		return &constant{Number(-f)}
	}
	if u.op == tkNot {
		return &constant{!Truth(c.v)}
	}
	return u
}

func (p *parser) simple() node_ {
	var e node_
	switch p.tok.kind {
	case tkNumber:
		e = &constant{Number(p.tok.n)}
	case tkString:
		e = &constant{p.tok.s}
	case tkNil:
		e = &constant{nil}
	case tkTrue:
		e = &constant{true}
	case tkFalse:
		e = &constant{false}
	case tkDots:
		if !p.fn.vararg {
			p.fail("cannot use '...' outside a vararg function", p.tok.text())
		}
		e = &varargs{}
	case '{':
		return p.table()
	case tkFunction:
		line := p.line
		p.next()
		return &funcNode{p.body(false, line)}
	default:
		return p.suffixed()
	}
	p.next()
	return e
}

func (p *parser) primary() node_ {
	line := p.line
	switch p.tok.kind {
	case '(':
		p.next()
		e := p.expr()
		p.match(')', '(', line)
		switch e.(type) {
		case *callNode, *varargs, *chain, *concat:
			return &paren{e}
		}
		return e
	case tkName:
		return p.variable(p.name())
	}
	p.fail("unexpected symbol", p.tok.text())
	return nil
}

// suffixed reads a variable or a call with all its indexes and arguments.
func (p *parser) suffixed() node_ {
	e := p.primary()
	for n := 0; ; n++ {
		if n > maxSuffixes {
			p.fail("chunk has too many syntax levels", "")
		}
		p.fn.depth = max(p.fn.depth, p.levels+n)
		switch line := p.line; p.tok.kind {
		case '.':
			p.next()
			e = &index{e, &constant{p.name()}, line}
		case '[':
			p.next()
			key := p.expr()
			p.expect(']')
			e = &index{e, key, line}
		case ':':
			p.next()
			name := p.name()
			e = p.args(e, name, line)
		case '(', tkString, '{':
			e = p.args(e, "", line)
		default:
			return e
		}
	}
}

func (p *parser) args(fn node_, method string, line int) node_ {
	call := &callNode{fn: fn, method: method, line: line}
	switch p.tok.kind {
	case '(':
		if line != p.lastLine {
			p.fail("ambiguous syntax (function call x new statement)", p.tok.text())
		}
		p.next()
		if p.tok.kind != ')' {
			call.args = p.exprList()
		}
		p.match(')', '(', line)
	case '{':
		call.args = []node_{p.table()}
	case tkString:
		call.args = []node_{&constant{p.tok.s}}
		p.next()
	default:
		p.fail("function arguments expected", p.tok.text())
	}
	if len(p.fn.active)+len(call.args) > maxRegisters {
		p.fail("function or expression too complex", "")
	}
	return call
}

func (p *parser) exprList() []node_ {
	list := []node_{p.expr()}
	for p.accept(',') {
		list = append(list, p.expr())
	}
	if len(p.fn.active)+len(list) > maxRegisters {
		p.fail("function or expression too complex", "")
	}
	return list
}

func (p *parser) table() node_ {
	t := &tableNode{line: p.line}
	line := p.line
	p.expect('{')
	for p.tok.kind != '}' {
		item := tableItem{line: p.line}
		switch {
		case p.tok.kind == tkName && p.peek() == '=':
			item.key = &constant{p.name()}
			p.expect('=')
		case p.tok.kind == '[':
			p.next()
			item.key = p.expr()
			p.expect(']')
			p.expect('=')
		}
		item.val = p.expr()
		if item.key == nil {
			t.array++
		} else {
			t.hash++
		}
		t.items = append(t.items, item)
		if !p.accept(',') && !p.accept(';') {
			break
		}
	}
	p.match('}', '{', line)
	if n := len(t.items); n > 0 && t.items[n-1].key == nil && isMulti(t.items[n-1].val) {
		t.array--
	}
	return t
}

// isMulti reports whether an expression may have any number of values.
func isMulti(e node_) bool {
	switch e.(type) {
	case *callNode, *varargs:
		return true
	}
	return false
}

// variable finds what a name stands for here.
func (p *parser) variable(name string) node_ {
	if v := p.fn.find(name); v != nil {
		return &localRef{v}
	}
	if i := p.upvalue(p.fn, name); i >= 0 {
		return &upRef{i, name}
	}
	return &globalRef{name, p.lastLine}
}

func (f *function) find(name string) *local {
	for i := len(f.active) - 1; i >= 0; i-- {
		if f.active[i].name == name {
			return f.active[i]
		}
	}
	return nil
}

// upvalue is the place of an outer variable among the upvalues of f, -1: a global.
func (p *parser) upvalue(f *function, name string) int {
	if f.parent == nil {
		return -1
	}
	up := upvalue{name: name, index: -1}
	if v := f.parent.find(name); v != nil {
		v.captured, up.fromLocal, up.local = true, true, v
	} else if up.index = p.upvalue(f.parent, name); up.index < 0 {
		return -1
	}
	for i, u := range f.ups {
		if u.fromLocal == up.fromLocal && u.local == up.local && u.index == up.index {
			return i
		}
	}
	f.ups = append(f.ups, up)
	if len(f.ups) > maxUpvalues {
		fn := p.fn
		p.fn = f
		p.tooMany(len(f.ups), maxUpvalues, "upvalues")
		p.fn = fn
	}
	return len(f.ups) - 1
}
