package engine

import (
	"strconv"
	"strings"
)

// Blocking commands run at once in their non-blocking form; when there is
// nothing, their answer is that of a timeout. What is journaled is the
// non-blocking form, since a replay must not wait.

func (c *call) timeout(arg string) bool {
	f, err := strconv.ParseFloat(arg, 64)
	switch {
	case err != nil || f != f:
		c.fail("ERR timeout is not a float or out of range")
	case f < 0:
		c.fail("ERR timeout is negative")
	default:
		return true
	}
	return false
}

// blockingPop is BLPOP, BRPOP, BZPOPMIN and BZPOPMAX.
func (c *call) blockingPop() {
	name := strings.ToUpper(c.args[0])[1:]
	if !c.timeout(c.args[len(c.args)-1]) {
		return
	}
	kind := "list"
	if name[0] == 'Z' {
		kind = "zset"
	}
	r := c.buf()
	c.noEffect()
	for _, key := range c.args[1 : len(c.args)-1] {
		if c.e.find(c.db, key) == nil {
			continue
		}
		if c.wrongType(key, kind) {
			return
		}
		v := c.ask(name, key)
		c.effect(name, key)
		if kind == "list" {
			r.strings([]string{key, v.str})
		} else {
			r.array(3)
			r.bulk(key)
			r.bulk(v.list[0].str)
			f, _ := strconv.ParseFloat(v.list[1].str, 64)
			r.double(f)
		}
		c.reply = r.b
		return
	}
	r.nullArray()
	c.reply = r.b
}

// blockingMove is BLMOVE and BRPOPLPUSH.
func (c *call) blockingMove() {
	if !c.timeout(c.args[len(c.args)-1]) {
		return
	}
	c.become(append([]string{strings.ToUpper(c.args[0])[1:]}, c.args[1:len(c.args)-1]...))
	if c.nothing() {
		r := c.buf()
		r.nullArray()
		c.reply = r.b
	}
}

// blockingMpop is BLMPOP and BZMPOP.
func (c *call) blockingMpop() {
	if !c.timeout(c.args[1]) {
		return
	}
	c.become(append([]string{strings.ToUpper(c.args[0])[1:]}, c.args[2:]...))
}

// become runs another command in place of this one.
func (c *call) become(args []string) {
	c.args, c.argv = args, toBytes(args)
	c.spec = lookup(args[0])
	c.spec.run(c)
}
