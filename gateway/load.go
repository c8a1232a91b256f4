package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tidwall/gjson"

	"holdfast/gateway/store"
)

// scanRest is how many times as long as a scan of the keyspace took it rests
// before the next: a scan reads every key there is, and may take 5 % of the time.
// In a small Redis that is every poll.
const scanRest = 20

// loader reads the stored state from Redis. Owned by one goroutine.
type loader struct {
	client  redis.UniversalClient
	store   *store.Store
	keys    keys
	timeout time.Duration // for one round trip

	log     *slog.Logger
	refused string // why what an earlier version wrote was not brought over

	scanned  []string  // what the last scan found
	scanNext time.Time // not before
}

// load reads configuration, aliases and all pools, in two round trips and a scan.
func (l *loader) load(ctx context.Context) (rawState, error) {
	head := l.client.Pipeline()
	config := head.Get(ctx, l.keys.Config())
	custom := head.Get(ctx, l.keys.customModels())
	index := head.SMembers(ctx, l.keys.PoolIndex())
	old := head.SMembers(ctx, l.keys.OldPoolIndex())
	if err := l.exec(ctx, head); err != nil {
		return rawState{}, fmt.Errorf("load configuration: %w", err)
	}
	if len(old.Val()) > 0 {
		l.upgrade(ctx)
	}
	found, err := l.scan(ctx)
	if err != nil {
		return rawState{}, fmt.Errorf("scan for pools: %w", err)
	}
	types := append(index.Val(), found...)
	slices.Sort(types)
	types = slices.Compact(types)
	body := l.client.Pipeline()
	var prompts []*redis.StringCmd
	for _, name := range promptFiles(parsePrompt(gjson.Parse(config.Val())).file) {
		prompts = append(prompts, body.Get(ctx, l.keys.File(name)))
	}
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
	for _, p := range prompts {
		if raw.prompt == "" && len(p.Val()) <= maxPrompt {
			raw.prompt = p.Val()
		}
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

// scan finds the pools that nobody listed, such as one made with redis-cli; while it rests it
// gives the last result.
func (l *loader) scan(ctx context.Context) ([]string, error) {
	start := time.Now()
	if start.Before(l.scanNext) {
		return l.scanned, nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout+scanTimeout)
	defer cancel()
	types, err := l.store.FindTypes(ctx)
	if err != nil {
		return nil, err
	}
	l.scanned = slices.DeleteFunc(types, func(typ string) bool { return typ == "" })
	l.scanNext = time.Now().Add(scanRest * time.Since(start))
	return l.scanned, nil
}

// upgrade brings what an earlier version wrote over. Who may only read goes on
// without: both forms are read.
func (l *loader) upgrade(ctx context.Context) {
	had, err := l.store.Upgrade(ctx)
	switch {
	case err != nil && l.refused != err.Error():
		l.refused = err.Error()
		l.log.Warn("the provider types of an earlier version stay as they are", "error", err)
	case err == nil && had:
		l.log.Info("the provider types of an earlier version were brought over", "from", l.keys.OldPoolIndex(), "to", l.keys.PoolIndex())
	}
}

// scanTimeout bounds a scan of a keyspace of any size.
const scanTimeout = time.Minute

// equal compares two states byte for byte.
func (r rawState) equal(o rawState) bool {
	return r.config == o.config && r.prompt == o.prompt && r.customModels == o.customModels &&
		maps.EqualFunc(r.pools, o.pools, func(a, b map[string]string) bool { return maps.Equal(a, b) })
}
