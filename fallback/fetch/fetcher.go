// Package fetch reads values from the real Redis with plain commands: whole, or in pieces
// where they are large, each with its deadline, so that both belong together.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/fallback/record"
)

// Fetcher reads values from the real Redis with plain commands, one client for
// each database. Used by one goroutine.
type Fetcher struct {
	newClient func(db int) *redis.Client
	clients   map[int]*redis.Client
	// Held is the large string that is held of a key, nil for none; it is compared
	// instead of being read once more. nil: nothing is.
	Held func(db int, key string) []byte
	// Overtaken reports that a write of ours to the key makes what is read worthless,
	// now and at the end of the fetch: it is not read then. nil: none does.
	Overtaken func(key string) bool
	// Heavy asks for the memory of keys with a limit, and leaves those beyond it, or
	// beyond fetchRoom.
	Heavy  bool
	noInfo bool // XINFO is refused, until the next link
	noWhen bool // PEXPIRETIME is refused, until the next link
	fields fieldSupport
	asked  time.Time // the server's clock before the values of a fetch are asked for
}

// New makes a Fetcher; newClient gives a client of a database, which Close closes.
func New(newClient func(db int) *redis.Client) *Fetcher {
	return &Fetcher{newClient: newClient, clients: map[int]*redis.Client{}}
}

// Client is the client of a database.
func (f *Fetcher) Client(db int) *redis.Client {
	c, ok := f.clients[db]
	if !ok {
		c = f.newClient(db)
		f.clients[db] = c
	}
	return c
}

// Close closes all clients. The Fetcher may be used again, and asks a new link anew.
func (f *Fetcher) Close() error {
	var errs []error
	for _, c := range f.clients {
		errs = append(errs, c.Close())
	}
	f.clients, f.noInfo, f.noWhen, f.fields = map[int]*redis.Client{}, false, false, fieldsNotAsked
	return errors.Join(errs...)
}

// Value is one key as read from Redis: the commands that recreate it, none when
// it does not exist. Busy says that it changed type under the fetch.
type Value struct {
	Commands [][][]byte
	Size     int64
	Busy     bool
	Large    bool // more than was asked for: not read whole
	Later    bool // too much was asked for at once: not read
}

// Fetch reads keys of one database: their types in one round trip, then each
// value with its remaining life in a MULTI, so that both belong together. limit
// is the longest string of interest of a key, 0 for any; see Heavy.
func (f *Fetcher) Fetch(ctx context.Context, db int, keys []string, limit func(key string) int64, now func() time.Time) ([]Value, error) {
	c := f.Client(db)
	types, err := f.types(ctx, c, keys, limit)
	if err != nil {
		return nil, err
	}
	have, err := f.fetchLarge(ctx, c, db, keys, types, now)
	if err != nil {
		return nil, err
	}
	asked := f.asked
	reads, err := f.readValues(ctx, c, keys, types, limit, have)
	if err != nil {
		return nil, err
	}
	out := make([]Value, len(keys))
	for i, k := range keys {
		switch v, ok := have[k]; {
		case ok:
			out[i] = v
		case reads[i] == nil:
			// It is there, but was not read: not a type that is mirrored, or overtaken.
			typ := types[i].Val()
			out[i].Large, out[i].Later = typ == typeTooLarge, typ == typeLater
			out[i].Busy = typ != "none" && typ != "" && !out[i].Large && !out[i].Later
			continue
		default:
			out[i] = f.toValue(k, types[i].Val(), reads[i], asked)
		}
		if most := limit(k); most > 0 && types[i].Val() == "string" && out[i].Size > most {
			out[i] = Value{Large: true, Size: most}
		}
	}
	return out, nil
}

// readValues asks for the values that are not there yet, each with its expiry.
// The result has the reply of EXEC for each key, nil if it was not asked for.
func (f *Fetcher) readValues(ctx context.Context, c *redis.Client, keys []string, types []*redis.StatusCmd, limit func(key string) int64, have map[string]Value) ([]*redis.Cmd, error) {
	reads := make([]*redis.Cmd, len(keys))
	var infos, expiries []*redis.Cmd
	_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, k := range keys {
			args := readCommand(types[i].Val(), k)
			if most := limit(k); most > 0 && types[i].Val() == "string" {
				args = []any{"GETRANGE", k, 0, most} // one byte more tells that it is longer
			}
			if _, ok := have[k]; args == nil || ok || f.Overtaken != nil && f.Overtaken(k) {
				continue
			}
			p.Do(ctx, "MULTI")
			expiries = append(expiries, p.Do(ctx, f.askExpiry(), k))
			p.Do(ctx, args...)
			if types[i].Val() == "stream" && !f.noInfo {
				infos = append(infos, p.Do(ctx, "XINFO", "STREAM", k)) // the last id outlives its entry
			}
			reads[i] = p.Do(ctx, "EXEC")
		}
		return nil
	})
	if err != nil && !IsReply(err) {
		return nil, fmt.Errorf("fetch values: %w", err)
	}
	if f.refusesExpiry(expiries...) {
		return f.readValues(ctx, c, keys, types, limit, have) // once: it asks otherwise now
	}
	for _, info := range infos {
		f.noInfo = f.noInfo || IsReply(info.Err()) // this user may not: what it aborted is fetched again without
	}
	return reads, nil
}

// What stands for the type of a key that is not read: it is too large, or it and
// those before it are too much at once. A reply takes many times its bytes here.
const (
	typeTooLarge = "too large"
	typeLater    = "later"
	typeHidden   = "hidden" // our user may write it, not read it: no reason to fail the others
	FetchRoom    = 1 << 20  // bytes at Redis of all keys with a limit; one key always fits
)

