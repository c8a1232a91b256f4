package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// expiryGrace is longer than the life of the keys that must be gone in the end,
// and than what the proxy can be wrong about the server's clock: half of a round
// trip over the slowest link that a fault makes.
const expiryGrace = 3 * time.Second

// checker compares one database of Redis with what the clients know.
type checker struct {
	*world
	ctx      context.Context
	c        *redis.Client // straight to Redis
	expected map[string]bool
}

// check compares Redis itself with what the clients know, then the proxy with
// Redis, and at last the proxy without Redis with what Redis held.
func (w *world) check(workers []*worker, foreign *foreigner) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	found := map[int][]string{}
	for db, group := range byDB(workers) {
		k := &checker{world: w, ctx: ctx, c: openRedis(w.redis.Addr(), db), expected: map[string]bool{prefix + "probe": true}}
		defer k.c.Close()
		for _, wk := range group {
			k.worker(wk)
		}
		if db == 0 {
			k.shared(group, foreign.own)
		} else {
			k.shared(group, nil)
		}
		found[db] = k.unexpected()
	}
	w.compare(ctx, found)
}

func byDB(workers []*worker) map[int][]*worker {
	m := map[int][]*worker{}
	for _, wk := range workers {
		m[wk.db] = append(m[wk.db], wk)
	}
	return m
}

// shared adds up what the clients know of the keys that all write.
func (k *checker) shared(group []*worker, foreign map[string]*counter) {
	counters, lists := map[string]*counter{}, map[string]*bag{}
	add := func(c *counter) {
		if counters[c.key] == nil {
			counters[c.key] = &counter{key: c.key, field: c.field, kind: c.kind}
		}
		counters[c.key].acked += c.acked
		counters[c.key].unknown += c.unknown
	}
	for _, c := range foreign {
		add(c)
	}
	for _, wk := range group {
		add(wk.keys.watched)
		for _, c := range wk.keys.shared {
			add(c)
		}
		for _, b := range wk.keys.sharedIDs {
			if lists[b.key] == nil {
				lists[b.key] = newBag(b.key, b.kind)
			}
			for id, o := range b.ids {
				lists[b.key].ids[id] = o
			}
		}
	}
	for _, c := range counters {
		k.counter(c)
	}
	for _, b := range lists {
		k.bag(b)
	}
}

// unexpected reports keys that nobody wrote, and returns all there are.
func (k *checker) unexpected() []string {
	found, err := k.c.Keys(k.ctx, prefix+"*").Result()
	k.must("list keys", err)
	for _, key := range found {
		if !k.expected[key] {
			ttl, err := k.c.PTTL(k.ctx, key).Result()
			k.violate("unexpected key", "%s is in Redis in the end, for another %v (error %v)", key, ttl, err)
		}
	}
	return found
}

func (k *checker) worker(wk *worker) {
	for _, c := range slices.Concat(wk.keys.counters, wk.keys.aside, []*counter{wk.keys.scripted}) {
		k.counter(c)
	}
	for _, p := range wk.keys.pairs {
		k.counter(p.a)
		k.counter(p.b)
		if a, b := k.value(p.a.get()), k.value(p.b.get()); a != b {
			k.violate("torn unit", "%s is %v and %s is %v, but they only change together", p.a.key, a, p.b.key, b)
		}
	}
	for _, g := range slices.Concat(wk.keys.registers, wk.keys.fleeting, wk.keys.asideRegs) {
		k.expected[g.key] = true
		if p := g.problem(k.value(g.get()), true); p != "" {
			k.violate("lost", "in Redis: %s", p)
		}
		k.ttl(g)
	}
	for _, bags := range wk.keys.bags {
		for _, b := range bags {
			k.bag(b)
		}
	}
	for _, it := range wk.keys.iterated {
		k.expected[it.key] = true
	}
	q := wk.keys.queue
	k.expected[q.todo], k.expected[q.done] = true, true
	list := func(key string) []string { return texts(k.value([]string{"LRANGE", key, "0", "-1"})) }
	for _, p := range q.problems(list(q.todo), list(q.done)) {
		k.violate("doubled or out of order", "in Redis: %s", p)
	}
}

