package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
)

// The set of provider types is a hint. The original application believes it where
// it is not empty, and looks for pools itself where it is; people with redis-cli
// do not know it. So every reader here takes the union of it and of a SCAN, and
// whoever writes to it makes it complete: a set with one type of three would hide
// the other two from the application.

// upgradeTries bounds how often an upgrade starts again after others wrote.
const upgradeTries = 8

// FindTypes lists the provider types by the set of types, by a SCAN of the pools
// and by the set of earlier versions, sorted.
func (s *Store) FindTypes(ctx context.Context) ([]string, error) {
	types, err := s.setOfTypes(ctx, s.PoolIndex())
	if err != nil {
		return nil, err
	}
	old, err := s.setOfTypes(ctx, s.OldPoolIndex())
	if err != nil {
		return nil, err
	}
	skip := map[string]bool{}
	if len(old) > 0 {
		skip[s.OldPoolIndex()] = true
	}
	for _, typ := range old {
		if s.oldPool(typ) != s.Keys.Pool(typ) {
			skip[s.oldPool(typ)] = true
		}
	}
	types = append(types, old...)
	err = s.Scan(ctx, s.PoolPrefix(), func(keys []string) error {
		for _, k := range keys {
			if typ, ok := s.PoolType(k); ok && !skip[k] {
				types = append(types, typ)
			}
		}
		return nil
	})
	slices.Sort(types)
	return slices.Compact(types), err
}

// setOfTypes reads a set; a key of another kind is none.
func (s *Store) setOfTypes(ctx context.Context, key string) ([]string, error) {
	types, err := s.rdb.SMembers(ctx, key).Result()
	if err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") {
		return nil, fmt.Errorf("list provider types: %w", err)
	}
	return types, nil
}

// Upgrade brings what an earlier version wrote into the form that the original
// application reads, and completes the set of types. It runs as one atomic unit,
// only if nobody wrote to either set meanwhile, so any number of processes may do
// it at a time, and one that dies leaves nothing half done. It reports whether
// there was anything of an earlier version.
func (s *Store) Upgrade(ctx context.Context) (had bool, err error) {
	for range upgradeTries {
		err = s.rdb.Watch(ctx, func(tx *redis.Tx) error {
			had, err = s.upgrade(ctx, tx)
			return err
		}, s.PoolIndex(), s.OldPoolIndex())
		if !errors.Is(err, redis.TxFailedErr) {
			break
		}
	}
	if err != nil {
		return false, fmt.Errorf("bring the provider types of an earlier version over: %w", err)
	}
	return had, nil
}

// upgrade is one try of it, under WATCH.
func (s *Store) upgrade(ctx context.Context, tx *redis.Tx) (had bool, err error) {
	old, err := s.setOfTypes(ctx, s.OldPoolIndex())
	if err != nil {
		return false, err
	}
	listed, err := s.setOfTypes(ctx, s.PoolIndex())
	if err != nil {
		return false, err
	}
	all, err := s.FindTypes(ctx)
	if err != nil {
		return false, err
	}
	missing := slices.DeleteFunc(all, func(typ string) bool { return slices.Contains(listed, typ) })
	if len(old) == 0 && len(missing) == 0 {
		return false, nil
	}
	_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
		if len(missing) > 0 {
			p.SAdd(ctx, s.PoolIndex(), members(missing)...)
		}
		if len(old) == 0 {
			return nil
		}
		p.Del(ctx, s.OldPoolIndex())
		for _, typ := range old {
			if from, to := s.oldPool(typ), s.Keys.Pool(typ); from != to && tx.Exists(ctx, from).Val() == 1 {
				p.RenameNX(ctx, from, to)
			}
		}
		return nil
	})
	return len(old) > 0, err
}

func members(types []string) []any {
	out := make([]any, len(types))
	for i, t := range types {
		out[i] = t
	}
	return out
}
