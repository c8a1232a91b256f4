package engine

import (
	"bytes"
	"slices"
	"strconv"

	"holdfast/fallback/engine/stream"
)

// dumpStream is the commands that recreate a stream: its entries, its counters, its
// groups, their consumers and what is pending. An entry that is pending and gone is
// made for as long as it takes, since nothing else can be made pending.
func dumpStream(s *stream.Stream, name string) [][]string {
	gone := pendingAndGone(s)
	var out [][]string
	add := func(id stream.ID, fields []string) {
		out = append(out, append([]string{"XADD", name, id.String()}, fields...))
	}
	left := gone
	s.Ascend(stream.ID{}, stream.Max, func(e *stream.Entry) bool {
		for len(left) > 0 && left[0].Less(e.ID) {
			add(left[0], []string{"", ""})
			left = left[1:]
		}
		add(e.ID, e.Fields)
		return true
	})
	for _, id := range left {
		add(id, []string{"", ""})
	}
	if len(out) == 0 { // an empty stream is made by a group that goes again
		out = append(out, []string{"XGROUP", "CREATE", name, "holdfast", "0-0", "MKSTREAM"},
			[]string{"XGROUP", "DESTROY", name, "holdfast"})
	}
	for _, group := range s.Groups() {
		out = append(out, dumpGroup(s.Group(group), name, group)...)
	}
	out = append(out, dropAgain(s, gone, name)...)
	return append(out, dumpCounters(s, name)...)
}

// dropAgain removes the entries that are not there. Where nothing was ever deleted by
// its id they were trimmed, and MAXDELETEDID cannot be set back to nothing.
func dropAgain(s *stream.Stream, gone []stream.ID, name string) (out [][]string) {
	switch {
	case len(gone) == 0:
		return nil
	case s.MaxDeleted.IsZero() && s.Len() == 0:
		return [][]string{{"XTRIM", name, "MAXLEN", "=", "0"}}
	case s.MaxDeleted.IsZero():
		return [][]string{{"XTRIM", name, "MINID", "=", s.FirstID().String()}}
	}
	ids := make([]string, len(gone))
	for i, id := range gone {
		ids[i] = id.String()
	}
	return chunked(ids, 1, "XDEL", name)
}

// dumpCounters is what the entries alone do not tell; nothing if they do.
func dumpCounters(s *stream.Stream, name string) [][]string {
	args := []string{"XSETID", name, s.LastID.String()}
	if s.Added != int64(s.Len()) || !s.MaxDeleted.IsZero() {
		args = append(args, "ENTRIESADDED", strconv.FormatInt(s.Added, 10), "MAXDELETEDID", s.MaxDeleted.String())
	} else if s.Len() == 0 && s.LastID.IsZero() || s.Len() > 0 && s.Last().ID == s.LastID {
		return nil
	}
	return [][]string{args}
}

func dumpGroup(g *stream.Group, name, group string) [][]string {
	create := []string{"XGROUP", "CREATE", name, group, g.LastID.String()}
	if g.Read != stream.UnknownRead {
		create = append(create, "ENTRIESREAD", strconv.FormatInt(g.Read, 10))
	}
	out := [][]string{create}
	for _, consumer := range g.Consumers() {
		out = append(out, []string{"XGROUP", "CREATECONSUMER", name, group, consumer})
	}
	var all claims
	g.Ascend(stream.ID{}, stream.Max, func(p *stream.Pending) bool {
		all.add(p)
		return true
	})
	return append(out, all.commands(name, group)...)
}

// pendingAndGone are the ids that are pending and have no entry any more, in order.
func pendingAndGone(s *stream.Stream) (ids []stream.ID) {
	for _, group := range s.Groups() {
		s.Group(group).Ascend(stream.ID{}, stream.Max, func(p *stream.Pending) bool {
			if s.Get(p.ID) == nil {
				ids = append(ids, p.ID)
			}
			return true
		})
	}
	slices.SortFunc(ids, stream.ID.Compare)
	return slices.Compact(ids)
}

// laterOptions are the options of commands on streams that servers before Redis 7.0
// do not know: of which command, and where they begin at the earliest.
var laterOptions = []struct {
	name   string
	option string
	from   int
}{
	{"XGROUP", "ENTRIESREAD", 5},
	{"XSETID", "ENTRIESADDED", 3},
	{"XSETID", "MAXDELETEDID", 3},
}

// olderScript runs a command, and if the server does not take it, the command without
// what such a server does not know: its first ARGV[1] words.
const olderScript = `local r=redis.pcall(unpack(ARGV,2)) if type(r)=='table' and r.err ` +
	`then return redis.call(unpack(ARGV,2,1+tonumber(ARGV[1]))) end return r`

// forOlder is an effect that a server before Redis 7.0 takes as well. These options
// are counters, which such a server does not have.
func forOlder(effect [][]byte) ([][]byte, bool) {
	for _, l := range laterOptions {
		if len(effect) == 0 || !bytes.EqualFold(effect[0], []byte(l.name)) {
			continue
		}
		for i := l.from; i+1 < len(effect); i++ {
			if !bytes.EqualFold(effect[i], []byte(l.option)) {
				continue
			}
			key := effect[1]
			if l.name == "XGROUP" {
				key = effect[2]
			}
			argv := [][]byte{[]byte("EVAL"), []byte(olderScript), []byte("1"), key, strconv.AppendInt(nil, int64(i), 10)}
			return append(argv, effect...), true
		}
	}
	return nil, false
}
