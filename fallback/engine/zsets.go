package engine

import (
	"math"
	"strings"
)

func zsetCommands() map[string]*spec {
	m := map[string]*spec{
		"ZCARD": read(2, 1, 1, 1).with((*call).zcard), "ZCOUNT": read(4, 1, 1, 1).with((*call).zcount), "ZLEXCOUNT": read(4, 1, 1, 1).with((*call).zcount),
		"ZSCORE": read(3, 1, 1, 1).with((*call).zscore), "ZMSCORE": read(-3, 1, 1, 1).with((*call).zmscore),
		"ZRANK": read(3, 1, 1, 1).with((*call).zrank), "ZREVRANK": read(3, 1, 1, 1).with((*call).zrank),
		"ZRANDMEMBER": read(-2, 1, 1, 1).unsure().with((*call).zrandmember), "ZSCAN": read(-3, 1, 1, 1).unsure().with((*call).scanElements),
		"ZADD": write(-4, 1, 1, 1, 0).with((*call).zadd), "ZINCRBY": write(4, 1, 1, 1, 0).with((*call).zadd),
		"ZREM":    write(-3, 1, 1, 1, fZero).with((*call).zrem),
		"ZPOPMIN": write(-2, 1, 1, 1, fNil).with((*call).zpop), "ZPOPMAX": write(-2, 1, 1, 1, fNil).with((*call).zpop),
		"ZMPOP":       write(-4, 0, 0, 0, fNil).keyed(counted(1)).with((*call).zmpop),
		"BZMPOP":      write(-5, 0, 0, 0, fNil).keyed(counted(2)).with((*call).blockingMpop),
		"BZPOPMIN":    write(-3, 1, -2, 1, fNil).with((*call).blockingPop),
		"BZPOPMAX":    write(-3, 1, -2, 1, fNil).with((*call).blockingPop),
		"ZINTERCARD":  read(-3, 0, 0, 0).keyed(counted(1)).with((*call).zcombine),
		"ZRANGESTORE": write(-5, 1, 2, 1, 0).with((*call).zrangestore),
	}
	for _, op := range []string{"ZUNION", "ZINTER", "ZDIFF"} {
		m[op] = read(-3, 0, 0, 0).keyed(counted(1)).with((*call).zcombine)
		m[op+"STORE"] = write(-4, 0, 0, 0, 0).keyed(counted(2, 1)).with((*call).zcombine)
	}
	for _, name := range []string{"ZRANGE", "ZREVRANGE", "ZRANGEBYLEX", "ZRANGEBYSCORE", "ZREVRANGEBYLEX", "ZREVRANGEBYSCORE"} {
		m[name] = read(-4, 1, 1, 1).with((*call).zrange)
	}
	for _, by := range []string{"LEX", "RANK", "SCORE"} {
		m["ZREMRANGEBY"+by] = write(4, 1, 1, 1, fZero).with((*call).zremrange)
	}
	return m
}

// zaddOptions are the options of ZADD.
type zaddOptions struct{ nx, xx, gt, lt, ch, incr bool }

// zaddOptions parses them from args[2:]; pairs is what follows. ok is false after an error.
func (c *call) zaddOptions() (o zaddOptions, pairs []string, ok bool) {
	if len(c.args[0]) == len("ZINCRBY") {
		o.incr = true
		return o, c.args[2:], true
	}
	known := map[string]*bool{"NX": &o.nx, "XX": &o.xx, "GT": &o.gt, "LT": &o.lt, "CH": &o.ch, "INCR": &o.incr}
	i := 2
	for ; i < len(c.args); i++ {
		flag := known[strings.ToUpper(c.args[i])]
		if flag == nil {
			break
		}
		*flag = true
	}
	pairs = c.args[i:]
	switch {
	case len(pairs) == 0 || len(pairs)%2 != 0:
		c.fail(errSyntax)
	case o.nx && o.xx:
		c.fail("ERR XX and NX options at the same time are not compatible")
	case o.gt && o.lt || o.nx && (o.gt || o.lt):
		c.fail("ERR GT, LT, and/or NX options at the same time are not compatible")
	case o.incr && len(pairs) > 2:
		c.fail("ERR INCR option supports a single increment-element pair")
	default:
		return o, pairs, true
	}
	return o, nil, false
}

// zadd is ZADD and ZINCRBY.
func (c *call) zadd() {
	o, pairs, ok := c.zaddOptions()
	if !ok {
		return
	}
	scores := make([]float64, len(pairs)/2)
	for i := range scores {
		if scores[i], ok = parseScore(pairs[2*i]); !ok {
			c.fail("ERR value is not a valid float")
			return
		}
	}
	key := c.args[1]
	z, ok := objectAt[*zset](c, key)
	if !ok {
		return
	}
	event := "zadd"
	if o.incr {
		event = "zincr"
		if old, there := z.score(pairs[1]); there && !o.nx && math.IsNaN(old+scores[0]) {
			c.fail("ERR resulting score is not a number (NaN)")
			return
		}
	}
	if z == nil && !o.xx {
		z = newZset()
		c.add(key, z)
	}
	r := c.buf()
	added, updated, result, done := c.addScores(z, o, scores, pairs)
	switch {
	case o.incr && done:
		r.double(result)
	case o.incr:
		r.null()
	case o.ch:
		r.integer(added + updated)
	default:
		r.integer(added)
	}
	c.reply = r.b
	if added+updated == 0 {
		c.noEffect()
		return
	}
	c.modified(key, event)
}

