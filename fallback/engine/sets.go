package engine

import (
	"slices"
	"strings"
)

func setCommands() map[string]*spec {
	m := map[string]*spec{
		"SCARD": read(2, 1, 1, 1).with((*call).scard), "SISMEMBER": read(3, 1, 1, 1).with((*call).sismember),
		"SMISMEMBER": read(-3, 1, 1, 1).with((*call).smismember),
		"SMEMBERS":   read(2, 1, 1, 1).unsure().with((*call).smembers), "SRANDMEMBER": read(-2, 1, 1, 1).unsure().with((*call).srandmember),
		"SSCAN":      read(-3, 1, 1, 1).unsure().with((*call).scanElements),
		"SINTERCARD": read(-3, 0, 0, 0).keyed(counted(1)).with((*call).sintercard),
		"SADD":       write(-3, 1, 1, 1, fZero).with((*call).sadd), "SREM": write(-3, 1, 1, 1, fZero).with((*call).srem),
		"SMOVE": write(4, 1, 2, 1, fZero).with((*call).smove),
		"SPOP":  write(-2, 1, 1, 1, fNil).with((*call).spop).unsure(),
	}
	for _, op := range []string{"SDIFF", "SINTER", "SUNION"} {
		m[op] = read(-2, 1, -1, 1).unsure().with((*call).setOperation)
		m[op+"STORE"] = write(-3, 1, -1, 1, 0).with((*call).setOperation)
	}
	return m
}

func (c *call) sadd() {
	s, ok := objectAt[*set](c, c.args[1])
	if !ok {
		return
	}
	if s == nil {
		s = newSet()
		c.add(c.args[1], s)
	}
	n := int64(0)
	for _, m := range c.args[2:] {
		if s.add(m, c.e.limits.setInts) {
			n++
		}
	}
	if n > 0 {
		c.modified(c.args[1], "sadd")
	}
	c.countChanges(n)
}

func (c *call) srem() {
	s, ok := objectAt[*set](c, c.args[1])
	if !ok {
		return
	}
	n := int64(0)
	for _, m := range c.args[2:] {
		if s != nil && s.remove(m) {
			n++
		}
	}
	if n > 0 {
		c.modified(c.args[1], "srem")
	}
	c.countChanges(n)
}

func (c *call) smove() {
	src, ok := objectAt[*set](c, c.args[1])
	if !ok {
		return
	}
	if src == nil {
		c.integer(0)
		return
	}
	dst, ok := objectAt[*set](c, c.args[2])
	if !ok {
		return
	}
	m := c.args[3]
	if src == dst || !src.has(m) {
		c.noEffect()
		c.flag(src.has(m))
		return
	}
	src.remove(m)
	c.modified(c.args[1], "srem")
	if dst == nil {
		dst = newSet()
		c.add(c.args[2], dst)
	}
	if dst.add(m, c.e.limits.setInts) {
		c.modified(c.args[2], "sadd")
	}
	c.integer(1)
}

func (c *call) scard() {
	if s, ok := objectAt[*set](c, c.args[1]); ok {
		c.integer(int64(s.size()))
	}
}

func (c *call) sismember() {
	if s, ok := objectAt[*set](c, c.args[1]); ok {
		c.flag(s.has(c.args[2]))
	}
}

func (c *call) smismember() {
	s, ok := objectAt[*set](c, c.args[1])
	if !ok {
		return
	}
	r := c.buf()
	r.array(len(c.args) - 2)
	for _, m := range c.args[2:] {
		if s.has(m) {
			r.integer(1)
		} else {
			r.integer(0)
		}
	}
	c.reply = r.b
}

func (c *call) smembers() {
	if s, ok := objectAt[*set](c, c.args[1]); ok {
		c.replySet(s)
	}
}

func (c *call) replySet(s *set) {
	r := c.buf()
	r.setLen(s.size())
	for i := range s.size() {
		r.bulk(s.at(i))
	}
	c.reply = r.b
}

func (c *call) srandmember() {
	if len(c.args) > 3 {
		c.fail(errSyntax)
		return
	}
	count, one := int64(1), len(c.args) == 2
	if !one {
		var ok bool
		if count, _, ok = c.randomCount(""); !ok {
			return
		}
	}
	s, ok := objectAt[*set](c, c.args[1])
	if !ok {
		return
	}
	r := c.buf()
	if one {
		if s == nil {
			r.null()
		} else {
			r.bulk(s.at(c.e.rand(s.size())))
		}
		c.reply = r.b
		return
	}
	picked := c.chosen(s.size(), count)
	r.array(len(picked))
	for _, i := range picked {
		c.spend(1)
		r.bulk(s.at(i))
	}
	c.reply = r.b
}

