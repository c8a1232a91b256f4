package engine

import (
	"fmt"
	"sort"
	"strconv"
	"unsafe"
)

// dumpChunk is how many elements of a collection one command holds at most.
const dumpChunk = 512

// Dump calls fn with commands that recreate everything in an empty engine, or
// in a Redis: scripts loaded by SCRIPT LOAD, libraries of functions, then every key with its absolute
// deadline. Big collections come in several commands. It stops at fn's error and
// returns it. fn must not use the engine, nor change what it gets.
func (e *Engine) Dump(fn func(db int, argv [][]byte) error) error {
	e.tick()
	for _, body := range e.scripts.bodies() {
		if err := fn(0, toBytes([]string{"SCRIPT", "LOAD", body})); err != nil {
			return err
		}
	}
	for _, code := range e.Libraries() {
		if err := fn(0, toBytes([]string{"FUNCTION", "LOAD", "REPLACE", code})); err != nil {
			return err
		}
	}
	ids := make([]int, 0, len(e.dbs))
	for id := range e.dbs {
		ids = append(ids, id)
	}
	sort.Ints(ids)
	for _, id := range ids {
		for key := range e.dbs[id].keys {
			for _, argv := range e.dumpAs(id, key, key) {
				if err := fn(id, keepBytes(argv)); err != nil {
					return fmt.Errorf("dump database %d: %w", id, err)
				}
			}
		}
	}
	return nil
}

// Place is where a dump in slices has got to. The zero value is the beginning.
type Place struct {
	db    int
	hash  uint64
	key   string
	begun bool
}

// Passed reports whether a dump that has got here has had its chance of the key.
func (p Place) Passed(db int, key string) bool {
	if !p.begun || db != p.db {
		return p.begun && db < p.db
	}
	h := scanHash(key)
	return h < p.hash || h == p.hash && key <= p.key
}

// DumpSlice is Dump for about n keys, from a place on; done says that there are
// no more. Scripts are left out. Keys that change between slices are the caller's
// concern. skip keeps a key out.
func (e *Engine) DumpSlice(from Place, n int, skip func(db int, key string) bool, fn func(db int, argv [][]byte) error) (next Place, done bool, err error) {
	e.tick()
	for id := from.db; id < databases; id++ {
		ix := e.dbs[id]
		if ix == nil {
			continue
		}
		var batch []*entry
		collect := func(item any) bool {
			if en := item.(*entry); id != from.db || !from.begun || !from.Passed(id, en.key) {
				batch = append(batch, en)
			}
			return len(batch) < n
		}
		if id == from.db && from.begun {
			ix.ordered().Ascend(&entry{hash: from.hash, key: from.key}, collect)
		} else {
			ix.ordered().Ascend(nil, collect)
		}
		for _, en := range batch {
			from = Place{db: id, hash: en.hash, key: en.key, begun: true}
			n--
			if skip(id, en.key) {
				continue
			}
			for _, argv := range e.dumpAs(id, en.key, en.key) {
				if err := fn(id, keepBytes(argv)); err != nil {
					return from, false, fmt.Errorf("dump database %d: %w", id, err)
				}
			}
		}
		if n <= 0 {
			return from, false, nil
		}
	}
	return from, true, nil
}

// Scripts are the bodies to be loaded with SCRIPT LOAD, in a fixed order.
func (e *Engine) Scripts() []string { return e.scripts.bodies() }

// DumpKey is the commands that recreate one key; none when it does not exist.
// They must not be changed.
func (e *Engine) DumpKey(db int, key []byte) [][][]byte {
	e.tick()
	var out [][][]byte
	for _, argv := range e.dumpAs(db, string(key), string(key)) {
		out = append(out, keepBytes(argv))
	}
	return out
}

// LongString is the string that a key holds if it has at least that many bytes,
// nil for none. It is not a copy: nobody may write to it.
func (e *Engine) LongString(db int, key []byte, least int) []byte {
	e.tick()
	en := e.find(db, string(key))
	if en == nil || en.kind != "string" {
		return nil
	}
	if v := e.stringOf(en); len(v) >= max(least, 1) {
		return unsafe.Slice(unsafe.StringData(v), len(v))
	}
	return nil
}

// Size is the length of a string and the number of elements of anything else, 0
// for a key that does not exist. It costs the same for all.
func (e *Engine) Size(db int, key []byte) int64 {
	e.tick()
	en := e.find(db, string(key))
	switch {
	case en == nil:
		return 0
	case en.kind == "string":
		return int64(len(e.stringOf(en)))
	}
	if en.obj != nil {
		return int64(en.obj.size())
	}
	return int64(en.stream.Len())
}

// dumpAs is the commands that recreate a key under a name.
func (e *Engine) dumpAs(db int, key, name string) [][]string {
	en := e.find(db, key)
	if en == nil {
		return nil
	}
	var out [][]string
	switch v := en.obj.(type) {
	case *list:
		out = chunked(v.slice(0, v.size()), 1, "RPUSH", name)
	case *set:
		out = chunked(v.all(), 1, "SADD", name)
	case *hash:
		out = dumpHash(v, name)
	case *zset:
		l := make([]string, 0, 2*v.size())
		for n := v.first(); n != nil; n = n.after() {
			l = append(l, formatDouble(n.score), n.member)
		}
		out = chunked(l, 2, "ZADD", name)
	}
	switch en.kind {
	case "string":
		out = [][]string{{"SET", name, e.stringOf(en)}}
	case "stream":
		out = dumpStream(en.stream, name)
	}
	if en.deadline != 0 {
		at := strconv.FormatInt(en.deadline, 10)
		if en.kind == "string" {
			out[0] = append(out[0], "PXAT", at)
		} else {
			out = append(out, []string{"PEXPIREAT", name, at})
		}
	}
	return out
}

func dumpHash(h *hash, name string) [][]string {
	l := make([]string, 0, 2*h.size())
	for _, f := range h.fields {
		l = append(l, f.name, f.value)
	}
	out := chunked(l, 2, "HSET", name)
	for _, f := range h.fields {
		if f.deadline != 0 {
			out = append(out, []string{"HPEXPIREAT", name, strconv.FormatInt(f.deadline, 10), "FIELDS", "1", f.name})
		}
	}
	return out
}

// chunked splits elements, taken unit at a time, over several commands.
func chunked(elements []string, unit int, head ...string) [][]string {
	var out [][]string
	for len(elements) > 0 {
		n := min(len(elements), unit*dumpChunk)
		argv := append(append(make([]string, 0, len(head)+n), head...), elements[:n]...)
		out, elements = append(out, argv), elements[n:]
	}
	return out
}
