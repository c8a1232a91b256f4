package engine

import (
	"sort"
	"strconv"
	"strings"
)

// zadd checks the options as Redis does, which miniredis only does in part.
func (c *call) zadd() {
	var nx, xx, gt, lt, incr bool
	i := 2
options:
	for ; i < len(c.args); i++ {
		switch strings.ToUpper(c.args[i]) {
		case "NX":
			nx = true
		case "XX":
			xx = true
		case "GT":
			gt = true
		case "LT":
			lt = true
		case "CH":
		case "INCR":
			incr = true
		default:
			break options
		}
	}
	rest := len(c.args) - i
	switch {
	case rest == 0 || rest%2 != 0:
		c.fail(errSyntax)
	case nx && xx:
		c.fail("ERR XX and NX options at the same time are not compatible")
	case gt && lt || nx && (gt || lt):
		c.fail("ERR GT, LT, and/or NX options at the same time are not compatible")
	default:
		for j := i; j < len(c.args); j += 2 {
			f, ok := parseScore(c.args[j])
			if !ok {
				c.fail("ERR value is not a valid float")
				return
			}
			if incr && !c.addable(c.args[j+1], f) {
				return
			}
		}
		if incr && (gt || lt) && c.refusesSum(c.args[i+1], c.args[i], gt) {
			return
		}
		c.pass(c.args...)
	}
}

// refusesSum answers ZADD GT|LT INCR, whose condition miniredis does not look at,
// where it does not hold.
func (c *call) refusesSum(member, by string, gt bool) bool {
	if c.wrongType(c.args[1], "zset") {
		return true
	}
	old, there := parseScore(c.ask("ZSCORE", c.args[1], member).str)
	f, _ := parseScore(by)
	if !there || gt && old+f > old || !gt && old+f < old {
		return false
	}
	c.noEffect()
	c.null()
	return true
}

func parseScore(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && f == f && !strings.ContainsAny(s, "_ ")
}

// scored is one member of a sorted set.
type scored struct {
	member string
	score  float64
}

// members is a sorted set, or a set with all scores 1; ok is false, with the
// error set, for another type.
func (c *call) members(key string) (out map[string]float64, ok bool) {
	if c.wrongType(key, "zset", "set") {
		return nil, false
	}
	out = map[string]float64{}
	d := c.e.mini.DB(c.db)
	switch c.e.keyType(c.db, key) {
	case "zset":
		m, _ := d.SortedSet(key)
		for member, score := range m {
			out[member] = score
		}
	case "set":
		l, _ := d.Members(key)
		for _, member := range l {
			out[member] = 1
		}
	}
	return out, true
}

// numbered reads the keys after their number at args[at] and returns what
// follows them.
func (c *call) numbered(at int) (keys, rest []string, ok bool) {
	n, valid := parseInt(c.args[at])
	switch {
	case !valid:
		c.fail(errNotInt)
	case n < 1:
		c.fail("ERR at least 1 input key is needed for '" + strings.ToLower(c.args[0]) + "' command")
	case n > int64(len(c.args)-at-1):
		c.fail(errSyntax)
	default:
		return c.args[at+1 : at+1+int(n)], c.args[at+1+int(n):], true
	}
	return nil, nil, false
}

// difference is the first sorted set without the members of the others, by
// score and then by name.
func (c *call) difference(keys []string) ([]scored, bool) {
	var left map[string]float64
	for i, key := range keys {
		m, ok := c.members(key)
		if !ok {
			return nil, false
		}
		if i == 0 {
			left = m
			continue
		}
		for member := range m {
			delete(left, member)
		}
	}
	out := make([]scored, 0, len(left))
	for member, score := range left {
		out = append(out, scored{member, score})
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		return a.score < b.score || a.score == b.score && a.member < b.member
	})
	return out, true
}

func (c *call) zdiff() {
	keys, rest, ok := c.numbered(1)
	if !ok {
		return
	}
	withScores := len(rest) == 1 && strings.EqualFold(rest[0], "WITHSCORES")
	if len(rest) > 0 && !withScores {
		c.fail(errSyntax)
		return
	}
	diff, ok := c.difference(keys)
	if !ok {
		return
	}
	r := c.buf()
	r.scored(diff, withScores)
	c.reply = r.b
}

