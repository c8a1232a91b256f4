package fallback

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"holdfast/fallback/datadir"
	"holdfast/fallback/engine"
	"holdfast/fallback/record"
	"holdfast/fallback/snapshot"
)

// dumpSlice is how many keys are dumped in one go: clients wait for that long,
// most of all right when an outage begins, which asks for a snapshot.
const dumpSlice = 100

// sliceTries is how often a dump in slices that is aborted is begun again, before
// it is made in one go while everybody waits: a second for a million keys.
const sliceTries = 4

// errDumpAborted ends a dump that a command has come in between of, see abort.
var errDumpAborted = errors.New("dump aborted")

// snapshotState is what is saved and when. mu allows one writer at a time; the
// rest is guarded by the store's lock.
type snapshotState struct {
	mu      sync.Mutex
	gen     uint64 // of the engine when it was saved last
	seq     uint64 // of the journal then
	savedAt time.Time
	clock   time.Duration // the server's minus the wall clock, in the newest
	current uint64        // of the snapshot that was loaded, see sure.go
	noRoom  bool          // the last try found the disk full
	asked   chan struct{} // asks for one out of turn
	dump    *dump         // under way; nil when none is
}

// dump is a snapshot being written in slices while clients go on. It holds the
// state at its beginning: a key that is about to change and whose turn has not
// come is written before it changes.
type dump struct {
	clock   time.Duration // the server's minus the wall clock, in it
	w       *snapshot.Writer
	at      engine.Place
	early   map[record.KeyID]struct{}
	aborted bool
}

