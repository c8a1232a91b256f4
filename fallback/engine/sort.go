package engine

import (
	"sort"
	"strconv"
	"strings"
)

// sorting is a parsed SORT.
type sorting struct {
	by, store         string
	gets              []string
	desc, alpha, skip bool // skip: BY a constant, so the order stays
	offset, count     int64
}

// sort is SORT and SORT_RO.
func (c *call) sort() {
	opt := sorting{count: -1}
	if !c.sortOptions(&opt) || c.wrongType(c.args[1], "list", "set", "zset") {
		return
	}
	items := c.sortItems(&opt)
	keys := make(map[string]string, len(items))
	nums := make(map[string]float64, len(items))
	if !opt.skip {
		for _, it := range items {
			w := it
			if opt.by != "" {
				v, ok := c.lookupPattern(opt.by, it)
				if !ok {
					return
				}
				w = v.str
			}
			keys[it] = w
			if opt.alpha || opt.by != "" && w == "" {
				continue
			}
			f, ok := parseScore(w)
			if !ok && w != "" {
				c.fail("ERR One or more scores can't be converted into double")
				return
			}
			nums[it] = f
		}
		sort.SliceStable(items, func(i, j int) bool {
			a, b := items[i], items[j]
			if opt.desc {
				a, b = b, a
			}
			switch {
			case opt.alpha && keys[a] != keys[b]:
				return keys[a] < keys[b]
			case !opt.alpha && nums[a] != nums[b]:
				return nums[a] < nums[b]
			}
			return a < b
		})
	}
	from := min(max(opt.offset, 0), int64(len(items)))
	items = items[from:]
	if opt.count >= 0 {
		items = items[:min(opt.count, int64(len(items)))]
	}
	c.sortReply(items, &opt)
}

// sortItems are the elements in the order that SORT starts from.
func (c *call) sortItems(opt *sorting) []string {
	key := c.args[1]
	switch c.e.keyType(c.db, key) {
	case "list":
		return c.ask("LRANGE", key, "0", "-1").flat()
	case "set":
		opt.skip = opt.skip && opt.store == "" // as Redis: sorted when stored
		return c.ask("SMEMBERS", key).flat()
	case "zset":
		if opt.skip && opt.desc {
			return c.ask("ZREVRANGE", key, "0", "-1").flat()
		}
		return c.ask("ZRANGE", key, "0", "-1").flat()
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
			o.store = args[i+1]
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
	if v = c.ask(ask...); v.isErr() {
		return value{kind: '_'}, true
	}
	return v, true
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
	if o.store == "" {
		r := c.buf()
		r.array(len(out))
		for _, v := range out {
			if v.isNil() {
				r.null()
				continue
			}
			r.bulk(v.str)
		}
		c.reply = r.b
		c.noEffect()
		return
	}
	c.e.raw(c.db, 2, "DEL", scratch)
	for _, v := range out {
		c.e.raw(c.db, 2, "RPUSH", scratch, v.str)
	}
	c.replaceWithScratch(o.store)
	c.reply = []byte(":" + strconv.Itoa(len(out)) + "\r\n")
	if c.passing {
		c.e.touch(c.db, o.store)
		c.effectSet, c.effects = true, c.byState(o.store)
	}
}
