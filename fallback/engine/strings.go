package engine

import (
	"math"
	"strconv"
	"strings"
	"unsafe"
)

func stringCommands() map[string]*spec {
	m := map[string]*spec{
		"GET": read(2, 1, 1, 1).with((*call).get).short((*plainRead).get), "MGET": read(-2, 1, -1, 1).with((*call).mget).short((*plainRead).mget),
		"STRLEN": read(2, 1, 1, 1).with((*call).strlen), "LCS": read(-3, 1, 2, 1).with((*call).lcs),
		"GETRANGE": read(4, 1, 1, 1).with((*call).getrange), "SUBSTR": read(4, 1, 1, 1).with((*call).getrange),
		"SET": write(-3, 1, 1, 1, 0).with((*call).set), "SETNX": write(3, 1, 1, 1, fZero).with((*call).setnx),
		"SETEX": write(4, 1, 1, 1, 0).with((*call).setex), "PSETEX": write(4, 1, 1, 1, 0).with((*call).setex),
		"GETEX": write(-2, 1, 1, 1, 0).with((*call).getex), "GETDEL": write(2, 1, 1, 1, fNil).with((*call).getdel),
		"GETSET": write(3, 1, 1, 1, 0).with((*call).getset), "APPEND": write(3, 1, 1, 1, 0).with((*call).append),
		"SETRANGE":    write(4, 1, 1, 1, fZero).with((*call).setrange),
		"INCRBYFLOAT": write(3, 1, 1, 1, 0).with((*call).incrbyfloat),
		"MSET":        write(-3, 1, -1, 2, 0).with((*call).mset), "MSETNX": write(-3, 1, -1, 2, fZero).with((*call).mset),
	}
	for _, name := range []string{"INCR", "DECR"} {
		m[name] = write(2, 1, 1, 1, 0).with((*call).incr)
		m[name+"BY"] = write(3, 1, 1, 1, 0).with((*call).incr)
	}
	return m
}

// set is SET with every option; expiries become absolute.
func (c *call) set() {
	if len(c.args) == 3 {
		c.setString(c.args[1], c.args[2])
		c.notify("set", c.args[1])
		c.ok()
		return
	}
	o, msg := c.setOptions()
	if msg != "" {
		c.fail(msg)
		return
	}
	key := c.args[1]
	en := c.e.find(c.db, key)
	if o.get && en != nil && en.kind != "string" {
		c.fail(errWrongType)
		return
	}
	done := !(o.nx && en != nil || o.xx && en == nil)
	r := c.buf()
	switch {
	case o.get && en != nil:
		r.bulk(en.value)
	case o.get, !done:
		r.null()
	default:
		r.status("OK")
	}
	c.reply = r.b
	c.effectSet = true
	if done {
		args := []string{"SET", key, c.args[2]}
		if o.keep {
			args = append(args, "KEEPTTL")
		}
		if o.timed {
			args = append(args, "PXAT", strconv.FormatInt(o.at, 10))
		}
		c.setEffect(args, o.at)
		if o.nx && len(c.effects) == 1 && len(c.effects[0]) > 3 { // not the DEL of a deadline that has passed
			c.effects[0] = append(c.effects[0], []byte("NX")) // somebody may have been first at Redis
		}
	}
}

// setEffect executes a SET without conditions and journals it; one whose
// deadline at (0: none) has passed is a DEL, since the old value must go too.
func (c *call) setEffect(args []string, at int64) {
	key, keep := args[1], len(args) == 4
	c.isNew(key)
	c.notify("set", key)
	if at != 0 {
		c.notify("expire", key)
	}
	if at != 0 && at < c.e.nowMS {
		c.e.drop(c.db, key)
		args = []string{"DEL", key}
	} else {
		if en := c.e.find(c.db, key); keep && en != nil {
			at = en.deadline
		}
		c.e.putString(c.db, key, args[2], at)
	}
	c.effect(args...)
}

// setnx is SETNX.
func (c *call) setnx() {
	if c.e.find(c.db, c.args[1]) != nil {
		c.integer(0)
		return
	}
	c.setString(c.args[1], c.args[2])
	c.notify("set", c.args[1])
	c.integer(1)
}

// setex is SETEX and PSETEX.
func (c *call) setex() {
	unit := int64(1000)
	if c.args[0][0]|0x20 == 'p' {
		unit = 1
	}
	c.e.noteTime()
	at, msg := c.deadline(c.args[2], unit, true, true)
	if msg != "" {
		c.fail(msg)
		return
	}
	c.setEffect([]string{"SET", c.args[1], c.args[3], "PXAT", strconv.FormatInt(at, 10)}, at)
	c.ok()
}

// getex is GETEX: a read that may move the deadline.
func (c *call) getex() {
	key, persist := c.args[1], false
	var ex expiry
	for i := 2; i < len(c.args); i++ {
		if strings.EqualFold(c.args[i], "PERSIST") && ex.name == "" {
			persist = true
			continue
		}
		next, found := c.expiryOption(i)
		if !found || persist || ex.name != "" && ex.name != next.name {
			c.fail(errSyntax)
			return
		}
		ex = next
		i++
	}
	c.noEffect()
	en := c.e.find(c.db, key)
	if c.get(); en == nil || c.failed() {
		return
	}
	if persist {
		if en.deadline != 0 {
			c.persistKey(en)
			c.effect("PERSIST", key)
		}
		return
	}
	if ex.name == "" {
		return
	}
	at, msg := ex.at(c)
	if msg != "" {
		c.fail(msg)
		return
	}
	c.expireTo(en, at)
}

