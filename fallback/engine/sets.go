package engine

import (
	"slices"
	"strconv"
	"strings"
)

// spop is journaled as the SREM of what it popped.
func (c *call) spop() {
	if len(c.args) > 3 {
		c.fail(errSyntax)
		return
	}
	if len(c.args) == 3 {
		if n, ok := parseInt(c.args[2]); !ok || n < 0 {
			c.fail("ERR value is out of range, must be positive")
			return
		}
		if c.e.find(c.db, c.args[1]) == nil {
			r := c.buf()
			r.setLen(0)
			c.reply = r.b
			return
		}
	}
	c.pass(c.args...)
	c.noEffect()
	if c.failed() || c.nothing() {
		return
	}
	v, _ := parseReply(c.reply)
	popped := v.flat()
	if len(c.args) == 2 {
		popped = []string{v.str}
	} else {
		r := c.buf()
		r.setLen(len(popped))
		for _, m := range popped {
			r.bulk(m)
		}
		c.reply = r.b
	}
	c.effect(append([]string{"SREM", c.args[1]}, popped...)...)
}

// scratch is the key in which results are computed before they replace the
// destination: RENAME then clears everything that the destination was, where
// miniredis would leave the values of other types behind it.
const scratch = "\x00holdfast:scratch"

// store is S*STORE, ZUNIONSTORE and ZINTERSTORE.
func (c *call) store() {
	if c.args[0][0]|0x20 == 'z' && slices.ContainsFunc(c.args[2+len(c.keys()):], func(a string) bool { return strings.EqualFold(a, "nan") }) {
		c.fail("ERR weight value is not a float")
		return
	}
	args := append([]string{c.args[0], scratch}, c.args[2:]...)
	c.e.raw(c.db, 2, "DEL", scratch)
	c.pass(args...)
	if !c.failed() {
		c.replaceWithScratch(c.args[1])
	}
}

// replaceWithScratch moves the scratch key, if it exists, to dst; it reports
// whether dst exists now. An absent result that replaces an absent key is no
// change.
func (c *call) replaceWithScratch(dst string) {
	if c.e.mini.DB(c.db).Exists(scratch) && !c.e.empty(c.db, scratch) {
		c.e.raw(c.db, 2, "RENAME", scratch, dst)
		return
	}
	if c.e.find(c.db, dst) == nil {
		c.noEffect()
	}
	c.e.raw(c.db, 2, "DEL", scratch, dst)
}

// empty reports whether a collection has no elements: miniredis keeps such ones,
// which do not exist in Redis.
func (e *Engine) empty(db int, key string) bool {
	size := map[string]string{"set": "SCARD", "zset": "ZCARD", "list": "LLEN", "hash": "HLEN"}[e.mini.DB(db).Type(key)]
	return size != "" && e.ask(db, size, key).num == 0
}

// storeKeys are the key and the destination of commands with STORE dst.
func storeKeys(args []string) []string {
	out := []string{args[1]}
	for i := 2; i+1 < len(args); i++ {
		if strings.EqualFold(args[i], "STORE") || strings.EqualFold(args[i], "STOREDIST") {
			out = append(out, args[i+1])
		}
	}
	return out
}

// georadius is GEORADIUS and GEORADIUSBYMEMBER, which write only with STORE.
func (c *call) georadius() {
	if c.wrongType(c.args[1], "zset") {
		return
	}
	keys, gone := c.keys(), c.e.find(c.db, c.args[1]) == nil
	c.pass(c.args...)
	switch {
	case c.failed():
	case len(keys) == 1:
		if c.noEffect(); gone {
			c.reply = []byte("*0\r\n")
		}
	case gone:
		c.e.raw(c.db, 2, "DEL", scratch)
		c.replaceWithScratch(keys[len(keys)-1])
		c.integer(0)
	}
}

// bitop computes in the scratch key too.
func (c *call) bitop() {
	switch op := strings.ToUpper(c.args[1]); {
	case op != "AND" && op != "OR" && op != "XOR" && op != "NOT":
		c.fail(errSyntax)
		return
	case op == "NOT" && len(c.args) != 4:
		c.fail("ERR BITOP NOT must be called with a single source key.")
		return
	}
	for _, key := range c.args[3:] {
		if c.wrongType(key, "string") {
			return
		}
	}
	args := append([]string(nil), c.args...)
	args[2] = scratch
	c.e.raw(c.db, 2, "DEL", scratch)
	c.pass(args...)
	if c.failed() {
		return
	}
	if c.zero() {
		c.e.raw(c.db, 2, "DEL", scratch)
	}
	c.replaceWithScratch(c.args[2])
}

// hset is HSET and HMSET.
func (c *call) hset() {
	if len(c.args)%2 != 0 {
		c.fail(wrongArity(c.args[0]))
		return
	}
	c.pass(c.args...)
}

// hashField reads a field for an operation on it; ok is false after an error.
func (c *call) hashField() (old string, ok bool) {
	if c.wrongType(c.args[1], "hash") {
		return "", false
	}
	v := c.ask("HGET", c.args[1], c.args[2])
	if v.isNil() {
		return "0", true
	}
	return v.str, true
}

func (c *call) hincrby() {
	by, ok := parseInt(c.args[3])
	if !ok {
		c.fail(errNotInt)
		return
	}
	old, ok := c.hashField()
	if !ok {
		return
	}
	n, ok := parseInt(old)
	switch {
	case !ok:
		c.fail("ERR hash value is not an integer")
	case by > 0 && n+by < n || by < 0 && n+by > n:
		c.fail("ERR increment or decrement would overflow")
	default:
		c.e.raw(c.db, 2, "HSET", c.args[1], c.args[2], strconv.FormatInt(n+by, 10))
		c.integer(n + by)
	}
}

func (c *call) hincrbyfloat() {
	if _, ok := parseLong(c.args[3]); !ok {
		c.fail("ERR value is not a valid float")
		return
	}
	old, ok := c.hashField()
	if !ok {
		return
	}
	sum, msg := addLong(old, c.args[3], "ERR hash value is not a float")
	if msg != "" {
		c.fail(msg)
		return
	}
	c.e.raw(c.db, 2, "HSET", c.args[1], c.args[2], sum)
	r := c.buf()
	r.bulk(sum)
	c.reply = r.b
}
