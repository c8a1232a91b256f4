package lua

import "fmt"

// Limits of Lua 5.1, so that what compiles here compiles there.
const (
	maxLevels    = 200
	maxLocals    = 200
	maxUpvalues  = 60
	maxRegisters = 249
	maxSuffixes  = 5000 // Lua has no limit here; it bounds the stack that a chain of calls takes
)

type parser struct {
	lexer
	fn     *function
	levels int
	loop   int // loops around the statement, in its function
}

// parse reads a chunk. It panics with a *CompileError.
func parse(src, chunk string) *function {
	p := &parser{lexer: lexer{src: src, line: 1, chunk: chunk}}
	p.fn = &function{vararg: true}
	p.next()
	p.fn.body = p.block()
	p.check(tkEOF)
	return p.fn
}

func (p *parser) check(k kind) {
	if p.tok.kind != k {
		p.fail(fmt.Sprintf("'%s' expected", k), p.tok.text())
	}
}

func (p *parser) accept(k kind) bool {
	if p.tok.kind != k {
		return false
	}
	p.next()
	return true
}

func (p *parser) expect(k kind) {
	p.check(k)
	p.next()
}

// match expects what closes something that was opened at a line.
func (p *parser) match(what, opened kind, line int) {
	if p.tok.kind != what && line != p.line {
		p.fail(fmt.Sprintf("'%s' expected (to close '%s' at line %d)", what, opened, line), p.tok.text())
	}
	p.expect(what)
}

func (p *parser) name() string {
	p.check(tkName)
	s := p.tok.s
	p.next()
	return s
}

func (p *parser) enter() {
	if p.levels++; p.levels > maxLevels {
		p.fail("chunk has too many syntax levels", "")
	}
	p.fn.depth = max(p.fn.depth, p.levels)
}

func (p *parser) leave() { p.levels-- }

// tooMany refuses a function beyond a limit.
func (p *parser) tooMany(n, limit int, what string) {
	switch {
	case n <= limit:
	case p.fn.line == 0:
		p.fail(fmt.Sprintf("main function has more than %d %s", limit, what), "")
	default:
		p.fail(fmt.Sprintf("function at line %d has more than %d %s", p.fn.line, limit, what), "")
	}
}

// reserve takes n slots for values that have no name.
func (p *parser) reserve(names ...string) (first int) {
	first = len(p.fn.active)
	for _, name := range names {
		p.declare(&local{name: name})
	}
	return first
}

// declare makes a local variable visible from here on.
func (p *parser) declare(v *local) {
	v.slot = len(p.fn.active)
	p.fn.active = append(p.fn.active, v)
	p.tooMany(len(p.fn.active), maxLocals, "local variables")
	p.fn.slots = max(p.fn.slots, len(p.fn.active))
}

func ended(k kind) bool {
	return k == tkElse || k == tkElseif || k == tkEnd || k == tkEOF || k == tkUntil
}

func (p *parser) block() *block {
	b, outer := p.openBlock()
	p.closeBlock(outer)
	return b
}

// openBlock reads statements and leaves their variables visible, for until.
func (p *parser) openBlock() (b *block, outer int) {
	p.enter()
	defer p.leave()
	b, outer = &block{}, len(p.fn.active)
	for last := false; !last && !ended(p.tok.kind); {
		var s any
		p.enter()
		s, last = p.statement()
		p.leave()
		b.body = append(b.body, s)
		p.accept(';')
	}
	return b, outer
}

func (p *parser) closeBlock(outer int) { p.fn.active = p.fn.active[:outer] }

func (p *parser) statement() (s any, last bool) {
	line := p.line
	switch p.tok.kind {
	case tkIf:
		return p.ifStatement(line), false
	case tkWhile:
		p.next()
		cond := p.expr()
		p.expect(tkDo)
		body := p.loopBlock()
		p.match(tkEnd, tkWhile, line)
		return &while{cond, body, line}, false
	case tkDo:
		p.next()
		b := p.block()
		p.match(tkEnd, tkDo, line)
		return b, false
	case tkFor:
		return p.forStatement(line), false
	case tkRepeat:
		return p.repeatStatement(line), false
	case tkFunction:
		return p.funcStatement(line), false
	case tkLocal:
		p.next()
		if p.accept(tkFunction) {
			v := &local{name: p.name()}
			p.declare(v)
			return &localFunc{v, p.body(false, line)}, false
		}
		return p.localStatement(), false
	case tkReturn:
		return p.returnStatement(line), true
	case tkBreak:
		p.next()
		if p.loop == 0 {
			p.fail("no loop to break", p.tok.text())
		}
		return &breakStmt{}, true
	}
	return p.exprStatement(), false
}

func (p *parser) loopBlock() *block {
	p.loop++
	defer func() { p.loop-- }()
	return p.block()
}

