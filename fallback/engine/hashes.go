package engine

import (
	"strconv"
	"strings"
)

func hashCommands() map[string]*spec {
	return map[string]*spec{
		"HGET": read(3, 1, 1, 1).with((*call).hget).short((*plainRead).hget), "HMGET": read(-3, 1, 1, 1).with((*call).hmget),
		"HGETALL": read(2, 1, 1, 1).unsure().with((*call).hgetall).short((*plainRead).hgetall),
		"HKEYS":   read(2, 1, 1, 1).unsure().with((*call).hgetall), "HVALS": read(2, 1, 1, 1).unsure().with((*call).hgetall),
		"HLEN": read(2, 1, 1, 1).with((*call).hlen), "HEXISTS": read(3, 1, 1, 1).with((*call).hexists), "HSTRLEN": read(3, 1, 1, 1).with((*call).hstrlen),
		"HSCAN":      read(-3, 1, 1, 1).unsure().with((*call).scanElements),
		"HRANDFIELD": read(-2, 1, 1, 1).unsure().with((*call).hrandfield),
		"HSET":       write(-4, 1, 1, 1, 0).with((*call).hset), "HMSET": write(-4, 1, 1, 1, 0).with((*call).hset),
		"HSETNX": write(4, 1, 1, 1, fZero).with((*call).hsetnx), "HDEL": write(-3, 1, 1, 1, fZero).with((*call).hdel),
		"HINCRBY": write(4, 1, 1, 1, 0).with((*call).hincrby), "HINCRBYFLOAT": write(4, 1, 1, 1, 0).with((*call).hincrbyfloat),
	}
}

// hashFor is the hash of a key to be written, made if need be; ok is false after an error.
func (c *call) hashFor(key string) (h *hash, ok bool) {
	h, ok = objectAt[*hash](c, key)
	if ok && h == nil {
		h = newHash()
		c.add(key, h)
	}
	return h, ok
}

// fieldsChanged is modified for a hash: the deadlines of its fields may have changed.
func (c *call) fieldsChanged(key string, events ...string) {
	if en := c.e.find(c.db, key); en != nil {
		h, _ := en.obj.(*hash)
		if at := h.nearest(); at != en.field {
			en.field = at
			c.e.schedule(en)
		}
	}
	c.modified(key, events...)
}

// hset is HSET and HMSET.
func (c *call) hset() {
	if len(c.args)%2 != 0 {
		c.fail(wrongArity(c.args[0]))
		return
	}
	h, ok := c.hashFor(c.args[1])
	if !ok {
		return
	}
	n := int64(0)
	for i := 2; i < len(c.args); i += 2 {
		if h.set(c.args[i], c.args[i+1], &c.e.limits) {
			n++
		}
	}
	c.fieldsChanged(c.args[1], "hset")
	if len(c.args[0]) == len("HSET") {
		c.integer(n)
		return
	}
	c.ok()
}

func (c *call) hsetnx() {
	h, ok := objectAt[*hash](c, c.args[1])
	if !ok {
		return
	}
	if h.find(c.args[2]) >= 0 {
		c.integer(0)
		return
	}
	h, _ = c.hashFor(c.args[1])
	h.set(c.args[2], c.args[3], &c.e.limits)
	c.modified(c.args[1], "hset")
	c.integer(1)
}

func (c *call) hdel() {
	h, ok := objectAt[*hash](c, c.args[1])
	if !ok {
		return
	}
	n := int64(0)
	for _, f := range c.args[2:] {
		if h != nil && h.remove(f) {
			n++
		}
	}
	if n > 0 {
		c.fieldsChanged(c.args[1], "hdel")
	}
	c.countChanges(n)
}

func (c *call) hget() {
	h, ok := objectAt[*hash](c, c.args[1])
	if !ok {
		return
	}
	r := c.buf()
	r.optional(h.get(c.args[2]))
	c.reply = r.b
}

// optional writes a string, or the nil where there is none.
func (r *replyBuf) optional(s string, ok bool) {
	if ok {
		r.bulk(s)
		return
	}
	r.null()
}

func (c *call) hmget() {
	h, ok := objectAt[*hash](c, c.args[1])
	if !ok {
		return
	}
	r := c.buf()
	r.array(len(c.args) - 2)
	for _, f := range c.args[2:] {
		r.optional(h.get(f))
	}
	c.reply = r.b
}

// hgetall is HGETALL, HKEYS and HVALS.
func (c *call) hgetall() {
	h, ok := objectAt[*hash](c, c.args[1])
	if !ok {
		return
	}
	name := strings.ToUpper(c.args[0])
	r := c.buf()
	if name == "HGETALL" {
		r.mapLen(h.size())
	} else {
		r.array(h.size())
	}
	for i := range h.size() {
		if name != "HVALS" {
			r.bulk(h.fields[i].name)
		}
		if name != "HKEYS" {
			r.bulk(h.fields[i].value)
		}
	}
	c.reply = r.b
}

func (c *call) hlen() {
	if h, ok := objectAt[*hash](c, c.args[1]); ok {
		c.integer(int64(h.size()))
	}
}

func (c *call) hexists() {
	if h, ok := objectAt[*hash](c, c.args[1]); ok {
		c.flag(h.find(c.args[2]) >= 0)
	}
}

