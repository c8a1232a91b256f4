package fallback

import (
	"errors"
	"time"

	"holdfast/fallback/journal"
)

// kept is a piece of the journal that Redis has and that is kept for a while:
// after a failover the new Redis may lack it.
type kept struct {
	upTo  uint64
	bytes int64
	at    time.Time
}

// maxKept bounds the list of pieces; beyond it the newest grows.
const maxKept = 256

// retention decides when settled records are given up. Guarded by the store's lock.
type retention struct {
	pieces []kept
	bytes  int64
}

func (r *retention) add(upTo uint64, bytes int64, now time.Time) {
	r.bytes += bytes
	if n := len(r.pieces); n > 0 && (now.Sub(r.pieces[n-1].at) < time.Second && r.pieces[n-1].bytes < 1<<20 || n >= maxKept) {
		r.pieces[n-1].upTo = upTo
		r.pieces[n-1].bytes += bytes
		return
	}
	r.pieces = append(r.pieces, kept{upTo, bytes, now})
}

// due is the sequence up to which nothing needs to be kept any more, 0 for none.
func (r *retention) due(now time.Time, keep time.Duration, maxBytes int64) (upTo uint64) {
	for len(r.pieces) > 0 && (now.Sub(r.pieces[0].at) >= keep || r.bytes > maxBytes) {
		upTo = r.pieces[0].upTo
		r.bytes -= r.pieces[0].bytes
		r.pieces = r.pieces[1:]
	}
	return upTo
}

// settle notes that Redis has the records up to upTo for certain.
func (s *Store) settle(upTo uint64, bytes int64, locked bool) {
	if upTo <= s.settled.Load() {
		return
	}
	s.settled.Store(upTo)
	if !locked {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	s.kept.add(upTo, bytes, s.clock.Steady())
}

// giveUpKept truncates the journal by what is settled and old enough, but never
// beyond the last snapshot: a start without Redis then still finds every write
// that was acknowledged. Unless the disk has no room for a snapshot: what Redis has
// would fill it for good, and there would be no journal for the next outage.
func (s *Store) giveUpKept() error {
	s.mu.Lock()
	due := s.kept.due(s.clock.Steady(), s.cfg.Retain, s.cfg.RetainBytes)
	if due == 0 && s.giveUp == 0 {
		s.mu.Unlock()
		return nil
	}
	s.giveUp = max(s.giveUp, due)
	upTo := s.giveUp
	if !s.snap.noRoom {
		upTo = min(upTo, s.snap.seq)
	} else if upTo > s.snap.seq {
		s.log.Error("the disk has no room for a snapshot: writes that redis has are given up without one", "upto", upTo)
	}
	if upTo == s.giveUp {
		s.giveUp = 0
	}
	s.mu.Unlock()
	return s.jr.Truncate(upTo)
}

// syncJournal waits for the last writes to be durable. A journal that failed
// has nothing to wait for: what it acknowledged can be read and replayed, and a
// healthy Redis must not be kept away over it. Status goes on telling.
func (s *Store) syncJournal() error {
	if err := s.jr.Sync(); err != nil && !errors.Is(err, journal.ErrFailed) {
		return err
	}
	return nil
}
