package fallback

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"holdfast/fallback/engine"
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
func (r *replayer) send(ctx context.Context, batch []Record, fence uint64) error {
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
				if told != "" {
					u.tell(told)
				}
				u.add(p.Do(ctx, anyArgs(argv)...), i)
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
	if err != nil && !isReply(err) {
		// Unknown: the fence will tell.
		return errors.Join(fmt.Errorf("send batch: %w", err), r.died(ctx, batch, err))
	}
	if err := u.exec.Err(); errors.Is(err, redis.Nil) {
		return errGuard // nothing ran
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

// needsDatabase files a record for a database that Redis does not have: one with
// fewer of them took over. A SELECT that fails inside EXEC does not stop EXEC: the
// commands behind it would change the database before it.
func (r *replayer) needsDatabase(ctx context.Context, rec *Record) error {
	if len(rec.Commands) == 0 || rec.DB == r.s.cfg.BaseDB {
		return nil
	}
	there, asked := r.dbs[rec.DB]
	if !asked {
		var err error
		if there, err = r.hasDatabase(ctx, rec.DB); err != nil {
			return err
		}
		if r.dbs == nil {
			r.dbs = map[int]bool{}
		}
		r.dbs[rec.DB] = there
	}
	if there {
		return nil
	}
	r.s.dead.add(*rec, fmt.Sprintf("redis has no database %d", rec.DB), r.s.cfg.Now()) // flush writes it
	r.s.log.Error("journaled write is for a database that redis does not have: kept as a dead letter", "seq", rec.Seq, "db", rec.DB)
	r.count(0, 1)
	rec.Commands, rec.Bases = nil, nil
	return nil
}

// hasDatabase asks Redis. Of refusals only those count that do not pass.
func (r *replayer) hasDatabase(ctx context.Context, db int) (bool, error) {
	var sel *redis.Cmd
	_, err := r.conn.Pipelined(ctx, func(p redis.Pipeliner) error {
		sel = p.Do(ctx, "SELECT", db)
		p.Do(ctx, "SELECT", r.s.cfg.BaseDB)
		return nil
	})
	if no := sel.Err(); isReply(no) && strings.HasPrefix(no.Error(), "ERR ") {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for database %d: %w", db, err)
	}
	return true, nil
}

// aborted decides what a refused EXEC means: a cause that will pass stops the
// replay here, anything else is looked for one record at a time.
func (u *unit) aborted(execErr error) error {
	for _, c := range u.queued {
		if err := c.Err(); err != nil && isRetryable(err) {
			return fmt.Errorf("%w: %w", errRefused, err)
		}
	}
	if !isReply(execErr) {
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
func (r *replayer) judge(batch []Record, u *unit) error {
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
		r.s.dead.addPart(rec, bad[i], reason[i], r.s.cfg.Now())
		r.s.log.Error("journaled write failed at redis: kept as a dead letter", "seq", rec.Seq, "error", reason[i])
	}
	return r.file(from, to)
}

// file writes the letters of records that failed. Where that fails, the next
// takeover does it first; should the process die before, the mark tells which
// records these are: a mark is overwritten in place, which a full disk allows.
func (r *replayer) file(from, to uint64) error {
	err := r.s.dead.flush()
	if err == nil {
		return nil
	}
	merr := r.s.changeMark(func(m *replayMark) { m.FailedFrom, m.FailedTo = from, to })
	if merr == nil {
		merr = r.s.markFile.Sync()
	}
	r.s.log.Error("dead letters cannot be written: redis stays unused until they are", "error", err)
	return errors.Join(err, merr)
}

// oneByOne isolates the record that made Redis refuse the unit: it goes to the
// dead letters, and the fence moves past it in a unit of its own.
func (r *replayer) oneByOne(ctx context.Context, batch []Record, last uint64) error {
	for _, rec := range batch {
		err := r.send(ctx, []Record{rec}, rec.Seq)
		if errors.Is(err, errAborted) {
			r.s.dead.add(rec, "refused by redis when queued: unknown command or wrong arguments", r.s.cfg.Now())
			if ferr := r.s.dead.flush(); ferr != nil {
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
	if err := r.send(ctx, nil, r.done); isReply(err) && r.s.jr.Count(r.done) == 0 {
		r.s.log.Debug("fence cannot be set now, and nothing is queued that needs it", "error", err)
		return nil
	} else if err != nil {
		return fmt.Errorf("set fence: %w", err)
	}
	r.s.noteMark(false, func(m *replayMark) { m.FenceSeen, m.Settled = true, r.done })
	return nil
}

// fileAmbiguous files the records that were sent and never answered.
func (r *replayer) fileAmbiguous(ctx context.Context, upTo uint64) error {
	err := r.s.jr.Read(ctx, r.done, func(seq uint64, payload []byte) error {
		if seq > upTo {
			return nil
		}
		rec, err := DecodeRecord(seq, append([]byte(nil), payload...))
		if err != nil || len(rec.Commands) == 0 {
			return err
		}
		r.count(1, 1)
		r.s.dead.add(rec, "ambiguous: sent before the outage and the fence is gone", r.s.cfg.Now())
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.s.dead.flush(); err != nil {
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
