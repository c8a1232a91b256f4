package engine

import "strings"

const (
	errScoreRange = "ERR min or max is not a float"
	errLexRange   = "ERR min or max not valid string range item"
)

// zrange is one of the ranges of a sorted set: of ranks, scores or names.
type zrange struct {
	by         string // RANK, SCORE or LEX
	from, to   int64  // ranks
	low, high  zend
	rev        bool
	withScores bool
	offset     int64
	limit      int64 // -1 and less: none
}

// zend is one end of a range of scores or names.
type zend struct {
	score  float64
	name   string
	open   bool // the end itself is not in the range
	beyond int  // of names: -1 is before all, 1 behind all
}

// parseScoreEnd parses as C's strtod does, which takes an empty string for 0.
func parseScoreEnd(s string) (e zend, ok bool) {
	s, e.open = strings.CutPrefix(s, "(")
	s, _, _ = strings.Cut(s, "\x00")
	if s == "" {
		return e, true
	}
	e.score, ok = parseDouble(s)
	return e, ok
}

func parseLexEnd(s string) (e zend, ok bool) {
	switch {
	case s == "-":
		e.beyond = -1
	case s == "+":
		e.beyond = 1
	case strings.HasPrefix(s, "("):
		e.name, e.open = s[1:], true
	case strings.HasPrefix(s, "["):
		e.name = s[1:]
	default:
		return e, false
	}
	return e, true
}

// ends parses the two ends; ok is false after an error.
func (g *zrange) ends(c *call, from, to string) (ok bool) {
	if g.rev && g.by != "RANK" {
		from, to = to, from
	}
	parse, msg := parseScoreEnd, errScoreRange
	switch g.by {
	case "RANK":
		var ok1, ok2 bool
		g.from, ok1 = parseInt(from)
		g.to, ok2 = parseInt(to)
		if !ok1 || !ok2 {
			c.fail(errNotInt)
		}
		return ok1 && ok2
	case "LEX":
		parse, msg = parseLexEnd, errLexRange
	}
	var ok1, ok2 bool
	g.low, ok1 = parse(from)
	g.high, ok2 = parse(to)
	if !ok1 || !ok2 {
		c.fail(msg)
	}
	return ok1 && ok2
}

// below and above report whether a member stands before the range or behind it.
func (g *zrange) below(n *znode) bool {
	if g.by == "SCORE" {
		return n.score < g.low.score || g.low.open && n.score == g.low.score
	}
	e := g.low
	return e.beyond > 0 || e.beyond == 0 && (n.member < e.name || e.open && n.member == e.name)
}

func (g *zrange) above(n *znode) bool {
	if g.by == "SCORE" {
		return n.score > g.high.score || g.high.open && n.score == g.high.score
	}
	e := g.high
	return e.beyond < 0 || e.beyond == 0 && (n.member > e.name || e.open && n.member == e.name)
}

// ranks are the ranks first..last of the range, counted from the lowest member.
func (g *zrange) ranks(z *zset) (first, last int) {
	n := int64(z.size())
	if g.by == "RANK" {
		from, to := within(g.from, g.to, n)
		if g.rev {
			from, to = n-1-to, n-1-from
		}
		return int(from), int(to)
	}
	_, first = z.seek(func(n *znode) bool { return !g.below(n) })
	_, last = z.seek(func(n *znode) bool { return g.above(n) })
	return first, last - 1
}

// nodes are the members of the range in the order asked for.
func (g *zrange) nodes(c *call, z *zset) (out []*znode) {
	first, last := g.ranks(z)
	if g.by != "RANK" {
		if g.offset < 0 || g.offset > int64(last-first) {
			return nil
		}
		if g.rev {
			last -= int(g.offset)
			if g.limit >= 0 && g.limit < int64(last-first+1) {
				first = last - int(g.limit) + 1
			}
		} else {
			first += int(g.offset)
			if g.limit >= 0 && g.limit < int64(last-first+1) {
				last = first + int(g.limit) - 1
			}
		}
	}
	if first > last {
		return nil
	}
	out = make([]*znode, 0, last-first+1)
	if g.rev {
		for n := z.nth(last); len(out) < cap(out); n = n.prev {
			c.spend(1)
			out = append(out, n)
		}
		return out
	}
	for n := z.nth(first); len(out) < cap(out); n = n.after() {
		c.spend(1)
		out = append(out, n)
	}
	return out
}

