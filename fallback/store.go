package fallback

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/fallback/engine"
	"holdfast/fallback/journal"
)

// Store is the local state with its journal. All methods are safe for
// concurrent use; one lock guards the engine, so that the order in which
// commands execute is the order in which they are journaled.
type Store struct {
	cfg Config
	log *slog.Logger

	mu       sync.Mutex // guards everything down to the blank line
	eng      *engine.Engine
	res      *residency
	changed  chan struct{} // closed and replaced when mode changes
	since    time.Time     // of the current mode
	staleAt  time.Time     // when local data stopped being coherent; zero while online
	dirtyGen uint64        // counts changes of the engine, for snapshots
	closed   bool
	buf      []byte // record encoding, reused

	mode   atomic.Int32
	offset atomic.Int64 // server clock minus local clock, nanoseconds
	jr     *journal.Journal
	mirror *mirror
	dead   *deadLetters
	replay replayState
	snap   snapshotState
}

// Open recovers the local state from the data directory: the snapshot, then the
// journaled writes on top of it. A second process on the same directory gets
// journal.ErrLocked. The store starts Offline, or Embedded when so configured.
func Open(cfg Config) (*Store, error) {
	if err := cfg.withDefaults(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	jr, err := journal.Open(journal.Config{Dir: JournalDir(cfg.Dir), MaxBytes: cfg.JournalBytes, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	s := &Store{cfg: cfg, log: cfg.Logger, jr: jr, changed: make(chan struct{}), since: cfg.Now()}
	s.eng = engine.New(engine.Config{Now: s.serverNow})
	s.res = newResidency(&s.cfg, func(id keyID) { s.eng.Delete(id.db, []byte(id.key)) })
	s.mirror = newMirror(s)
	s.mode.Store(int32(Offline))
	if cfg.Embedded {
		s.mode.Store(int32(Embedded))
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, jr.Close())
	}
	return s, nil
}

// recover loads the snapshot and re-executes the journaled writes after it.
func (s *Store) recover() error {
	var err error
	if s.dead, err = openDeadLetters(s.cfg.Dir); err != nil {
		return err
	}
	if err := s.loadReplayMark(); err != nil {
		return err
	}
	from, err := s.loadSnapshot()
	if err != nil {
		return err
	}
	n, err := s.reapplyJournal(from)
	if err != nil {
		return err
	}
	s.staleAt = s.snap.savedAt
	s.log.Info("local state recovered", "keys", s.eng.Keys(), "journaled_writes", n, "snapshot", s.snap.savedAt)
	return nil
}

// serverNow is the server's clock, as last measured; the local one before that.
func (s *Store) serverNow() time.Time { return s.cfg.Now().Add(time.Duration(s.offset.Load())) }

// Mode is what the store does now. It may change right after the call.
func (s *Store) Mode() Mode { return Mode(s.mode.Load()) }

// Serving reports whether Do answers commands (every mode but Online).
func (s *Store) Serving() bool { return s.Mode() != Online }

// Changed returns a channel that is closed at the next change of mode.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// setMode changes the mode and wakes who waits for it. The lock is held.
func (s *Store) setMode(m Mode) {
	old := s.Mode()
	if old == m {
		return
	}
	s.mode.Store(int32(m))
	s.since = s.cfg.Now()
	close(s.changed)
	s.changed = make(chan struct{})
	s.log.Info("mode changed", "from", old.String(), "to", m.String())
}

// Lost begins an outage: what was acknowledged but not yet seen in the mirror
// is applied, then the store answers. Safe to call in any mode.
func (s *Store) Lost(cause error) {
	if s.cfg.Embedded {
		return
	}
	s.mu.Lock()
	s.mirror.drainLocked()
	if s.Mode() == Online {
		s.staleAt = s.cfg.Now()
	}
	s.setMode(Offline)
	s.mu.Unlock()
	s.snap.request()
}

// StreamID names this data directory: it is part of the fence's key and of the
// names of the connections to Redis.
func (s *Store) StreamID() string { return s.jr.StreamID() }

// Close stops the store: state is saved and the journal synced. Idempotent.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mirror.drainLocked()
	s.mu.Unlock()
	err := s.saveSnapshot()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eng.Close()
	return errors.Join(err, s.jr.Close(), s.dead.Close())
}
