package fallback

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
	"time"
)

// A snapshot is the local state as of one journal sequence number:
//
//	magic    8 bytes  "HFSNAP\r\n"
//	version  1 byte   snapshotVersion
//	seq      uvarint  journaled writes up to here are contained
//	savedAt  uvarint  Unix milliseconds
//	flags    uvarint  bit 0: the mirrored prefixes of the base database are complete
//	then frames: uvarint length > 0 and an encoded Record, and at the end
//	0        1 byte   and 4 bytes CRC-32C of everything before it
const (
	snapshotMagic   = "HFSNAP\r\n"
	snapshotVersion = 1
	flagComplete    = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// snapshotState is what is saved and when; the channel asks for one out of turn.
type snapshotState struct {
	mu      sync.Mutex // one writer at a time
	gen     uint64     // of the engine when it was saved last; guarded by the store's lock
	savedAt time.Time
	asked   chan struct{}
}

func (s *snapshotState) request() {
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

// saveSnapshot writes the local state to disk if it changed since the last
// time. Embedded, the journal up to it is forgotten then: the snapshot has it.
func (s *Store) saveSnapshot() error {
	s.snap.mu.Lock()
	defer s.snap.mu.Unlock()
	tmp, seq, gen, err := s.dumpLocked()
	if tmp == nil || err != nil {
		return err
	}
	if err := commitFile(tmp, snapshotPath(s.cfg.Dir), nil); err != nil {
		return err
	}
	s.mu.Lock()
	s.snap.gen, s.snap.savedAt = gen, s.cfg.Now()
	s.mu.Unlock()
	if s.cfg.Embedded {
		return s.jr.Truncate(seq)
	}
	return nil
}

// dumpLocked writes the state into a temporary file under the store's lock, so
// that it is exactly the state after the journal's last record. Nil when
// nothing changed.
func (s *Store) dumpLocked() (tmp *os.File, seq, gen uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Every executed write has to be at or below the sequence number noted, or it
	// would be executed again on top of the snapshot.
	if err := s.jr.Sync(); err != nil {
		return nil, 0, 0, fmt.Errorf("sync journal: %w", err)
	}
	if s.dirtyGen == s.snap.gen {
		return nil, 0, 0, nil
	}
	if s.Mode() != Embedded && len(s.res.complete) == 0 && s.eng.Keys() == 0 {
		return nil, 0, 0, nil // nothing was ever learned
	}
	tmp, err = os.OpenFile(snapshotPath(s.cfg.Dir)+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("create snapshot: %w", err)
	}
	seq, gen = s.jr.Stats().LastSeq, s.dirtyGen
	if err := s.writeSnapshot(tmp, seq); err != nil {
		_ = tmp.Close()
		_ = os.Remove(tmp.Name())
		return nil, 0, 0, fmt.Errorf("write snapshot: %w", err)
	}
	return tmp, seq, gen, nil
}

func (s *Store) writeSnapshot(f *os.File, seq uint64) error {
	sum := crc32.New(castagnoli)
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<20)
	head := append([]byte(snapshotMagic), snapshotVersion)
	head = binary.AppendUvarint(head, seq)
	head = binary.AppendUvarint(head, uint64(s.cfg.Now().UnixMilli()))
	var flags uint64
	if s.res.complete[s.cfg.BaseDB] {
		flags |= flagComplete
	}
	head = binary.AppendUvarint(head, flags)
	if _, err := w.Write(head); err != nil {
		return err
	}
	var buf, frame []byte
	err := s.eng.Dump(func(db int, argv [][]byte) error {
		buf = appendRecord(buf[:0], Record{DB: db, Commands: [][][]byte{argv}})
		frame = binary.AppendUvarint(frame[:0], uint64(len(buf)))
		if _, err := w.Write(frame); err != nil {
			return err
		}
		_, err := w.Write(buf)
		return err
	})
	if err != nil {
		return err
	}
	if err := w.WriteByte(0); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return binary.Write(f, binary.BigEndian, sum.Sum32())
}

// loadSnapshot loads the snapshot, if there is one, and returns the journal
// sequence number it contains. The checksum is verified before anything is used.
func (s *Store) loadSnapshot() (seq uint64, err error) {
	s.snap.asked = make(chan struct{}, 1)
	f, err := os.Open(snapshotPath(s.cfg.Dir))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open snapshot: %w", err)
	}
	defer f.Close()
	if err := verifySnapshot(f); err != nil {
		return 0, fmt.Errorf("load snapshot %s: %w: move it away to start without it", f.Name(), err)
	}
	if _, err := f.Seek(int64(len(snapshotMagic))+1, io.SeekStart); err != nil {
		return 0, fmt.Errorf("load snapshot: %w", err)
	}
	r := bufio.NewReaderSize(f, 1<<20)
	var head [3]uint64
	for i := range head {
		if head[i], err = binary.ReadUvarint(r); err != nil {
			return 0, fmt.Errorf("load snapshot: %w", err)
		}
	}
	if err := s.loadFrames(r); err != nil {
		return 0, fmt.Errorf("load snapshot: %w", err)
	}
	s.snap.savedAt = time.UnixMilli(int64(head[1]))
	if head[2]&flagComplete != 0 {
		s.res.complete[s.cfg.BaseDB] = true
	}
	return head[0], nil
}

func (s *Store) loadFrames(r *bufio.Reader) error {
	var buf []byte
	for {
		n, err := binary.ReadUvarint(r)
		if err != nil || n == 0 {
			return err
		}
		if uint64(cap(buf)) < n {
			buf = make([]byte, n) // the checksum vouches for n
		}
		buf = buf[:n]
		if _, err := io.ReadFull(r, buf); err != nil {
			return err
		}
		rec, err := DecodeRecord(0, buf)
		if err != nil {
			return err
		}
		for _, argv := range rec.Commands {
			if err := s.eng.Apply(rec.DB, argv); err != nil {
				return err
			}
			s.learnArgv(rec.DB, argv)
		}
	}
}

// verifySnapshot checks magic, version and checksum of the whole file.
func verifySnapshot(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, len(snapshotMagic)+1)
	if _, err := io.ReadFull(f, head); err != nil || string(head[:len(snapshotMagic)]) != snapshotMagic {
		return ErrSnapshotDamaged
	}
	if head[len(snapshotMagic)] > snapshotVersion {
		return ErrNewerFormat
	}
	if info.Size() < int64(len(head))+4 {
		return ErrSnapshotDamaged
	}
	sum := crc32.New(castagnoli)
	_, _ = sum.Write(head)
	if _, err := io.CopyN(sum, f, info.Size()-int64(len(head))-4); err != nil {
		return err
	}
	var want uint32
	if err := binary.Read(f, binary.BigEndian, &want); err != nil || want != sum.Sum32() {
		return ErrSnapshotDamaged
	}
	return nil
}