// get is GET.
func (c *call) get() {
	s, found, ok := c.stringAt(c.args[1])
	switch {
	case !ok:
	case !found:
		c.missed(c.args[1])
		c.null()
	default:
		r := replyBuf{b: make([]byte, 0, len(s)+16)}
		r.bulk(s)
		c.reply = r.b
	}
}

// missed notes that a read found no key.
func (c *call) missed(key string) { c.e.event(eventMiss, "keymiss", c.db, key) }

func (c *call) mget() {
	r := c.buf()
	r.array(len(c.args) - 1)
	for _, key := range c.args[1:] {
		c.spend(1)
		if en := c.e.find(c.db, key); en != nil && en.kind == "string" {
			r.bulk(en.value)
			continue
		}
		r.null()
	}
	c.reply = r.b
}

func (c *call) strlen() {
	if s, _, ok := c.stringAt(c.args[1]); ok {
		c.integer(int64(len(s)))
	}
}

func (c *call) getdel() {
	c.get()
	if c.e.find(c.db, c.args[1]) != nil && !c.failed() {
		c.remove(c.args[1], "del")
	}
}

func (c *call) getset() {
	if c.get(); c.failed() {
		return
	}
	c.setString(c.args[1], c.args[2])
	c.notify("set", c.args[1])
}

// tooLong fails the call when a string would be longer than proto-max-bulk-len allows.
func (c *call) tooLong(size int64) bool {
	if size >= 0 && size <= c.e.limits.bulk || c.unlimited {
		return false
	}
	c.fail("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
	return true
}

func (c *call) append() {
	key, more := c.args[1], c.args[2]
	old, _, ok := c.stringAt(key)
	if !ok || old != "" && c.tooLong(int64(len(old)+len(more))) {
		return
	}
	c.changeString(key, old+more, "append", formRaw)
	c.integer(int64(len(old) + len(more)))
}

// setrange knows that an empty value changes nothing.
func (c *call) setrange() {
	key, part := c.args[1], c.args[3]
	off, isInt := parseInt(c.args[2])
	if !isInt {
		c.fail(errNotInt)
		return
	}
	if off < 0 {
		c.fail("ERR offset is out of range")
		return
	}
	old, _, ok := c.stringAt(key)
	if !ok {
		return
	}
	if part == "" {
		c.noEffect()
		c.integer(int64(len(old)))
		return
	}
	if c.tooLong(off + int64(len(part))) {
		return
	}
	b := grownTo(old, int(off)+len(part))
	copy(b[off:], part)
	c.changeString(key, asString(b), "setrange", formRaw)
	c.integer(int64(len(b)))
}

// grownTo copies a string, with zeros up to a length.
func grownTo(s string, n int) []byte {
	b := make([]byte, max(n, len(s)))
	copy(b, s)
	return b
}

// asString is a string of bytes that nobody will write to any more.
func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// span is the part from..to of n elements, negative ones counted from the end; empty
// when to < from.
func span(from, to, n int64) (int64, int64) {
	if from < 0 {
		from = max(from+n, 0)
	}
	if to < 0 {
		to = max(to+n, 0)
	}
	return from, min(to, n-1)
}

func (c *call) getrange() {
	from, ok1 := parseInt(c.args[2])
	to, ok2 := parseInt(c.args[3])
	if !ok1 || !ok2 {
		c.fail(errNotInt)
		return
	}
	s, _, ok := c.stringAt(c.args[1])
	if !ok {
		return
	}
	empty := from < 0 && to < 0 && from > to
	if from, to = span(from, to, int64(len(s))); empty || from > to {
		from, to = 0, -1
	}
	r := c.buf()
	r.bulk(s[from : to+1])
	c.reply = r.b
}

// incr is INCR, DECR, INCRBY and DECRBY with Redis's strict integers.
func (c *call) incr() {
	key, by := c.args[1], int64(1)
	if len(c.args) == 3 {
		n, ok := parseInt(c.args[2])
		if !ok {
			c.fail(errNotInt)
			return
		}
		by = n
	}
	if c.args[0][0]|0x20 == 'd' {
		if by == math.MinInt64 {
			c.fail("ERR decrement would overflow")
			return
		}
		by = -by
	}
	s, found, ok := c.stringAt(key)
	if !ok {
		return
	}
	n := int64(0)
	if found {
		n, ok = parseInt(s)
	}
	switch {
	case !ok:
		c.fail(errNotInt)
	case by > 0 && n > math.MaxInt64-by || by < 0 && n < math.MinInt64-by:
		c.fail("ERR increment or decrement would overflow")
	default:
		c.changeString(key, strconv.FormatInt(n+by, 10), "incrby", formShort)
		c.integer(n + by)
	}
}

func (c *call) incrbyfloat() {
	key := c.args[1]
	old, found, ok := c.stringAt(key)
	if !ok {
		return
	}
	if !found {
		old = "0"
	}
	sum, msg := addLong(old, c.args[2], "ERR value is not a valid float")
	if msg != "" {
		c.fail(msg)
		return
	}
	c.changeString(key, sum, "incrbyfloat", formText)
	r := c.buf()
	r.bulk(sum)
	c.reply = r.b
}

// mset is MSET and MSETNX.
func (c *call) mset() {
	if len(c.args)%2 == 0 {
		c.fail(wrongArity(c.args[0]))
		return
	}
	all := len(c.args[0]) == len("MSET")
	if !all {
		for i := 1; i < len(c.args); i += 2 {
			if c.e.find(c.db, c.args[i]) != nil {
				c.integer(0)
				return
			}
		}
	}
	for i := 1; i < len(c.args); i += 2 {
		c.setString(c.args[i], c.args[i+1])
		c.notify("set", c.args[i])
	}
	if all {
		c.ok()
		return
	}
	c.integer(1)
}
