package fallback

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"holdfast/fallback/datadir"
	"holdfast/fallback/record"
	"holdfast/fallback/snapshot"
)

// loadSnapshot loads the snapshot, if there is one, and returns the journal
// sequence number it contains and whether it is an embedded store's. The
// checksum is verified before anything is used.
func (s *Store) loadSnapshot() (seq uint64, embedded bool, err error) {
	s.snap.asked = make(chan struct{}, 1)
	f, err := os.Open(datadir.Snapshot(s.cfg.Dir))
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("open snapshot: %w", err)
	}
	defer f.Close()
	if err := snapshot.Verify(f); err != nil {
		return 0, false, fmt.Errorf("load snapshot %s: %w", f.Name(), err)
	}
	if _, err := f.Seek(int64(len(snapshot.Magic))+1, io.SeekStart); err != nil {
		return 0, false, fmt.Errorf("load snapshot: %w", err)
	}
	r := bufio.NewReaderSize(f, 1<<20)
	var head [3]uint64
	for i := range head {
		if head[i], err = binary.ReadUvarint(r); err != nil {
			return 0, false, fmt.Errorf("load snapshot: %w", err)
		}
	}
	if err := s.loadFrames(r); err != nil {
		return 0, false, fmt.Errorf("load snapshot: %w", err)
	}
	s.snap.seq, s.snap.savedAt = head[0], time.UnixMilli(int64(head[1]))
	return head[0], head[2]&snapshot.FlagEmbedded != 0, nil
}

func (s *Store) loadFrames(r *bufio.Reader) error {
	var doubts []record.KeyID // set at the end: loading a key makes it known
	err := loadAhead(func(add func(uint64, []byte) error) error { return snapshot.ReadFrames(r, add) }, nil, func(op *loadOp) error {
		if s.loadString(op) {
			return nil
		}
		for _, argv := range op.Commands {
			switch {
			case len(argv) > 2 && len(argv[0]) == 0 && string(argv[1]) == snapshot.NoteDoubt:
				doubts = append(doubts, record.KeyID{DB: op.DB, Key: string(argv[2])})
			case len(argv) > 2 && len(argv[0]) == 0:
				s.loadNote(op.DB, argv[1:])
			default:
				if err := s.loadKey(op.DB, argv); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, id := range doubts {
		s.res.forget(id)
	}
	return err
}

func (s *Store) loadKey(db int, argv [][]byte) error {
	if err := s.eng.Apply(db, argv); err != nil {
		return err
	}
	if len(argv) > 1 && string(argv[0]) != "SCRIPT" && string(argv[0]) != "FUNCTION" {
		s.res.learn(record.KeyID{DB: db, Key: record.Recreated(argv)}, record.ArgvBytes(argv))
	}
	return nil
}

// loadNote takes over what is not a key. Notes of later versions are ignored.
func (s *Store) loadNote(db int, note [][]byte) {
	switch {
	case string(note[0]) == snapshot.NoteComplete:
		if db == s.cfg.BaseDB && s.cfg.covered(note[1:]) {
			s.res.completed(db)
		}
	case string(note[0]) == snapshot.NoteCurrent:
		s.snap.current, _ = strconv.ParseUint(string(note[1]), 10, 64)
	case string(note[0]) == snapshot.NoteChanges:
		s.changes.decode(note[1])
	case string(note[0]) == snapshot.NoteOffset:
		n, _ := strconv.ParseInt(string(note[1]), 10, 64)
		s.clock.SetAhead(time.Duration(n))
		s.snap.clock = time.Duration(n)
	case string(note[0]) == snapshot.NoteWritten:
		for b := note[1]; len(b) >= 8; b = b[8:] {
			s.written.addHash(binary.BigEndian.Uint64(b))
		}
	case string(note[0]) == snapshot.NoteLock && len(note) == 4:
		at, _ := strconv.ParseInt(string(note[3]), 10, 64)
		s.locks[record.KeyID{DB: db, Key: string(note[1])}] = lock{value: string(note[2]), expireMs: at}
	}
}

// withoutSnapshot goes on without a snapshot that is damaged where that loses nothing:
// Redis has what it held, and what waits for Redis is in the journal. Keys that nothing
// is known of are unknown until Redis is back. Elsewhere the snapshot is the only place
// of what it held: the start is refused.
func (s *Store) withoutSnapshot(damage error) error {
	mark := s.mark()
	if s.cfg.Embedded || !mark.OfRedis() || mark.NothingSent() {
		return fmt.Errorf("%w: put data directory %s back from a backup, all of it; or run 'holdfast journal repair --data-dir %q', which sets the snapshot aside and keeps the writes that are in the journal",
			damage, s.cfg.Dir, s.cfg.Dir)
	}
	to, err := datadir.MoveAside(datadir.Snapshot(s.cfg.Dir), s.cfg.Now())
	if err != nil {
		return errors.Join(damage, err)
	}
	s.log.Error("the snapshot is damaged and was moved aside: queued writes are all here, what else it held is unknown until redis is back", "error", damage, "moved_to", to)
	s.troubles.set("snapshot", "the snapshot was damaged when the proxy started, and lies in "+to)
	return nil
}
