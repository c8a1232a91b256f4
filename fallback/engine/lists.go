package engine

import (
	"slices"
	"strings"
)

func listCommands() map[string]*spec {
	return map[string]*spec{
		"LINDEX": read(3, 1, 1, 1).with((*call).lindex), "LLEN": read(2, 1, 1, 1).with((*call).llen),
		"LRANGE": read(4, 1, 1, 1).with((*call).lrange), "LPOS": read(-3, 1, 1, 1).with((*call).lpos),
		"LPUSH": write(-3, 1, 1, 1, 0).with((*call).push), "RPUSH": write(-3, 1, 1, 1, 0).with((*call).push),
		"LPUSHX": write(-3, 1, 1, 1, fZero).with((*call).push), "RPUSHX": write(-3, 1, 1, 1, fZero).with((*call).push),
		"LPOP": write(-2, 1, 1, 1, fNil).with((*call).lpop), "RPOP": write(-2, 1, 1, 1, fNil).with((*call).lpop),
		"LSET": write(4, 1, 1, 1, 0).with((*call).lset), "LTRIM": write(4, 1, 1, 1, 0).with((*call).ltrim),
		"LREM":    write(4, 1, 1, 1, fZero).with((*call).lrem),
		"LINSERT": write(5, 1, 1, 1, fZero).with((*call).linsert),
		"LMOVE":   write(5, 1, 2, 1, fNil).with((*call).lmove), "RPOPLPUSH": write(3, 1, 2, 1, fNil).with((*call).lmove),
		"LMPOP": write(-4, 0, 0, 0, fNil).keyed(counted(1)).with((*call).lmpop),
		"BLPOP": write(-3, 1, -2, 1, fNil).with((*call).blockingPop), "BRPOP": write(-3, 1, -2, 1, fNil).with((*call).blockingPop),
		"BLMOVE":     write(6, 1, 2, 1, fNil).with((*call).blockingMove),
		"BRPOPLPUSH": write(4, 1, 2, 1, fNil).with((*call).blockingMove),
		"BLMPOP":     write(-5, 0, 0, 0, fNil).keyed(counted(2)).with((*call).blockingMpop),
	}
}

// push is LPUSH, RPUSH, LPUSHX and RPUSHX.
func (c *call) push() {
	name, key := strings.ToLower(c.args[0]), c.args[1]
	l, ok := objectAt[*list](c, key)
	if !ok {
		return
	}
	if l == nil {
		if name[len(name)-1] == 'x' {
			c.integer(0)
			return
		}
		l = newList()
		c.add(key, l)
	}
	for _, s := range c.args[2:] {
		l.push(s, name[0] == 'l')
	}
	c.modified(key, name[:1]+"push")
	c.integer(int64(l.size()))
}

// lpop is LPOP and RPOP.
func (c *call) lpop() {
	if len(c.args) > 3 {
		c.fail(wrongArity(c.args[0]))
		return
	}
	count, many := int64(1), len(c.args) == 3
	if many {
		n, ok := parseInt(c.args[2])
		if !ok || n < 0 {
			c.fail("ERR value is out of range, must be positive")
			return
		}
		count = n
	}
	l, ok := objectAt[*list](c, c.args[1])
	if !ok {
		return
	}
	r := c.buf()
	switch {
	case l == nil && many:
		r.nullArray()
	case l == nil:
		r.null()
	case many && count == 0:
		c.noEffect()
		r.array(0)
	default:
		popped := c.popFrom(c.args[1], l, c.args[0][0]|0x20 == 'l', count)
		if many {
			r.strings(popped)
		} else {
			r.bulk(popped[0])
		}
	}
	c.reply = r.b
}

// popFrom takes up to count elements from one end of the list of a key.
func (c *call) popFrom(key string, l *list, head bool, count int64) []string {
	popped := make([]string, 0, min(count, int64(l.size())))
	for range cap(popped) {
		popped = append(popped, l.pop(head))
	}
	event := "rpop"
	if head {
		event = "lpop"
	}
	c.modified(key, event)
	return popped
}

func (c *call) llen() {
	if l, ok := objectAt[*list](c, c.args[1]); ok {
		c.integer(int64(l.size()))
	}
}

// place makes an index, negative ones from the tail, one from the head; ok: it exists.
func (l *list) place(i int64) (int, bool) {
	n := int64(l.size())
	if i < 0 {
		i += n
	}
	return int(i), i >= 0 && i < n
}

func (c *call) lindex() {
	l, ok := objectAt[*list](c, c.args[1])
	if !ok {
		return
	}
	r := c.buf()
	if l == nil {
		r.null()
		c.reply = r.b
		return
	}
	n, isInt := parseInt(c.args[2])
	if !isInt {
		c.fail(errNotInt)
		return
	}
	if i, there := l.place(n); there {
		r.bulk(l.at(i))
	} else {
		r.null()
	}
	c.reply = r.b
}

// ends parses the two indexes of a range.
func (c *call) ends() (from, to int64, ok bool) {
	from, ok1 := parseInt(c.args[2])
	to, ok2 := parseInt(c.args[3])
	if !ok1 || !ok2 {
		c.fail(errNotInt)
	}
	return from, to, ok1 && ok2
}

