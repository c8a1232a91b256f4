package main

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
)

const (
	prefix = "aiclient:" // mirrored: everything under it must go on offline
	// bagSize is when a list or set is full and the next one begins: the local
	// state fetches changed keys whole. Half an hour makes some 1,500 keys so: after
	// a restart the local state is only exact at once for up to 4,096 (see
	// fallback/refresh.go), and that bound is known.
	bagSize = 250
	script  = "return redis.call('INCRBY', KEYS[1], ARGV[1])"
	// jsonScript is how applications count inside of documents.
	jsonScript = "local v = redis.call('HGET', KEYS[1], ARGV[1]) local t = v and cjson.decode(v) or {n = 0} " +
		"t.n = t.n + ARGV[2] redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(t)) return t.n"
	// timedScript has a result that only the server can tell.
	timedScript = "local t = redis.call('TIME') redis.call('HSET', KEYS[1], 'at', t[1] .. '.' .. t[2]) return redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])"
	// deadlineScript counts in a field that lives for an hour.
	deadlineScript = "local n = redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2]) redis.call('HPEXPIRE', KEYS[1], 3600000, 'FIELDS', 1, ARGV[1]) return n"
	// asidePrefix is not mirrored: what is not held may be refused offline.
	asidePrefix = "other:"
)

var scriptSHA = func() string {
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}()

// pair is two counters that only change together.
type pair struct{ a, b *counter }

// keys is what one client writes, and what the keys must hold.
type keys struct {
	wk        *worker
	counters  []*counter
	scripted  *counter
	registers []*register
	fleeting  []*register
	aside     []*counter // beside the mirrored prefixes
	asideRegs []*register
	pairs     []pair
	bags      map[string][]*bag // by kind; the last one is being filled
	queue     *queue
	shared    []*counter // its own part of counters that all raise
	watched   *counter   // the one that is raised by WATCH and EXEC
	sharedIDs []*bag     // its own part of lists that all fill
	held      *lease
	iterated  []*iterated
	loaded    bool // the script is believed to be known by its hash
	nextID    int
	expiring  int
}

func newKeys(wk *worker) *keys {
	own := func(format string, args ...any) string {
		return fmt.Sprintf("c%d:", wk.id) + fmt.Sprintf(format, args...)
	}
	in := func(format string, args ...any) string { return prefix + own(format, args...) }
	k := &keys{wk: wk, bags: map[string][]*bag{}}
	for i := range 3 {
		k.counters = append(k.counters,
			&counter{key: in("count%d", i), kind: "string"},
			&counter{key: in("counts"), field: fmt.Sprint("f", i), kind: "hash"},
			&counter{key: in("scores"), field: fmt.Sprint("m", i), kind: "zset"})
		k.registers = append(k.registers,
			&register{key: in("value%d", i), kind: "string", possible: []int64{0}},
			&register{key: in("values"), field: fmt.Sprint("f", i), kind: "hash", possible: []int64{0}},
			&register{key: in("kept%d", i), kind: "expiring", possible: []int64{0}})
		k.fleeting = append(k.fleeting, &register{key: in("fleeting%d", i), kind: "fleeting", possible: []int64{0}})
		k.pairs = append(k.pairs, pair{
			&counter{key: in("pair%d:a", i), kind: "string"}, &counter{key: in("pair%d:b", i), kind: "string"}})
		k.aside = append(k.aside, &counter{key: asidePrefix + own("count%d", i), kind: "string"},
			&counter{key: asidePrefix + own("counts"), field: fmt.Sprint("f", i), kind: "hash"})
		k.asideRegs = append(k.asideRegs, &register{key: asidePrefix + own("value%d", i), kind: "string", possible: []int64{0}})
	}
	k.counters = append(k.counters, &counter{key: in("float"), kind: "float"}, &counter{key: in("json"), field: "f", kind: "json"})
	k.counters = append(k.counters, &counter{key: in("timed"), field: "n", kind: "timed"})
	if wk.w.fieldDeadlines {
		k.counters = append(k.counters, &counter{key: in("deadline"), field: "n", kind: "deadline"})
	}
	for _, kind := range []string{"set", "hash", "zset"} {
		k.iterated = append(k.iterated, &iterated{key: in("iterated-%s", kind), kind: kind})
	}
	k.scripted = &counter{key: in("scripted"), kind: "string"}
	k.queue = &queue{todo: in("list-todo"), done: in("list-done"), ids: map[string]outcome{}}
	k.shared = []*counter{{key: sharedKey(wk.db), kind: "string"}, sharedField()}
	k.watched = &counter{key: fmt.Sprintf("%sshared:watched%d", prefix, wk.db), kind: "string"}
	return k
}

