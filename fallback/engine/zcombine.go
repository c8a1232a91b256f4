package engine

import (
	"math"
	"slices"
	"strings"
)

// zsource is a sorted set or a set, whose members have the score 1.
type zsource struct {
	z      *zset
	s      *set
	weight float64
}

func (s zsource) size() int { return s.z.size() + s.s.size() }

func (s zsource) score(m string) (float64, bool) {
	if s.s.has(m) {
		return 1, true
	}
	return s.z.score(m)
}

func (s zsource) each(fn func(m string, score float64) bool) {
	for n := s.z.first(); n != nil; n = n.after() {
		if !fn(n.member, n.score) {
			return
		}
	}
	for i := range s.s.size() {
		if !fn(s.s.at(i), 1) {
			return
		}
	}
}

// zsources are the sets that keys hold; ok is false after an error.
func (c *call) zsources(keys []string) (out []zsource, ok bool) {
	for _, key := range keys {
		src := zsource{weight: 1}
		if en := c.e.find(c.db, key); en != nil {
			src.z, _ = en.obj.(*zset)
			src.s, _ = en.obj.(*set)
			if src.z == nil && src.s == nil {
				c.fail(errWrongType)
				return nil, false
			}
		}
		out = append(out, src)
	}
	return out, true
}

// zcombination is a parsed ZUNION, ZINTER, ZDIFF or ZINTERCARD.
type zcombination struct {
	op         string // UNION, INTER, DIFF or INTERCARD
	src        []zsource
	aggregate  string
	withScores bool
	limit      int64
}

// weighted is a score with its weight; what is no number counts as 0.
func weighted(score, weight float64) float64 {
	if v := score * weight; !math.IsNaN(v) {
		return v
	}
	return 0
}

func (k *zcombination) join(a, b float64) float64 {
	switch k.aggregate {
	case "MIN": // b may be no number, which is neither less nor more
		if b < a {
			return b
		}
		return a
	case "MAX":
		if b > a {
			return b
		}
		return a
	}
	if v := a + b; !math.IsNaN(v) {
		return v
	}
	return 0 // inf and -inf
}

// numbered reads the keys behind their number at args[at]; rest is what follows them.
func (c *call) numbered(at int) (keys, rest []string, ok bool) {
	n, isInt := parseInt(c.args[at])
	switch {
	case !isInt:
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

func (c *call) combineOptions(k *zcombination, rest []string, store bool) bool {
	weights := k.op == "UNION" || k.op == "INTER"
	for len(rest) > 0 {
		switch opt := strings.ToUpper(rest[0]); {
		case opt == "WEIGHTS" && weights && len(rest) > len(k.src):
			for i := range k.src {
				f, ok := parseScore(rest[1+i])
				if !ok {
					c.fail("ERR weight value is not a float")
					return false
				}
				k.src[i].weight = f
			}
			rest = rest[1+len(k.src):]
		case opt == "AGGREGATE" && weights && len(rest) > 1:
			k.aggregate = strings.ToUpper(rest[1])
			if !slices.Contains([]string{"SUM", "MIN", "MAX"}, k.aggregate) {
				c.fail(errSyntax)
				return false
			}
			rest = rest[2:]
		case opt == "WITHSCORES" && !store && k.op != "INTERCARD":
			k.withScores = true
			rest = rest[1:]
		case opt == "LIMIT" && k.op == "INTERCARD" && len(rest) > 1:
			n, isInt := parseInt(rest[1])
			if !isInt || n < 0 {
				c.fail("ERR LIMIT can't be negative")
				return false
			}
			k.limit = n
			rest = rest[2:]
		default:
			c.fail(errSyntax)
			return false
		}
	}
	return true
}

// zcombine is ZUNION, ZINTER, ZDIFF, their STORE forms, and ZINTERCARD.
func (c *call) zcombine() {
	name := strings.ToUpper(c.args[0])
	op, store := strings.CutSuffix(name, "STORE")
	at := 1
	if store {
		at = 2
	}
	keys, rest, ok := c.numbered(at)
	if !ok {
		return
	}
	k := &zcombination{op: op[1:]}
	if k.src, ok = c.zsources(keys); !ok || !c.combineOptions(k, rest, store) {
		return
	}
	if k.op == "INTERCARD" {
		n := int64(0)
		c.meet(k, func(string, float64) bool {
			n++
			return n != k.limit
		})
		c.integer(n)
		return
	}
	out := c.zresult(k)
	if store {
		out.settle(&c.e.limits)
		c.store(c.args[1], out, strings.ToLower(name))
		c.integer(int64(out.size()))
		return
	}
	list := make([]*znode, 0, out.size())
	for n := out.first(); n != nil; n = n.after() {
		list = append(list, n)
	}
	c.replyNodes(list, k.withScores)
}

// meet calls fn for the members that all sources have, until it returns false.
func (c *call) meet(k *zcombination, fn func(m string, score float64) bool) {
	slices.SortStableFunc(k.src, func(a, b zsource) int { return a.size() - b.size() })
	k.src[0].each(func(m string, score float64) bool {
		c.spend(len(k.src))
		sum := weighted(score, k.src[0].weight)
		for _, other := range k.src[1:] {
			v, there := other.score(m)
			if !there {
				return true
			}
			sum = k.join(sum, v*other.weight)
		}
		return fn(m, sum)
	})
}

func (c *call) zresult(k *zcombination) *zset {
	out := newZset()
	scores := map[string]float64{}
	switch k.op {
	case "INTER":
		c.meet(k, func(m string, score float64) bool {
			scores[m] = score
			return true
		})
	case "UNION":
		slices.SortStableFunc(k.src, func(a, b zsource) int { return a.size() - b.size() })
		for _, src := range k.src {
			src.each(func(m string, score float64) bool {
				c.spend(1)
				v := weighted(score, src.weight)
				if old, there := scores[m]; there {
					v = k.join(old, v)
				}
				scores[m] = v
				return true
			})
		}
	default:
		k.src[0].each(func(m string, score float64) bool {
			c.spend(len(k.src))
			if !slices.ContainsFunc(k.src[1:], func(s zsource) bool { _, there := s.score(m); return there }) {
				scores[m] = score
			}
			return true
		})
	}
	for m, score := range scores {
		c.spend(8)
		out.insert(m, score)
	}
	return out
}
