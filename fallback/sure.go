package fallback

import (
	"holdfast/fallback/datadir"
	"holdfast/fallback/record"
)

// Whether a key that differs from what the mirror last saw was changed by
// somebody else is known only if nothing of our own can be the difference. It
// can be when
//   - the process was restarted and its snapshot is older than the outage: writes
//     that Redis acknowledged in between are at Redis and not here;
//   - a write was sent, not answered, and not journaled: Redis may have executed it;
//   - another server process answers than before, or its fence went back: a
//     replica or an older copy may lack what Redis had acknowledged. It does not
//     lack what the mirror saw of a key whose last change is older than the beat
//     that this server has (beat.go). One that has neither beat nor fence has lost
//     everything: what is there of a key came later, from somebody else.
//
// Then the difference is recorded and our writes are applied, whatever the policy:
// the strict policies would drop them for a conflict that nobody made. Either way
// a value that gives way to ours is counted as overwritten.

// followFrom ends an outage in the mark, and notes, and makes durable, that from
// here on the mirror follows a server: no snapshot made before it is what the
// mirror last saw. The store's lock is held.
func (s *Store) followFrom(srv Server, settled uint64) {
	s.noteMark(true, func(m *datadir.Checkpoint) {
		m.Settled, m.Since = settled, settled
		m.OnlineRun, m.Unsure, m.UnsureFrom, m.WipedRun = srv.RunID, false, 0, ""
		m.Current++
	})
}

// Takeovers counts how often Redis has taken over from the local state. Cheap,
// without a lock.
func (s *Store) Takeovers() uint64 { return s.outage.takeovers.Load() }

// Unsure tells the store that a write to a key was sent and never answered, and
// that nobody else will tell of it: what Redis holds of the key is not known.
// takeovers is what Takeovers was when it was sent. If Redis has taken over since,
// it did so without a look at this key: what is held of it is given up, or the
// acknowledged writes that are executed on top of it would give made-up answers.
func (s *Store) Unsure(db int, key []byte, takeovers uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := record.KeyID{DB: db, Key: string(key)}
	s.unsure.add(id)
	if len(s.inDoubt) < refreshMax {
		s.inDoubt[id] = struct{}{}
	}
	if takeovers != s.outage.takeovers.Load() {
		s.mirror.drainLocked()
		s.mirror.unlearn(db, [][]byte{key})
	}
	s.outdateSnapshots()
}

// outdateSnapshots notes that Redis knows more than the snapshots that were made
// so far in this outage. The store's lock is held.
func (s *Store) outdateSnapshots() {
	if s.cfg.Embedded || s.Mode() == Online {
		return // none of them counts
	}
	if err := s.changeMark(func(m *datadir.Checkpoint) { m.Current++ }); err != nil {
		s.log.Warn("cannot note that the snapshot is outdated: a restart may report conflicts that nobody made", "error", err)
	}
	s.dirtyGen++
	s.snap.request()
}

// snapshotNumber is what a snapshot of the present state has to bear: 0 if the
// state is not what the mirror last saw.
func (s *Store) snapshotNumber() uint64 {
	mark := s.mark()
	if s.cfg.Embedded || mark.Unsure || s.Mode() == Online {
		return 0
	}
	return mark.Current
}

// judgeSnapshot decides, when the store was opened, whether the recovered state
// is what the mirror last saw of Redis. current is the number in the snapshot.
func (s *Store) judgeSnapshot(current uint64) error {
	mark := s.mark()
	if s.cfg.Embedded || mark.Unsure || (current != 0 && current == mark.Current) {
		return nil
	}
	err := s.changeMark(func(m *datadir.Checkpoint) { m.Unsure, m.UnsureFrom = true, s.jr.Stats().LastSeq })
	if err != nil {
		return err
	}
	return s.markFile.Sync()
}

// certain reports whether a key that differs from the base of the record must
// have been changed by somebody else. there: Redis has a value of it.
func (r *replayer) certain(seq uint64, id record.KeyID, there bool) (yes bool) {
	mark := r.s.mark()
	switch {
	case r.first:
		return true
	case mark.WipedRun != "" && mark.WipedRun == r.server.RunID:
		return there // all that it had is gone, and absence is no conflict
	case mark.Unsure && seq > mark.UnsureFrom:
		return false
	case r.server.RunID != "" && r.server.RunID == mark.OnlineRun && !r.setBack:
		return true
	case !r.hasBeat:
		return false
	}
	r.withLock(func() { yes = r.beat >= r.s.changes.of(id) })
	return yes
}
