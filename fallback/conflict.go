package fallback

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast/fallback/deadletter"
	"holdfast/fallback/fetch"
	"holdfast/fallback/record"
)

const (
	conflictValue = 64 << 10 // a longer value is recorded without its content
)

// checkBases compares what the mirror last saw of the batch's keys with what
// Redis holds before their first write of the outage is replayed.
func (r *replayer) checkBases(ctx context.Context, batch []record.Record) error {
	byDB := map[int][]string{}
	claims := map[record.KeyID]claim{}
	for _, rec := range batch {
		for _, c := range claimsOf(&rec) {
			id := record.KeyID{DB: rec.DB, Key: string(c.base.Key)}
			if _, ok := claims[id]; ok || r.s.replay.changed[id] != "" {
				continue
			}
			claims[id] = c
			byDB[id.DB] = append(byDB[id.DB], id.Key)
		}
	}
	var found []deadletter.ConflictRecord
	for db, keys := range byDB {
		for len(keys) > 0 {
			n := min(len(keys), fetchBatch)
			values, err := r.src.Fetch(ctx, db, keys[:n], fetch.AnyLength, r.s.serverNow)
			if err != nil {
				return fmt.Errorf("look for conflicts: %w", err)
			}
			for i, v := range values {
				id := record.KeyID{DB: db, Key: keys[i]}
				if c := claims[id]; r.differs(c, v) {
					found = append(found, r.conflict(id, c, v))
				}
			}
			keys = keys[n:]
		}
	}
	return r.fileChanged(found)
}

// fileChanged records keys that were found changed, before any of their writes
// is sent: an error in a reply that gets lost is looked for among them.
func (r *replayer) fileChanged(found []deadletter.ConflictRecord) error {
	if len(found) == 0 {
		return nil
	}
	unsure, handed, ours := 0, 0, 0
	for _, c := range found {
		if c.Unsure {
			unsure++
		}
		if c.Policy == deadletter.Ours && (len(c.Theirs) > 0 || c.Omitted) {
			ours++
		}
		if c.HandOver {
			handed++
		}
	}
	if handed > 0 {
		r.s.log.Warn("keys of the embedded store have another value at redis: both are recorded in conflicts.jsonl", "keys", handed, "policy", string(r.s.cfg.handOver))
	}
	if n := len(found) - unsure - handed; n > 0 {
		r.s.log.Warn("keys were changed at redis during the outage", "keys", n, "policy", string(r.s.cfg.Conflict))
	}
	if unsure > 0 {
		r.s.log.Warn("keys at redis are not as last seen here, which may be by our own writes: the queued ones are applied", "keys", unsure)
	}
	if err := r.s.fileConflict(found); err != nil {
		return err
	}
	for _, c := range found {
		r.s.replay.changed[record.KeyID{DB: c.DB, Key: string(c.Key)}] = r.later(c)
	}
	r.withLock(func() {
		r.s.replay.conflicts += uint64(len(found) - unsure)
		r.s.replay.overwritten += uint64(ours)
	})
	return nil
}

func (r *replayer) differs(c claim, v fetch.Value) bool {
	if c.own != nil {
		return taken(c.own, v)
	}
	base := c.base
	if v.Busy {
		return false // changing this moment, or of a type that is not compared
	}
	now, _ := record.DigestOf(v.Commands)
	expired := now == record.Digest{} && base.ExpireMs != 0 && base.ExpireMs <= r.s.serverNow().UnixMilli()
	return now != base.Digest && !expired
}

func (r *replayer) conflict(id record.KeyID, c claim, theirs fetch.Value) deadletter.ConflictRecord {
	rec := deadletter.ConflictRecord{Seq: c.seq, DB: id.DB, Key: []byte(id.Key), Policy: r.s.cfg.Conflict, Theirs: theirs.Commands, Omitted: theirs.Busy}
	if c.own != nil {
		rec.HandOver, rec.Policy, rec.Ours = true, r.s.cfg.handOver, c.own
	} else {
		if rec.Unsure = !r.certain(c.seq, id, len(theirs.Commands) > 0 || theirs.Busy); rec.Unsure {
			rec.Policy = deadletter.Ours
		}
		r.withLock(func() { rec.Ours = r.s.eng.DumpKey(id.DB, []byte(id.Key)) })
	}
	for _, cmds := range []*[][][]byte{&rec.Ours, &rec.Theirs} {
		size := int64(0)
		for _, argv := range *cmds {
			size += record.ArgvBytes(argv)
		}
		if size > conflictValue {
			*cmds, rec.Omitted = nil, true
		}
	}
	return rec
}

