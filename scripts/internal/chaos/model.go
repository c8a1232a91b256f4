package main

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
)

// outcome is what a client knows of a write.
type outcome int

const (
	acked   outcome = iota // must be there, once
	refused                // must not be there
	unknown                // there once, or not at all
)

// counter is a number that only its owner raises.
type counter struct {
	key, field     string // field of a hash, member of a sorted set
	kind           string // string, hash, zset, float, json, timed, deadline (fields of hashes)
	acked, unknown int64  // sums of what was added
}

func (c *counter) settle(o outcome, delta int64) {
	switch o {
	case acked:
		c.acked += delta
	case unknown:
		c.unknown += delta
	}
}

func (c *counter) get() []string {
	switch c.kind {
	case "hash", "json", "timed", "deadline":
		return []string{"HGET", c.key, c.field}
	case "zset":
		return []string{"ZSCORE", c.key, c.field}
	}
	return []string{"GET", c.key}
}

// raise is the command that adds delta and answers the new value.
func (c *counter) raise(delta int64) []string {
	by := fmt.Sprint(delta)
	switch c.kind {
	case "hash":
		return []string{"HINCRBY", c.key, c.field, by}
	case "zset":
		return []string{"ZINCRBY", c.key, by, c.field}
	case "float":
		return []string{"INCRBYFLOAT", c.key, by}
	case "json":
		return []string{"EVAL", jsonScript, "1", c.key, c.field, by}
	case "timed":
		return []string{"EVAL", timedScript, "1", c.key, c.field, by}
	case "deadline":
		return []string{"EVAL", deadlineScript, "1", c.key, c.field, by}
	}
	if delta == 1 {
		return []string{"INCR", c.key}
	}
	return []string{"INCRBY", c.key, by}
}

// problem judges a value that was read: at least what was acknowledged (where
// that can be asked for), at most that and all the unknown.
func (c *counter) problem(val any, whole bool) string {
	n, err := number(val)
	switch {
	case err != nil:
		return fmt.Sprintf("%s %s is no number: %v", c.key, c.field, val)
	case n > c.acked+c.unknown:
		return fmt.Sprintf("%s %s is %d, but only %d was added, and %d more of unknown outcome", c.key, c.field, n, c.acked, c.unknown)
	case whole && n < c.acked:
		return fmt.Sprintf("%s %s is %d, but %d was acknowledged (and %d unknown)", c.key, c.field, n, c.acked, c.unknown)
	}
	return ""
}

// register holds the last of many versions, written by its owner alone.
type register struct {
	key, field string
	kind       string // string, hash, expiring, fleeting (it is deleted now and then)
	issued     int64
	possible   []int64      // what it may hold; 0 is nothing
	floor      atomic.Int64 // the last acknowledged version, for other readers
}

func (g *register) settle(o outcome, version int64) {
	switch o {
	case acked:
		g.possible = []int64{version}
		g.floor.Store(version)
	case unknown:
		g.possible = append(g.possible, version)
	}
}

func (g *register) set(version int64) []string {
	v := fmt.Sprintf("v:%d", version)
	switch g.kind {
	case "hash":
		return []string{"HSET", g.key, g.field, v}
	case "expiring":
		return []string{"SET", g.key, v, "EX", "3600"}
	}
	return []string{"SET", g.key, v}
}

func (g *register) get() []string {
	if g.kind == "hash" {
		return []string{"HGET", g.key, g.field}
	}
	return []string{"GET", g.key}
}

// problem judges what the owner, or the end of the run, sees.
func (g *register) problem(val any, whole bool) string {
	v, err := version(val)
	if err != nil {
		return fmt.Sprintf("%s %s: %v", g.key, g.field, err)
	}
	for _, p := range g.possible {
		if p == v {
			return ""
		}
	}
	if !whole && v <= g.issued {
		return ""
	}
	return fmt.Sprintf("%s %s holds version %d, but only %v are possible", g.key, g.field, v, g.possible)
}

// bag holds ids that each were added at most once.
type bag struct {
	key   string
	kind  string // list, set, stream, log (a string that ids are appended to)
	ids   map[string]outcome
	told  map[string]string // the names that a stream gave its entries
	added int
}

