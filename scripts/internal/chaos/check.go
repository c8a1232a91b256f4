package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// expiryGrace is longer than the life of the keys that must be gone in the end,
// and than what the proxy can be wrong about the server's clock: half of a round
// trip over the slowest link that a fault makes.
const expiryGrace = 3 * time.Second

// check compares Redis itself with what the clients know, then the proxy with
// Redis, and at last the proxy without Redis with what Redis held.
func (w *world) check(workers []*worker) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var shared counter
	sharedLists := map[string]*bag{}
	var expected []string
	for _, wk := range workers {
		expected = append(expected, w.checkWorker(ctx, wk)...)
		shared.key, shared.kind = wk.keys.shared.key, "string"
		shared.acked += wk.keys.shared.acked
		shared.unknown += wk.keys.shared.unknown
		for _, b := range wk.keys.sharedIDs {
			if sharedLists[b.key] == nil {
				sharedLists[b.key] = newBag(b.key, true)
			}
			for id, o := range b.ids {
				sharedLists[b.key].ids[id] = o
			}
		}
	}
	w.checkCounter(ctx, &shared)
	expected = append(expected, shared.key, prefix+"probe")
	for _, b := range sharedLists {
		w.checkBag(ctx, b)
		expected = append(expected, b.key)
	}
	found, err := w.direct.Keys(ctx, prefix+"*").Result()
	w.must("list keys", err)
	for _, key := range found {
		if !slices.Contains(expected, key) {
			ttl, err := w.direct.PTTL(ctx, key).Result()
			w.violate("unexpected key", "%s is in Redis in the end, for another %v (error %v)", key, ttl, err)
		}
	}
	w.compare(ctx, found)
}

func (w *world) checkWorker(ctx context.Context, wk *worker) (expected []string) {
	k := wk.keys
	for _, c := range append(slices.Clone(k.counters), k.scripted) {
		w.checkCounter(ctx, c)
		expected = append(expected, c.key)
	}
	for _, p := range k.pairs {
		w.checkCounter(ctx, p.a)
		w.checkCounter(ctx, p.b)
		if a, b := w.value(ctx, p.a.get()), w.value(ctx, p.b.get()); a != b {
			w.violate("torn unit", "%s is %v and %s is %v, but they only change together", p.a.key, a, p.b.key, b)
		}
		expected = append(expected, p.a.key, p.b.key)
	}
	for _, g := range k.registers {
		if p := g.problem(w.value(ctx, g.get()), true); p != "" {
			w.violate("lost", "in Redis: %s", p)
		}
		w.checkTTL(ctx, g)
		expected = append(expected, g.key)
	}
	for _, b := range append(slices.Clone(k.lists), k.sets...) {
		w.checkBag(ctx, b)
		expected = append(expected, b.key)
	}
	return expected
}

func (w *world) checkCounter(ctx context.Context, c *counter) {
	val := w.value(ctx, c.get())
	if p := c.problem(val, true); p != "" {
		class := "lost"
		if n, err := number(val); err == nil && n > c.acked {
			class = "doubled"
		}
		w.violate(class, "in Redis: %s", p)
	}
}

// checkTTL: the life of a key was an hour when it was written.
func (w *world) checkTTL(ctx context.Context, g *register) {
	if g.kind != "expiring" || g.floor.Load() == 0 {
		return
	}
	ttl, err := w.direct.PTTL(ctx, g.key).Result()
	w.must("read PTTL", err)
	if ttl > time.Hour+expiryGrace || ttl < time.Hour-time.Since(w.began)-expiryGrace {
		w.violate("wrong expiry", "%s lives for %v, but was written with one hour", g.key, ttl)
	}
}

func (w *world) checkBag(ctx context.Context, b *bag) {
	var members []string
	var err error
	if b.ordered {
		members, err = w.direct.LRange(ctx, b.key, 0, -1).Result()
	} else {
		members, err = w.direct.SMembers(ctx, b.key).Result()
	}
	w.must("read "+b.key, err)
	for _, p := range b.problems(members, true) {
		class := "lost"
		if !strings.Contains(p, "is not there") || strings.Contains(p, "told") {
			class = "doubled or out of order"
		}
		w.violate(class, "in Redis: %s", p)
	}
}

// value asks Redis itself.
func (w *world) value(ctx context.Context, cmd []string) any {
	args := make([]any, len(cmd))
	for i, a := range cmd {
		args[i] = a
	}
	val, err := w.direct.Do(ctx, args...).Result()
	if err != nil && err != redis.Nil {
		w.violate("judge", "%v: %v", cmd, err)
	}
	return val
}

// compare reads all keys through the proxy, with Redis and without it: both must
// give what Redis gives.
func (w *world) compare(ctx context.Context, keys []string) {
	want := dump(ctx, w.direct, keys)
	through := redis.NewClient(&redis.Options{Addr: w.holdfast.Addr(), MaxRetries: -1, ReadTimeout: 30 * time.Second})
	defer through.Close()
	w.differences("through the proxy", want, dump(ctx, through, keys))
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
	w.differences("through the proxy, without Redis", want, dump(ctx, through, keys))
	offline, err := through.Keys(ctx, prefix+"*").Result()
	if err != nil || len(offline) != len(keys) {
		w.violate("wrong answer", "without Redis KEYS gives %d keys of %d, error %v", len(offline), len(keys), err)
	}
}

func (w *world) differences(where string, want, got map[string]string) {
	n := 0
	for key, v := range want {
		if got[key] == v {
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

// dump reads keys of any type in one form.
func dump(ctx context.Context, c *redis.Client, keys []string) map[string]string {
	out := map[string]string{}
	for chunk := range slices.Chunk(keys, 200) {
		p := c.Pipeline()
		cmds := make([]redis.Cmder, len(chunk))
		for i, key := range chunk {
			switch {
			case strings.Contains(key, ":list"):
				cmds[i] = p.LRange(ctx, key, 0, -1)
			case strings.Contains(key, ":set"):
				cmds[i] = p.SMembersMap(ctx, key)
			case strings.HasSuffix(key, ":counts"), strings.HasSuffix(key, ":values"):
				cmds[i] = p.HGetAll(ctx, key)
			case strings.HasSuffix(key, ":scores"):
				cmds[i] = p.ZRangeWithScores(ctx, key, 0, -1)
			default:
				cmds[i] = p.Get(ctx, key)
			}
		}
		_, _ = p.Exec(ctx) // the errors are in the commands
		for i, key := range chunk {
			out[key] = show(cmds[i])
		}
	}
	return out
}

// show gives the same text for the same content; maps print in sorted order.
func show(c redis.Cmder) string {
	if c.Err() != nil {
		return "error " + c.Err().Error()
	}
	switch v := c.(type) {
	case *redis.StringSliceCmd:
		return fmt.Sprint(v.Val())
	case *redis.StringStructMapCmd:
		return fmt.Sprint(v.Val())
	case *redis.MapStringStringCmd:
		return fmt.Sprint(v.Val())
	case *redis.ZSliceCmd:
		return fmt.Sprint(v.Val())
	case *redis.StringCmd:
		return v.Val()
	}
	return fmt.Sprintf("unexpected %T", c)
}
