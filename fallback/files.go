package fallback

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"holdfast/fallback/datadir"
)

// replayMark remembers how far Redis got and which batch was sent last.
type replayMark struct {
	Stream    string `json:"stream,omitempty"` // of the journal whose numbers these are
	RunID     string `json:"runId"`
	From      uint64 `json:"from"` // the batch sent last
	To        uint64 `json:"to"`
	FenceSeen bool   `json:"fenceSeen"` // a fence was written once: one that is missing was lost
	Settled   uint64 `json:"settled"`   // Redis answered for all writes up to here
	Since     uint64 `json:"since"`     // the last write before the present outage

	HandedOver uint64 `json:"handedOver,omitempty"` // the last write before an embedded store got a Redis: none up to here was for it
	FailedFrom uint64 `json:"failedFrom,omitempty"` // some of these, of the batch, failed at Redis, and their letters
	FailedTo   uint64 `json:"failedTo,omitempty"`   // may not have been written: see replayer.file

	OnlineRun  string `json:"onlineRun,omitempty"`  // the server that the mirror followed last
	Current    uint64 `json:"current"`              // the number that a snapshot must bear to be what the mirror last saw; see sure.go
	Unsure     bool   `json:"unsure,omitempty"`     // since a restart the local state may be older than the outage:
	UnsureFrom uint64 `json:"unsureFrom,omitempty"` // what writes after this one found says nothing about Redis

	WipedRun string `json:"wipedRun,omitempty"` // the server that came back with neither fence nor beat: what it has is not ours

	Sum uint32 `json:"sum,omitempty"` // CRC-32C of this with a sum of 0; 0: of a release that made none
}

// encode returns the mark with its sum.
func (m replayMark) encode() ([]byte, error) {
	m.Sum = 0
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	m.Sum = max(crc32.Checksum(raw, castagnoli), 1)
	return json.Marshal(m)
}

var errMarkDamaged = errors.New("it is damaged")

// decodeMark is the reverse; an empty file is a mark of nothing.
func decodeMark(raw []byte) (m replayMark, err error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return m, nil
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return replayMark{}, fmt.Errorf("%w: %w", errMarkDamaged, err)
	}
	if m.Sum == 0 {
		return m, nil
	}
	if again, err := m.encode(); err != nil || !bytes.Equal(again, bytes.TrimSpace(raw)) {
		return replayMark{}, errMarkDamaged
	}
	m.Sum = 0
	return m, nil
}

// ofRedis reports whether anything is noted of a Redis. A mark that was reset, as
// that of a detached directory, still names the journal.
func (m replayMark) ofRedis() bool {
	m.Stream = ""
	return m != replayMark{}
}

// nothingSent reports that no batch went out since an embedded store got its Redis.
// A fence there that is beyond is then one of an earlier life of the directory.
func (m replayMark) nothingSent() bool { return m.HandedOver != 0 && m.To <= m.HandedOver }

const markBytes = 512 // one sector: written at once or not at all

// mark is the replay mark as it is on disk.
func (s *Store) mark() replayMark {
	s.replay.markMu.Lock()
	defer s.replay.markMu.Unlock()
	return s.replay.mark
}

// changeMark overwrites the mark in place, without fsync: a batch costs one
// page-cache write. It is needed only when the fence is gone. A mark that is too
// old after a power cut says of an answered batch that it was not: such a batch
// is filed rather than repeated if the fence is gone as well.
func (s *Store) changeMark(fn func(m *replayMark)) error {
	s.replay.markMu.Lock()
	defer s.replay.markMu.Unlock()
	m := s.replay.mark
	fn(&m)
	m.Stream = s.StreamID()
	raw, err := m.encode()
	if err == nil && len(raw) >= markBytes {
		err = fmt.Errorf("%d bytes are too many", len(raw))
	}
	if err != nil {
		return fmt.Errorf("encode replay mark: %w", err)
	}
	line := bytes.Repeat([]byte{' '}, markBytes)
	copy(line, raw)
	line[markBytes-1] = '\n'
	s.replay.mark = m // this process knows, whatever the disk says
	if _, err := s.markFile.WriteAt(line, 0); err != nil {
		return fmt.Errorf("write replay mark: %w", err)
	}
	return nil
}