func (s *snapshotState) request() {
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

// preimage writes a key that is about to change to the dump under way, if any.
// The store's lock is held.
func (ss *snapshotState) preimage(s *Store, id record.KeyID) {
	d := ss.dump
	if d == nil || d.at.Passed(id.DB, id.Key) {
		return
	}
	if _, done := d.early[id]; done {
		return
	}
	d.early[id] = struct{}{}
	for _, argv := range s.eng.DumpKey(id.DB, []byte(id.Key)) {
		s.dumpFrame(d.w, id.DB, argv)
	}
}

// dumpFrame writes a command that recreates a key, and whether its value is known: what
// a cut-over behind a restart did not look at is held and cannot be answered, and
// would be what the mirror last saw once it came out of a snapshot.
func (s *Store) dumpFrame(w *snapshot.Writer, db int, argv [][]byte) {
	w.Frame(db, argv)
	if id := (record.KeyID{DB: db, Key: record.Recreated(argv)}); s.cfg.mirrored(id.Key) && !s.res.known(id) {
		w.Frame(db, record.ArgvOf("", snapshot.NoteDoubt, id.Key))
	}
}

// abort gives up the dump under way: a command is about to change keys that
// cannot be told beforehand. It is started again. The store's lock is held.
func (ss *snapshotState) abort() {
	if ss.dump != nil {
		ss.dump.aborted = true
		ss.dump = nil
	}
}

// saveSnapshot writes the local state to disk if it changed since the last
// time. Embedded, the journal up to it is forgotten then: the snapshot has it.
func (s *Store) saveSnapshot() error { return s.saveSnapshotAs(s.cfg.Embedded) }

func (s *Store) saveSnapshotAs(embedded bool) error {
	s.snap.mu.Lock()
	defer s.snap.mu.Unlock()
	err := s.writeSnapshot(embedded)
	s.mu.Lock()
	s.snap.noRoom = datadir.NoSpace(err)
	s.mu.Unlock()
	return err
}

func (s *Store) writeSnapshot(embedded bool) error {
	for range sliceTries {
		if done, err := s.trySnapshot(embedded, dumpSlice); done || err != nil {
			return err
		}
	}
	_, err := s.trySnapshot(embedded, math.MaxInt) // everything under the lock: nobody can come in between
	return err
}

// trySnapshot writes a snapshot in slices; false: it was aborted.
func (s *Store) trySnapshot(embedded bool, slice int) (done bool, err error) {
	tmp, err := datadir.CreateTemp(datadir.Snapshot(s.cfg.Dir))
	if err != nil {
		return false, fmt.Errorf("create snapshot: %w", err)
	}
	discard := func() { _ = tmp.Close(); _ = os.Remove(tmp.Name()) }
	d := &dump{w: snapshot.NewWriter(tmp), early: map[record.KeyID]struct{}{}}
	seq, gen, needed, err := s.beginDump(d, embedded)
	if err != nil || !needed {
		discard()
		return true, err
	}
	for finished := false; !finished; runtime.Gosched() {
		if finished, err = s.dumpSlice(d, slice); err != nil {
			discard()
			if errors.Is(err, errDumpAborted) {
				err = nil
			}
			return false, err
		}
	}
	if err := datadir.Commit(tmp, datadir.Snapshot(s.cfg.Dir), d.w.Finish()); err != nil {
		return false, err
	}
	s.mu.Lock()
	s.snap.gen, s.snap.seq, s.snap.savedAt, s.snap.clock = gen, seq, s.cfg.Now(), d.clock
	s.mu.Unlock()
	if s.cfg.Embedded {
		return true, s.jr.Truncate(seq)
	}
	return true, nil
}

// beginDump writes the header and the notes, and from here on whoever changes a
// key writes its old value first. The journal is synced under the lock, so that
// the state is exactly the one after its last record.
func (s *Store) beginDump(d *dump, embedded bool) (seq, gen uint64, needed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.jr.Sync(); err != nil {
		return 0, 0, false, fmt.Errorf("sync journal: %w", err)
	}
	seq, gen = s.jr.Stats().LastSeq, s.dirtyGen
	clock := s.clock.FromWall() // of the machine set meanwhile: a restart has to know
	if gen == s.snap.gen && (clock-s.snap.clock).Abs() < time.Second || (!embedded && len(s.res.complete) == 0 && s.eng.Keys() == 0 && seq == s.snap.seq) {
		return 0, 0, false, nil // nothing changed, or nothing was ever learned
	}
	flags := uint64(0)
	if embedded {
		flags |= snapshot.FlagEmbedded
	}
	d.w.Header(seq, s.cfg.Now(), flags)
	s.writeNotes(d.w, clock)
	for _, body := range s.eng.Scripts() {
		d.w.Frame(0, record.ArgvOf("SCRIPT", "LOAD", body))
	}
	for _, code := range s.eng.Libraries() {
		d.w.Frame(0, record.ArgvOf("FUNCTION", "LOAD", "REPLACE", code))
	}
	if d.w.Err != nil {
		return 0, 0, false, d.w.Finish()
	}
	s.snap.dump, d.clock = d, clock
	return seq, gen, true, nil
}

func (s *Store) writeNotes(w *snapshot.Writer, clock time.Duration) {
	w.Frame(0, record.ArgvOf("", snapshot.NoteCurrent, strconv.FormatUint(s.snapshotNumber(), 10)))
	w.Frame(0, record.ArgvOf("", snapshot.NoteOffset, strconv.FormatInt(int64(clock), 10)))
	if !s.cfg.Embedded {
		w.Frame(0, [][]byte{nil, []byte(snapshot.NoteChanges), s.changes.encode()})
	}
	if s.res.complete[s.cfg.BaseDB] {
		w.Frame(s.cfg.BaseDB, record.ArgvOf(append([]string{"", snapshot.NoteComplete}, s.cfg.MirrorPrefixes...)...))
	}
	for id := range s.res.doubt {
		w.Frame(id.DB, record.ArgvOf("", snapshot.NoteDoubt, id.Key))
	}
	for id, l := range s.locks {
		w.Frame(id.DB, record.ArgvOf("", snapshot.NoteLock, id.Key, l.value, strconv.FormatInt(l.expireMs, 10)))
	}
	hashes := make([]byte, 0, 8*(s.written.n+s.unsure.n))
	for _, set := range []*keySet{&s.written, &s.unsure} { // neither is compared with Redis again
		set.each(func(h uint64) { hashes = binary.BigEndian.AppendUint64(hashes, h) })
	}
	if len(hashes) > 0 {
		w.Frame(0, [][]byte{nil, []byte(snapshot.NoteWritten), hashes})
	}
}

func (s *Store) dumpSlice(d *dump, n int) (finished bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.aborted {
		return false, errDumpAborted
	}
	skip := func(db int, key string) bool { _, early := d.early[record.KeyID{DB: db, Key: key}]; return early }
	d.at, finished, err = s.eng.DumpSlice(d.at, n, skip, func(db int, argv [][]byte) error {
		s.dumpFrame(d.w, db, argv)
		return d.w.Err
	})
	if finished || err != nil {
		s.snap.dump = nil
	}
	return finished, err
}