// scored writes members, in RESP3 as pairs with their scores.
func (r *replyBuf) scored(list []scored, withScores bool) {
	if withScores && !r.v3 {
		r.array(2 * len(list))
	} else {
		r.array(len(list))
	}
	for _, m := range list {
		if withScores && r.v3 {
			r.array(2)
		}
		r.bulk(m.member)
		if withScores {
			r.double(m.score)
		}
	}
}

// zinter is ZINTER; miniredis gives the members by their names.
func (c *call) zinter() {
	keys, rest, ok := c.numbered(1)
	if !ok {
		return
	}
	if c.pass(c.args...); c.failed() {
		return
	}
	args := append([]string{"ZINTERSTORE", scratch, c.args[1]}, keys...)
	withScores := false
	for _, a := range rest {
		if strings.EqualFold(a, "WITHSCORES") {
			withScores = true
			continue
		}
		args = append(args, a)
	}
	c.e.raw(c.db, 2, args...)
	v := c.ask("ZRANGE", scratch, "0", "-1", "WITHSCORES")
	c.e.raw(c.db, 2, "DEL", scratch)
	r := c.buf()
	r.scored(pairsOf(v), withScores)
	c.reply = r.b
}

// pairsOf is the members of a reply WITHSCORES.
func pairsOf(v value) (list []scored) {
	for i := 0; i+1 < len(v.list); i += 2 {
		f, _ := strconv.ParseFloat(v.list[i+1].str, 64)
		list = append(list, scored{v.list[i].str, f})
	}
	return list
}

// zpop is ZPOPMIN and ZPOPMAX; a count of 0 pops all in miniredis.
func (c *call) zpop() {
	if len(c.args) == 3 {
		n, ok := parseInt(c.args[2])
		switch {
		case !ok || n < 0:
			c.fail("ERR value is out of range, must be positive")
			return
		case n == 0:
			if !c.wrongType(c.args[1], "zset") {
				c.reply = []byte("*0\r\n")
			}
			return
		}
	}
	c.pass(c.args...)
}

// zstore replaces dst by a sorted set.
func (c *call) zstore(dst string, list []scored) {
	c.e.raw(c.db, 2, "DEL", scratch)
	for _, m := range list {
		c.e.raw(c.db, 2, "ZADD", scratch, formatDouble(m.score), m.member)
	}
	c.replaceWithScratch(dst)
	c.integer(int64(len(list)))
}

func (c *call) zdiffstore() {
	keys, rest, ok := c.numbered(2)
	if !ok {
		return
	}
	if len(rest) > 0 {
		c.fail(errSyntax)
		return
	}
	if diff, ok := c.difference(keys); ok {
		c.zstore(c.args[1], diff)
	}
}

// zrangestore is ZRANGE into a key.
func (c *call) zrangestore() {
	for _, a := range c.args[3:] {
		if strings.EqualFold(a, "WITHSCORES") {
			c.fail(errSyntax)
			return
		}
	}
	v := c.ask(append(append([]string{"ZRANGE"}, c.args[2:]...), "WITHSCORES")...)
	if v.isErr() {
		c.fail(v.str)
		return
	}
	c.zstore(c.args[1], pairsOf(v))
}

func (c *call) zintercard() {
	keys, rest, ok := c.numbered(1)
	if !ok {
		return
	}
	limit := int64(0)
	if len(rest) == 2 && strings.EqualFold(rest[0], "LIMIT") {
		n, ok := parseInt(rest[1])
		if !ok || n < 0 {
			c.fail("ERR LIMIT can't be negative")
			return
		}
		limit = n
	} else if len(rest) > 0 {
		c.fail(errSyntax)
		return
	}
	count := map[string]int{}
	for _, key := range keys {
		m, ok := c.members(key)
		if !ok {
			return
		}
		for member := range m {
			count[member]++
		}
	}
	n := int64(0)
	for _, seen := range count {
		if seen == len(keys) && (limit == 0 || n < limit) {
			n++
		}
	}
	c.integer(n)
}
