package stream

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestIDs(t *testing.T) {
	for in, want := range map[string]ID{"0": {0, 7}, "5": {5, 7}, "5-0": {5, 0}, "05-01": {5, 1}, "+5-+1": {5, 1}, " 5-1": {5, 1}, "18446744073709551615-18446744073709551615": Max} {
		id, ok := Parse(in, 7)
		require.True(t, ok, in)
		require.Equal(t, want, id, in)
	}
	for _, in := range []string{"", "-", "+", "-1", "1-", "1--1", "1-1-1", "a", "1-*", "18446744073709551616"} {
		_, ok := Parse(in, 0)
		require.False(t, ok, in)
	}
	next, ok := ID{5, math.MaxUint64}.Next()
	require.True(t, ok)
	require.Equal(t, ID{6, 0}, next)
	prev, ok := next.Prev()
	require.True(t, ok)
	require.Equal(t, ID{5, math.MaxUint64}, prev)
	_, ok = Max.Next()
	require.False(t, ok)
	_, ok = ID{}.Prev()
	require.False(t, ok)
}

// content is everything in a stream, for comparing.
func content(s *Stream) (out []any) {
	s.Ascend(ID{}, Max, func(e *Entry) bool { out = append(out, *e); return true })
	out = append(out, s.LastID, s.MaxDeleted, s.Added, s.Len(), s.Blocks())
	for _, name := range s.Groups() {
		g := s.Group(name)
		out = append(out, name, g.LastID, g.Read, g.Len())
		g.Ascend(ID{}, Max, func(p *Pending) bool { out = append(out, *p); return true })
		for _, c := range g.Consumers() {
			out = append(out, c, g.Consumer(c).Len(), g.Consumer(c).Seen)
			g.Consumer(c).Ascend(ID{}, Max, func(p *Pending) bool { out = append(out, p.ID); return true })
		}
	}
	return out
}

// change does something to a stream.
func change(t *rapid.T, s *Stream) {
	id := ID{rapid.Uint64Range(0, 400).Draw(t, "ms"), 1}
	g := s.Group("g")
	switch rapid.IntRange(0, 9).Draw(t, "op") {
	case 0, 1, 2, 3:
		_ = s.Append(ID{s.LastID.Ms + 1, 1}, []string{"f", "v"}, Limits{Entries: 5})
	case 4:
		s.Delete(id)
	case 5:
		s.Trim(Trimming{MaxLen: int64(id.Ms), Approx: id.Ms%2 == 0})
	case 6:
		s.AddGroup("g", ID{}, 0)
	case 7:
		if g != nil {
			g.AddConsumer("a", 1)
			g.AddConsumer("b", 2)
		}
	default:
		if g != nil && len(g.Consumers()) == 2 {
			if id.Ms%3 == 0 {
				g.Ack(id)
			} else {
				g.Assign(&Pending{id, []string{"a", "b"}[id.Ms%2], 5, 1})
			}
		}
	}
}

// A clone and what it was made of are independent, whichever of them changes.
func TestClonesAreIndependent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := New()
		for range rapid.IntRange(0, 300).Draw(rt, "n") {
			change(rt, s)
		}
		before := content(s)
		first, second := s.Clone(), s.Clone()
		require.Equal(rt, before, content(first))
		for range 100 {
			change(rt, first)
		}
		require.Equal(rt, before, content(s))
		after := content(first)
		for range 100 {
			change(rt, s)
		}
		require.Equal(rt, before, content(second))
		require.Equal(rt, after, content(first))
	})
}

// What lies in blocks is what is there.
func TestBlocksHaveAllEntries(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := New()
		for range 300 {
			change(rt, s)
		}
		live := s.blocks.tail.live
		s.blocks.full.Ascend(nil, func(item any) bool { live += item.(*block).live; return true })
		require.Equal(rt, s.Len(), live)
		require.Equal(rt, s.Len() == 0, s.Blocks() == 0)
	})
}
