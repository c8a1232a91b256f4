package fallback

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"holdfast/fallback/clock"
	"holdfast/fallback/datadir"
	"holdfast/fallback/deadletter"
	"holdfast/fallback/engine"
	"holdfast/fallback/journal"
	"holdfast/fallback/record"
	"holdfast/fallback/snapshot"
)

// Store is the local state with its journal. All methods are safe for
// concurrent use; one lock guards the engine, so that the order in which
// commands execute is the order in which they are journaled.
type Store struct {
	cfg Config
	log *slog.Logger

	mu        stateLock // guards everything down to the blank line
	eng       *engine.Engine
	res       *residency
	changed   chan struct{} // closed and replaced when mode changes
	outage    outage
	dirtyGen  uint64 // counts changes of the engine, for snapshots
	closed    bool
	buf       []byte // record encoding, reused
	scripts   scriptTime
	running   *scope // what the running request touches; nil between requests
	written   keySet // keys written in this outage
	undo      undoLog
	changes   changes
	unsure    keySet                    // keys that Redis may have changed by a write nobody knows the outcome of
	inDoubt   map[record.KeyID]struct{} // those of them that came first, by name: also what is not here at all
	locks     map[record.KeyID]lock
	unclaimed map[record.KeyID]int64        // keys that a client was refused to create with an expiry, and until when (Unix ms)
	lockScan  int64                         // Unix ms from which on those that are over may be looked for again
	held      func(db int, key string) bool // residency.known, made once
	oldest    time.Time                     // of the oldest queued write
	waiting   waiting                       // clients in blocking commands
	full      int64                         // bytes of the largest write that did not fit into the journal and would not yet; 0: there is room
	refused   uint64                        // writes that the journal did not take
	kept      retention
	loading   int64  // Unix ms of the record being loaded; 0: it is now
	giveUp    uint64 // records up to here may be given up once a snapshot has them

	unfollowable unfollowable // scripts whose effects are fetched; a lock of its own

	onWrite  atomic.Pointer[func(db int, by int64, commands [][][]byte)]
	onExpire atomic.Pointer[func(db int, key string)]
	onEvent  atomic.Pointer[func(channel, message string)]
	alone    Alone
	closing  atomic.Bool

	lastStatus atomic.Pointer[Status]

	clock     clock.Clock
	settled   atomic.Uint64 // Redis has the journaled writes up to here
	jr        *journal.Journal
	mirror    *mirror
	dead      *deadletter.Letters
	filed     *deadletter.Filed
	replay    replayState
	snap      snapshotState
	troubles  troubles
	upstream  upstreamNote // what is queued is for this Redis; belongs to Open and the replay
	refusedBy atomic.Pointer[error]
	markFile  *os.File
}

// Open recovers the local state from the data directory: the snapshot, then the
// journaled writes on top of it. A second process on the same directory gets
// journal.ErrLocked. The store starts Offline, or Embedded when so configured.
func Open(cfg Config) (*Store, error) {
	if err := cfg.withDefaults(); err != nil {
		return nil, err
	}
	if err := datadir.MakePrivate(cfg.Dir, cfg.Logger); err != nil {
		return nil, err
	}
	jr, err := journal.Open(journal.Config{
		Dir: datadir.Journal(cfg.Dir), MaxBytes: cfg.JournalBytes + journalSlack, SegmentBytes: min(64<<20, max(cfg.JournalBytes/4, 1<<16)),
		Logger: cfg.Logger, FS: cfg.fs,
	})
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	s := &Store{cfg: cfg, log: cfg.Logger, jr: jr, changed: make(chan struct{})}
	if s.cfg.Embedded {
		s.clock.FollowWall(s.cfg.Now)
	} else {
		s.clock.Start(s.cfg.Now, s.cfg.Elapsed, s.cfg.look)
	}
	s.locks, s.inDoubt, s.unclaimed = map[record.KeyID]lock{}, map[record.KeyID]struct{}{}, map[record.KeyID]int64{}
	s.alone.s = s
	s.eng = engine.New(engine.Config{
		Now: s.serverNow, Access: s.access,
		// What a restart finds in the snapshot has to be what the journal's first
		// record found, expired or not.
		Expiring: func(db int, key string) {
			s.snap.preimage(s, record.KeyID{DB: db, Key: key})
			s.notifyExpired(db, key)
		},
		Notify: s.event,
		Lock:   func(db int, key string) bool { return s.holdsLock(record.KeyID{DB: db, Key: key}) },
		Who:    s.alone.who, Publish: s.alone.publish,
		Libraries: cfg.Embedded, Deadline: s.scriptDeadline, ScriptBegins: s.scriptBegins,
		Replayed: func() bool { return s.running != nil && s.running.serving && !s.cfg.Embedded },
	})
	s.res = newResidency(&s.cfg, func(id record.KeyID) { s.eng.Delete(id.DB, []byte(id.Key)) })
	s.held = func(db int, key string) bool { return s.res.known(record.KeyID{DB: db, Key: key}) }
	s.mirror = newMirror(s)
	mode := Offline
	if cfg.Embedded {
		mode = Embedded
	}
	s.outage.begin(mode, cfg.Now())
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, s.closeFiles())
	}
	return s, nil
}

