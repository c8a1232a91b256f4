package engine

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// sorting is a parsed SORT.
type sorting struct {
	by, store         string
	storing           bool
	gets              []string
	desc, alpha, skip bool // skip: BY a constant, so the order stays
	offset, count     int64
}

// sorted is an element with what it is compared by.
type sorted struct {
	item   string
	text   string
	none   bool // BY found nothing
	number float64
}

// sort is SORT and SORT_RO.
func (c *call) sort() {
	opt := sorting{count: -1}
	if !c.sortOptions(&opt) || c.wrongType(c.args[1], "list", "set", "zset") {
		return
	}
	items := c.sortItems(&opt)
	if !opt.skip {
		var ok bool
		if items, ok = c.sortBy(items, &opt); !ok {
			return
		}
	}
	n := int64(len(items))
	from, to := max(opt.offset, 0), n
	if opt.count >= 0 && opt.count < n-from {
		to = from + opt.count
	}
	c.sortReply(items[min(from, n):to], &opt)
}

// sortBy puts the elements in order; ok is false after an error.
func (c *call) sortBy(items []string, opt *sorting) (out []string, ok bool) {
	list := make([]sorted, len(items))
	for i, it := range items {
		c.spend(4)
		list[i] = sorted{item: it, text: it}
		if opt.by != "" {
			v, ok := c.lookupPattern(opt.by, it)
			if !ok {
				return nil, false
			}
			list[i].text, list[i].none = v.str, v.isNil()
		}
		if opt.alpha || list[i].none {
			continue
		}
		e, ok := parseScoreEnd("(" + list[i].text) // as strtod, which takes an empty string
		if !ok || math.IsInf(e.score, 0) && !strings.ContainsAny(list[i].text, "iI") {
			c.fail("ERR One or more scores can't be converted into double")
			return nil, false
		}
		list[i].number = e.score
	}
	slices.SortStableFunc(list, func(a, b sorted) int {
		c.spend(1)
		n := opt.compare(a, b)
		if opt.desc {
			return -n
		}
		return n
	})
	for i := range list {
		items[i] = list[i].item
	}
	return items, true
}

func (opt *sorting) compare(a, b sorted) int {
	switch {
	case !opt.alpha && a.number != b.number:
		return cmp.Compare(a.number, b.number)
	case !opt.alpha:
		return strings.Compare(a.item, b.item)
	case a.none != b.none:
		if a.none {
			return -1
		}
		return 1
	}
	return strings.Compare(a.text, b.text)
}

// sortItems are the elements in the order that SORT starts from.
func (c *call) sortItems(opt *sorting) []string {
	en := c.e.find(c.db, c.args[1])
	if en == nil {
		return nil
	}
	switch v := en.obj.(type) {
	case *list:
		return v.slice(0, v.size())
	case *set:
		if opt.skip && (opt.storing || c.e.run != nil) { // as Redis: replicas must agree
			opt.skip, opt.alpha, opt.by = false, true, ""
		}
		return v.all()
	case *zset:
		v.big = true // Redis converts it
		var out []string
		g := zrange{by: "RANK", to: -1, rev: opt.skip && opt.desc}
		for _, n := range g.nodes(c, v) {
			out = append(out, n.member)
		}
		return out
	}
	return nil
}

func (c *call) sortOptions(o *sorting) bool {
	args := c.args[2:]
	for i := 0; i < len(args); i++ {
		left := len(args) - i - 1
		switch opt := strings.ToUpper(args[i]); {
		case opt == "ASC":
			o.desc = false
		case opt == "DESC":
			o.desc = true
		case opt == "ALPHA":
			o.alpha = true
		case opt == "LIMIT" && left >= 2:
			var ok1, ok2 bool
			o.offset, ok1 = parseInt(args[i+1])
			o.count, ok2 = parseInt(args[i+2])
			if !ok1 || !ok2 {
				c.fail(errNotInt)
				return false
			}
			i += 2
		case opt == "STORE" && left >= 1 && !strings.HasSuffix(strings.ToUpper(c.args[0]), "_RO"):
			o.storing, o.store = true, args[i+1]
			i++
		case opt == "BY" && left >= 1:
			o.by, o.skip = args[i+1], !strings.Contains(args[i+1], "*")
			i++
		case opt == "GET" && left >= 1:
			o.gets = append(o.gets, args[i+1])
			i++
		default:
			c.fail(errSyntax)
			return false
		}
	}
	return true
}

// lookupPattern is the value that a BY or GET pattern names for an element. Its
// key is one that the command does not name: false, and the call has failed, if
// Config.Access refuses it.
func (c *call) lookupPattern(pattern, element string) (v value, ok bool) {
	if pattern == "#" {
		return value{kind: '$', str: element}, true
	}
	head, tail, ok := strings.Cut(pattern, "*")
	if !ok {
		return value{kind: '_'}, true
	}
	ask := []string{"GET", head + element + tail}
	if before, after, isHash := strings.Cut(tail, "->"); isHash && after != "" {
		ask = []string{"HGET", head + element + before, after}
	}
	if !c.mayRead(ask) {
		return value{}, false
	}
	if en := c.e.find(c.db, ask[1]); en != nil && en.deadline != 0 {
		c.e.noteTime()
		c.passing = true
	}
	en := c.e.find(c.db, ask[1])
	switch {
	case en == nil:
	case len(ask) == 2 && en.kind == "string":
		return value{kind: '$', str: en.value}, true
	case len(ask) == 3:
		h, _ := en.obj.(*hash)
		if s, found := h.get(ask[2]); found {
			return value{kind: '$', str: s}, true
		}
	}
	return value{kind: '_'}, true
}

// mayRead asks Config.Access for a read that the call has come to, as if a script
// had called it.
func (c *call) mayRead(args []string) bool {
	if c.e.run != nil {
		other := &call{e: c.e, db: c.db, proto: c.proto, args: args}
		if c.e.run.deny(other) {
			c.reply = other.reply
			return false
		}
		return true
	}
	if c.e.cfg.Access != nil {
		if err := c.e.cfg.Access(c.db, toBytes(args)); err != nil {
			c.fail(err.Error())
			return false
		}
	}
	return true
}

func (c *call) sortReply(items []string, o *sorting) {
	var out []value
	for _, it := range items {
		c.spend(1)
		if len(o.gets) == 0 {
			out = append(out, value{kind: '$', str: it})
		}
		for _, g := range o.gets {
			v, ok := c.lookupPattern(g, it)
			if !ok {
				return
			}
			out = append(out, v)
		}
	}
	if !o.storing {
		r := c.buf()
		r.array(len(out))
		for _, v := range out {
			r.optional(v.str, !v.isNil())
		}
		c.reply = r.b
		c.noEffect()
		return
	}
	l := newList()
	for _, v := range out {
		l.push(v.str, false)
	}
	c.integer(int64(len(out)))
	if c.store(o.store, l, "sortstore"); c.passing {
		c.effectSet, c.effects = true, c.byState(o.store)
	}
}
