package fallback

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"holdfast/fallback/record"
)

// originID names one fence; each database has its own.
type originID struct {
	db  int
	key string
}

// originState is a fence as Redis holds it, read once for each replay: after
// the connections that could still have moved it were killed.
type originState struct {
	number uint64
	there  bool
}

// resolve looks whether a write that was under way had been executed. If so its
// commands are dropped from the replay, and only its place is settled. A fence
// that was there once and is gone leaves it unknown: the write is filed.
func (r *replayer) resolve(ctx context.Context, rec *record.Record) error {
	if rec.Origin.Key == "" {
		return nil
	}
	id := originID{rec.DB, rec.Origin.Key}
	st, ok := r.origins[id]
	if !ok {
		var err error
		if st, err = r.readFence(ctx, id); err != nil {
			return err
		}
		if r.origins == nil {
			r.origins = map[originID]originState{}
		}
		r.origins[id] = st
	}
	switch {
	case st.there && st.number >= rec.Origin.Number:
		rec.Commands = nil
	case !st.there && rec.Origin.Seen:
		r.s.dead.Add(*rec, "ambiguous: it was under way when redis went away, and its fence is gone", r.s.cfg.Now()) // flush writes it
		r.count(0, 1)
		rec.Commands = nil
	}
	return nil
}

func (r *replayer) readFence(ctx context.Context, id originID) (originState, error) {
	var get *redis.StringCmd
	base := r.s.cfg.BaseDB
	_, err := r.conn.Pipelined(ctx, func(p redis.Pipeliner) error {
		if id.db != base {
			p.Do(ctx, "SELECT", id.db)
		}
		get = p.Get(ctx, id.key)
		if id.db != base {
			p.Do(ctx, "SELECT", base)
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return originState{}, fmt.Errorf("read fence of writes under way: %w", err)
	}
	if errors.Is(get.Err(), redis.Nil) {
		return originState{}, nil
	}
	n, err := get.Uint64()
	if err != nil {
		return originState{}, fmt.Errorf("read fence %q: %w", id.key, err)
	}
	return originState{number: n, there: true}, nil
}
