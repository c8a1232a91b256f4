package fallback

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"holdfast/fallback/datadir"
	"holdfast/fallback/engine"
	"holdfast/fallback/fetch"
	"holdfast/fallback/record"
)

// errAborted says that EXEC ran nothing because a command was refused while it
// was queued.
var errAborted = errors.New("unit aborted")

// errRefused says that Redis ran nothing of a unit, for a cause that passes.
var errRefused = errors.New("redis refused the batch")

// retryable are the error codes of a Redis that cannot apply a write now and
// may later: replay stops before the record and comes back. NOPERM and NOAUTH
// are here because discarding writes over a wrong ACL would lose them.
var retryable = []string{
	"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS",
	"MISCONF", "OOM", "BUSY", "MOVED", "ASK", "NOAUTH", "NOPERM", "WRONGPASS",
}

func isRetryable(err error) bool {
	text := strings.TrimPrefix(err.Error(), "EXECABORT Transaction discarded because of: ")
	code, _, _ := strings.Cut(text, " ")
	return slices.Contains(retryable, code)
}

// unit is one MULTI/EXEC under way: the replies to queueing, and which record
// each queued command belongs to.
type unit struct {
	queued []*redis.Cmd
	owner  []int          // index into the batch; -1 for SELECT and the fence
	told   map[int]string // by place in queued: the id of an entry that clients know
	ours   []int          // places in queued of scripts that no client sent
	exec   *redis.Cmd
}

func (u *unit) add(c *redis.Cmd, owner int) {
	u.queued, u.owner = append(u.queued, c), append(u.owner, owner)
}

// tell notes the id that clients know of the entry that is queued next.
func (u *unit) tell(id string) {
	if u.told == nil {
		u.told = map[int]string{}
	}
	u.told[len(u.queued)] = id
}

// send executes the records and the fence as one MULTI/EXEC, and watches the
// fence again behind it. Redis runs all of it or nothing, so the fence always
// tells the truth about the records; and it runs nothing if anybody else moved
// the fence since the last look.
func (r *replayer) send(ctx context.Context, batch []record.Record, fence uint64) error {
	var u unit
	var get *redis.StringCmd
	base := r.s.cfg.BaseDB
	_, err := r.conn.Pipelined(ctx, func(p redis.Pipeliner) error {
		db := base
		p.Do(ctx, "MULTI")
		for i, rec := range batch {
			if rec.DB != db && len(rec.Commands) > 0 {
				db = rec.DB
				u.add(p.Do(ctx, "SELECT", db), -1)
			}
			for _, effect := range rec.Commands {
				argv, told := engine.ForRedis(effect)
				if &argv[0] != &effect[0] && record.IsWord(argv[0], "EVAL") {
					u.ours = append(u.ours, len(u.queued))
				}
				if r.noScripts {
					argv, told = engine.Told(effect), ""
				}
				if told != "" {
					u.tell(told)
				}
				argv, expire := r.server.split(argv)
				u.add(p.Do(ctx, anyArgs(argv)...), i)
				if expire != nil {
					u.add(p.Do(ctx, anyArgs(expire)...), -1) // it cannot fail where the SET did not
				}
			}
		}
		if db != base {
			u.add(p.Do(ctx, "SELECT", base), -1)
		}
		u.add(p.Do(ctx, "SET", r.fenceKey(), fence), -1)
		u.exec = p.Do(ctx, "EXEC")
		get = r.queueWatch(ctx, p)
		return nil
	})
	if err != nil && !fetch.IsReply(err) {
		// Unknown: the fence will tell.
		return errors.Join(fmt.Errorf("send batch: %w", err), r.died(ctx, batch, err))
	}
	if err := u.exec.Err(); errors.Is(err, redis.Nil) {
		return errGuard // nothing ran
	} else if err != nil && r.refusesScripts(&u) {
		return r.send(ctx, batch, fence)
	} else if err != nil {
		return u.aborted(err)
	}
	if err := r.judge(batch, &u); err != nil {
		return err
	}
	if now, err := get.Uint64(); err != nil || now != fence {
		r.advance(fence, 0)
		return errGuard
	}
	return nil
}

// refusesScripts reports that our user may not call EVAL at all, or that it was
// renamed. Then commands that clients were allowed go as they are: the replay must
// not wait for ever for what only its own forms need.
func (r *replayer) refusesScripts(u *unit) bool {
	if r.noScripts {
		return false
	}
	for _, i := range u.ours {
		err := u.queued[i].Err()
		if err == nil {
			continue
		}
		text := strings.ToLower(err.Error())
		if (strings.Contains(text, "'eval'") || strings.Contains(text, "`eval`")) &&
			(strings.HasPrefix(text, "noperm") || strings.HasPrefix(text, "err unknown command")) {
			r.noScripts = true
			r.s.log.Warn("redis does not let this user call EVAL: writes to keys whose deadline has passed, and stream entries whose id is taken, are replayed as plain commands", "error", err)
			return true
		}
	}
	return false
}

// split takes the expiry out of a SET for a server that does not know PXAT; both
// run in one unit.
func (srv *Server) split(argv [][]byte) (set, expire [][]byte) {
	if !srv.NoPXAT || len(argv) != 5 || !record.IsWord(argv[0], "SET") || !record.IsWord(argv[3], "PXAT") {
		return argv, nil
	}
	return argv[:3], [][]byte{[]byte("PEXPIREAT"), argv[1], argv[4]}
}

