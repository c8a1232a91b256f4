package lua

// local is a local variable of a function being parsed.
type local struct {
	name     string
	slot     int
	captured bool // a closure uses it: it lives in a cell
}

// upvalue says where a closure finds a variable of the functions around it.
type upvalue struct {
	name      string
	fromLocal bool
	local     *local // of the function right around it
	index     int    // or its upvalue
}

// expression nodes. The line is that of the operator or the call.
type (
	constant struct{ v Value }
	varargs  struct{}
	localRef struct{ v *local }
	upRef    struct {
		index int
		name  string
	}
	globalRef struct {
		name string
		line int
	}
	index struct {
		obj, key node_
		line     int
	}
	callNode struct {
		fn     node_
		method string
		args   []node_
		line   int
	}
	paren    struct{ e node_ }
	funcNode struct{ fn *function }
	unary    struct {
		op   kind
		e    node_
		line int
	}
	// chain is a row of binary operators that are applied from left to right. It is
	// no tree: a sum of a million parts must not take a stack of a million frames.
	chain struct {
		first node_
		rest  []link
	}
	link struct {
		op   kind
		e    node_
		line int
	}
	// concat is right associative, and one operation on all its parts.
	concat struct {
		parts []node_
		line  int
	}
	tableNode struct {
		items       []tableItem
		line        int
		array, hash int
	}
	tableItem struct {
		key, val node_ // key is nil for an element of the list
		line     int
	}
)

// node_ is an expression.
type node_ any

// statement nodes.
type (
	localStmt struct {
		vars  []*local
		exprs []node_
	}
	assign struct {
		targets, exprs []node_
		line           int
	}
	callStmt struct{ call *callNode }
	block    struct{ body []any }
	while    struct {
		cond node_
		body *block
		line int
	}
	repeat struct {
		body *block
		cond node_
		line int
	}
	ifStmt struct {
		conds  []node_
		blocks []*block
		els    *block
	}
	numFor struct {
		v                 *local
		from, limit, step node_
		body              *block
		line              int
	}
	genFor struct {
		vars  []*local
		state int // the first of three slots
		exprs []node_
		body  *block
		line  int
	}
	localFunc struct {
		v  *local
		fn *function
	}
	returnStmt struct {
		exprs []node_
		line  int
	}
	breakStmt struct{}
)

// function is a function being parsed.
type function struct {
	parent *function
	line   int // 0: the main chunk
	params []*local
	vararg bool
	ups    []upvalue
	body   *block
	slots  int // at most in use at once
	active []*local
	depth  int // of nesting, at most
}