func newBag(key, kind string) *bag {
	return &bag{key: key, kind: kind, ids: map[string]outcome{}, told: map[string]string{}}
}

func (b *bag) add(id string) []string {
	switch b.kind {
	case "set":
		return []string{"SADD", b.key, id}
	case "stream":
		return []string{"XADD", b.key, "*", "id", id}
	case "log":
		return []string{"APPEND", b.key, id + ";"}
	}
	return []string{"RPUSH", b.key, id}
}

func (b *bag) get() []string {
	switch b.kind {
	case "set":
		return []string{"SMEMBERS", b.key}
	case "stream":
		return []string{"XRANGE", b.key, "-", "+"}
	case "log":
		return []string{"GET", b.key}
	}
	return []string{"LRANGE", b.key, "0", "-1"}
}

// members takes the ids out of what get gave.
func (b *bag) members(val any) (ids []string, problem string) {
	switch b.kind {
	case "log":
		s, _ := val.(string)
		return strings.FieldsFunc(s, func(r rune) bool { return r == ';' }), ""
	case "stream":
		entries, _ := val.([]any)
		for _, e := range entries {
			pair, _ := e.([]any)
			if len(pair) != 2 {
				return ids, fmt.Sprintf("%s: %v is no entry", b.key, e)
			}
			fields := texts(pair[1])
			id := fields[len(fields)-1]
			if name := fmt.Sprint(pair[0]); b.told[id] != "" && entryTime(name) < entryTime(b.told[id]) {
				problem = fmt.Sprintf("%s: %s is entry %s, but the client was told %s", b.key, id, name, b.told[id])
			}
			ids = append(ids, id)
		}
		return ids, problem
	}
	return texts(val), ""
}

// entryTime is the first part of an entry's name. One that was added without Redis
// may be later in the end than the client was told, for Redis may have taken newer
// entries meanwhile; never earlier.
func entryTime(name string) int64 {
	ms, _, _ := strings.Cut(name, "-")
	n, _ := strconv.ParseInt(ms, 10, 64)
	return n
}

// problems judges the members that were read. In an ordered bag those of one
// client must come in the order in which it added them.
func (b *bag) problems(members []string, whole bool) (list []string) {
	add := func(format string, args ...any) {
		list = append(list, fmt.Sprintf("%s: ", b.key)+fmt.Sprintf(format, args...))
	}
	seen := map[string]bool{}
	last := map[string]int{}
	for _, id := range members {
		owner, n := splitID(id)
		switch o, known := b.ids[id]; {
		case seen[id]:
			add("%s is there twice", id)
		case !known:
			add("%s is there, but nobody added it", id)
		case o == refused:
			add("%s is there, but the client was told that it is not", id)
		case b.kind != "set" && n < last[owner]:
			add("%s comes after number %d of the same client", id, last[owner])
		}
		seen[id] = true
		last[owner] = max(last[owner], n)
	}
	if whole {
		for id, o := range b.ids {
			if o == acked && !seen[id] {
				add("%s was acknowledged and is not there", id)
			}
		}
	}
	sort.Strings(list)
	return list
}

// splitID takes "client.number" apart.
func splitID(id string) (string, int) {
	owner, n, _ := strings.Cut(id, ".")
	i, _ := strconv.Atoi(n)
	return owner, i
}

func number(val any) (int64, error) {
	switch v := val.(type) {
	case nil:
		return 0, nil
	case int64:
		return v, nil
	case float64:
		return int64(v), nil
	case string:
		v = strings.TrimSuffix(strings.TrimPrefix(v, `{"n":`), "}") // of a json counter
		return strconv.ParseInt(v, 10, 64)
	}
	return 0, fmt.Errorf("unexpected %T", val)
}

func version(val any) (int64, error) {
	if val == nil {
		return 0, nil
	}
	s, ok := val.(string)
	rest, marked := strings.CutPrefix(s, "v:")
	if !ok || !marked {
		return 0, fmt.Errorf("%v is no version", val)
	}
	return strconv.ParseInt(rest, 10, 64)
}

func texts(val any) []string {
	list, _ := val.([]any)
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = fmt.Sprint(v)
	}
	return out
}
