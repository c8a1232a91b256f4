package fallback

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"
	"strconv"
)

// Conflict says what happens to a key's queued writes when somebody else changed
// the key at Redis during the outage.
type Conflict string

// The conflict policies. Each conflict is recorded with both values whatever
// the policy.
const (
	Ours             Conflict = "ours"        // the writes are applied on top
	Theirs           Conflict = "theirs"      // the value at Redis stays; the writes are filed with the conflict
	ConflictToLetter Conflict = "dead-letter" // the value at Redis stays; the writes become dead letters
)

// ParseConflict checks a conflict policy's name.
func ParseConflict(name string) (Conflict, error) {
	switch c := Conflict(name); c {
	case Ours, Theirs, ConflictToLetter:
		return c, nil
	}
	return "", fmt.Errorf("conflict policy %q: use ours, theirs or dead-letter", name)
}

const (
	digestLen         = 12
	conflictFileBytes = 16 << 20 // values are recorded up to here, later ones only counted
	conflictValue     = 64 << 10 // a longer value is recorded without its content
)

// digest is a fingerprint of a key's value, without its expiry; zero: absent.
type digest [digestLen]byte

// digestOf fingerprints the value that commands recreate, as engine.DumpKey and
// source.fetch give them. The order of sets, hashes and sorted sets, and how
// elements are spread over commands, do not matter. Fields of hashes with a deadline
// of their own are left out: one that has gone since was changed by nobody.
func digestOf(cmds [][][]byte) (d digest, expireMs int64) {
	var kind string
	ordered := sha256.New()
	var bag [sha256.Size]byte
	n := 0
	fleeting := expiringFields(cmds)
	for _, argv := range cmds {
		name, rest := string(argv[0]), argv[min(2, len(argv)):]
		step := 0
		switch name {
		case "SET":
			kind, n = name, n+1
			writeField(ordered, rest[0])
			if len(rest) == 3 {
				expireMs, _ = strconv.ParseInt(string(rest[2]), 10, 64)
			}
		case "RPUSH", "XADD":
			kind, n = name, n+1
			for _, a := range rest {
				writeField(ordered, a)
			}
		case "SADD":
			step = 1
		case "HSET", "ZADD":
			step = 2
		case "PEXPIREAT":
			expireMs, _ = strconv.ParseInt(string(rest[0]), 10, 64)
		}
		for i := 0; step > 0 && i+step <= len(rest); i += step {
			if name == "HSET" && fleeting[string(rest[i])] {
				continue
			}
			kind, n = name, n+1
			mix(&bag, name, rest[i:i+step])
		}
	}
	if n == 0 {
		return digest{}, 0
	}
	sum := sha256.Sum256(append(append([]byte(kind), bag[:]...), ordered.Sum(nil)...))
	copy(d[:], sum[:])
	return d, expireMs
}

// expiringFields are the fields of a hash that have a deadline.
func expiringFields(cmds [][][]byte) map[string]bool {
	var fields map[string]bool
	for _, argv := range cmds {
		if string(argv[0]) != "HPEXPIREAT" {
			continue
		}
		for _, f := range argv[5:] { // HPEXPIREAT key ms FIELDS n field...
			if fields == nil {
				fields = map[string]bool{}
			}
			fields[string(f)] = true
		}
	}
	return fields
}

func writeField(h hash.Hash, b []byte) {
	var n [binary.MaxVarintLen64]byte
	h.Write(n[:binary.PutUvarint(n[:], uint64(len(b)))])
	h.Write(b)
}

// mix adds one element to an unordered collection's fingerprint.
func mix(bag *[sha256.Size]byte, name string, element [][]byte) {
	h := sha256.New()
	for i, a := range element {
		if f, err := strconv.ParseFloat(string(a), 64); name == "ZADD" && i == 0 && err == nil {
			a = strconv.AppendFloat(nil, f, 'g', -1, 64) // servers print scores in different ways
		}
		writeField(h, a)
	}
	for i, b := range h.Sum(nil) {
		bag[i] ^= b
	}
}

