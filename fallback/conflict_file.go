package fallback

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"holdfast/fallback/datadir"
)

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
	HandOver bool       `json:"handOver,omitempty"` // the local value is that of a store that was embedded
	NoReply  bool       `json:"noReply,omitempty"`  // the write was executed and its reply lost: it may have failed on the changed key
}

// needed reports whether the record is the only place of an acknowledged write.
func (c *ConflictRecord) needed() bool { return c.Commands != nil && !c.NoReply }

// fileConflict appends to conflicts.jsonl and returns when it is on disk. On a full
// or broken disk the values are left out, and if that does not fit either, what is known
// elsewhere: a Redis that is back must not wait for room to complain in.
func (s *Store) fileConflict(recs []ConflictRecord) error {
	if len(recs) == 0 {
		return nil
	}
	err := s.writeConflicts(recs)
	if err == nil {
		s.replay.noRoom = false
		return nil
	}
	for _, leave := range []func(*ConflictRecord) bool{
		func(c *ConflictRecord) bool { c.Ours, c.Theirs, c.Omitted = nil, nil, true; return true },
		(*ConflictRecord).needed,
	} {
		if !datadir.RefusesWrites(err) {
			break
		}
		if !s.replay.noRoom {
			s.replay.noRoom = true
			s.log.Error("the disk does not take conflicts.jsonl: conflicts are recorded without values, or only counted", "error", err)
		}
		var fewer []ConflictRecord
		for _, r := range recs {
			if leave(&r) {
				fewer = append(fewer, r)
			}
		}
		recs = fewer
		err = s.writeConflicts(recs)
	}
	return err
}

func (s *Store) writeConflicts(recs []ConflictRecord) error {
	if len(recs) == 0 {
		return nil
	}
	if !s.replay.conflictsWhole { // it reads the whole file
		if err := datadir.CutTornLine(datadir.Conflicts(s.cfg.Dir)); err != nil {
			return fmt.Errorf("open conflicts: %w", err)
		}
	}
	s.replay.conflictsWhole = false // until this is written
	f, err := os.OpenFile(datadir.Conflicts(s.cfg.Dir), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
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
	if s.cfg.diskFull != nil {
		err = s.cfg.diskFull(buf.Len())
	}
	if err == nil {
		_, err = f.Write(buf.Bytes())
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil && info.Size() == 0 {
		err = datadir.SyncDir(s.cfg.Dir) // the name is new, and a write may be nowhere else
	}
	if err != nil {
		// What a full disk took of it would be there twice after the next try.
		return errors.Join(fmt.Errorf("write conflicts: %w", err), f.Truncate(info.Size()))
	}
	s.replay.conflictsWhole = true
	return nil
}

// ReadConflicts calls fn for every recorded conflict of a data directory, oldest
// first. A torn line (a crash while filing) is left out.
func ReadConflicts(dir string, fn func(ConflictRecord) error) error {
	f, err := os.Open(datadir.Conflicts(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open conflicts: %w", err)
	}
	defer f.Close()
	return datadir.EachLine(f, func(line []byte) error {
		var r ConflictRecord
		if json.Unmarshal(line, &r) != nil {
			return nil
		}
		return fn(r)
	})
}
