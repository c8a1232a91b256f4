package engine

import (
	"cmp"
	"slices"
	"strings"
)

// The order of a collection's elements by their hashes is made when an iteration
// begins, and kept for its steps. An iteration may use any order that was made after
// it began: what is there from start to end is in all of them. Whatever of it has
// gone meanwhile is left out. So a step costs what it returns, also while somebody
// writes, and an order that was dropped is made again.
const (
	maxOrders      = 16      // collections iterated at a time
	maxOrdered     = 4 << 20 // elements in all orders together
	orderIdleAfter = 60_000  // ms after which an order is taken for abandoned
	// wholeUntil is how many elements come in one step whatever COUNT says, as Redis
	// does it with collections in a compact encoding.
	wholeUntil = 128
)

// placed is an element at its place in the order.
type placed struct {
	hash uint64
	name string
}

// scanOrder is the elements of one collection in order.
type scanOrder struct {
	en      *entry
	version uint64 // of the entry when it was made
	used    int64  // server time, in ms
	list    []placed
}

// scanOrders are those in use, the one used last at the end.
type scanOrders []*scanOrder

// collections are the commands by which an iteration reads a type: all names, and,
// for some of them, whether they are there or what they have.
var collections = map[string]struct {
	kind  string
	names []string // what goes around the key
	look  string
}{
	"HSCAN": {"hash", []string{"HKEYS"}, "HMGET"},
	"SSCAN": {"set", []string{"SMEMBERS"}, "SMISMEMBER"},
	"ZSCAN": {"zset", []string{"ZRANGE", "0", "-1"}, "ZMSCORE"},
}

// inner executes a command of the engine's table for the running one.
func (e *Engine) inner(db int, args ...string) value {
	c := &call{e: e, db: db, proto: 2, args: args, argv: toBytes(args), spec: lookup(args[0]), unlimited: true}
	c.guarded()
	v, _ := parseReply(c.reply)
	return v
}

// scanElements is HSCAN, SSCAN and ZSCAN.
func (c *call) scanElements() {
	how := collections[strings.ToUpper(c.args[0])]
	o, ok := c.scanFrom(c.args[2])
	if !ok {
		return
	}
	en := c.e.find(c.db, c.args[1])
	switch {
	case en == nil:
		c.scanReply(0, nil)
		return
	case c.wrongType(en.key, how.kind) || !o.parse(c, c.args[3:]):
		return
	}
	var list []placed
	next := uint64(0)
	if c.e.Size(c.db, []byte(en.key)) <= wholeUntil {
		for _, name := range c.e.names(en) {
			list = append(list, placed{0, name})
		}
	} else {
		list, next = c.e.orders.of(c.e, en, o.begins).step(o)
		if next == 0 {
			c.e.orders.drop(en)
		}
	}
	var names []string
	for _, p := range list {
		if c.matches(o.match, p.name) {
			names = append(names, p.name)
		}
	}
	c.scanReply(next, c.found(how.look, o, names))
}

// found is the names that are still there, each with its value where it has one.
func (c *call) found(look string, o scanOptions, names []string) (out []string) {
	for part := range slices.Chunk(names, dumpChunk) {
		v := c.e.inner(c.db, append([]string{look, c.args[1]}, part...)...)
		for i, el := range v.list {
			switch {
			case el.isNil() || look == "SMISMEMBER" && el.num == 0:
			case look == "SMISMEMBER" || o.noValues:
				out = append(out, part[i])
			default:
				out = append(out, part[i], el.str)
			}
		}
	}
	return out
}

// names are the elements of a collection.
func (e *Engine) names(en *entry) []string {
	for _, how := range collections {
		if how.kind == en.kind {
			args := append([]string{how.names[0], en.key}, how.names[1:]...)
			return e.inner(int(en.db), args...).flat()
		}
	}
	return nil
}

// of is an order of the collection that serves an iteration; begins: a new one, which
// must find all there is now.
func (l *scanOrders) of(e *Engine, en *entry, begins bool) *scanOrder {
	l.prune(e.nowMS)
	for i, o := range *l {
		if o.en == en && (!begins || o.version == en.version) {
			*l = append(slices.Delete(*l, i, i+1), o)
			o.used = e.nowMS
			return o
		}
	}
	l.drop(en)
	o := &scanOrder{en: en, version: en.version, used: e.nowMS}
	for _, name := range e.names(en) {
		o.list = append(o.list, placed{scanHash(name), name})
	}
	slices.SortFunc(o.list, func(a, b placed) int { return cmp.Compare(a.hash, b.hash) })
	*l = append(*l, o)
	return o
}

// prune drops what nobody has used for long, and what is too much.
func (l *scanOrders) prune(now int64) {
	elements := 0
	for _, o := range *l {
		elements += len(o.list)
	}
	for len(*l) > 0 {
		oldest := (*l)[0]
		if now-oldest.used < orderIdleAfter && len(*l) < maxOrders && elements <= maxOrdered {
			return
		}
		elements -= len(oldest.list)
		*l = slices.Delete(*l, 0, 1)
	}
}

func (l *scanOrders) drop(en *entry) {
	*l = slices.DeleteFunc(*l, func(o *scanOrder) bool { return o.en == en })
}

// step is the elements from a place on, and where the next step begins, 0 at the end.
// Those of the same hash come together.
func (o *scanOrder) step(opt scanOptions) (list []placed, next uint64) {
	at, _ := slices.BinarySearchFunc(o.list, opt.from, func(p placed, hash uint64) int { return cmp.Compare(p.hash, hash) })
	list = o.list[at:]
	n := int(min(opt.count, int64(len(list))))
	for n > 0 && n < len(list) && list[n].hash == list[n-1].hash {
		n++
	}
	if n < len(list) {
		next = list[n].hash
	}
	return list[:n], next
}