// flag answers 1 or 0.
func (c *call) flag(yes bool) {
	if yes {
		c.integer(1)
		return
	}
	c.integer(0)
}

func (c *call) hstrlen() {
	if h, ok := objectAt[*hash](c, c.args[1]); ok {
		v, _ := h.get(c.args[2])
		c.integer(int64(len(v)))
	}
}

func (c *call) hincrby() {
	by, isInt := parseInt(c.args[3])
	if !isInt {
		c.fail(errNotInt)
		return
	}
	h, ok := objectAt[*hash](c, c.args[1])
	if !ok {
		return
	}
	n := int64(0)
	if old, found := h.get(c.args[2]); found {
		if n, ok = parseInt(old); !ok {
			c.fail("ERR hash value is not an integer")
			return
		}
	}
	if by > 0 && n+by < n || by < 0 && n+by > n {
		c.fail("ERR increment or decrement would overflow")
		return
	}
	c.setField(strconv.FormatInt(n+by, 10), "hincrby")
	c.integer(n + by)
}

// setField gives the field that args names a value that was computed from its old one:
// its deadline stays.
func (c *call) setField(value, event string) {
	h, _ := c.hashFor(c.args[1])
	at := int64(0)
	if i := h.find(c.args[2]); i >= 0 {
		at = h.fields[i].deadline
	}
	h.set(c.args[2], value, &c.e.limits)
	h.expireAt(h.find(c.args[2]), at)
	c.modified(c.args[1], event)
}

func (c *call) hincrbyfloat() {
	by, isFloat := parseLong(c.args[3])
	if !isFloat {
		c.fail("ERR value is not a valid float")
		return
	}
	if by.IsInf() {
		c.fail("ERR value is NaN or Infinity")
		return
	}
	h, ok := objectAt[*hash](c, c.args[1])
	if !ok {
		return
	}
	old, found := h.get(c.args[2])
	if !found {
		old = "0"
	}
	sum, msg := addLong(old, c.args[3], "ERR hash value is not a float")
	if msg != "" {
		c.fail(msg)
		return
	}
	c.setField(sum, "hincrbyfloat")
	r := c.buf()
	r.bulk(sum)
	c.reply = r.b
}

// randomCount reads the count of SRANDMEMBER, HRANDFIELD and ZRANDMEMBER, and whether
// the option that adds values follows. ok is false after an error.
func (c *call) randomCount(option string) (count int64, with, ok bool) {
	count, isInt := parseInt(c.args[2])
	const most = 1<<63 - 1
	switch {
	case !isInt:
		c.fail(errNotInt)
	case count < -most:
		c.fail("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807")
	case len(c.args) > 4 || len(c.args) == 4 && !strings.EqualFold(c.args[3], option):
		c.fail(errSyntax)
	case len(c.args) == 4 && (count < -most/2 || count > most/2):
		c.fail("ERR value is out of range")
	default:
		return count, len(c.args) == 4, true
	}
	return 0, false, false
}

// chosen are the places of count elements out of n: different ones, or with a negative
// count as many as that with repetitions. What is answered has at least least bytes each:
// too many are refused before they are drawn.
func (c *call) chosen(n int, count int64) []int {
	if n == 0 || count == 0 {
		return nil
	}
	if count < 0 {
		if -count > maxReply/8 {
			panic(errTooLarge)
		}
		out := make([]int, -count)
		for i := range out {
			c.spend(1)
			out[i] = c.e.rand(n)
		}
		return out
	}
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	if count >= int64(n) {
		return out
	}
	for i := range int(count) {
		c.spend(1)
		j := i + c.e.rand(n-i)
		out[i], out[j] = out[j], out[i]
	}
	return out[:count]
}

// rand is a number in [0,n).
func (e *Engine) rand(n int) int {
	e.random ^= e.random << 13
	e.random ^= e.random >> 7
	e.random ^= e.random << 17
	return int(e.random >> 1 % uint64(n))
}

func (c *call) hrandfield() {
	if len(c.args) == 2 {
		h, ok := objectAt[*hash](c, c.args[1])
		switch {
		case !ok:
		case h == nil:
			c.null()
		default:
			r := c.buf()
			r.bulk(h.fields[c.e.rand(h.size())].name)
			c.reply = r.b
		}
		return
	}
	count, with, ok := c.randomCount("WITHVALUES")
	if !ok {
		return
	}
	h, ok := objectAt[*hash](c, c.args[1])
	if !ok {
		return
	}
	picked := c.chosen(h.size(), count)
	r := c.buf()
	r.pairsLen(len(picked), with)
	for _, i := range picked {
		c.spend(1)
		r.pair(with)
		r.bulk(h.fields[i].name)
		if with {
			r.bulk(h.fields[i].value)
		}
	}
	c.reply = r.b
}

// pairsLen and pair begin a list of n elements, each with a second one if with says so:
// flat in RESP2, arrays of two in RESP3.
func (r *replyBuf) pairsLen(n int, with bool) {
	if with && !r.v3 {
		n *= 2
	}
	r.array(n)
}

func (r *replyBuf) pair(with bool) {
	if with && r.v3 {
		r.array(2)
	}
}
