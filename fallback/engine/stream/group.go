package stream

import (
	"slices"

	"github.com/tidwall/btree"
)

// UnknownRead is Group.Read where nobody knows how many entries were delivered.
const UnknownRead = -1

// Group is a consumer group.
type Group struct {
	LastID ID    // of the entry delivered last
	Read   int64 // how many were delivered, or UnknownRead

	pending   *btree.BTree // *Pending by id
	consumers map[string]*Consumer
}

// Consumer is a member of a group.
type Consumer struct {
	Name string
	Seen int64 // when it asked for something last, in Unix ms

	pending *btree.BTree // those of the group's that it has
}

// Pending is an entry that was delivered and not acknowledged. It is never changed.
type Pending struct {
	ID       ID
	Consumer string
	Time     int64 // of the last delivery, in Unix ms
	Count    int64 // of deliveries
}

func newPending() *btree.BTree {
	return newTree(func(a, b any) bool { return a.(*Pending).ID.Less(b.(*Pending).ID) })
}

func (g *Group) clone() *Group {
	out := *g
	out.pending = g.pending.Copy()
	out.consumers = make(map[string]*Consumer, len(g.consumers))
	for name, c := range g.consumers {
		out.consumers[name] = &Consumer{c.Name, c.Seen, c.pending.Copy()}
	}
	return &out
}

// Group is the group of that name, nil when there is none.
func (s *Stream) Group(name string) *Group { return s.groups[name] }

// Groups are the names of the groups, in order.
func (s *Stream) Groups() []string { return sortedNames(s.groups) }

// AddGroup makes a group that has been delivered everything up to last; false:
// there is one of that name.
func (s *Stream) AddGroup(name string, last ID, read int64) bool {
	if s.groups[name] != nil {
		return false
	}
	s.groups[name] = &Group{last, read, newPending(), map[string]*Consumer{}}
	return true
}

// RemoveGroup removes a group and whatever is pending in it; false: there is none.
func (s *Stream) RemoveGroup(name string) bool {
	found := s.groups[name] != nil
	delete(s.groups, name)
	return found
}

// Consumer is the consumer of that name, nil when there is none.
func (g *Group) Consumer(name string) *Consumer { return g.consumers[name] }

// Consumers are the names of the consumers, in order.
func (g *Group) Consumers() []string { return sortedNames(g.consumers) }

// AddConsumer makes a consumer, seen at a time in Unix ms; false: there is one.
func (g *Group) AddConsumer(name string, seen int64) bool {
	if g.consumers[name] != nil {
		return false
	}
	g.consumers[name] = &Consumer{name, seen, newPending()}
	return true
}

// RemoveConsumer removes a consumer and what is pending for it: how much that was.
func (g *Group) RemoveConsumer(name string) (pending int) {
	c := g.consumers[name]
	if c == nil {
		return 0
	}
	pending = c.Len()
	c.Ascend(ID{}, Max, func(p *Pending) bool {
		g.pending.Delete(p)
		return true
	})
	delete(g.consumers, name)
	return pending
}

// Len is how much is pending in the group.
func (g *Group) Len() int { return g.pending.Len() }

// Len is how much is pending for the consumer.
func (c *Consumer) Len() int { return c.pending.Len() }

// Pending is what is pending under the id, nil for nothing.
func (g *Group) Pending(id ID) *Pending {
	p, _ := g.pending.Get(&Pending{ID: id}).(*Pending)
	return p
}

// Ascend calls fn for what is pending from one id to another, both included, until
// it returns false. fn must not change the group.
func (g *Group) Ascend(from, to ID, fn func(*Pending) bool) { ascend(g.pending, from, to, fn) }

// Ascend is Group.Ascend for what is pending for the consumer.
func (c *Consumer) Ascend(from, to ID, fn func(*Pending) bool) { ascend(c.pending, from, to, fn) }

func ascend(tree *btree.BTree, from, to ID, fn func(*Pending) bool) {
	tree.Ascend(&Pending{ID: from}, func(item any) bool {
		p := item.(*Pending)
		return !to.Less(p.ID) && fn(p)
	})
}

// First and Last are the ends of what is pending, nil for nothing.
func (g *Group) First() *Pending {
	p, _ := g.pending.Min().(*Pending)
	return p
}

// Last is the pending entry with the highest id.
func (g *Group) Last() *Pending {
	p, _ := g.pending.Max().(*Pending)
	return p
}

// Assign makes p pending for its consumer, which must exist, whoever had it before.
func (g *Group) Assign(p *Pending) {
	if old := g.Pending(p.ID); old != nil && old.Consumer != p.Consumer {
		g.consumers[old.Consumer].pending.Delete(old)
	}
	g.pending.Set(p)
	g.consumers[p.Consumer].pending.Set(p)
}

// Ack ends what is pending under the id; false: nothing was.
func (g *Group) Ack(id ID) bool {
	p := g.Pending(id)
	if p == nil {
		return false
	}
	g.pending.Delete(p)
	g.consumers[p.Consumer].pending.Delete(p)
	return true
}

// Delivered moves the group on to an entry that is being delivered.
func (s *Stream) Delivered(g *Group, id ID) {
	if !g.LastID.Less(id) {
		return
	}
	if g.Read != UnknownRead && !s.deletedFrom(id) {
		g.Read++
	} else if s.Added > 0 {
		g.Read = s.Distance(id)
	}
	g.LastID = id
}

// Lag is how many entries are still to be delivered to the group; false: the
// entries that were deleted make that unknown.
func (s *Stream) Lag(g *Group) (int64, bool) {
	if s.Added == 0 {
		return 0, true
	}
	if g.Read != UnknownRead && !s.deletedFrom(g.LastID) {
		return s.Added - g.Read, true
	}
	if read := s.Distance(g.LastID); read != UnknownRead {
		return s.Added - read, true
	}
	return 0, false
}

// deletedFrom reports whether an entry may have been deleted from the id on, among
// those that are there.
func (s *Stream) deletedFrom(id ID) bool {
	if s.Len() == 0 || s.MaxDeleted.IsZero() || s.MaxDeleted.Less(s.FirstID()) {
		return false
	}
	return !s.MaxDeleted.Less(id)
}

// Distance is how many entries were ever added up to the id, where that is certain;
// else UnknownRead.
func (s *Stream) Distance(id ID) int64 {
	last := id.Compare(s.LastID)
	switch {
	case s.Added == 0:
		return 0
	case s.Len() == 0 && last <= 0, last == 0:
		return s.Added
	case last > 0:
		return UnknownRead
	}
	first := s.FirstID()
	if s.MaxDeleted.IsZero() || s.MaxDeleted.Less(first) {
		switch id.Compare(first) {
		case -1:
			return s.Added - int64(s.Len())
		case 0:
			return s.Added - int64(s.Len()) + 1
		}
	}
	return UnknownRead
}

func sortedNames[T any](m map[string]T) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
