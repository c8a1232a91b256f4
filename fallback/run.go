package fallback

import (
	"context"
	"errors"
	"sync"
	"time"

	"holdfast/fallback/engine"
	"holdfast/fallback/fetch"
	"holdfast/fallback/record"
)

// Run follows Redis and saves the state from time to time until ctx ends. It
// must run for the mirror to be kept up to date. Call it once.
func (s *Store) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.endScripts)()
	var wg sync.WaitGroup
	if !s.cfg.Embedded {
		wg.Go(func() { s.beatLoop(ctx) })
		wg.Add(1)
		go func() {
			defer wg.Done()
			src := fetch.New(s.cfg.NewClient)
			src.Held, src.Heavy = s.heldLarge, true
			s.mirror.run(ctx, src)
			if err := src.Close(); err != nil {
				s.log.Debug("close mirror clients", "error", err)
			}
		}()
	}
	s.saveLoop(ctx)
	wg.Wait()
	return nil
}

// saveLoop saves the state regularly, when asked to, and, embedded, when the
// journal has grown so much that compaction pays.
func (s *Store) saveLoop(ctx context.Context) {
	regular := time.NewTicker(s.cfg.SnapshotEvery)
	defer regular.Stop()
	compact := time.NewTicker(time.Second)
	defer compact.Stop()
	failing, stuck := false, false // said already
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.snap.asked:
		case <-regular.C:
			if s.cfg.Embedded {
				continue // the journal holds everything; snapshots only compact it
			}
		case <-compact.C:
			s.mu.Lock()
			s.lookForRoom()
			s.mu.Unlock()
			s.watchDirectory()
			s.reviveJournal()
			err := s.giveUpKept()
			if err != nil && !stuck {
				s.log.Error("cannot give up replayed records", "error", err)
			}
			stuck = err != nil
			if !s.cfg.Embedded || s.jr.Stats().Bytes < min(s.cfg.CompactBytes, s.cfg.JournalBytes/2) {
				continue
			}
		}
		err := s.saveSnapshot()
		if err != nil && !failing && !errors.Is(err, ErrClosed) {
			s.log.Error("snapshot failed; journal and memory are not affected", "error", err)
		}
		failing = err != nil
	}
}

// startLoad makes the mirror fetch everything again: Redis may have changed in
// any way while it was away. The store's lock is held.
func (m *mirror) startLoad() {
	m.mu.Lock()
	m.flush = true
	m.mu.Unlock()
	m.signal()
}

// Warm fills the local state with commands that recreate keys which are not held,
// before Redis was seen: the configuration files of a first start, all of them at once. It is not journaled,
// but on disk when this returns: what is written on top of it must find it again.
// With complete, what they do not hold does not exist; that counts for the commands
// themselves, so their order does not matter. Nobody sees the state in between.
func (s *Store) Warm(db int, argvs [][][]byte, complete bool) error {
	if err := s.warm(db, argvs, complete); err != nil {
		return err
	}
	return s.saveSnapshot()
}

func (s *Store) warm(db int, argvs [][][]byte, complete bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.res.complete[db]
	if complete {
		s.res.completed(db)
	}
	for _, argv := range argvs { // these keys are what the commands make them, not what was in doubt
		delete(s.res.doubt, record.KeyID{DB: db, Key: record.Recreated(argv)})
	}
	for _, argv := range argvs {
		if err := s.replayLocally(s.eng.Do, db, argv); err != nil {
			if !before {
				delete(s.res.complete, db)
				s.res.noteKnown()
			}
			return err
		}
	}
	s.dirtyGen++
	return nil
}

// Empty reports whether the local state holds no key and never held a mirror.
func (s *Store) Empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.eng.Keys() == 0 && len(s.res.complete) == 0
}

// Status is what an operator wants to know of the local state.
type Status struct {
	Mode  string    `json:"mode"`
	Since time.Time `json:"since"`

	Keys        int       `json:"keys"`
	Bytes       int64     `json:"bytes"`
	Complete    bool      `json:"complete"`
	RefreshedAt time.Time `json:"refreshedAt"`

	QueuedWrites  uint64    `json:"queuedWrites"`
	JournalBytes  int64     `json:"journalBytes"`
	OldestAt      time.Time `json:"oldestAt"`
	LastSeq       uint64    `json:"lastSeq"`
	Fence         uint64    `json:"fence"`
	JournalFull   bool      `json:"full"`
	JournalFailed bool      `json:"failed"`
	RefusedWrites uint64    `json:"refusedWrites"` // because it was full or failed

	JournalRecovered int `json:"recovered"` // how often the journal went on after it had failed

	Replayed       uint64 `json:"replayed"`
	Conflicts      uint64 `json:"conflicts"`
	Overwritten    uint64 `json:"overwritten"` // keys whose other value at Redis gave way to ours
	DeadLetters    int    `json:"deadLetters"`
	LastDurationMs int64  `json:"lastDurationMs"`

	Troubles []string `json:"troubles,omitempty"` // what an operator has to look at
}

// Status returns a snapshot of the store's figures.
func (s *Store) Status() Status {
	j := s.jr.Stats()
	if s.mu.LockOrBusy() != nil {
		st := s.lastStatus.Load()
		if st == nil {
			return Status{Mode: s.Mode().String()}
		}
		return *st // a script has the state: nobody may look at it
	}
	defer s.mu.Unlock()
	s.lookForRoom()
	st := Status{
		Mode: s.Mode().String(), Since: s.outage.since,
		Keys: s.eng.Keys(), Bytes: s.res.bytes, Complete: s.cfg.Embedded || (s.res.complete[s.cfg.BaseDB] && len(s.res.doubt) == 0),
		QueuedWrites: s.jr.Count(s.settled.Load()), JournalBytes: j.Bytes, OldestAt: s.oldest, LastSeq: j.LastSeq, Fence: s.settled.Load(),
		JournalFull: s.full > 0, JournalFailed: j.Failed, RefusedWrites: s.refused, JournalRecovered: j.Revived,
		Replayed: s.replay.replayed, Conflicts: s.replay.conflicts, Overwritten: s.replay.overwritten, DeadLetters: s.dead.Count(),
		LastDurationMs: s.replay.lastTook.Milliseconds(), Troubles: s.troubles.list(),
	}
	if s.cfg.Embedded {
		st.QueuedWrites, st.OldestAt = 0, time.Time{} // nothing waits for a Redis
	}
	if st.QueuedWrites == 0 {
		st.OldestAt = time.Time{}
	}
	s.mirror.mu.Lock()
	st.RefreshedAt = s.mirror.stats.refreshedAt
	s.mirror.mu.Unlock()
	s.lastStatus.Store(&st)
	return st
}

// Watch are keys of the local state that a client watches for a later unit.
type Watch struct {
	keys      *engine.Watch
	takeovers uint64 // how often Redis had taken over then: once it does, nobody follows them here
}

// Dump gives commands that recreate the whole local state.
func (s *Store) Dump(fn func(db int, argv [][]byte) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.eng.Dump(fn)
}