// some is how often, of 1,000, each kind of operation is made.
var some = []struct {
	often int
	make  func(k *keys) op
}{
	{100, func(k *keys) op { return k.raise(pick(k, k.counters)) }},
	{70, (*keys).iterate},
	{30, (*keys).limit},
	{30, func(k *keys) op { return k.raise(pick(k, k.aside)) }},
	{40, (*keys).raiseShared},
	{70, (*keys).runScript},
	{100, func(k *keys) op { return k.write(pick(k, k.registers)) }},
	{30, func(k *keys) op { return k.write(pick(k, k.asideRegs)) }},
	{30, (*keys).writeFleeting},
	{50, func(k *keys) op { return k.push(k.current("list")) }},
	{40, func(k *keys) op { return k.push(k.current("set")) }},
	{20, func(k *keys) op { return k.push(k.current("stream")) }},
	{20, func(k *keys) op { return k.push(k.current("log")) }},
	{40, (*keys).pushShared},
	{50, func(k *keys) op { return k.raisePair(pick(k, k.pairs)) }},
	{20, (*keys).writeExpiring},
	{10, func(k *keys) op {
		if k.wk.w.fieldDeadlines {
			return k.writeShortField()
		}
		return k.writeExpiring()
	}},
	{50, (*keys).useQueue},
	{20, (*keys).lock},
	{50, func(k *keys) op { return k.readCounter(pick(k, k.counters)) }},
	{10, func(k *keys) op { return k.readCounter(pick(k, k.aside)) }},
	{40, func(k *keys) op { return k.readRegister(pick(k, k.registers)) }},
	{10, func(k *keys) op { return k.readRegister(pick(k, k.asideRegs)) }},
	{30, (*keys).readForeign},
	{20, (*keys).readBag},
	{20, func(k *keys) op { return k.readPair(pick(k, k.pairs)) }},
}

// timed is the counter of a script that asks for the time.
func (k *keys) timed() *counter {
	return k.counters[slices.IndexFunc(k.counters, func(c *counter) bool { return c.kind == "timed" })]
}

func pick[T any](k *keys, list []T) T { return list[k.wk.rand.Intn(len(list))] }

// next makes one random operation.
func (k *keys) next() op {
	n := k.wk.rand.Intn(1000)
	for _, s := range some {
		if n -= s.often; n < 0 {
			return s.make(k)
		}
	}
	panic("the table gives less than 1,000")
}

func (k *keys) raise(c *counter) op {
	delta := int64(1)
	if k.wk.rand.Intn(2) == 0 {
		delta = 1 + k.wk.rand.Int63n(9)
	}
	return k.raising(c, delta, c.raise(delta))
}

// raising is any command that adds delta to c and answers the new value.
func (k *keys) raising(c *counter, delta int64, cmd []string) op {
	return op{cmds: [][]string{cmd}, settle: func(o outcome, val any) {
		c.settle(o, delta)
		if o == acked {
			k.wk.check(c.problem(val, k.wk.whole()))
		}
	}}
}

func (k *keys) raiseShared() op {
	c := pick(k, k.shared)
	return op{cmds: [][]string{c.raise(1)}, settle: func(o outcome, _ any) { c.settle(o, 1) }}
}

// runScript uses the hash of the script until Redis has forgotten it.
func (k *keys) runScript() op {
	cmd := []string{"EVALSHA", scriptSHA, "1", k.scripted.key, "1"}
	if !k.loaded {
		cmd = []string{"EVAL", script, "1", k.scripted.key, "1"}
	}
	o := k.raising(k.scripted, 1, cmd)
	settle := o.settle
	o.settle = func(out outcome, val any) {
		k.loaded = out == acked
		settle(out, val)
	}
	return o
}

func (k *keys) raisePair(p pair) op {
	return op{cmds: [][]string{{"MULTI"}, {"INCR", p.a.key}, {"INCR", p.b.key}, {"EXEC"}}, settle: func(o outcome, val any) {
		p.a.settle(o, 1)
		p.b.settle(o, 1)
		if o == acked {
			k.checkPair(p, val)
		}
	}}
}

func (k *keys) readPair(p pair) op {
	return op{read: true, cmds: [][]string{{"MULTI"}, p.a.get(), p.b.get(), {"EXEC"}}, settle: func(_ outcome, val any) { k.checkPair(p, val) }}
}

func (k *keys) checkPair(p pair, val any) {
	list, ok := val.([]any)
	if !ok || len(list) != 2 {
		k.wk.check(fmt.Sprintf("a unit of 2 commands on %s answered %v", p.a.key, val))
		return
	}
	k.wk.check(p.a.problem(list[0], k.wk.whole()))
	k.wk.check(p.b.problem(list[1], k.wk.whole()))
	a, _ := number(list[0])
	b, _ := number(list[1])
	if a != b && k.wk.whole() {
		k.wk.check(fmt.Sprintf("%s is %d and %s is %d, but they only change together", p.a.key, a, p.b.key, b))
	}
}

func (k *keys) readCounter(c *counter) op {
	return op{read: true, cmds: [][]string{c.get()}, settle: func(_ outcome, val any) { k.wk.check(c.problem(val, k.wk.whole())) }}
}

func (k *keys) readRegister(g *register) op {
	return op{read: true, cmds: [][]string{g.get()}, settle: func(_ outcome, val any) { k.wk.check(g.problem(val, k.wk.whole())) }}
}

// readForeign reads what another client writes: never older than the last
// version that was acknowledged before the read began.
func (k *keys) readForeign() op {
	other := pick(k, k.wk.all)
	for other.db != k.wk.db {
		other = pick(k, k.wk.all)
	}
	g := pick(k, other.keys.registers)
	floor := g.floor.Load()
	return op{read: true, cmds: [][]string{g.get()}, settle: func(_ outcome, val any) {
		v, err := version(val)
		if err != nil {
			k.wk.check(fmt.Sprintf("%s %s: %v", g.key, g.field, err))
		} else if v < floor && k.wk.whole() {
			k.wk.check(fmt.Sprintf("%s %s holds version %d, but %d was acknowledged before", g.key, g.field, v, floor))
		}
	}}
}
