package main

import (
	"slices"
	"time"
)

// hotWorkers write to one key each, or to one pair or queue, without a pause: a
// mirrored key that is written all the time is held like any other.
const hotWorkers = 7

// hotOps are what they do, one of these each.
var hotOps = []func(k *keys) op{
	func(k *keys) op { c := k.counters[0]; return k.raising(c, 1, c.raise(1)) }, // a string
	func(k *keys) op { c := k.counters[1]; return k.raising(c, 1, c.raise(1)) }, // a hash
	func(k *keys) op { c := k.counters[2]; return k.raising(c, 1, c.raise(1)) }, // a sorted set
	(*keys).runScript,
	func(k *keys) op { c := k.timed(); return k.raising(c, 1, c.raise(1)) }, // a script that asks for the time
	func(k *keys) op { return k.raisePair(k.pairs[0]) },                     // a unit
	(*keys).useQueue, // lists
}

// newHotWorker is one of those, with keys of its own beside those of n others.
func newHotWorker(w *world, n, i int) *worker {
	wk := newWorkerIn(w, n+i, 0)
	wk.hot = hotOps[i%len(hotOps)]
	return wk
}

// runHot sends one command after the other until the world stops. A key that was
// written and acknowledged in this life of the proxy, whose mirror has been loaded, is
// held: refusing it at a cut is a violation. Before the first load after a restart, a
// link that flaps may cut off what was not looked at yet.
func (wk *worker) runHot() {
	defer wk.conn.Close()
	ackedIn := map[string]int64{} // key: the life in which it was last acknowledged
	for !wk.w.stopping.Load() {
		life, acked, notHeld := wk.w.currentLife(), wk.acked, wk.notHeld
		o := wk.hot(wk.keys)
		wk.do([]op{o})
		keys := hotKeys(o.cmds)
		held := !slices.ContainsFunc(keys, func(k string) bool { return ackedIn[k] != life })
		switch {
		case life != wk.w.currentLife():
		case wk.acked > acked:
			for _, k := range keys {
				ackedIn[k] = life
			}
		case wk.notHeld > notHeld && held && wk.w.trusted() == life:
			wk.w.heldKeyRefused(wk.id, life, keys)
			time.Sleep(100 * time.Millisecond)
		case wk.notHeld > notHeld:
			time.Sleep(5 * time.Millisecond) // a restart before Redis is there again
		}
	}
}

// hotKeys are the keys of a hot worker's commands. Only the queue's differ from one
// command to the next; all others write the same keys each time, which "" stands for.
func hotKeys(cmds [][]string) []string {
	switch c := cmds[0]; c[0] {
	case "RPUSH", "LPOP":
		return c[1:2]
	case "LMOVE":
		return c[1:3]
	}
	return []string{""}
}

// heldKeyRefused notes that a key was refused which this life of the proxy had held.
func (w *world) heldKeyRefused(client int, life int64, keys []string) {
	w.violate("held key refused", "client %d, life %d, keys %q", client, life, keys)
}
