package fallback

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"holdfast/fallback/record"
)

// withoutFence goes on with a Redis whose user may not keep the fence, if nothing
// is queued and the policy queues nothing: a user that may only read is enough then.
// Units it needs all the same: the mirror reads a value and its expiry in one.
func (r *replayer) withoutFence(ctx context.Context, err error, last uint64) error {
	p := r.s.cfg.Policy
	if (p == ReadOnly || p == Refuse) && r.s.jr.Count(r.s.settled.Load()) == 0 {
		if err = r.conn.Process(ctx, redis.NewStatusCmd(ctx, "MULTI")); err == nil {
			err = r.conn.Process(ctx, redis.NewSliceCmd(ctx, "EXEC"))
		}
		if err == nil {
			r.done = last
			return nil
		}
	}
	return fmt.Errorf("%w: allow the Redis user MULTI, EXEC, WATCH, GET, SET and the keys ~{holdfast}:*, without which nothing can be replayed exactly once; "+
		"with --offline readonly MULTI and EXEC are enough", err)
}

// isForbidden reports whether Redis refused a command to our user.
func isForbidden(err error) bool {
	var re redis.Error
	return errors.As(err, &re) && redis.HasErrorPrefix(re, "NOPERM")
}

// tailMissing tells of a Redis that lost writes it had answered for: a replica
// that missed them took over, or an older copy was restored. Its fence was set
// back with its data, so what is still kept is applied again from there.
func (r *replayer) tailMissing(fence, truncated, settled uint64) {
	r.s.log.Warn("redis came back without writes that it had acknowledged: they are applied again", "from", max(fence, truncated)+1, "to", settled)
	r.done, r.setBack = max(fence, truncated), true
	r.withLock(func() { // they are queued again: nothing may give them up
		r.s.settled.Store(r.done)
		r.s.kept, r.s.giveUp = retention{}, 0
	})
	if fence < truncated {
		r.s.log.Error("redis lost acknowledged writes that are no longer kept", "from", fence+1, "to", truncated)
	}
}

// watchFence begins to watch the fence and reads it. Before, it looks whether a unit
// may be begun at all: where MULTI is refused, the commands of a batch would run at
// once, one by one, and their errors would be nobody's.
func (r *replayer) watchFence(ctx context.Context) (fence uint64, there bool, err error) {
	var get *redis.StringCmd
	_, err = r.conn.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.Do(ctx, "MULTI")
		p.Do(ctx, "EXEC")
		get = r.queueWatch(ctx, p)
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, false, fmt.Errorf("watch fence: %w", err)
	}
	if errors.Is(get.Err(), redis.Nil) {
		return 0, false, nil
	}
	if fence, err = get.Uint64(); err != nil {
		return 0, false, fmt.Errorf("read fence: %w", err)
	}
	return fence, true, nil
}

func (r *replayer) queueWatch(ctx context.Context, p redis.Pipeliner) *redis.StringCmd {
	p.Do(ctx, "WATCH", r.fenceKey())
	return p.Get(ctx, r.fenceKey())
}

// foreignFence handles a fence beyond everything that could have been sent from
// here: the data directory was set back to an older copy. What that copy held was
// applied by then, as far as anybody can tell; what was queued in it is noted. What
// was written since is sent: the fence is set back, or it would be taken for applied.
func (r *replayer) foreignFence(ctx context.Context, fence, held uint64) error {
	r.s.log.Error("fence at redis is ahead of the journal: the data directory is an older copy; the writes queued in it were applied before",
		"fence", fence, "held", held, "last", r.s.jr.Stats().LastSeq)
	if err := r.noteUnjudged(ctx, r.s.settled.Load(), held, func(record.Record) bool { return true }); err != nil {
		return err
	}
	if err := r.send(ctx, nil, held); err != nil {
		return fmt.Errorf("set back fence: %w", err)
	}
	r.advance(held, 0)
	return nil
}