// setAsideConflicted files the records that touch a conflicting key, under the
// policies that keep the value at Redis, and returns the others. A unit follows
// its strictest key.
func (r *replayer) setAsideConflicted(batch []record.Record) ([]record.Record, error) {
	if len(r.s.replay.changed) == 0 {
		return batch, nil
	}
	var keep []record.Record
	var filed []deadletter.ConflictRecord
	for _, rec := range batch {
		switch r.policyFor(&rec) {
		case deadletter.Ours:
			keep = append(keep, rec)
		case deadletter.Theirs:
			filed = append(filed, deadletter.ConflictRecord{Seq: rec.Seq, DB: rec.DB, Policy: deadletter.Theirs, Commands: rec.Commands})
		default:
			why := "conflict: the key was changed at redis during the outage"
			if rec.HandOver {
				why = "conflict: redis has another value of this key of the embedded store"
			}
			r.s.dead.Add(rec, why, r.s.cfg.Now()) // flush writes it
			r.count(0, 1)
		}
	}
	if err := r.s.fileConflict(filed); err != nil {
		return nil, err
	}
	for _, c := range filed {
		r.s.filed.Add(c.Seq)
	}
	return keep, nil
}

// touches reports whether the record names a key that was found changed and is
// treated by one of the policies.
func (r *replayer) touches(rec record.Record, policies ...deadletter.Conflict) bool {
	for _, argv := range rec.Commands {
		for _, k := range record.CommandKeys(argv) {
			if slices.Contains(policies, r.s.replay.changed[record.KeyID{DB: rec.DB, Key: string(k)}]) {
				return true
			}
		}
	}
	return false
}

// loadChanged takes up, after a restart, the keys of this outage that an earlier
// replay found changed before it was interrupted.
func (r *replayer) loadChanged() error {
	if r.s.replay.changed != nil {
		return nil
	}
	changed, since := map[record.KeyID]deadletter.Conflict{}, r.s.mark().Since
	err := deadletter.ReadConflicts(r.s.cfg.Dir, func(c deadletter.ConflictRecord) error {
		if c.Key != nil && c.Seq > since && c.Stream == r.s.StreamID() {
			changed[record.KeyID{DB: c.DB, Key: string(c.Key)}] = r.later(c)
		}
		return nil
	})
	if errors.Is(err, deadletter.ErrDamagedLines) {
		r.s.log.Warn("conflicts of an earlier replay cannot be read: their keys are looked at anew", "error", err)
	} else if err != nil {
		return err
	}
	r.s.replay.changed = changed
	return nil
}

// repliesLost files what may have failed in a batch that Redis executed and whose
// replies were lost. A journaled write was executed here before, so at Redis it
// can fail only on a key that is not as it was here; those were looked for, and
// recorded, before the batch was sent.
func (r *replayer) repliesLost(ctx context.Context, from, to uint64) error {
	r.s.log.Warn("the last batch was executed but its replies were lost: an error in them is not known", "from", from+1, "to", to)
	mark := r.s.mark()
	return r.noteUnjudged(ctx, from, to, func(rec record.Record) bool {
		failed := rec.Seq >= mark.FailedFrom && rec.Seq <= mark.FailedTo  // some have, and the letters are lost
		return failed || !rec.HandOver && r.touches(rec, deadletter.Ours) // a hand-over cannot fail
	})
}

// noteUnjudged files, as executed without a reply, those records after from and up
// to to that fn tells.
func (r *replayer) noteUnjudged(ctx context.Context, from, to uint64, fn func(record.Record) bool) error {
	var suspects []deadletter.ConflictRecord
	err := r.s.jr.Read(ctx, from, func(seq uint64, payload []byte) error {
		if seq > to || r.s.filed.Has(seq) {
			return nil
		}
		rec, err := record.Decode(seq, append([]byte(nil), payload...))
		if err == nil && fn(rec) {
			suspects = append(suspects, deadletter.ConflictRecord{Seq: seq, DB: rec.DB, Policy: deadletter.Ours, Commands: rec.Commands, NoReply: true})
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.s.fileConflict(suspects)
}
