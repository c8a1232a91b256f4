package engine

import (
	"fmt"
	"strings"
	"time"
	"unsafe"

	"holdfast/backend/resp"
)

// call is one command being executed: for a client, in a script, or replayed.
type call struct {
	e       *Engine
	db      int
	proto   int
	argv    [][]byte // as the caller gave it
	args    []string // args[0] is the name as given
	spec    *spec
	reply   []byte
	effects [][][]byte
	// effectSet says that the handler has decided on the effects, none included.
	effectSet bool
	// indexed says that the handler of a stream has given its keys their versions itself.
	indexed bool
	// hasTrimmed says that a command on a stream has removed its oldest entries.
	hasTrimmed bool
	// steps counts the work since the clock was last looked at, until is when it has
	// taken too long, unlimited says that it may: see budget.go.
	steps     int
	until     time.Time
	unlimited bool
	// passing says that it looked at keys that it does not name and that have deadlines.
	passing bool
	// remains are keys that begin a new life here; see uncover.
	remains []string
}

func (e *Engine) newCall(db, proto int, argv [][]byte) *call {
	return &call{e: e, db: db, proto: proto, argv: argv, args: toStrings(argv)}
}

// exec executes a command: looks it up, runs it and records what it changed.
func (e *Engine) exec(c *call) {
	if len(c.args) == 0 {
		c.fail("ERR empty command")
		return
	}
	c.spec = lookup(c.args[0])
	switch {
	case c.spec == nil:
		c.fail(unknownCommand(c.args))
		return
	case !c.spec.arityOK(len(c.args)):
		c.fail(wrongArity(c.args[0]))
		return
	case c.db < 0 || c.db >= databases:
		c.fail("ERR DB index is out of range")
		return
	}
	if e.run != nil && !e.run.allows(c) {
		return
	}
	outermost := !e.executing
	e.executing = true
	if e.events&eventMiss != 0 && c.spec.flags&fWrite == 0 {
		c.noteMisses()
	}
	before := c.lapses()
	c.guarded()
	defer func() {
		if outermost {
			e.executing = false
			if c.failed() {
				e.happened = e.happened[:0]
			}
			e.tell()
		}
	}()
	if c.spec.flags&fWrite == 0 {
		c.effects = nil
		return
	}
	switch {
	case c.failed():
		c.effects = nil
	case !c.effectSet && !c.spec.unchanged(c):
		c.effects = [][][]byte{c.argv}
	}
	if outermost && len(c.effects) > 0 {
		e.dirty++
	}
	if !c.spec.own && len(c.effects) > 0 {
		c.touchKeys()
		c.notifyStream() // also of groups, which WATCH does not look at
	}
	c.outlast(before)
}

// touchKeys notes that the keys of a command have changed, unless its handler did.
func (c *call) touchKeys() {
	for _, key := range c.keys() {
		if !c.indexed {
			c.e.touch(c.db, key)
		}
	}
}

// guarded runs the handler; a panic in it becomes an error reply.
func (c *call) guarded() {
	start := time.Now()
	defer func() { c.e.account(c, start) }()
	defer func() {
		if r := recover(); r != nil {
			c.effectSet, c.effects = true, nil
			if given, ok := r.(overBudget); ok {
				c.fail(string(given))
				return
			}
			c.fail("ERR command '" + c.args[0] + "' with these arguments is not supported offline")
		}
	}()
	c.spec.run(c)
}

// ask runs a helper command on the same database and parses its reply.
func (c *call) ask(args ...string) value { return c.e.inner(c.db, args...) }

func (c *call) buf() *replyBuf { return &replyBuf{v3: c.proto == 3, most: maxReply} }

func (c *call) fail(msg string) {
	r := replyBuf{}
	r.fail(msg)
	c.reply = r.b
}

func (c *call) integer(n int64) {
	r := replyBuf{}
	r.integer(n)
	c.reply = r.b
}

func (c *call) ok() { c.reply = []byte("+OK\r\n") }

func (c *call) null() {
	r := c.buf()
	r.null()
	c.reply = r.b
}

func (c *call) failed() bool { return len(c.reply) == 0 || c.reply[0] == '-' }

// zero and nothing read the reply: the integer 0, a nil or an empty array.
func (c *call) zero() bool { return string(c.reply) == ":0\r\n" }
func (c *call) nothing() bool {
	switch string(c.reply) {
	case "$-1\r\n", "*-1\r\n", "_\r\n", "*0\r\n", "~0\r\n", "%0\r\n":
		return true
	}
	return false
}

// effect journals this instead of the command itself; several calls add up.
func (c *call) effect(args ...string) {
	c.effectSet = true
	c.effects = append(c.effects, toBytes(args))
}

// noEffect journals nothing.
func (c *call) noEffect() { c.effectSet = true }

// wrongType fails the call when the key holds another type than one of kinds.
func (c *call) wrongType(key string, kinds ...string) bool {
	en := c.e.find(c.db, key)
	if en == nil {
		return false
	}
	for _, k := range kinds {
		if en.kind == k {
			return false
		}
	}
	c.fail(errWrongType)
	return true
}

const (
	errSyntax    = "ERR syntax error"
	errNotInt    = "ERR value is not an integer or out of range"
	errWrongType = "WRONGTYPE Operation against a key holding the wrong kind of value"
	errNoKey     = "ERR no such key"
)

func unknownCommand(args []string) string {
	var b strings.Builder
	for _, a := range args[1:] {
		if b.Len() >= 128 {
			break
		}
		fmt.Fprintf(&b, "'%.*s' ", 128-b.Len(), a)
	}
	return fmt.Sprintf("ERR unknown command '%.128s', with args beginning with: %s", args[0], b.String())
}

// cText is an argument as C prints it.
func cText(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return s
}

func wrongArity(name string) string {
	return "ERR wrong number of arguments for '" + strings.ToLower(name) + "' command"
}

func commandName(argv [][]byte) string {
	if len(argv) == 0 {
		return ""
	}
	return string(argv[0])
}

func toStrings(argv [][]byte) []string {
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = string(a)
	}
	return out
}

// keepStrings is toStrings for arguments that will never change: large ones are
// not copied.
func keepStrings(argv [][]byte) []string {
	out := make([]string, len(argv))
	for i, a := range argv {
		if len(a) >= resp.Large {
			out[i] = unsafe.String(&a[0], len(a))
		} else {
			out[i] = string(a)
		}
	}
	return out
}

// keepBytes is toBytes for arguments that nobody will write to: large ones are
// not copied.
func keepBytes(args []string) [][]byte {
	out := make([][]byte, len(args))
	for i, a := range args {
		if len(a) >= resp.Large {
			out[i] = unsafe.Slice(unsafe.StringData(a), len(a))
		} else {
			out[i] = []byte(a)
		}
	}
	return out
}

func toBytes(args []string) [][]byte {
	out := make([][]byte, len(args))
	for i, a := range args {
		out[i] = []byte(a)
	}
	return out
}
