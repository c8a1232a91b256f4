package main

import (
	"context"
	"fmt"
	"math/rand"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/scripts/internal/clients"
)

// foreignKey is written by somebody who does not know the proxy: versions 1, 2,
// 3, ... with the times at which Redis acknowledged them.
type foreignKey struct {
	key, kind string // string, hash, counter

	mu    sync.Mutex
	acked []time.Time // of version i+1
	told  int         // the newest version that any client was given
}

// newForeignKeys makes mirrored and other keys of each kind.
func newForeignKeys() (keys []*foreignKey) {
	for _, kind := range []string{"string", "hash", "counter"} {
		for i := range foreignKeys {
			prefix := []string{"aiclient:", "elsewhere:"}[i%2]
			keys = append(keys, &foreignKey{key: fmt.Sprintf("%sforeign:%s%d", prefix, kind, i), kind: kind})
		}
	}
	return keys
}

func (k *foreignKey) write(version int) []any {
	switch k.kind {
	case "hash":
		return []any{"HSET", k.key, "f", version, "g", "x"}
	case "counter":
		return []any{"INCR", k.key}
	}
	return []any{"SET", k.key, version}
}

// read is one way to ask for the key; each answers its version, see number.
func (k *foreignKey) read(r *rand.Rand) []string {
	ways := [][]string{{"GET", k.key}, {"GETRANGE", k.key, "0", "-1"}, {"MGET", k.key}}
	if k.kind == "hash" {
		ways = [][]string{{"HGET", k.key, "f"}, {"HMGET", k.key, "f", "g"}, {"HVALS", k.key},
			{"EVAL_RO", "return redis.call('HGET', KEYS[1], 'f')", "1", k.key}}
	}
	return ways[r.Intn(len(ways))]
}

// newest is the last acknowledged version.
func (k *foreignKey) newest() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.acked)
}

// tell notes that a client was given a version, and gives the newest of all.
func (k *foreignKey) tell(version int) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.told = max(k.told, version)
	return k.told
}

// age is how long before at a newer version than this was acknowledged.
func (k *foreignKey) age(version int, at time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if version >= len(k.acked) {
		return 0
	}
	return max(0, at.Sub(k.acked[version]))
}

// writeForeign writes straight to Redis: every second writer has every second key.
func (j *judge) writeForeign(ctx context.Context, part int, r *rand.Rand) {
	for ctx.Err() == nil {
		k := j.keys[r.Intn(len(j.keys)/2)*2+part]
		// Not ended by ctx: the outcome must be known.
		err := j.direct.Do(context.Background(), k.write(k.newest()+1)...).Err()
		now := time.Now()
		if err != nil {
			j.violate("the judge cannot write to Redis: %v", err)
			return
		}
		k.mu.Lock()
		k.acked = append(k.acked, now)
		k.mu.Unlock()
		j.writes.Add(1)
		// Bursts, and pauses in which a lost invalidation would show.
		if r.Intn(80) == 0 {
			sleep(ctx, time.Duration(r.Intn(int(bound+slack)))+slack)
		} else {
			sleep(ctx, time.Duration(r.Intn(20))*time.Millisecond)
		}
	}
}

// read reads foreign keys through the proxy as one client.
func (j *judge) read(ctx context.Context, id int, r *rand.Rand) {
	cfg := clients.Config{Addr: j.holdfast.Addr(), Proto: 2 + id%2}
	c := clients.Raw(cfg)
	if id%3 == 0 {
		c = clients.GoRedis(cfg)
	}
	defer c.Close()
	k := j.keys[0]
	for ctx.Err() == nil {
		if r.Intn(6) == 0 { // else the same once more, most likely by another command
			k = j.keys[r.Intn(len(j.keys))]
			sleep(ctx, time.Duration(r.Intn(24000))*time.Microsecond)
		}
		cmds := [][]string{k.read(r)}
		long := r.Intn(200) == 0
		for len(cmds) < 100 && (long || r.Intn(3) == 0) { // a pipeline that asks in several ways
			cmds = append(cmds, k.read(r))
		}
		told := k.tell(0)
		start := time.Now()
		replies, err := c.Do(cmds)
		end := time.Now()
		if err != nil {
			j.violate("client %d: connection closed though the proxy lived: %v", id, err)
			continue
		}
		for i, reply := range replies { // in order: what one tells, the next must know
			told = max(told, j.judgeRead(id, k, cmds[i], reply, start, end, told))
		}
		k.tell(told)
	}
}

// judgeRead gives the version that was read; told is the newest that any client
// had been given before.
func (j *judge) judgeRead(id int, k *foreignKey, cmd []string, reply clients.Reply, start, end time.Time, told int) int {
	if reply.Err != "" {
		if !strings.HasPrefix(reply.Err, "UPSTREAMDOWN ") {
			j.violate("client %d: %v: %s", id, cmd, reply.Err)
		}
		return 0
	}
	j.reads.Add(1)
	version, err := number(reply.Val)
	if err != nil {
		j.violate("client %d: %v answered %v: %v", id, cmd, reply.Val, err)
		return 0
	}
	j.modes.add(sample{client: id, cmd: cmd[0], key: k.key, version: version, told: told, start: start, end: end, age: k.age(version, start)})
	return version
}

// number reads a version; nothing is version 0.
func number(val any) (int, error) {
	switch v := val.(type) {
	case nil:
		return 0, nil
	case int64:
		return int(v), nil
	case string:
		if v == "" {
			return 0, nil // GETRANGE of nothing
		}
		return strconv.Atoi(v)
	case []any:
		if len(v) == 0 {
			return 0, nil
		}
		return number(v[0])
	}
	return 0, fmt.Errorf("unexpected %T", val)
}
