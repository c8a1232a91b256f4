package stream

import (
	"errors"

	"github.com/tidwall/btree"
)

// Entry is one entry. It is never changed.
type Entry struct {
	ID     ID
	Fields []string // names and values in turn
}

// Stream is a stream. The zero value is not usable; see New.
type Stream struct {
	entries *btree.BTree // *Entry by id
	blocks  blocks       // how a Redis would have the entries together
	groups  map[string]*Group

	// LastID is the highest id ever added. It outlives its entry.
	LastID ID
	// MaxDeleted is the highest id that was deleted by name; trimming does not count.
	MaxDeleted ID
	// Added counts the entries ever added.
	Added int64
}

// ErrID is the error of an id that is not above all others of its stream.
var ErrID = errors.New("id is not above the last one")

func newTree(less func(a, b any) bool) *btree.BTree { return btree.NewNonConcurrent(less) }

// New makes an empty stream.
func New() *Stream {
	return &Stream{
		entries: newTree(func(a, b any) bool { return a.(*Entry).ID.Less(b.(*Entry).ID) }),
		blocks:  newBlocks(),
		groups:  map[string]*Group{},
	}
}

// Clone is a stream of its own with the same content.
func (s *Stream) Clone() *Stream {
	out := *s
	out.entries = s.entries.Copy()
	out.blocks = s.blocks.clone()
	out.groups = make(map[string]*Group, len(s.groups))
	for name, g := range s.groups {
		out.groups[name] = g.clone()
	}
	return &out
}

// Len is the number of entries.
func (s *Stream) Len() int { return s.entries.Len() }

// Blocks is the number of nodes in which a Redis would hold the entries.
func (s *Stream) Blocks() int { return s.blocks.count() }

// First is the entry with the lowest id, nil in an empty stream.
func (s *Stream) First() *Entry { return entryOf(s.entries.Min()) }

// Last is the entry with the highest id, nil in an empty stream.
func (s *Stream) Last() *Entry { return entryOf(s.entries.Max()) }

// Get is the entry with the id, nil when there is none.
func (s *Stream) Get(id ID) *Entry { return entryOf(s.entries.Get(&Entry{ID: id})) }

func entryOf(item any) *Entry {
	e, _ := item.(*Entry)
	return e
}

// FirstID is the id of the first entry, 0-0 in an empty stream.
func (s *Stream) FirstID() ID {
	if e := s.First(); e != nil {
		return e.ID
	}
	return ID{}
}

// Append adds an entry whose id must be above LastID. The stream keeps the fields.
func (s *Stream) Append(id ID, fields []string, limits Limits) error {
	if !s.LastID.Less(id) {
		return ErrID
	}
	s.entries.Load(&Entry{id, fields})
	s.blocks.append(id, fields, limits)
	s.LastID = id
	s.Added++
	return nil
}

// Delete removes the entry with the id, if there is one. It stays pending where it is.
func (s *Stream) Delete(id ID) bool {
	if !s.remove(id) {
		return false
	}
	if s.MaxDeleted.Less(id) {
		s.MaxDeleted = id
	}
	return true
}

func (s *Stream) remove(id ID) bool {
	if s.entries.Delete(&Entry{ID: id}) == nil {
		return false
	}
	s.blocks.delete(id)
	return true
}

// Ascend calls fn for the entries from one id to another, both included, until it
// returns false. fn must not change the stream.
func (s *Stream) Ascend(from, to ID, fn func(*Entry) bool) {
	s.entries.Ascend(&Entry{ID: from}, func(item any) bool {
		e := item.(*Entry)
		return !to.Less(e.ID) && fn(e)
	})
}

// Descend is Ascend in the other order: from is the lower end still.
func (s *Stream) Descend(from, to ID, fn func(*Entry) bool) {
	s.entries.Descend(&Entry{ID: to}, func(item any) bool {
		e := item.(*Entry)
		return !e.ID.Less(from) && fn(e)
	})
}
