package fallback

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"holdfast/fallback/datadir"
)

// mark is the replay mark as it is on disk.
func (s *Store) mark() datadir.Checkpoint {
	s.replay.markMu.Lock()
	defer s.replay.markMu.Unlock()
	return s.replay.mark
}

// changeMark overwrites the mark in place, without fsync: a batch costs one
// page-cache write. It is needed only when the fence is gone. A mark that is too
// old after a power cut says of an answered batch that it was not: such a batch
// is filed rather than repeated if the fence is gone as well.
func (s *Store) changeMark(fn func(m *datadir.Checkpoint)) error {
	s.replay.markMu.Lock()
	defer s.replay.markMu.Unlock()
	m := s.replay.mark
	fn(&m)
	m.Stream = s.StreamID()
	raw, err := m.Encode()
	if err == nil && len(raw) >= datadir.CheckpointBytes {
		err = fmt.Errorf("%d bytes are too many", len(raw))
	}
	if err != nil {
		return fmt.Errorf("encode replay mark: %w", err)
	}
	line := bytes.Repeat([]byte{' '}, datadir.CheckpointBytes)
	copy(line, raw)
	line[datadir.CheckpointBytes-1] = '\n'
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
func (s *Store) noteMark(durable bool, fn func(m *datadir.Checkpoint)) {
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
	if s.replay.mark, err = datadir.DecodeCheckpoint(raw); err != nil {
		if err := s.withoutMark(err); err != nil {
			return err
		}
	}
	if of := s.replay.mark.Stream; of != "" && of != s.StreamID() {
		// Its positions say nothing: new writes would count as settled.
		s.log.Warn("the journal is another one than replay.json tells of: its positions are ignored", "stream", s.StreamID(), "of", of)
		s.replay.mark = datadir.Checkpoint{}
	}
	st := s.jr.Stats()
	s.replay.sent = st.LastSeq
	if s.replay.mark.NothingSent() {
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
	return s.changeMark(func(m *datadir.Checkpoint) {
		*m = datadir.Checkpoint{From: st.TruncatedTo + 1, To: st.LastSeq, FenceSeen: true, Settled: st.TruncatedTo, Since: st.TruncatedTo, Unsure: true}
	})
}
