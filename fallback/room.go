package fallback

import (
	"holdfast/fallback/journal"
	"holdfast/fallback/record"
)

// journalSlack is room in the journal beyond JournalBytes, for effects that are
// longer than the commands that had them.
const journalSlack = 16 << 20

// journalRefusal checks for room before anything is executed, so that a full
// journal never leaves a change behind that is not journaled. Records that Redis
// has already are given up first.
func (s *Store) journalRefusal(req Request) string {
	var need int64 = 256
	for _, argv := range req.Commands {
		need += record.ArgvBytes(argv) + 16*int64(len(argv)) + 128
	}
	if need > record.MaxRecordBytes {
		return replyUnitTooLarge
	}
	st := s.jr.Stats()
	if !st.Failed && st.Bytes+need > s.cfg.JournalBytes && s.settled.Load() > st.TruncatedTo {
		if err := s.jr.Truncate(s.settled.Load()); err != nil {
			s.log.Error("cannot give up replayed records", "error", err)
		}
		st = s.jr.Stats()
	}
	switch {
	case st.Failed:
		s.refused++
		return replyJournalFailed
	case st.Bytes+need > s.cfg.JournalBytes:
		s.refused++
		s.isFull(st, need)
		return replyJournalFull
	}
	s.lookForRoom()
	return ""
}

// isFull notes that a write did not fit: it is so until it would, however many
// smaller ones do. The lock is held.
func (s *Store) isFull(st journal.Stats, need int64) {
	if s.full == 0 {
		s.log.Error("journal is full: writes are refused, nothing that is queued is dropped; bring Redis back or raise --journal-bytes",
			"bytes", st.Bytes, "max", s.cfg.JournalBytes, "write", need)
	}
	s.full = max(s.full, min(need, s.cfg.JournalBytes/2)) // a drained journal holds half of its bound at most
}

// lookForRoom notes that the journal has room again: the write would fit, or all
// that is there can be given up. The lock is held.
func (s *Store) lookForRoom() {
	if s.full == 0 || s.jr.Stats().Bytes+s.full > s.cfg.JournalBytes && s.jr.Count(s.settled.Load()) > 0 {
		return
	}
	s.full = 0
	s.log.Info("journal has room again: writes are taken", "refused_so_far", s.refused)
}
