package fallback

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
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
// elements are spread over commands, do not matter.
func digestOf(cmds [][][]byte) (d digest, expireMs int64) {
	var kind string
	ordered := sha256.New()
	var bag [sha256.Size]byte
	n := 0
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

// ConflictRecord is a line of conflicts.jsonl. Byte strings are base64 there.
type ConflictRecord struct {
	Seq      uint64     `json:"seq"`              // of the first write to the key in the outage
	Stream   string     `json:"stream,omitempty"` // of the journal that numbered it
	DB       int        `json:"db"`
	Key      []byte     `json:"key,omitempty"`
	FiledAt  time.Time  `json:"filedAt"`
	Policy   Conflict   `json:"policy"`
	Ours     [][][]byte `json:"ours,omitempty"`     // commands that recreate the local value
	Theirs   [][][]byte `json:"theirs,omitempty"`   // the same for the value at Redis; none: absent
	Omitted  bool       `json:"omitted,omitempty"`  // a value was too long to be recorded
	Commands [][][]byte `json:"commands,omitempty"` // a write that was not applied (theirs), or NoReply
	Unsure   bool       `json:"unsure,omitempty"`   // the difference may come from our own writes: applied whatever the policy
	NoReply  bool       `json:"noReply,omitempty"`  // the write was executed and its reply lost: it may have failed on the changed key
}

func conflictPath(dir string) string { return filepath.Join(dir, "conflicts.jsonl") }

// fileConflict appends to conflicts.jsonl and returns when it is on disk.
func (s *Store) fileConflict(recs []ConflictRecord) error {
	if len(recs) == 0 {
		return nil
	}
	if !s.replay.conflictsWhole { // it reads the whole file
		if err := cutTornLine(conflictPath(s.cfg.Dir)); err != nil {
			return fmt.Errorf("open conflicts: %w", err)
		}
	}
	s.replay.conflictsWhole = false // until this is written
	f, err := os.OpenFile(conflictPath(s.cfg.Dir), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open conflicts: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open conflicts: %w", err)
	}
	var buf bytes.Buffer
	for _, r := range recs {
		r.Stream, r.FiledAt = s.StreamID(), s.cfg.Now()
		if r.Commands == nil && info.Size()+int64(buf.Len()) > conflictFileBytes {
			r.Ours, r.Theirs, r.Omitted = nil, nil, true
			if r.Policy == Ours {
				continue // counted in status, and nothing was left out of Redis
			}
		}
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encode conflict: %w", err)
		}
		buf.Write(append(line, '\n'))
	}
	if _, err := f.Write(buf.Bytes()); err != nil {
		return fmt.Errorf("write conflicts: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync conflicts: %w", err)
	}
	s.replay.conflictsWhole = true
	return nil
}

// ReadConflicts calls fn for every recorded conflict of a data directory, oldest
// first. A torn line (a crash while filing) is left out.
func ReadConflicts(dir string, fn func(ConflictRecord) error) error {
	f, err := os.Open(conflictPath(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open conflicts: %w", err)
	}
	defer f.Close()
	return eachLine(f, func(line []byte) error {
		var r ConflictRecord
		if json.Unmarshal(line, &r) != nil {
			return nil
		}
		return fn(r)
	})
}

// checkBases compares what the mirror last saw of the batch's keys with what
// Redis holds before their first write of the outage is replayed.
func (r *replayer) checkBases(ctx context.Context, batch []Record) error {
	type claim struct {
		seq  uint64
		base Base
	}
	byDB := map[int][]string{}
	claims := map[keyID]claim{}
	for _, rec := range batch {
		for _, b := range rec.Bases {
			id := keyID{rec.DB, string(b.Key)}
			if _, ok := claims[id]; ok || r.s.replay.changed[id] != "" {
				continue
			}
			claims[id] = claim{rec.Seq, b}
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
				if c := claims[id]; r.differs(c.base, v) {
					found = append(found, r.conflict(id, c.seq, v))
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
	unsure := 0
	for _, c := range found {
		if c.Unsure {
			unsure++
		}
	}
	if n := len(found) - unsure; n > 0 {
		r.s.log.Warn("keys were changed at redis during the outage", "keys", n, "policy", string(r.s.cfg.Conflict))
	}
	if unsure > 0 {
		r.s.log.Warn("keys at redis are not as last seen here, which may be by our own writes: the queued ones are applied", "keys", unsure)
	}
	if err := r.s.fileConflict(found); err != nil {
		return err
	}
	for _, c := range found {
		r.s.replay.changed[keyID{c.DB, string(c.Key)}] = c.Policy
	}
	r.withLock(func() { r.s.replay.conflicts += uint64(len(found) - unsure) })
	return nil
}

func (r *replayer) differs(base Base, v value) bool {
	if v.busy {
		return false // changing this moment, or of a type that is not compared
	}
	now, _ := digestOf(v.commands)
	expired := now == digest{} && base.ExpireMs != 0 && base.ExpireMs <= r.s.serverNow().UnixMilli()
	return now != base.Digest && !expired
}

func (r *replayer) conflict(id keyID, seq uint64, theirs value) ConflictRecord {
	rec := ConflictRecord{Seq: seq, DB: id.db, Key: []byte(id.key), Policy: r.s.cfg.Conflict, Theirs: theirs.commands}
	if rec.Unsure = !r.certain(seq); rec.Unsure {
		rec.Policy = Ours
	}
	r.withLock(func() { rec.Ours = r.s.eng.DumpKey(id.db, []byte(id.key)) })
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
	if r.s.cfg.Conflict == Ours || len(r.s.replay.changed) == 0 {
		return batch, nil
	}
	var keep []Record
	var filed []ConflictRecord
	for _, rec := range batch {
		if !r.touches(rec, Theirs, ConflictToLetter) {
			keep = append(keep, rec)
			continue
		}
		if r.s.cfg.Conflict == Theirs {
			filed = append(filed, ConflictRecord{Seq: rec.Seq, DB: rec.DB, Policy: Theirs, Commands: rec.Commands})
			continue
		}
		r.s.dead.add(rec, "conflict: the key was changed at redis during the outage", r.s.cfg.Now()) // flush writes it
		r.count(0, 1)
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
			changed[keyID{c.DB, string(c.Key)}] = c.Policy
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
		return failed || r.touches(rec, Ours)
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