// recover loads the snapshot and re-executes the journaled writes after it.
func (s *Store) recover() error {
	if _, err := deadletter.FinishRetry(s.cfg.Dir, s.jr); err != nil {
		return err
	}
	var err error
	if s.filed, err = deadletter.ReadFiled(s.cfg.Dir, s.StreamID()); err != nil {
		return err
	}
	if s.dead, err = deadletter.Open(s.cfg.Dir, s.filed, s.log); err != nil {
		return err
	}
	if err := s.loadReplayMark(); err != nil {
		return err
	}
	if err := datadir.SyncDir(s.cfg.Dir); err != nil { // of what was made: nobody else makes these names durable
		return err
	}
	// Everything allocated now stays: collecting garbage meanwhile would be half the work.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	s.eng.BeginLoad()
	s.loading = 1 // a snapshot's keys expire, if at all, at the time of the first write after it
	from, wasEmbedded, err := s.startFrom()
	if err != nil {
		return err
	}
	s.res.whole = wasEmbedded // a crash left keys that no snapshot has
	n, err := s.reapplyJournal(from)
	s.res.whole = false
	if err != nil {
		return err
	}
	s.noEarlierThan(s.loading)
	s.loading = 0
	s.eng.EndLoad()
	if err := s.judgeSnapshot(s.snap.current); err != nil {
		return err
	}
	s.outage.staleAt = s.snap.savedAt
	s.log.Info("local state recovered", "keys", s.eng.Keys(), "journaled_writes", n, "snapshot", snapshotTime(s.snap.savedAt))
	switch {
	case s.cfg.Embedded:
		return s.becomeEmbedded(wasEmbedded)
	case wasEmbedded:
		return s.queueEverything()
	}
	if err := s.openUpstream(); err != nil {
		return err
	}
	if st := s.jr.Stats(); s.settled.Load() > st.TruncatedTo {
		s.kept.add(s.settled.Load(), st.Bytes, s.clock.Steady())
	}
	return nil
}

// startFrom loads the snapshot and checks that it fits to the rest of the directory.
func (s *Store) startFrom() (seq uint64, wasEmbedded bool, err error) {
	seq, wasEmbedded, err = s.loadSnapshot()
	if errors.Is(err, snapshot.ErrDamaged) {
		err = s.withoutSnapshot(err)
	}
	if err == nil {
		err = s.mayBeEmbedded(wasEmbedded)
	}
	if err == nil {
		err = s.needSnapshot(seq, wasEmbedded)
	}
	if err == nil {
		err = s.passUsedNumbers(seq)
	}
	return seq, wasEmbedded, err
}

// serverNow is the server's clock, as last measured; the local one before that.
// While the past is loaded it is the time of the record: a key that has expired
// since was still there for the writes that followed then.
func (s *Store) serverNow() time.Time {
	if s.loading != 0 {
		return time.UnixMilli(s.loading)
	}
	return s.clock.Now()
}

// SetServerTime tells what the server's clock shows now.
func (s *Store) SetServerTime(now time.Time) { s.clock.Set(now) }

// noEarlierThan corrects a wall clock that is behind what was journaled by the
// server's: set back since, or of a machine that begins at 1970. What is written
// now would be long expired when Redis gets it.
func (s *Store) noEarlierThan(unixMs int64) {
	last := time.UnixMilli(unixMs)
	if saved := s.snap.savedAt.Add(s.clock.Ahead()); saved.After(last) {
		last = saved
	}
	if now := s.clock.Now(); !s.cfg.Embedded && now.Before(last) {
		s.log.Warn("the clock of this machine is behind the last journaled write: going on from there", "clock", now, "write", last)
		s.clock.Set(last)
	}
}

// StreamID names this data directory: it is part of the fence's key and of the
// names of the connections to Redis.
func (s *Store) StreamID() string { return s.jr.StreamID() }

// Close stops the store: state is saved and the journal synced. Idempotent.
func (s *Store) Close() error {
	s.endScripts()
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
	return errors.Join(err, s.closeFiles())
}

func (s *Store) closeFiles() error {
	err := s.jr.Close()
	if s.dead != nil {
		err = errors.Join(err, s.dead.Close())
	}
	if s.markFile != nil {
		err = errors.Join(err, s.markFile.Close())
	}
	return err
}

// snapshotTime is a time for the log; "none" instead of the year 1.
func snapshotTime(t time.Time) string {
	if t.IsZero() {
		return "none"
	}
	return t.UTC().Format(time.RFC3339)
}