// parseRange reads a range of the key at args[at] with its options. ok is false after
// an error.
func (c *call) parseRange(at int, g *zrange, store, free bool) (ok bool) {
	g.limit = -1
	revFree := free
	for i := at + 3; i < len(c.args); i++ {
		switch opt := strings.ToUpper(c.args[i]); {
		case opt == "WITHSCORES" && !store:
			g.withScores = true
		case opt == "LIMIT" && i+2 < len(c.args):
			var ok1, ok2 bool
			g.offset, ok1 = parseInt(c.args[i+1])
			g.limit, ok2 = parseInt(c.args[i+2])
			if !ok1 || !ok2 {
				c.fail(errNotInt)
				return false
			}
			i += 2
		case opt == "REV" && revFree:
			g.rev, revFree = true, false
		case (opt == "BYLEX" || opt == "BYSCORE") && free && g.by == "":
			g.by = opt[2:]
		default:
			c.fail(errSyntax)
			return false
		}
	}
	if g.by == "" {
		g.by = "RANK"
	}
	switch {
	case g.limit != -1 && g.by == "RANK":
		c.fail("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
		return false
	case g.withScores && g.by == "LEX":
		c.fail("ERR syntax error, WITHSCORES not supported in combination with BYLEX")
		return false
	}
	return g.ends(c, c.args[at+1], c.args[at+2])
}

// zrangeForms are the old commands for one kind of range each.
var zrangeForms = map[string]zrange{
	"ZREVRANGE":   {by: "RANK", rev: true},
	"ZRANGEBYLEX": {by: "LEX"}, "ZREVRANGEBYLEX": {by: "LEX", rev: true},
	"ZRANGEBYSCORE": {by: "SCORE"}, "ZREVRANGEBYSCORE": {by: "SCORE", rev: true},
}

// zrange is ZRANGE and the commands that it replaced.
func (c *call) zrange() {
	g, old := zrangeForms[strings.ToUpper(c.args[0])]
	if !c.parseRange(1, &g, false, !old) {
		return
	}
	z, ok := objectAt[*zset](c, c.args[1])
	if !ok {
		return
	}
	c.replyNodes(g.nodes(c, z), g.withScores)
}

// zrangestore is ZRANGE into a key.
func (c *call) zrangestore() {
	var g zrange
	if !c.parseRange(2, &g, true, true) {
		return
	}
	z, ok := objectAt[*zset](c, c.args[2])
	if !ok {
		return
	}
	out := newZset()
	for _, n := range g.nodes(c, z) {
		c.spend(4)
		out.put(n.member, n.score, &c.e.limits)
	}
	c.store(c.args[1], out, "zrangestore")
	c.integer(int64(out.size()))
}

// zcount is ZCOUNT and ZLEXCOUNT.
func (c *call) zcount() {
	g := zrange{by: "SCORE"}
	if len(c.args[0]) > len("ZCOUNT") {
		g.by = "LEX"
	}
	if !g.ends(c, c.args[2], c.args[3]) {
		return
	}
	z, ok := objectAt[*zset](c, c.args[1])
	if !ok {
		return
	}
	first, last := g.ranks(z)
	c.integer(int64(max(last-first+1, 0)))
}

// zremrange is ZREMRANGEBYRANK, …SCORE and …LEX.
func (c *call) zremrange() {
	name := strings.ToUpper(c.args[0])
	g := zrange{by: name[len("ZREMRANGEBY"):], limit: -1}
	if !g.ends(c, c.args[2], c.args[3]) {
		return
	}
	z, ok := objectAt[*zset](c, c.args[1])
	if !ok {
		return
	}
	gone := g.nodes(c, z)
	for _, n := range gone {
		z.remove(n.member)
	}
	if len(gone) > 0 {
		c.modified(c.args[1], strings.ToLower(name))
	}
	c.countChanges(int64(len(gone)))
}
