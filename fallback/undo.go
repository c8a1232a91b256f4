package fallback

import (
	"holdfast/fallback/engine"
	"holdfast/fallback/record"
)

// A write is executed here before it is on disk. If the journal refuses it after all,
// its client gets an error, so it must not be part of the state on which the next writes
// are built. What a key held before is therefore kept until the write is on disk, and put
// back if that fails.

// Bounds of what is kept for that: it is made while everybody waits, for each write. A
// larger value that a refused write changed is unknown then; an embedded store, where
// nothing is, has to be restarted.
const (
	undoElements = 64      // of a collection
	undoLength   = 4 << 10 // of a string
)

// preimage is a key before a write.
type preimage struct {
	seq      uint64 // of the write's record
	id       record.KeyID
	commands [][][]byte // recreate the key; none: it did not exist
	lost     bool       // the value was too large, or other keys than those named were changed
	unknown  bool       // what it held was not known
	base     bool       // the record told what Redis last had: the next write's has to
}

// undoLog are the preimages of writes that may not be on disk, oldest first. Guarded by
// the store's lock.
type undoLog struct {
	list   []preimage
	rebase map[record.KeyID]struct{} // keys whose next write is the first one of the outage again
	broken bool                      // something could not be put back and cannot be unknown
}

// keepImage notes what a key holds that the running request is about to change.
func (s *Store) keepImage(sc *scope, id record.KeyID, known bool) {
	p := preimage{id: id, unknown: !known}
	if known {
		n := s.eng.Size(id.DB, []byte(id.Key))
		if p.lost = n > undoElements && (n > undoLength || s.eng.Type(id.DB, []byte(id.Key)) != "string"); !p.lost && n > 0 {
			p.commands = s.eng.DumpKey(id.DB, []byte(id.Key))
		}
	}
	sc.images = append(sc.images, p)
}

// keepImages keeps the preimages of a write until its record is on disk.
func (s *Store) keepImages(sc *scope, seq uint64) {
	u := &s.undo
	durable, done := s.jr.Durable(), 0
	for done < len(u.list) && u.list[done].seq <= durable {
		done++
	}
	if u.list = u.list[done:]; len(u.list) == 0 {
		u.list = nil
	}
	for _, p := range sc.images {
		p.seq = seq
		for i := range sc.bases {
			p.base = p.base || p.id.DB == sc.db && string(sc.bases[i].Key) == p.id.Key
		}
		u.list = append(u.list, p)
	}
	for _, b := range sc.bases {
		delete(u.rebase, record.KeyID{DB: sc.db, Key: string(b.Key)})
	}
}

// undoRefused puts back what writes changed that a failed journal did not take. The
// store's lock is held.
func (s *Store) undoRefused() {
	u := &s.undo
	if len(u.list) == 0 {
		return
	}
	durable, settled := s.jr.Refused()
	if !settled {
		return
	}
	n := 0
	for i := len(u.list) - 1; i >= 0 && u.list[i].seq > durable; i-- {
		s.putBack(&u.list[i])
		n++
	}
	u.list = nil
	if n > 0 {
		s.log.Warn("writes that the journal refused were undone", "keys", n)
	}
}

// putBack makes a key what it was before a write.
func (s *Store) putBack(p *preimage) {
	s.dirtyGen++
	if p.base {
		if s.undo.rebase == nil {
			s.undo.rebase = map[record.KeyID]struct{}{}
		}
		s.undo.rebase[p.id] = struct{}{}
	}
	if p.lost && s.cfg.Embedded {
		s.undo.broken = true
		return
	}
	s.snap.preimage(s, p.id)
	if p.lost || p.unknown {
		s.res.forget(p.id)
		return
	}
	s.eng.Delete(p.id.DB, []byte(p.id.Key))
	size := int64(0)
	for _, argv := range p.commands {
		size += record.ArgvBytes(argv)
		if err := s.eng.Apply(p.id.DB, engine.Told(argv)); err != nil {
			s.log.Error("a refused write cannot be undone", "error", err)
			s.undo.broken = s.undo.broken || s.cfg.Embedded
			s.res.forget(p.id)
			return
		}
	}
	s.res.learn(p.id, size)
}

// reviveJournal lets a failed journal go on once it can, and tells status of it.
func (s *Store) reviveJournal() {
	if !s.jr.Failed() {
		s.troubles.set("journal", "")
		return
	}
	s.mu.Lock()
	s.undoRefused()
	waits, broken := len(s.undo.list) > 0, s.undo.broken
	s.mu.Unlock()
	if waits {
		return
	}
	if broken {
		s.troubles.set("journal", s.jr.Stats().Error+"; a refused write changed a value too large to be put back: restart holdfast")
		return
	}
	if s.jr.Revive() == nil {
		s.snap.request() // those of the time without a disk failed
		return
	}
	s.troubles.set("journal", s.jr.Stats().Error)
}

// watchDirectory looks whether somebody removed or replaced what this process has open.
func (s *Store) watchDirectory() {
	err := s.jr.CheckDir()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if s.troubles.set("directory", text) && err != nil {
		s.log.Error("the data directory is not as it was left", "error", err)
	}
}