func (p *parser) ifStatement(line int) any {
	s := &ifStmt{}
	for first := true; first || p.tok.kind == tkElseif; first = false {
		p.next()
		s.conds = append(s.conds, p.expr())
		p.expect(tkThen)
		s.blocks = append(s.blocks, p.block())
	}
	if p.accept(tkElse) {
		s.els = p.block()
	}
	p.match(tkEnd, tkIf, line)
	return s
}

func (p *parser) repeatStatement(line int) any {
	p.next()
	p.loop++
	b, outer := p.openBlock()
	p.loop--
	p.match(tkUntil, tkRepeat, line)
	s := &repeat{b, p.expr(), line}
	p.closeBlock(outer)
	return s
}

func (p *parser) forStatement(line int) any {
	p.next()
	first, outer := p.name(), len(p.fn.active)
	var s any
	switch p.tok.kind {
	case '=':
		s = p.numericFor(first, line)
	case ',', tkIn:
		s = p.genericFor(first, line)
	default:
		p.fail("'=' or 'in' expected", p.tok.text())
	}
	p.match(tkEnd, tkFor, line)
	p.closeBlock(outer)
	return s
}

func (p *parser) numericFor(name string, line int) any {
	p.next()
	s := &numFor{v: &local{name: name}, line: line, step: &constant{Number(1)}}
	s.from = p.expr()
	p.expect(',')
	s.limit = p.expr()
	if p.accept(',') {
		s.step = p.expr()
	}
	p.reserve("(for index)", "(for limit)", "(for step)")
	p.expect(tkDo)
	outer := len(p.fn.active)
	p.declare(s.v)
	s.body = p.loopBlock()
	p.closeBlock(outer)
	return s
}

func (p *parser) genericFor(name string, line int) any {
	s := &genFor{line: line, vars: []*local{{name: name}}}
	for p.accept(',') {
		s.vars = append(s.vars, &local{name: p.name()})
	}
	p.expect(tkIn)
	s.exprs = p.exprList()
	s.state = p.reserve("(for generator)", "(for state)", "(for control)")
	p.expect(tkDo)
	outer := len(p.fn.active)
	for _, v := range s.vars {
		p.declare(v)
	}
	s.body = p.loopBlock()
	p.closeBlock(outer)
	return s
}

func (p *parser) funcStatement(line int) any {
	p.next()
	target, method := p.variable(p.name()), false
	for p.tok.kind == '.' || p.tok.kind == ':' {
		method = p.tok.kind == ':'
		p.next()
		target = &index{target, &constant{p.name()}, p.lastLine}
		if method {
			break
		}
	}
	fn := p.body(method, line)
	return &assign{[]node_{target}, []node_{&funcNode{fn}}, line}
}

func (p *parser) localStatement() any {
	s := &localStmt{}
	for {
		s.vars = append(s.vars, &local{name: p.name()})
		p.tooMany(len(p.fn.active)+len(s.vars), maxLocals, "local variables")
		if !p.accept(',') {
			break
		}
	}
	if p.accept('=') {
		s.exprs = p.exprList()
	}
	for _, v := range s.vars {
		p.declare(v)
	}
	return s
}

func (p *parser) returnStatement(line int) any {
	p.next()
	s := &returnStmt{line: line}
	if !ended(p.tok.kind) && p.tok.kind != ';' {
		s.exprs = p.exprList()
	}
	return s
}

func (p *parser) exprStatement() any {
	line := p.line
	e := p.suffixed()
	if call, ok := e.(*callNode); ok {
		return &callStmt{call}
	}
	s := &assign{line: line}
	for {
		switch e.(type) {
		case *localRef, *upRef, *globalRef, *index:
		default:
			p.fail("syntax error", p.tok.text())
		}
		s.targets = append(s.targets, e)
		if len(s.targets)+p.levels > maxLevels {
			p.fail("chunk has too many syntax levels", "") // Lua nests here
		}
		if !p.accept(',') {
			break
		}
		e = p.suffixed()
	}
	p.expect('=')
	s.exprs = p.exprList()
	return s
}

// body reads a function from its parameters on.
func (p *parser) body(method bool, line int) *function {
	fn, loop := &function{parent: p.fn, line: line}, p.loop
	p.fn, p.loop = fn, 0
	if method {
		p.param("self")
	}
	p.expect('(')
	for p.tok.kind != ')' {
		if p.accept(tkDots) {
			fn.vararg = true
			break
		}
		if p.tok.kind != tkName {
			p.fail("<name> or '...' expected", p.tok.text())
		}
		p.param(p.name())
		if !p.accept(',') {
			break
		} else if p.tok.kind == ')' {
			p.fail("<name> or '...' expected", p.tok.text())
		}
	}
	p.expect(')')
	fn.body = p.block()
	p.match(tkEnd, tkFunction, line)
	p.fn, p.loop = fn.parent, loop
	return fn
}

func (p *parser) param(name string) {
	v := &local{name: name}
	p.declare(v)
	p.fn.params = append(p.fn.params, v)
}