// types asks for the types of keys, and how much memory those have that are held
// up to a limit: a list of a gigabyte is not read because something was pushed
// onto it. A server that does not tell has its values read.
func (f *Fetcher) types(ctx context.Context, c *redis.Client, keys []string, limit func(key string) int64) ([]*redis.StatusCmd, error) {
	types, sizes := make([]*redis.StatusCmd, len(keys)), make([]*redis.IntCmd, len(keys))
	if _, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, k := range keys {
			types[i] = p.Type(ctx, k)
			if f.Heavy && limit(k) > 0 {
				sizes[i] = p.MemoryUsage(ctx, k)
			}
		}
		return nil
	}); err != nil && !IsReply(err) {
		return nil, fmt.Errorf("fetch types: %w", err)
	}
	used := int64(0)
	for i, k := range keys {
		if err := types[i].Err(); redis.HasErrorPrefix(err, "NOPERM") {
			types[i].SetVal(typeHidden)
		} else if err != nil {
			return nil, fmt.Errorf("fetch types: %w", err)
		}
		if sizes[i] == nil {
			continue
		}
		most, size := limit(k), sizes[i].Val()
		if types[i].Val() == "string" {
			most = 2 * (most + 1<<20) // it may have that much room to grow in
		}
		switch {
		case size > most:
			types[i].SetVal(typeTooLarge)
		case used > 0 && used+size > FetchRoom:
			types[i].SetVal(typeLater)
		default:
			used += size
		}
	}
	return types, nil
}

// AnyLength asks for strings whole.
func AnyLength(string) int64 { return 0 }

// IsReply reports whether the error is Redis's own reply rather than a failed link.
func IsReply(err error) bool {
	var re redis.Error
	return errors.As(err, &re)
}

func readCommand(typ, key string) []any {
	switch typ {
	case "string":
		return []any{"GET", key}
	case "hash":
		return []any{"HGETALL", key}
	case "list":
		return []any{"LRANGE", key, 0, -1}
	case "set":
		return []any{"SMEMBERS", key}
	case "zset":
		return []any{"ZRANGE", key, 0, -1, "WITHSCORES"}
	case "stream":
		return []any{"XRANGE", key, "-", "+"}
	}
	return nil
}

// toValue turns the EXEC reply [expiry, value], of a stream [expiry, value, XINFO],
// into the commands that recreate the key.
func (f *Fetcher) toValue(key, typ string, cmd *redis.Cmd, asked time.Time) Value {
	parts, err := cmd.Slice()
	if err != nil || len(parts) < 2 {
		return Value{Busy: true}
	}
	expiry, ok := parts[0].(int64)
	if !ok {
		return Value{Busy: true}
	}
	if _, failed := parts[1].(error); failed {
		return Value{Busy: true} // its type changed between the two round trips
	}
	if expiry == -2 || parts[1] == nil {
		return Value{} // gone
	}
	b := builder{key: key}
	if !b.add(typ, parts[1]) {
		return Value{Busy: true}
	}
	if typ == "stream" {
		b.streamEnd(parts[2:])
	}
	if len(b.out) == 0 {
		return Value{}
	}
	b.expireAt(f.deadline(expiry, asked))
	return Value{Commands: b.out, Size: b.size}
}

// builder makes commands that recreate a value, in chunks that stay small.
type builder struct {
	key  string
	out  [][][]byte
	size int64
}

const buildChunk = 512 // arguments in one command

func (b *builder) add(typ string, v any) bool {
	switch typ {
	case "string":
		s, ok := v.(string)
		if ok {
			b.size = int64(len(s))
			b.out = append(b.out, record.ArgvOf("SET", b.key, s))
		}
		return ok
	case "hash":
		return b.pairs("HSET", v, false)
	case "zset":
		return b.pairs("ZADD", v, true)
	case "list":
		return b.chunks("RPUSH", flatten(v))
	case "set":
		return b.chunks("SADD", flatten(v))
	case "stream":
		return b.stream(v)
	}
	return false
}

// pairs handles RESP3 maps and nested pairs as well as RESP2's flat arrays.
func (b *builder) pairs(name string, v any, swap bool) bool {
	flat := flatten(v)
	if flat == nil || len(flat)%2 != 0 {
		return false
	}
	if swap {
		for i := 0; i < len(flat); i += 2 {
			flat[i], flat[i+1] = flat[i+1], flat[i]
		}
	}
	return b.chunks(name, flat)
}

func (b *builder) chunks(name string, items []string) bool {
	if items == nil {
		return false
	}
	for len(items) > 0 {
		n := min(len(items), buildChunk)
		args := append([]string{name, b.key}, items[:n]...)
		for _, it := range items[:n] {
			b.size += int64(len(it)) + 16
		}
		b.out = append(b.out, record.ArgvOf(args...))
		items = items[n:]
	}
	return true
}

// flatten turns a reply (array, map, nested pairs; strings, integers, doubles)
// into a flat list of strings; nil when it holds anything else.
func flatten(v any) []string {
	out := []string{}
	switch t := v.(type) {
	case string:
		out = append(out, t)
	case int64:
		out = append(out, strconv.FormatInt(t, 10))
	case float64:
		out = append(out, strconv.FormatFloat(t, 'g', 17, 64))
	case []any:
		for _, e := range t {
			sub := flatten(e)
			if sub == nil {
				return nil
			}
			out = append(out, sub...)
		}
	case map[any]any:
		for k, e := range t {
			ks, vs := flatten(k), flatten(e)
			if ks == nil || vs == nil {
				return nil
			}
			out = append(append(out, ks...), vs...)
		}
	default:
		return nil
	}
	return out
}

// ScanCount is the COUNT hint of the initial load's SCAN.
const ScanCount = 1000
