package fallback

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"holdfast/fallback/datadir"
	"holdfast/fallback/deadletter"
)

// fileConflict appends to conflicts.jsonl and returns when it is on disk. On a full
// or broken disk the values are left out, and if that does not fit either, what is known
// elsewhere: a Redis that is back must not wait for room to complain in.
func (s *Store) fileConflict(recs []deadletter.ConflictRecord) error {
	if len(recs) == 0 {
		return nil
	}
	err := s.writeConflicts(recs)
	if err == nil {
		s.replay.noRoom = false
		return nil
	}
	for _, leave := range []func(*deadletter.ConflictRecord) bool{
		func(c *deadletter.ConflictRecord) bool { c.Ours, c.Theirs, c.Omitted = nil, nil, true; return true },
		(*deadletter.ConflictRecord).Needed,
	} {
		if !datadir.RefusesWrites(err) {
			break
		}
		if !s.replay.noRoom {
			s.replay.noRoom = true
			s.log.Error("the disk does not take conflicts.jsonl: conflicts are recorded without values, or only counted", "error", err)
		}
		var fewer []deadletter.ConflictRecord
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

func (s *Store) writeConflicts(recs []deadletter.ConflictRecord) error {
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
		if r.Commands == nil && info.Size()+int64(buf.Len()) > deadletter.ConflictFileBytes {
			r.Ours, r.Theirs, r.Omitted = nil, nil, true
			if r.Policy == deadletter.Ours {
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