// checkBases compares what the mirror last saw of the batch's keys with what
// Redis holds before their first write of the outage is replayed.
func (r *replayer) checkBases(ctx context.Context, batch []Record) error {
	byDB := map[int][]string{}
	claims := map[keyID]claim{}
	for _, rec := range batch {
		for _, c := range rec.claims() {
			id := keyID{rec.DB, string(c.base.Key)}
			if _, ok := claims[id]; ok || r.s.replay.changed[id] != "" {
				continue
			}
			claims[id] = c
			byDB[id.db] = append(byDB[id.db], id.key)
		}
	}
	var found []ConflictRecord
	for db, keys := range byDB {
		for len(keys) > 0 {
			n := min(len(keys), fetchBatch)
			values, err := r.src.fetch(ctx, db, keys[:n], anyLength, r.s.serverNow)
			if err != nil {
				return fmt.Errorf("look for conflicts: %w", err)
			}
			for i, v := range values {
				id := keyID{db, keys[i]}
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
func (r *replayer) fileChanged(found []ConflictRecord) error {
	if len(found) == 0 {
		return nil
	}
	unsure, handed, ours := 0, 0, 0
	for _, c := range found {
		if c.Unsure {
			unsure++
		}
		if c.Policy == Ours && (len(c.Theirs) > 0 || c.Omitted) {
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
		r.s.replay.changed[keyID{c.DB, string(c.Key)}] = r.later(c)
	}
	r.withLock(func() {
		r.s.replay.conflicts += uint64(len(found) - unsure)
		r.s.replay.overwritten += uint64(ours)
	})
	return nil
}

func (r *replayer) differs(c claim, v value) bool {
	if c.own != nil {
		return taken(c.own, v)
	}
	base := c.base
	if v.busy {
		return false // changing this moment, or of a type that is not compared
	}
	now, _ := digestOf(v.commands)
	expired := now == digest{} && base.ExpireMs != 0 && base.ExpireMs <= r.s.serverNow().UnixMilli()
	return now != base.Digest && !expired
}

func (r *replayer) conflict(id keyID, c claim, theirs value) ConflictRecord {
	rec := ConflictRecord{Seq: c.seq, DB: id.db, Key: []byte(id.key), Policy: r.s.cfg.Conflict, Theirs: theirs.commands, Omitted: theirs.busy}
	if c.own != nil {
		rec.HandOver, rec.Policy, rec.Ours = true, r.s.cfg.handOver, c.own
	} else {
		if rec.Unsure = !r.certain(c.seq, id, len(theirs.commands) > 0 || theirs.busy); rec.Unsure {
			rec.Policy = Ours
		}
		r.withLock(func() { rec.Ours = r.s.eng.DumpKey(id.db, []byte(id.key)) })
	}
	for _, cmds := range []*[][][]byte{&rec.Ours, &rec.Theirs} {
		size := int64(0)
		for _, argv := range *cmds {
			size += argvBytes(argv)
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
func (r *replayer) setAsideConflicted(batch []Record) ([]Record, error) {
	if len(r.s.replay.changed) == 0 {
		return batch, nil
	}
	var keep []Record
	var filed []ConflictRecord
	for _, rec := range batch {
		switch r.policyFor(&rec) {
		case Ours:
			keep = append(keep, rec)
		case Theirs:
			filed = append(filed, ConflictRecord{Seq: rec.Seq, DB: rec.DB, Policy: Theirs, Commands: rec.Commands})
		default:
			why := "conflict: the key was changed at redis during the outage"
			if rec.HandOver {
				why = "conflict: redis has another value of this key of the embedded store"
			}
			r.s.dead.add(rec, why, r.s.cfg.Now()) // flush writes it
			r.count(0, 1)
		}
	}
	if err := r.s.fileConflict(filed); err != nil {
		return nil, err
	}
	for _, c := range filed {
		r.s.filed.add(c.Seq)
	}
	return keep, nil
}

// touches reports whether the record names a key that was found changed and is
// treated by one of the policies.
func (r *replayer) touches(rec Record, policies ...Conflict) bool {
	for _, argv := range rec.Commands {
		for _, k := range commandKeys(argv) {
			if slices.Contains(policies, r.s.replay.changed[keyID{rec.DB, string(k)}]) {
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
	changed, since := map[keyID]Conflict{}, r.s.mark().Since
	err := ReadConflicts(r.s.cfg.Dir, func(c ConflictRecord) error {
		if c.Key != nil && c.Seq > since && c.Stream == r.s.StreamID() {
			changed[keyID{c.DB, string(c.Key)}] = r.later(c)
		}
		return nil
	})
	if err != nil {
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
	return r.noteUnjudged(ctx, from, to, func(rec Record) bool {
		failed := rec.Seq >= mark.FailedFrom && rec.Seq <= mark.FailedTo // some have, and the letters are lost
		return failed || !rec.HandOver && r.touches(rec, Ours)           // a hand-over cannot fail
	})
}

// noteUnjudged files, as executed without a reply, those records after from and up
// to to that fn tells.
func (r *replayer) noteUnjudged(ctx context.Context, from, to uint64, fn func(Record) bool) error {
	var suspects []ConflictRecord
	err := r.s.jr.Read(ctx, from, func(seq uint64, payload []byte) error {
		if seq > to || r.s.filed.has(seq) {
			return nil
		}
		rec, err := DecodeRecord(seq, append([]byte(nil), payload...))
		if err == nil && fn(rec) {
			suspects = append(suspects, ConflictRecord{Seq: seq, DB: rec.DB, Policy: Ours, Commands: rec.Commands, NoReply: true})
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.s.fileConflict(suspects)
}