func (c *call) lrange() {
	from, to, ok := c.ends()
	if !ok {
		return
	}
	l, ok := objectAt[*list](c, c.args[1])
	if !ok {
		return
	}
	r := c.buf()
	from, to = within(from, to, int64(l.size()))
	r.array(int(max(to-from+1, 0)))
	for i := from; i <= to; i++ {
		r.bulk(l.at(int(i)))
	}
	c.reply = r.b
}

// within is the part from..to of n elements, negative ones counted from the end; empty
// when to < from, and then 0 and -1.
func within(from, to, n int64) (int64, int64) {
	if from < 0 {
		from = max(from+n, 0)
	}
	if to < 0 {
		to += n
	}
	if to = min(to, n-1); from > to {
		return 0, -1
	}
	return from, to
}

func (c *call) lset() {
	l, ok := objectAt[*list](c, c.args[1])
	if !ok {
		return
	}
	if l == nil {
		c.fail(errNoKey)
		return
	}
	n, isInt := parseInt(c.args[2])
	if !isInt {
		c.fail(errNotInt)
		return
	}
	i, there := l.place(n)
	if !there {
		c.fail("ERR index out of range")
		return
	}
	l.set(i, c.args[3])
	c.modified(c.args[1], "lset")
	c.ok()
}

func (c *call) ltrim() {
	from, to, ok := c.ends()
	if !ok {
		return
	}
	l, ok := objectAt[*list](c, c.args[1])
	if !ok {
		return
	}
	c.ok()
	if l == nil {
		c.noEffect()
		return
	}
	from, to = within(from, to, int64(l.size()))
	n := l.size()
	if from > to {
		l.reset(nil)
	} else {
		for range from {
			l.pop(true)
		}
		for range int64(n) - 1 - to {
			l.pop(false)
		}
	}
	c.modified(c.args[1], "ltrim")
}

func (c *call) lrem() {
	count, isInt := parseInt(c.args[2])
	if !isInt {
		c.fail(errNotInt)
		return
	}
	l, ok := objectAt[*list](c, c.args[1])
	if !ok {
		return
	}
	removed := int64(0)
	if l != nil {
		items := l.slice(0, l.size())
		if count < 0 {
			slices.Reverse(items)
		}
		items = slices.DeleteFunc(items, func(s string) bool {
			if s != c.args[3] || count != 0 && removed == max(count, -count) {
				return false
			}
			removed++
			return true
		})
		if count < 0 {
			slices.Reverse(items)
		}
		if removed > 0 {
			l.reset(items)
			c.modified(c.args[1], "lrem")
		}
	}
	c.countChanges(removed)
}

func (c *call) linsert() {
	where := strings.ToUpper(c.args[2])
	if where != "BEFORE" && where != "AFTER" {
		c.fail(errSyntax)
		return
	}
	l, ok := objectAt[*list](c, c.args[1])
	if !ok {
		return
	}
	if l == nil {
		c.integer(0)
		return
	}
	i := slices.Index(l.slice(0, l.size()), c.args[3])
	if i < 0 {
		c.noEffect()
		c.integer(-1)
		return
	}
	if where == "AFTER" {
		i++
	}
	l.insert(i, c.args[4])
	c.modified(c.args[1], "linsert")
	c.integer(int64(l.size()))
}

// side parses LEFT and RIGHT.
func (c *call) side(arg string) (head, ok bool) {
	head = strings.EqualFold(arg, "LEFT")
	if !head && !strings.EqualFold(arg, "RIGHT") {
		c.fail(errSyntax)
		return false, false
	}
	return head, true
}

// lmove is LMOVE and RPOPLPUSH.
func (c *call) lmove() {
	from, to, ok := false, true, true
	if len(c.args) == 5 {
		if from, ok = c.side(c.args[3]); !ok {
			return
		}
		if to, ok = c.side(c.args[4]); !ok {
			return
		}
	}
	src, dst := c.args[1], c.args[2]
	l, ok := objectAt[*list](c, src)
	if !ok {
		return
	}
	if l == nil {
		c.null()
		return
	}
	target, ok := objectAt[*list](c, dst)
	if !ok {
		return
	}
	s := l.pop(from)
	if target == nil {
		target = newList()
		c.add(dst, target)
	}
	target.push(s, to)
	c.modified(dst, map[bool]string{true: "lpush", false: "rpush"}[to])
	c.modified(src, map[bool]string{true: "lpop", false: "rpop"}[from])
	r := c.buf()
	r.bulk(s)
	c.reply = r.b
}

func (c *call) lmpop() {
	n, isInt := parseInt(c.args[1])
	switch {
	case !isInt || n < 1:
		c.fail("ERR numkeys should be greater than 0")
		return
	case n >= int64(len(c.args)-2):
		c.fail(errSyntax)
		return
	}
	keys, rest := c.args[2:2+n], c.args[2+n:]
	head, ok := c.side(rest[0])
	if !ok {
		return
	}
	count, ok := c.popCount(rest[1:])
	if !ok {
		return
	}
	r := c.buf()
	for _, key := range keys {
		l, ok := objectAt[*list](c, key)
		if !ok {
			return
		}
		if l == nil {
			continue
		}
		r.array(2)
		r.bulk(key)
		r.strings(c.popFrom(key, l, head, count))
		c.reply = r.b
		return
	}
	r.nullArray()
	c.reply = r.b
}
