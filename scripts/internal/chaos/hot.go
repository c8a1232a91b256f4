package main

import "time"

// hotWorkers write to one key each, or to one pair or queue, without a pause: a
// mirrored key that is written all the time is held like any other.
const hotWorkers = 6

// hotOps are what they do, one of these each.
var hotOps = []func(k *keys) op{
	func(k *keys) op { c := k.counters[0]; return k.raising(c, 1, c.raise(1)) }, // a string
	func(k *keys) op { c := k.counters[1]; return k.raising(c, 1, c.raise(1)) }, // a hash
	func(k *keys) op { c := k.counters[2]; return k.raising(c, 1, c.raise(1)) }, // a sorted set
	(*keys).runScript,
	func(k *keys) op { return k.raisePair(k.pairs[0]) }, // a unit
	(*keys).useQueue, // lists
}

// newHotWorker is one of those, with keys of its own beside those of n others.
func newHotWorker(w *world, n, i int) *worker {
	wk := newWorkerIn(w, n+i, 0)
	wk.hot = hotOps[i%len(hotOps)]
	return wk
}

// runHot sends one command after the other until the world stops.
func (wk *worker) runHot() {
	defer wk.conn.Close()
	for !wk.w.stopping.Load() {
		life, before := wk.w.currentLife(), wk.notHeld
		acked := wk.acked
		wk.do([]op{wk.hot(wk.keys)})
		switch {
		case life != wk.w.currentLife():
		case wk.acked > acked:
			wk.ackedLife = life
		case wk.notHeld > before && wk.ackedLife == life:
			wk.w.heldKeyRefused(wk.id, life)
			time.Sleep(100 * time.Millisecond)
		case wk.notHeld > before:
			time.Sleep(5 * time.Millisecond) // a restart before Redis is there again
		}
	}
}

// heldKeyRefused notes that a key was refused which this life of the proxy had held.
// It is no lie and loses nothing, and it still happens now and then behind a restart
// of the proxy: a violation with --strict only, and always counted.
func (w *world) heldKeyRefused(client int, life int64) {
	w.heldRefused.Add(1)
	if w.cfg.strict {
		w.violate("held key refused", "client %d, life %d", client, life)
		return
	}
	w.logf("held key refused: client %d, life %d", client, life)
}
