package fallback

import (
	"fmt"

	"holdfast/fallback/datadir"
	"holdfast/fallback/record"
)

// mayBeEmbedded refuses to open a directory without a Redis that has served one:
// one start with a forgotten --redis-url would make the copy a database of its own,
// and the next start with it would bring that, stale, over what Redis holds by
// then. Nothing was changed so far.
func (s *Store) mayBeEmbedded(wasEmbedded bool) error {
	fresh := s.snap.savedAt.IsZero() && !s.mark().OfRedis()
	if !s.cfg.Embedded || wasEmbedded || fresh || s.cfg.Detach {
		return nil
	}
	return fmt.Errorf("data directory %s %w: give --redis-url; or another --data-dir; or --detach, which makes this copy, queued writes included, a store of its own for good", s.cfg.Dir, ErrServedRedis)
}

// becomeEmbedded notes that the directory is the database from now on: whoever
// opens it with a Redis later has to know, even after a crash. The snapshot that
// says so has all that was queued. What was noted about the Redis of a directory
// that is detached goes after it: until then it is one of that Redis.
func (s *Store) becomeEmbedded(wasEmbedded bool) error {
	doubts := len(s.res.doubt)
	s.res.doubt = map[record.KeyID]struct{}{} // what is here is the value now
	s.res.noteKnown()
	if !wasEmbedded {
		s.dirtyGen++
		if err := s.saveSnapshot(); err != nil {
			return err
		}
	}
	if !s.mark().OfRedis() {
		return nil
	}
	s.log.Warn("detached: this directory is a store of its own from now on", "keys", s.eng.Keys(), "keys_whose_newest_value_was_not_here", doubts)
	if err := s.changeMark(func(m *datadir.Checkpoint) { *m = datadir.Checkpoint{} }); err != nil {
		return err
	}
	return s.markFile.Sync()
}
