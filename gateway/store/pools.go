package store

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// readBatch is how many accounts one command reads.
const readBatch = 500

// Counters are an account's increments since it was imported.
type Counters struct{ Usage, Error, Refresh int64 }

// Entry is one provider account. JSON is as it was written, Counters the
// increments since.
type Entry struct {
	UUID     string
	JSON     []byte
	Counters Counters
}

// Merged is the account's JSON with its counters added in place; every other
// byte stays.
func (e Entry) Merged() []byte {
	raw := addToMember(e.JSON, UsageCount, e.Counters.Usage)
	raw = addToMember(raw, ErrorCount, e.Counters.Error)
	return addToMember(raw, RefreshCount, e.Counters.Refresh)
}

// Pool is one provider type with its accounts in the order of the file they
// came from; accounts added since follow, by uuid.
type Pool struct {
	Type    string
	Entries []Entry
}

// Pools reads all pools, sorted by type.
func (s *Store) Pools(ctx context.Context) ([]Pool, error) {
	types, err := s.FindTypes(ctx)
	if err != nil {
		return nil, err
	}
	pools := make([]Pool, 0, len(types))
	for _, t := range types {
		p, err := s.Pool(ctx, t)
		if err != nil {
			return nil, err
		}
		pools = append(pools, p)
	}
	return pools, nil
}

// Pool reads one provider type; an unknown one is empty.
func (s *Store) Pool(ctx context.Context, typ string) (Pool, error) {
	layout, _, err := s.Get(ctx, s.Keys.Layout(typ))
	if err != nil {
		return Pool{}, err
	}
	found := map[string][]byte{}
	err = s.EachEntry(ctx, typ, func(uuid string, raw []byte) error {
		found[uuid] = raw
		return nil
	})
	if err != nil {
		return Pool{}, err
	}
	p := Pool{Type: typ, Entries: make([]Entry, 0, len(found))}
	for _, uuid := range LayoutRefs(layout) {
		if raw, ok := found[uuid]; ok {
			p.Entries = append(p.Entries, Entry{UUID: uuid, JSON: raw})
			delete(found, uuid)
		}
	}
	known := len(p.Entries)
	for uuid, raw := range found {
		p.Entries = append(p.Entries, Entry{UUID: uuid, JSON: raw})
	}
	added := p.Entries[known:]
	sort.Slice(added, func(i, j int) bool { return added[i].UUID < added[j].UUID })
	for from := 0; from < len(p.Entries); from += readBatch {
		batch := p.Entries[from:min(from+readBatch, len(p.Entries))]
		if err := s.FillCounters(ctx, typ, batch); err != nil {
			return Pool{}, err
		}
	}
	return p, nil
}

// EachEntry calls visit for each account of a type, in no order, possibly twice
// for one that changes meanwhile. Memory stays flat.
func (s *Store) EachEntry(ctx context.Context, typ string, visit func(uuid string, raw []byte) error) error {
	var cursor uint64
	for {
		kv, next, err := s.rdb.HScan(ctx, s.Keys.Pool(typ), cursor, "", readBatch).Result()
		if err != nil {
			return fmt.Errorf("read pool %s: %w", typ, err)
		}
		for i := 0; i+1 < len(kv); i += 2 {
			if err := visit(kv[i], []byte(kv[i+1])); err != nil {
				return err
			}
		}
		if next == 0 {
			return nil
		}
		cursor = next
	}
}

// FillCounters reads the counters of a batch of accounts of one type.
func (s *Store) FillCounters(ctx context.Context, typ string, batch []Entry) error {
	if len(batch) == 0 {
		return nil
	}
	keys := make([]string, 0, len(batch)*len(CounterNames))
	for _, e := range batch {
		for _, name := range CounterNames {
			keys = append(keys, s.Counter(typ, e.UUID, name))
		}
	}
	vals, err := s.rdb.MGet(ctx, keys...).Result()
	if err != nil {
		return fmt.Errorf("read counters of %s: %w", typ, err)
	}
	number := func(v any) int64 {
		text, _ := v.(string)
		n, _ := strconv.ParseInt(text, 10, 64) // a key that is no number counts as none
		return n
	}
	for i := range batch {
		batch[i].Counters = Counters{Usage: number(vals[3*i]), Error: number(vals[3*i+1]), Refresh: number(vals[3*i+2])}
	}
	return nil
}

// Entry reads one account with its counters.
func (s *Store) Entry(ctx context.Context, typ, uuid string) (e Entry, ok bool, err error) {
	raw, err := s.rdb.HGet(ctx, s.Keys.Pool(typ), uuid).Bytes()
	if errors.Is(err, redis.Nil) {
		return Entry{}, false, nil
	}
	if err != nil {
		return Entry{}, false, fmt.Errorf("read account %s of %s: %w", uuid, typ, err)
	}
	batch := []Entry{{UUID: uuid, JSON: raw}}
	err = s.FillCounters(ctx, typ, batch)
	return batch[0], true, err
}

// SetEntry writes one account, and lists its type with all that are there, in
// one atomic unit.
func (s *Store) SetEntry(ctx context.Context, typ, uuid string, raw []byte) error {
	types, err := s.FindTypes(ctx)
	if err != nil {
		return err
	}
	_, err = s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.SAdd(ctx, s.PoolIndex(), members(append(types, typ))...)
		p.HSet(ctx, s.Keys.Pool(typ), uuid, raw)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write account %s of %s: %w", uuid, typ, err)
	}
	return nil
}

// DeleteEntry removes one account with its token and counters in one atomic unit.
func (s *Store) DeleteEntry(ctx context.Context, typ, uuid string) error {
	_, err := s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HDel(ctx, s.Keys.Pool(typ), uuid)
		keys := []string{s.Keys.Token(typ, uuid)}
		for _, name := range CounterNames {
			keys = append(keys, s.Counter(typ, uuid, name))
		}
		p.Del(ctx, keys...)
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete account %s of %s: %w", uuid, typ, err)
	}
	return nil
}

// Incr adds to one counter of an account and gives the new count since import.
func (s *Store) Incr(ctx context.Context, typ, uuid, name string, by int64) (int64, error) {
	n, err := s.rdb.IncrBy(ctx, s.Counter(typ, uuid, name), by).Result()
	if err != nil {
		return 0, fmt.Errorf("count %s of %s %s: %w", name, typ, uuid, err)
	}
	return n, nil
}
