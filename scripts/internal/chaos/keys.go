package main

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
)

const (
	prefix = "aiclient:" // mirrored: everything under it must go on offline
	// bagSize is when a list or set is full and the next one begins: the local
	// state fetches changed keys whole.
	bagSize = 60
	script  = "return redis.call('INCRBY', KEYS[1], ARGV[1])"
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
	pairs     []pair
	lists     []*bag // the last one is being filled
	sets      []*bag
	shared    *counter // its own part of a counter that all raise
	sharedIDs []*bag   // its own part of lists that all fill
	loaded    bool     // the script is believed to be known by its hash
	nextID    int
	expiring  int
}

func newKeys(wk *worker) *keys {
	own := func(format string, args ...any) string {
		return prefix + fmt.Sprintf("c%d:", wk.id) + fmt.Sprintf(format, args...)
	}
	k := &keys{wk: wk, shared: &counter{key: prefix + "shared:count", kind: "string"}}
	for i := range 3 {
		k.counters = append(k.counters,
			&counter{key: own("count%d", i), kind: "string"},
			&counter{key: own("counts"), field: fmt.Sprint("f", i), kind: "hash"},
			&counter{key: own("scores"), field: fmt.Sprint("m", i), kind: "zset"})
		k.registers = append(k.registers,
			&register{key: own("value%d", i), kind: "string", possible: []int64{0}},
			&register{key: own("values"), field: fmt.Sprint("f", i), kind: "hash", possible: []int64{0}},
			&register{key: own("kept%d", i), kind: "expiring", possible: []int64{0}})
		k.pairs = append(k.pairs, pair{
			&counter{key: own("pair%d:a", i), kind: "string"}, &counter{key: own("pair%d:b", i), kind: "string"}})
	}
	k.scripted = &counter{key: own("scripted"), kind: "string"}
	return k
}

// next makes one random operation.
func (k *keys) next() op {
	r := k.wk.rand
	switch n := r.Intn(100); {
	case n < 22:
		return k.raise(k.counters[r.Intn(len(k.counters))])
	case n < 26:
		return k.raiseShared()
	case n < 34:
		return k.runScript()
	case n < 46:
		return k.write(k.registers[r.Intn(len(k.registers))])
	case n < 56:
		return k.push(k.current(&k.lists, "list", true), "RPUSH")
	case n < 62:
		return k.push(k.current(&k.sets, "set", false), "SADD")
	case n < 66:
		return k.pushShared()
	case n < 72:
		return k.raisePair(k.pairs[r.Intn(len(k.pairs))])
	case n < 75:
		return k.writeExpiring()
	case n < 83:
		return k.readCounter(k.counters[r.Intn(len(k.counters))])
	case n < 89:
		return k.readRegister(k.registers[r.Intn(len(k.registers))])
	case n < 94:
		other := k.wk.all[r.Intn(len(k.wk.all))].keys.registers
		return k.readForeign(other[r.Intn(len(other))])
	case n < 97:
		return k.readList()
	}
	return k.readPair(k.pairs[r.Intn(len(k.pairs))])
}

func (k *keys) raise(c *counter) op {
	delta := int64(1)
	cmd := []string{"INCR", c.key}
	switch {
	case c.kind == "hash":
		cmd = []string{"HINCRBY", c.key, c.field, "1"}
	case c.kind == "zset":
		cmd = []string{"ZINCRBY", c.key, "1", c.field}
	case k.wk.rand.Intn(2) == 0:
		delta = 1 + k.wk.rand.Int63n(9)
		cmd = []string{"INCRBY", c.key, fmt.Sprint(delta)}
	}
	return k.raising(c, delta, cmd)
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
	return op{cmds: [][]string{{"INCR", k.shared.key}}, settle: func(o outcome, _ any) { k.shared.settle(o, 1) }}
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

func (k *keys) write(g *register) op {
	g.issued++
	v := g.issued
	return op{cmds: [][]string{g.set(v)}, settle: func(o outcome, _ any) { g.settle(o, v) }}
}

// writeExpiring leaves a key that must be gone in the end.
func (k *keys) writeExpiring() op {
	k.expiring++
	key := prefix + fmt.Sprintf("c%d:short%d", k.wk.id, k.expiring%5)
	return op{cmds: [][]string{{"SET", key, "x", "PX", "1500"}}, settle: func(outcome, any) {}}
}

// current is the bag that is being filled.
func (k *keys) current(bags *[]*bag, name string, ordered bool) *bag {
	if n := len(*bags); n == 0 || (*bags)[n-1].added >= bagSize {
		key := prefix + fmt.Sprintf("c%d:%s%d", k.wk.id, name, n)
		*bags = append(*bags, newBag(key, ordered))
	}
	return (*bags)[len(*bags)-1]
}

func (k *keys) id() string {
	k.nextID++
	return fmt.Sprintf("%d.%d", k.wk.id, k.nextID)
}

func (k *keys) push(b *bag, command string) op {
	id := k.id()
	b.added++
	return op{cmds: [][]string{{command, b.key, id}}, settle: func(o outcome, _ any) { b.ids[id] = o }}
}

// pushShared adds to a list that all clients fill.
func (k *keys) pushShared() op {
	if n := len(k.sharedIDs); n == 0 || k.sharedIDs[n-1].added >= bagSize/10 {
		k.sharedIDs = append(k.sharedIDs, newBag(fmt.Sprintf("%sshared:list%d", prefix, n), true))
	}
	return k.push(k.sharedIDs[len(k.sharedIDs)-1], "RPUSH")
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
func (k *keys) readForeign(g *register) op {
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

func (k *keys) readList() op {
	b := k.current(&k.lists, "list", true)
	return op{read: true, cmds: [][]string{{"LRANGE", b.key, "0", "-1"}}, settle: func(_ outcome, val any) {
		for _, p := range b.problems(texts(val), k.wk.whole()) {
			k.wk.check(p)
		}
	}}
}