// addScores adds members or changes their scores as the options allow. result is the
// last score, done says that it was set.
func (c *call) addScores(z *zset, o zaddOptions, scores []float64, pairs []string) (added, updated int64, result float64, done bool) {
	for i, score := range scores {
		member := pairs[2*i+1]
		old, there := z.score(member)
		if there && o.nx || !there && o.xx {
			continue
		}
		if there {
			if o.incr {
				score += old
			}
			if o.lt && score >= old || o.gt && score <= old {
				continue
			}
		}
		result, done = score, true
		switch {
		case !there:
			added++
		case score != old:
			updated++
		default:
			continue
		}
		z.put(member, score, &c.e.limits)
	}
	return
}

func (c *call) zrem() {
	z, ok := objectAt[*zset](c, c.args[1])
	if !ok {
		return
	}
	n := int64(0)
	for _, m := range c.args[2:] {
		if z != nil && z.remove(m) {
			n++
		}
	}
	if n > 0 {
		c.modified(c.args[1], "zrem")
	}
	c.countChanges(n)
}

func (c *call) zcard() {
	if z, ok := objectAt[*zset](c, c.args[1]); ok {
		c.integer(int64(z.size()))
	}
}

func (c *call) zscore() {
	z, ok := objectAt[*zset](c, c.args[1])
	if !ok {
		return
	}
	r := c.buf()
	r.optionalScore(z.score(c.args[2]))
	c.reply = r.b
}

func (r *replyBuf) optionalScore(score float64, ok bool) {
	if ok {
		r.double(score)
		return
	}
	r.null()
}

func (c *call) zmscore() {
	z, ok := objectAt[*zset](c, c.args[1])
	if !ok {
		return
	}
	r := c.buf()
	r.array(len(c.args) - 2)
	for _, m := range c.args[2:] {
		r.optionalScore(z.score(m))
	}
	c.reply = r.b
}

// zrank is ZRANK and ZREVRANK.
func (c *call) zrank() {
	z, ok := objectAt[*zset](c, c.args[1])
	if !ok {
		return
	}
	var n *znode
	if z != nil {
		n = z.nodes[c.args[2]]
	}
	switch {
	case n == nil:
		c.null()
	case len(c.args[0]) == len("ZRANK"):
		c.integer(int64(z.rank(n)))
	default:
		c.integer(int64(z.size() - 1 - z.rank(n)))
	}
}

func (c *call) zrandmember() {
	if len(c.args) == 2 {
		z, ok := objectAt[*zset](c, c.args[1])
		switch {
		case !ok:
		case z == nil:
			c.null()
		default:
			r := c.buf()
			r.bulk(z.nth(c.e.rand(z.size())).member)
			c.reply = r.b
		}
		return
	}
	count, with, ok := c.randomCount("WITHSCORES")
	if !ok {
		return
	}
	z, ok := objectAt[*zset](c, c.args[1])
	if !ok {
		return
	}
	var list []*znode
	for _, i := range c.chosen(z.size(), count) {
		c.spend(1)
		list = append(list, z.nth(i))
	}
	c.replyNodes(list, with)
}

// replyNodes answers members, in RESP3 as pairs with their scores.
func (c *call) replyNodes(list []*znode, withScores bool) {
	r := c.buf()
	r.pairsLen(len(list), withScores)
	for _, n := range list {
		r.pair(withScores)
		r.bulk(n.member)
		if withScores {
			r.double(n.score)
		}
	}
	c.reply = r.b
}

// popNodes takes up to count members from one end of the sorted set of a key.
func (c *call) popNodes(key string, z *zset, highest bool, count int64) (popped []*znode) {
	for range min(count, int64(z.size())) {
		n := z.first()
		if highest {
			n = z.last
		}
		z.remove(n.member)
		popped = append(popped, n)
	}
	event := "zpopmin"
	if highest {
		event = "zpopmax"
	}
	c.modified(key, event)
	return popped
}

// zpop is ZPOPMIN and ZPOPMAX.
func (c *call) zpop() {
	if len(c.args) > 3 {
		c.fail(errSyntax)
		return
	}
	count := int64(1)
	if len(c.args) == 3 {
		n, isInt := parseInt(c.args[2])
		if !isInt || n < 0 {
			c.fail("ERR value is out of range, must be positive")
			return
		}
		count = n
	}
	z, ok := objectAt[*zset](c, c.args[1])
	if !ok {
		return
	}
	if z == nil || count == 0 {
		c.noEffect()
		c.reply = []byte("*0\r\n")
		return
	}
	popped := c.popNodes(c.args[1], z, strings.EqualFold(c.args[0], "ZPOPMAX"), count)
	r := c.buf()
	if len(c.args) == 2 { // flat in RESP3, too
		r.array(2)
		r.bulk(popped[0].member)
		r.double(popped[0].score)
		c.reply = r.b
		return
	}
	c.replyNodes(popped, true)
}

func (c *call) zmpop() {
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
	highest := strings.EqualFold(rest[0], "MAX")
	if !highest && !strings.EqualFold(rest[0], "MIN") {
		c.fail(errSyntax)
		return
	}
	count, ok := c.popCount(rest[1:])
	if !ok {
		return
	}
	r := c.buf()
	for _, key := range keys {
		z, ok := objectAt[*zset](c, key)
		if !ok {
			return
		}
		if z == nil {
			continue
		}
		popped := c.popNodes(key, z, highest, count)
		r.array(2)
		r.bulk(key)
		r.array(len(popped))
		for _, n := range popped {
			r.array(2)
			r.bulk(n.member)
			r.double(n.score)
		}
		c.reply = r.b
		return
	}
	r.nullArray()
	c.reply = r.b
}