// aborted decides what a refused EXEC means: a cause that will pass stops the
// replay here, anything else is looked for one record at a time.
func (u *unit) aborted(execErr error) error {
	for _, c := range u.queued {
		if err := c.Err(); err != nil && isRetryable(err) {
			return fmt.Errorf("%w: %w", errRefused, err)
		}
	}
	if !fetch.IsReply(execErr) {
		return fmt.Errorf("send batch: %w", execErr)
	}
	if isRetryable(execErr) {
		return fmt.Errorf("%w: %w", errRefused, execErr)
	}
	if !strings.HasPrefix(execErr.Error(), "EXECABORT") {
		return fmt.Errorf("send batch: %w", execErr)
	}
	return errAborted
}

// judge files what the replies say failed: it was executed, and that is final,
// since the fence has moved past it. Of a unit only the commands that failed are
// filed: the others were applied, and a retry would double them.
func (r *replayer) judge(batch []record.Record, u *unit) error {
	results, err := u.exec.Slice()
	if err != nil || len(results) != len(u.queued) {
		return fmt.Errorf("read replies of the batch: %d for %d commands: %w", len(results), len(u.queued), err)
	}
	later, failed := 0, 0
	place := map[int]int{} // of the next reply within its record
	bad := map[int][][][]byte{}
	reason := map[int]string{}
	for i, res := range results {
		if id, is := res.(string); is && u.told[i] != "" && id != u.told[i] {
			later++
		}
		of := u.owner[i]
		n := place[of]
		place[of]++
		if err, is := res.(error); is && !errors.Is(err, redis.Nil) && of >= 0 {
			if bad[of] == nil {
				reason[of], failed = err.Error(), failed+1
			}
			bad[of] = append(bad[of], batch[of].Commands[n])
		}
	}
	if later > 0 {
		r.s.log.Warn("entries of streams got later ids than their clients were told: redis has newer entries", "entries", later)
	}
	r.count(len(batch), failed)
	var from, to uint64
	for i, rec := range batch {
		if bad[i] == nil {
			continue
		}
		if from == 0 {
			from = rec.Seq
		}
		to = rec.Seq
		r.s.dead.AddPart(rec, bad[i], reason[i], r.s.cfg.Now())
		r.s.log.Error("journaled write failed at redis: kept as a dead letter", "seq", rec.Seq, "error", reason[i])
	}
	return r.file(from, to)
}

// file writes the letters of records that failed. Where that fails, the next
// takeover does it first; should the process die before, the mark tells which
// records these are: a mark is overwritten in place, which a full disk allows.
func (r *replayer) file(from, to uint64) error {
	err := r.s.dead.Flush()
	if err == nil {
		return nil
	}
	merr := r.s.changeMark(func(m *datadir.Checkpoint) { m.FailedFrom, m.FailedTo = from, to })
	if merr == nil {
		merr = r.s.markFile.Sync()
	}
	r.s.log.Error("dead letters cannot be written: redis stays unused until they are", "error", err)
	return errors.Join(err, merr)
}

// oneByOne isolates the record that made Redis refuse the unit: it goes to the
// dead letters, and the fence moves past it in a unit of its own.
func (r *replayer) oneByOne(ctx context.Context, batch []record.Record, last uint64) error {
	for _, rec := range batch {
		err := r.send(ctx, []record.Record{rec}, rec.Seq)
		if errors.Is(err, errAborted) {
			r.s.dead.Add(rec, "refused by redis when queued: unknown command or wrong arguments", r.s.cfg.Now())
			if ferr := r.s.dead.Flush(); ferr != nil {
				return ferr
			}
			r.s.log.Error("journaled write is refused by redis: kept as a dead letter", "seq", rec.Seq)
			r.count(1, 1)
			err = r.send(ctx, nil, rec.Seq)
		}
		if err != nil {
			return err
		}
		r.advance(rec.Seq, 0)
	}
	return r.send(ctx, nil, last)
}

// missingFence handles a Redis that has no fence of ours. It never means "start
// at 0": either nothing was ever replayed there, or its data was wiped, evicted
// or replaced. Records that were never sent are replayed; a batch that was sent
// and not answered cannot be judged any more and becomes dead letters.
func (r *replayer) missingFence(ctx context.Context) error {
	mark := r.s.mark()
	r.done = r.s.settled.Load()
	if mark.FenceSeen && mark.To > r.done {
		r.s.log.Error("fence is missing at redis: it was wiped or replaced; the batch that was under way becomes dead letters",
			"from", mark.From, "to", mark.To, "same_server", mark.RunID == r.server.RunID)
		if err := r.fileAmbiguous(ctx, mark.To); err != nil {
			return err
		}
	}
	// It is set before anything is queued, so that a replica has it long before a
	// replay that it may miss: a fence that is not there would look like a wipe.
	if err := r.send(ctx, nil, r.done); fetch.IsReply(err) && r.s.jr.Count(r.done) == 0 {
		r.s.log.Debug("fence cannot be set now, and nothing is queued that needs it", "error", err)
		return nil
	} else if err != nil {
		return fmt.Errorf("set fence: %w", err)
	}
	r.s.noteMark(false, func(m *datadir.Checkpoint) { m.FenceSeen, m.Settled = true, r.done })
	return nil
}

// fileAmbiguous files the records that were sent and never answered.
func (r *replayer) fileAmbiguous(ctx context.Context, upTo uint64) error {
	err := r.s.jr.Read(ctx, r.done, func(seq uint64, payload []byte) error {
		if seq > upTo {
			return nil
		}
		rec, err := record.Decode(seq, append([]byte(nil), payload...))
		if err != nil || len(rec.Commands) == 0 {
			return err
		}
		r.count(1, 1)
		r.s.dead.Add(rec, "ambiguous: sent before the outage and the fence is gone", r.s.cfg.Now())
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.s.dead.Flush(); err != nil {
		return err
	}
	r.advance(upTo, 0)
	return nil
}

func anyArgs(argv [][]byte) []any {
	out := make([]any, len(argv))
	for i, a := range argv {
		out[i] = a
	}
	return out
}