// noteMark is changeMark for a Redis that is there. A disk that takes no mark any more
// (remounted read-only, say) must keep neither a healthy Redis away nor what waits for
// it. A later process knows less: see changeMark; and it may take for somebody else's
// what Redis got through this one.
func (s *Store) noteMark(durable bool, fn func(m *replayMark)) {
	err := s.changeMark(fn)
	if err == nil && durable {
		err = s.markFile.Sync()
	}
	if err != nil && !s.replay.markFailed {
		s.log.Error("the replay mark cannot be written: redis is used all the same; check the disk, then restart holdfast", "error", err)
	}
	s.replay.markFailed = err != nil
}

func (s *Store) loadReplayMark() error {
	f, err := os.OpenFile(datadir.Mark(s.cfg.Dir), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open replay mark: %w", err)
	}
	s.markFile = f
	raw, err := io.ReadAll(io.LimitReader(f, 1<<16))
	if err != nil {
		return fmt.Errorf("read replay mark: %w", err)
	}
	if s.replay.mark, err = decodeMark(raw); err != nil {
		if err := s.withoutMark(err); err != nil {
			return err
		}
	}
	if of := s.replay.mark.Stream; of != "" && of != s.StreamID() {
		// Its positions say nothing: new writes would count as settled.
		s.log.Warn("the journal is another one than replay.json tells of: its positions are ignored", "stream", s.StreamID(), "of", of)
		s.replay.mark = replayMark{}
	}
	st := s.jr.Stats()
	s.replay.sent = st.LastSeq
	if s.replay.mark.nothingSent() {
		s.replay.sent = min(s.replay.sent, s.replay.mark.HandedOver)
	}
	// A mark ahead of the journal belongs to a newer copy of this directory.
	s.settled.Store(max(st.TruncatedTo, min(s.replay.mark.Settled, st.LastSeq)))
	return nil
}

// withoutMark goes on without a mark that is damaged: as if every write that is kept had
// been sent and none was answered. The fence at Redis tells which of them it has; where
// that is gone too they become dead letters, neither lost nor applied twice.
func (s *Store) withoutMark(damage error) error {
	path := datadir.Mark(s.cfg.Dir)
	to, err := datadir.MoveAside(path, s.cfg.Now())
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open replay mark: %w", err)
	}
	_ = s.markFile.Close()
	s.markFile = f
	s.log.Error("the note of how far redis got cannot be read and was moved aside: its fence will tell", "file", path, "error", damage, "moved_to", to)
	s.troubles.set("mark", "replay.json was damaged when the proxy started, and lies in "+to)
	st := s.jr.Stats()
	return s.changeMark(func(m *replayMark) {
		*m = replayMark{From: st.TruncatedTo + 1, To: st.LastSeq, FenceSeen: true, Settled: st.TruncatedTo, Since: st.TruncatedTo, Unsure: true}
	})
}

// ReadReplayed is the number of the last write of a data directory that Redis has
// for certain, as far as is noted on disk: a replay under way is a batch ahead.
func ReadReplayed(dir string) (uint64, error) {
	mark, err := readMark(dir)
	return mark.Settled, err
}

// ServedRedis tells the directory of an embedded store, whose journal waits for
// nobody, from one that has, or had, a Redis.
func ServedRedis(dir string) (bool, error) {
	mark, err := readMark(dir)
	return mark.ofRedis(), err
}

func readMark(dir string) (mark replayMark, err error) {
	raw, err := os.ReadFile(datadir.Mark(dir))
	if errors.Is(err, os.ErrNotExist) {
		return mark, nil
	}
	if err == nil {
		mark, err = decodeMark(raw)
	}
	if err != nil {
		return mark, fmt.Errorf("read replay mark %s: %w: start the proxy once, which sets it aside", datadir.Mark(dir), err)
	}
	return mark, nil
}
