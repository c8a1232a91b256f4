package main

import "fmt"

// write sets a register to its next version, in one of many ways.
func (k *keys) write(g *register) op {
	g.issued++
	v := g.issued
	o := op{cmds: [][]string{g.set(v)}, settle: func(o outcome, _ any) { g.settle(o, v) }}
	if g.kind != "string" {
		return o
	}
	text, scratch := fmt.Sprintf("v:%d", v), g.key+":new"
	switch k.wk.rand.Intn(8) {
	case 0:
		return k.exchange(g, o, "SET", g.key, text, "GET")
	case 1:
		return k.exchange(g, o, "GETSET", g.key, text)
	case 2:
		o.cmds = [][]string{{"MSET", g.key, text}}
	case 3:
		o.cmds = [][]string{{"MULTI"}, {"SET", scratch, text}, {"RENAME", scratch, g.key}, {"EXEC"}}
	case 4:
		o.cmds = [][]string{{"MULTI"}, {"SET", scratch, text}, {"COPY", scratch, g.key, "REPLACE"}, {"DEL", scratch}, {"EXEC"}}
	}
	return o
}

// exchange is a write that answers what was there before.
func (k *keys) exchange(g *register, o op, cmd ...string) op {
	settle := o.settle
	o.cmds = [][]string{cmd}
	o.settle = func(out outcome, val any) {
		if out == acked {
			k.wk.check(g.problem(val, k.wk.whole()))
		}
		settle(out, val)
	}
	return o
}

// writeFleeting sets a register, or deletes it.
func (k *keys) writeFleeting() op {
	g := pick(k, k.fleeting)
	gone := op{settle: func(o outcome, val any) {
		switch n, err := number(val); {
		case o == acked && (k.wk.whole() || err != nil || n > 0):
			g.possible = []int64{0}
		case o != refused: // or there was nothing to delete in an older snapshot: then nothing is queued
			g.possible = append(g.possible, 0)
		}
	}}
	switch k.wk.rand.Intn(4) {
	case 0:
		gone.cmds = [][]string{{"DEL", g.key}}
		return gone
	case 1:
		return k.exchange(g, gone, "GETDEL", g.key)
	case 2:
		return k.readRegister(g)
	}
	return k.write(g)
}

// writeExpiring leaves a key that must be gone in the end.
func (k *keys) writeExpiring() op {
	k.expiring++
	key := prefix + fmt.Sprintf("c%d:short%d", k.wk.id, k.expiring%5)
	return op{cmds: [][]string{{"SET", key, "x", "PX", "1500"}}, settle: func(outcome, any) {}}
}

// current is the bag of its kind that is being filled.
func (k *keys) current(kind string) *bag {
	bags := k.bags[kind]
	if n := len(bags); n == 0 || bags[n-1].added >= bagSize {
		k.bags[kind] = append(bags, newBag(prefix+fmt.Sprintf("c%d:%s%d", k.wk.id, kind, n), kind))
	}
	return k.bags[kind][len(k.bags[kind])-1]
}

func (k *keys) id() string {
	k.nextID++
	return fmt.Sprintf("%d.%d", k.wk.id, k.nextID)
}

func (k *keys) push(b *bag) op {
	id := k.id()
	b.added++
	return op{cmds: [][]string{b.add(id)}, settle: func(o outcome, val any) {
		b.ids[id] = o
		if b.kind == "stream" && o == acked {
			b.told[id] = fmt.Sprint(val)
		}
	}}
}

// pushShared adds to a list that all clients fill.
func (k *keys) pushShared() op {
	if n := len(k.sharedIDs); n == 0 || k.sharedIDs[n-1].added >= bagSize/10 {
		k.sharedIDs = append(k.sharedIDs, newBag(fmt.Sprintf("%sshared:list%d", prefix, n), "list"))
	}
	return k.push(k.sharedIDs[len(k.sharedIDs)-1])
}

// useQueue pushes, moves or pops, in equal parts: so it is often empty.
func (k *keys) useQueue() op {
	q := k.queue
	switch k.wk.rand.Intn(10) {
	case 0, 1, 2, 3:
		id := k.id()
		return op{cmds: [][]string{{"RPUSH", q.todo, id}}, settle: func(o outcome, _ any) { q.ids[id] = o }}
	case 4, 5, 6:
		return op{cmds: [][]string{{"LMOVE", q.todo, q.done, "LEFT", "RIGHT"}}, settle: func(o outcome, val any) {
			k.wk.check(q.settleMove(o, val, k.wk.whole()))
		}}
	}
	return op{cmds: [][]string{{"LPOP", q.done}}, settle: func(o outcome, val any) { k.wk.check(q.settlePop(o, val, k.wk.whole())) }}
}

func (k *keys) readBag() op {
	kinds := []string{"list", "set", "stream", "log"}
	b := k.current(pick(k, kinds))
	return op{read: true, cmds: [][]string{b.get()}, settle: func(_ outcome, val any) {
		ids, problem := b.members(val)
		k.wk.check(problem)
		for _, p := range b.problems(ids, k.wk.whole()) {
			k.wk.check(p)
		}
	}}
}
