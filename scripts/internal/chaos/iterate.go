package main

import (
	"fmt"
	"strings"
)

// fixedMembers are those of an iterated collection that stay; others come and go.
const fixedMembers = 60

// iterated is a collection that its owner iterates over, step by step among other
// commands, so that outages and restarts fall between two steps. What is in it from the
// first step to the last has to be returned.
type iterated struct {
	key, kind string // set, hash, zset
	filled    bool   // all fixed members were acknowledged
	cursor    string // "" before the first step
	seen      map[string]bool
	rounds    int // whole iterations
}

func (it *iterated) add(members ...string) []string {
	cmd := []string{map[string]string{"set": "SADD", "hash": "HSET", "zset": "ZADD"}[it.kind], it.key}
	for i, m := range members {
		switch it.kind {
		case "hash":
			cmd = append(cmd, m, "v")
		case "zset":
			cmd = append(cmd, fmt.Sprint(i), m)
		default:
			cmd = append(cmd, m)
		}
	}
	return cmd
}

func (it *iterated) remove(member string) []string {
	return []string{map[string]string{"set": "SREM", "hash": "HDEL", "zset": "ZREM"}[it.kind], it.key, member}
}

// iterate fills the collection, changes something beside the members that stay, or
// makes the next step.
func (k *keys) iterate() op {
	it := pick(k, k.iterated)
	if !it.filled {
		var members []string
		for i := range fixedMembers {
			members = append(members, fmt.Sprint("fixed", i))
		}
		return op{cmds: [][]string{it.add(members...)}, settle: func(o outcome, _ any) { it.filled = o == acked }}
	}
	switch member := fmt.Sprint("passing", k.wk.rand.Intn(200)); k.wk.rand.Intn(6) {
	case 0:
		return op{cmds: [][]string{it.add(member)}, settle: func(outcome, any) {}}
	case 1:
		return op{cmds: [][]string{it.remove(member)}, settle: func(outcome, any) {}}
	}
	from := it.cursor
	if from == "" {
		from, it.seen = "0", map[string]bool{}
	}
	cmd := []string{map[string]string{"set": "SSCAN", "hash": "HSCAN", "zset": "ZSCAN"}[it.kind], it.key, from, "COUNT", "7"}
	// Only what is answered is a step: after an error, the same cursor is used again.
	return op{read: true, cmds: [][]string{cmd}, settle: func(_ outcome, val any) {
		if it.cursor == from || from == "0" && it.cursor == "" { // not twice in one pipeline
			k.wk.check(it.step(val, k.wk.whole()))
		}
	}}
}

// step takes an answer of SCAN, and judges the iteration when it is over.
func (it *iterated) step(val any, whole bool) string {
	parts, ok := val.([]any)
	if !ok || len(parts) != 2 {
		return fmt.Sprintf("a step over %s answered %v", it.key, val)
	}
	members, stride := texts(parts[1]), 1
	if it.kind != "set" {
		stride = 2
	}
	for i := 0; i < len(members); i += stride {
		it.seen[members[i]] = true
	}
	if it.cursor = fmt.Sprint(parts[0]); it.cursor != "0" {
		return ""
	}
	it.cursor = ""
	it.rounds++
	var missing []string
	for i := range fixedMembers {
		if m := fmt.Sprint("fixed", i); !it.seen[m] {
			missing = append(missing, m)
		}
	}
	if len(missing) == 0 || !whole {
		return ""
	}
	return fmt.Sprintf("an iteration over %s ended without %d of %d members that were there all the time: %s", it.key, len(missing), fixedMembers, strings.Join(missing, " "))
}

// limit counts in a window of its own, in one of the forms of a limiter: none of its
// keys may outlive its window, whatever happens between its commands.
func (k *keys) limit() op {
	key := fmt.Sprintf("%sc%d:limit%d", prefix, k.wk.id, k.wk.rand.Intn(6))
	const window = "1500"
	forms := [][][]string{
		{{"EVAL", "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end return n", "1", key, window}},
		{{"EVAL", "local t = redis.call('TIME') redis.call('ZADD', KEYS[1], t[1], t[1]..t[2]) redis.call('PEXPIRE', KEYS[1], ARGV[1]) return redis.call('ZCARD', KEYS[1])", "1", key + "z", window}},
		{{"MULTI"}, {"INCR", key}, {"PEXPIRE", key, window, "NX"}, {"EXEC"}},
		{{"MULTI"}, {"SET", key, "0", "PX", window, "NX"}, {"INCR", key}, {"EXEC"}},
	}
	return op{cmds: pick(k, forms), settle: func(outcome, any) {}}
}

// writeShortField leaves a field of a hash that must be gone in the end, and its key
// with it (Redis 7.4 and later).
func (k *keys) writeShortField() op {
	key := fmt.Sprintf("%sc%d:fields%d", prefix, k.wk.id, k.wk.rand.Intn(3))
	field := fmt.Sprint("f", k.wk.rand.Intn(9))
	return op{cmds: [][]string{{"MULTI"}, {"HSET", key, field, "v"}, {"HPEXPIRE", key, "1500", "FIELDS", "1", field}, {"EXEC"}}, settle: func(outcome, any) {}}
}