// spop is journaled as the SREM of what it popped.
func (c *call) spop() {
	if len(c.args) > 3 {
		c.fail(errSyntax)
		return
	}
	count, one := int64(1), len(c.args) == 2
	if !one {
		n, ok := parseInt(c.args[2])
		if !ok || n < 0 {
			c.fail("ERR value is out of range, must be positive")
			return
		}
		count = n
	}
	s, ok := objectAt[*set](c, c.args[1])
	if !ok {
		return
	}
	c.noEffect()
	r := c.buf()
	if one && s == nil {
		r.null()
		c.reply = r.b
		return
	}
	var popped []string
	for _, i := range c.chosen(s.size(), count) {
		popped = append(popped, s.at(i))
	}
	for _, m := range popped {
		s.remove(m)
	}
	if one {
		r.bulk(popped[0])
	} else {
		r.setLen(len(popped))
		for _, m := range popped {
			r.bulk(m)
		}
	}
	c.reply = r.b
	if len(popped) > 0 {
		c.modified(c.args[1], "spop")
		c.effect(append([]string{"SREM", c.args[1]}, popped...)...)
	}
}

// sets are those of keys, nil for a key that does not exist.
func (c *call) sets(keys []string) (out []*set, ok bool) {
	for _, key := range keys {
		s, ok := objectAt[*set](c, key)
		if !ok {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

// intersect calls fn for the members that all sets have, until it returns false.
func (c *call) intersect(all []*set, fn func(m string) bool) {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b *set) int { return a.size() - b.size() })
	for i := range sorted[0].size() {
		m := sorted[0].at(i)
		c.spend(len(sorted))
		if !slices.ContainsFunc(sorted[1:], func(s *set) bool { return !s.has(m) }) && !fn(m) {
			return
		}
	}
}

// combined is the union, the intersection or the difference of sets.
func (c *call) combined(op string, all []*set) *set {
	out, most := newSet(), c.e.limits.setInts
	add := func(m string) bool { return out.add(m, most) || true }
	switch op {
	case "SINTER":
		c.intersect(all, add)
	case "SUNION":
		for _, s := range all {
			for i := range s.size() {
				c.spend(1)
				add(s.at(i))
			}
		}
	default:
		for i := range all[0].size() {
			m := all[0].at(i)
			c.spend(len(all))
			if !slices.ContainsFunc(all[1:], func(s *set) bool { return s.has(m) }) {
				add(m)
			}
		}
	}
	return out
}

// setOperation is SDIFF, SINTER, SUNION and their STORE forms.
func (c *call) setOperation() {
	name := strings.ToUpper(c.args[0])
	op, store := strings.CutSuffix(name, "STORE")
	keys := c.args[1:]
	if store {
		keys = c.args[2:]
	}
	all, ok := c.sets(keys)
	if !ok {
		return
	}
	out := c.combined(op, all)
	if !store {
		c.replySet(out)
		return
	}
	c.store(c.args[1], out, strings.ToLower(name))
	c.integer(int64(out.size()))
}

func (c *call) sintercard() {
	keys, rest, ok := c.numkeys(1)
	if !ok {
		return
	}
	limit, ok := c.limitOption(rest)
	if !ok {
		return
	}
	all, ok := c.sets(keys)
	if !ok {
		return
	}
	n := int64(0)
	c.intersect(all, func(string) bool {
		n++
		return n != limit
	})
	c.integer(n)
}

// numkeys reads the keys behind their number at args[at], where the number has to be
// positive and no larger than what follows; rest is what follows the keys.
func (c *call) numkeys(at int) (keys, rest []string, ok bool) {
	n, isInt := parseInt(c.args[at])
	switch {
	case !isInt || n < 1:
		c.fail("ERR numkeys should be greater than 0")
	case n > int64(len(c.args)-at-1):
		c.fail("ERR Number of keys can't be greater than number of args")
	default:
		return c.args[at+1 : at+1+int(n)], c.args[at+1+int(n):], true
	}
	return nil, nil, false
}

// limitOption reads LIMIT n, which may come again; 0 means none.
func (c *call) limitOption(args []string) (limit int64, ok bool) {
	for i := 0; i < len(args); i += 2 {
		if !strings.EqualFold(args[i], "LIMIT") || i+1 == len(args) {
			c.fail(errSyntax)
			return 0, false
		}
		if limit, ok = parseInt(args[i+1]); !ok || limit < 0 {
			c.fail("ERR LIMIT can't be negative")
			return 0, false
		}
	}
	return limit, true
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
