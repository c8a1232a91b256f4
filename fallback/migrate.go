package fallback

import (
	"errors"
	"fmt"
	"os"

	"holdfast/fallback/datadir"
	"holdfast/fallback/engine"
	"holdfast/fallback/journal"
	"holdfast/fallback/record"
)

// queueEverything prepares a data directory that was the database itself for
// its first Redis: every key is queued as one record that deletes the key there
// and recreates it. A crash anywhere in between starts it over from the same
// state: until the last step the snapshot says "embedded", nothing is replayed
// before Open returns, and each record begins with DEL, so recovering a part of
// them changes nothing.
func (s *Store) queueEverything() error {
	s.dirtyGen++
	if err := s.saveSnapshotAs(true); err != nil { // 1. all that the journal holds is in the snapshot,
		return fmt.Errorf("save embedded state: %w", err)
	}
	if err := s.jr.Truncate(s.snap.seq); err != nil { // 2. so that it need not be replayed,
		return fmt.Errorf("queue embedded state: %w", err)
	}
	s.settled.Store(s.snap.seq)
	if err := s.changeMark(func(m *datadir.Checkpoint) { m.HandedOver = s.snap.seq }); err != nil {
		return fmt.Errorf("queue embedded state: %w", err)
	}
	if err := s.markFile.Sync(); err != nil {
		return fmt.Errorf("queue embedded state: %w", err)
	}
	sample, err := readSample(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("queue embedded state: %w", err)
	}
	keys, left, err := s.appendAllKeys(&sample) // 3. but as whole keys,
	if err != nil {
		return fmt.Errorf("queue embedded state: %w", err)
	}
	for _, id := range left { // Redis has its own, or none: it is not known here
		s.eng.Delete(id.DB, []byte(id.Key))
		s.res.forget(id)
	}
	s.dirtyGen++
	if err := s.saveSnapshotAs(false); err != nil { // 4. and from here on there is a Redis.
		return fmt.Errorf("save state: %w", err)
	}
	s.oldest = s.cfg.Now()
	s.log.Info("embedded state queued for redis", "keys", keys, "keys_of_the_sample_left_out", len(left))
	if err := os.Remove(samplePath(s.cfg.Dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Warn("cannot remove the note of the sample configuration", "error", err)
	}
	return nil
}

// appendLibraries queues the libraries of functions. One that Redis has already stays
// as it is there: the queued one becomes a dead letter.
func (s *Store) appendLibraries(at int64) error {
	for _, code := range s.eng.Libraries() {
		rec := record.Record{TimeMs: at, Commands: [][][]byte{record.ArgvOf("FUNCTION", "LOAD", code)}}
		s.buf = record.Append(s.buf[:0], rec)
		if _, err := s.jr.Append(s.buf); err != nil {
			return err
		}
	}
	return nil
}

// appendAllKeys queues every key but those that are as the sample had them.
func (s *Store) appendAllKeys(sample *sampleNote) (keys int, left []record.KeyID, err error) {
	rec := record.Record{TimeMs: s.serverNow().UnixMilli(), HandOver: true}
	last := ""
	appendKey := func() error {
		if len(rec.Commands) == 0 {
			return nil
		}
		id := record.KeyID{DB: rec.DB, Key: last}
		if sample.holds(rec.DB, last, rec.Commands[1:]) {
			left = append(left, id)
			return nil
		}
		s.written.add(id) // this record is what its later writes are compared by
		s.buf = record.Append(s.buf[:0], rec)
		if keys++; keys%1024 == 0 {
			if err := s.jr.Sync(); err != nil { // bounds what waits in memory
				return err
			}
		}
		_, err := s.jr.Append(s.buf)
		if errors.Is(err, journal.ErrFull) {
			return fmt.Errorf("%w: raise --journal-bytes", err)
		}
		return err
	}
	if err := s.appendLibraries(rec.TimeMs); err != nil {
		return 0, nil, err
	}
	never := func(int, string) bool { return false }
	for at, done := (engine.Place{}), false; !done; {
		at, done, err = s.eng.DumpSlice(at, dumpSlice, never, func(db int, argv [][]byte) error {
			if key := record.Recreated(argv); len(rec.Commands) == 0 || key != last || db != rec.DB {
				if err := appendKey(); err != nil {
					return err
				}
				last, rec.DB = key, db
				rec.Commands = append(rec.Commands[:0], record.ArgvOf("DEL", key))
			}
			rec.Commands = append(rec.Commands, argv)
			return nil
		})
		if err != nil {
			return keys, left, err
		}
	}
	if err := appendKey(); err != nil {
		return keys, left, err
	}
	s.buf = nil
	return keys, left, s.jr.Sync()
}