func (k *checker) counter(c *counter) {
	k.expected[c.key] = true
	val := k.value(c.get())
	if p := c.problem(val, true); p != "" {
		class := "lost"
		if n, err := number(val); err == nil && n > c.acked {
			class = "doubled"
		}
		k.violate(class, "in Redis: %s", p)
	}
}

// ttl: the life of a key was an hour when it was written.
func (k *checker) ttl(g *register) {
	if g.kind != "expiring" || g.floor.Load() == 0 {
		return
	}
	ttl, err := k.c.PTTL(k.ctx, g.key).Result()
	k.must("read PTTL", err)
	if ttl > time.Hour+expiryGrace || ttl < time.Hour-time.Since(k.began)-expiryGrace {
		k.violate("wrong expiry", "%s lives for %v, but was written with one hour", g.key, ttl)
	}
}

func (k *checker) bag(b *bag) {
	k.expected[b.key] = true
	members, wrong := b.members(k.value(b.get()))
	if wrong != "" {
		k.violate("wrong answer", "in Redis: %s", wrong)
	}
	for _, p := range b.problems(members, true) {
		class := "lost"
		if !strings.Contains(p, "is not there") || strings.Contains(p, "told") {
			class = "doubled or out of order"
		}
		k.violate(class, "in Redis: %s", p)
	}
}

// value asks Redis itself.
func (k *checker) value(cmd []string) any {
	args := make([]any, len(cmd))
	for i, a := range cmd {
		args[i] = a
	}
	val, err := k.c.Do(k.ctx, args...).Result()
	if err != nil && err != redis.Nil {
		k.violate("judge", "%v: %v", cmd, err)
	}
	return val
}

// compare reads all keys through the proxy, with Redis and without it: both must
// give what Redis gives.
func (w *world) compare(ctx context.Context, found map[int][]string) {
	want, through := map[int]map[string]string{}, map[int]*redis.Client{}
	for db, keys := range found {
		direct := openRedis(w.redis.Addr(), db)
		want[db] = dump(ctx, direct, keys)
		_ = direct.Close()
		through[db] = redis.NewClient(&redis.Options{Addr: w.holdfast.Addr(), DB: db, MaxRetries: -1, ReadTimeout: 30 * time.Second})
		defer through[db].Close()
		w.differences("through the proxy", db, want[db], dump(ctx, through[db], keys))
	}
	deadline := time.Now().Add(30 * time.Second)
	for st, err := w.holdfast.Status(ctx); err != nil || !st.Mirror.Complete; st, err = w.holdfast.Status(ctx) {
		if time.Now().After(deadline) {
			w.violate("did not return", "the mirror is not complete: %+v, %v", st, err)
			return
		}
		sleep(ctx, 10*time.Millisecond)
	}
	w.redis.Kill()
	w.awaitMode(ctx, "offline", 10*time.Second)
	for db, keys := range found {
		w.differences("through the proxy, without Redis", db, want[db], dump(ctx, through[db], keys))
		if db != 0 {
			continue // the mirror is of one database; of others it holds what was used
		}
		offline, err := through[db].Keys(ctx, prefix+"*").Result()
		if err != nil || len(offline) != len(keys) {
			w.violate("wrong answer", "without Redis KEYS gives %d keys of %d, error %v", len(offline), len(keys), err)
		}
	}
}

func (w *world) differences(where string, db int, want, got map[string]string) {
	n := 0
	for key, v := range want {
		if got[key] == v || (db != 0 && strings.HasPrefix(got[key], "error UPSTREAMDOWN")) {
			continue
		}
		if n++; n <= 10 {
			w.violate("wrong answer", "%s %s is %.200s, but Redis holds %.200s", where, key, got[key], v)
		}
	}
	if n > 10 {
		w.violate("wrong answer", "%s %d keys differ from Redis", where, n)
	}
}
