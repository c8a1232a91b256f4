package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/redis/go-redis/v9"
)

// scanEvery is how many polls apart the keyspace is scanned for pools while the
// index of pools is missing: a scan reads every key there is.
const scanEvery = 5

// loader reads the stored state from Redis. Owned by one goroutine.
type loader struct {
	client  redis.UniversalClient
	keys    keys
	timeout time.Duration // for one round trip

	sinceScan int
	scanned   []string
}

// load reads configuration, aliases and all pools, in two round trips.
func (l *loader) load(ctx context.Context) (rawState, error) {
	head := l.client.Pipeline()
	config := head.Get(ctx, l.keys.Config())
	custom := head.Get(ctx, l.keys.customModels())
	index := head.SMembers(ctx, l.keys.PoolIndex())
	if err := l.exec(ctx, head); err != nil {
		return rawState{}, fmt.Errorf("load configuration: %w", err)
	}
	types := index.Val()
	if len(types) == 0 {
		var err error
		if types, err = l.scan(ctx); err != nil {
			return rawState{}, fmt.Errorf("scan for pools: %w", err)
		}
	} else {
		l.sinceScan, l.scanned = 0, nil
	}
	body := l.client.Pipeline()
	replies := make([]*redis.MapStringStringCmd, len(types))
	for i, typ := range types {
		replies[i] = body.HGetAll(ctx, l.keys.Pool(typ))
	}
	if err := l.exec(ctx, body); err != nil {
		return rawState{}, fmt.Errorf("load pools: %w", err)
	}
	raw := rawState{config: config.Val(), customModels: custom.Val(), pools: make(map[string]map[string]string, len(types))}
	for i, typ := range types {
		raw.pools[typ] = replies[i].Val()
	}
	return raw, nil
}

// tokenBatch is how many tokens one pipeline reads.
const tokenBatch = 500

// errVanished is a Redis that lost everything since the accounts were read: that
// there are no tokens means nothing then.
var errVanished = errors.New("load tokens: the accounts they belong to are gone")

// tokens reads the tokens of all accounts that have one instead of a key; ""
// for one that is absent.
func (l *loader) tokens(ctx context.Context, s *snapshot) (map[accountID]string, error) {
	var ids []accountID
	for _, p := range s.pools {
		for _, a := range p.accounts {
			if a.oauth {
				ids = append(ids, a.id)
			}
		}
	}
	state := []string{l.keys.Config()}
	for _, typ := range s.types {
		state = append(state, l.keys.Pool(typ))
	}
	found := make(map[accountID]string, len(ids))
	for batch := range slices.Chunk(ids, tokenBatch) {
		pipe := l.client.Pipeline()
		replies := make([]*redis.StringCmd, len(batch))
		for i, id := range batch {
			replies[i] = pipe.Get(ctx, l.keys.Token(id.Type, id.UUID))
		}
		there := pipe.Exists(ctx, state...)
		if err := l.exec(ctx, pipe); err != nil {
			return nil, fmt.Errorf("load tokens: %w", err)
		}
		if there.Val() == 0 {
			return nil, errVanished
		}
		for i, id := range batch {
			found[id] = replies[i].Val()
		}
	}
	return found, nil
}

// exec runs a pipeline. A nil reply is not an error here, and a key that holds
// another type is the same as no key: it must not keep all others from loading.
func (l *loader) exec(ctx context.Context, p redis.Pipeliner) error {
	if p.Len() == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	cmds, err := p.Exec(ctx)
	if tolerable(err) {
		for _, cmd := range cmds { // Exec reports the first error only
			if !tolerable(cmd.Err()) {
				return cmd.Err()
			}
		}
		return nil
	}
	return err
}

func tolerable(err error) bool {
	return err == nil || errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "WRONGTYPE")
}

// scan finds the pools without their index; between scans it gives the last
// result.
func (l *loader) scan(ctx context.Context) ([]string, error) {
	if l.scanned != nil && l.sinceScan < scanEvery {
		l.sinceScan++
		return l.scanned, nil
	}
	found := []string{}
	seen := map[string]bool{}
	var cursor uint64
	for {
		stepCtx, cancel := context.WithTimeout(ctx, l.timeout)
		page, next, err := l.client.ScanType(stepCtx, cursor, l.keys.poolPattern(), 1000, "hash").Result()
		cancel()
		if err != nil {
			return nil, err
		}
		for _, key := range page {
			if typ, ok := l.keys.PoolType(key); ok && typ != "" && !seen[typ] {
				seen[typ] = true
				found = append(found, typ)
			}
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	sort.Strings(found)
	l.sinceScan, l.scanned = 0, found
	return found, nil
}

// equal compares two states byte for byte.
func (r rawState) equal(o rawState) bool {
	return r.config == o.config && r.customModels == o.customModels &&
		maps.EqualFunc(r.pools, o.pools, func(a, b map[string]string) bool { return maps.Equal(a, b) })
}
