package engine

import (
	"math"
	"strings"

	"holdfast/fallback/engine/stream"
)

// infoCommands are the subcommands of XINFO.
var infoCommands = map[string]struct {
	arity int
	run   func(c *call, s *stream.Stream)
}{
	"STREAM":    {-3, (*call).infoStream},
	"GROUPS":    {3, (*call).infoGroups},
	"CONSUMERS": {4, (*call).infoConsumers},
}

// xinfo is XINFO, with the fields that Redis 7.0 has.
func (c *call) xinfo() {
	sub := strings.ToUpper(c.args[1])
	if sub == "HELP" {
		c.help("XINFO", "STREAM <key> [FULL [COUNT <n>]]", "GROUPS <key>", "CONSUMERS <key> <group>")
		return
	}
	cmd := infoCommands[sub]
	switch {
	case cmd.run == nil:
		c.fail("ERR unknown subcommand '" + c.args[1] + "'. Try XINFO HELP.")
		return
	case !(&spec{arity: cmd.arity}).arityOK(len(c.args)):
		c.fail(wrongArity("xinfo|" + sub))
		return
	}
	switch s, ok := c.stream(c.args[2]); {
	case !ok:
	case s == nil:
		c.fail(errNoKey)
	default:
		cmd.run(c, s)
	}
}

// infoStream is XINFO STREAM key [FULL [COUNT n]].
func (c *call) infoStream(s *stream.Stream) {
	options, count := c.args[3:], int64(10)
	switch {
	case len(options) == 0:
	case len(options) != 1 && len(options) != 3, !strings.EqualFold(options[0], "FULL"),
		len(options) == 3 && !strings.EqualFold(options[1], "COUNT"):
		c.badSubcommand()
		return
	case len(options) == 3:
		var ok bool
		if count, ok = c.countArg(options[2]); !ok {
			return
		}
		if count < 0 {
			count = 10
		}
	}
	r := c.buf()
	full := len(options) > 0
	if full {
		r.mapLen(9)
	} else {
		r.mapLen(10)
	}
	r.streamHead(s)
	if full {
		if count == 0 {
			count = math.MaxInt64
		}
		r.bulk("entries")
		r.entries(s, stream.ID{}, stream.Max, count, false)
		r.groupsInFull(s, count)
	} else {
		r.field("groups", int64(len(s.Groups())))
		r.bulk("first-entry")
		r.entryOrNull(s.First())
		r.bulk("last-entry")
		r.entryOrNull(s.Last())
	}
	c.reply = r.b
}

func (r *replyBuf) field(name string, n int64) {
	r.bulk(name)
	r.integer(n)
}

func (r *replyBuf) entryOrNull(e *stream.Entry) {
	if e == nil {
		r.null()
		return
	}
	r.entry(e)
}

// streamHead writes what both forms of XINFO STREAM begin with.
func (r *replyBuf) streamHead(s *stream.Stream) {
	r.field("length", int64(s.Len()))
	r.field("radix-tree-keys", int64(s.Blocks()))
	r.field("radix-tree-nodes", int64(s.Blocks())+1)
	r.bulk("last-generated-id")
	r.bulk(s.LastID.String())
	r.bulk("max-deleted-entry-id")
	r.bulk(s.MaxDeleted.String())
	r.field("entries-added", s.Added)
	r.bulk("recorded-first-entry-id")
	r.bulk(s.FirstID().String())
}

// groupsInFull writes the groups with what is pending, count of each at most.
func (r *replyBuf) groupsInFull(s *stream.Stream, count int64) {
	r.bulk("groups")
	r.array(len(s.Groups()))
	for _, name := range s.Groups() {
		g := s.Group(name)
		r.mapLen(7)
		r.bulk("name")
		r.bulk(name)
		r.position(s, g)
		r.field("pel-count", int64(g.Len()))
		r.bulk("pending")
		r.some(g.Ascend, count, true)
		r.bulk("consumers")
		r.array(len(g.Consumers()))
		for _, name := range g.Consumers() {
			c := g.Consumer(name)
			r.mapLen(4)
			r.bulk("name")
			r.bulk(name)
			r.field("seen-time", c.Seen)
			r.field("pel-count", int64(c.Len()))
			r.bulk("pending")
			r.some(c.Ascend, count, false)
		}
	}
}

// some writes up to count pending entries.
func (r *replyBuf) some(ascend func(from, to stream.ID, fn func(*stream.Pending) bool), count int64, owner bool) {
	var list []*stream.Pending
	ascend(stream.ID{}, stream.Max, func(p *stream.Pending) bool {
		list = append(list, p)
		return int64(len(list)) < count
	})
	r.array(len(list))
	for _, p := range list {
		if owner {
			r.array(4)
			r.bulk(p.ID.String())
			r.bulk(p.Consumer)
		} else {
			r.array(3)
			r.bulk(p.ID.String())
		}
		r.integer(p.Time)
		r.integer(p.Count)
	}
}

// position writes where a group has got to: three fields.
func (r *replyBuf) position(s *stream.Stream, g *stream.Group) {
	r.bulk("last-delivered-id")
	r.bulk(g.LastID.String())
	r.bulk("entries-read")
	if g.Read == stream.UnknownRead {
		r.null()
	} else {
		r.integer(g.Read)
	}
	r.bulk("lag")
	if lag, ok := s.Lag(g); ok {
		r.integer(lag)
	} else {
		r.null()
	}
}

func (c *call) infoGroups(s *stream.Stream) {
	r := c.buf()
	r.array(len(s.Groups()))
	for _, name := range s.Groups() {
		g := s.Group(name)
		r.mapLen(6)
		r.bulk("name")
		r.bulk(name)
		r.field("consumers", int64(len(g.Consumers())))
		r.field("pending", int64(g.Len()))
		r.position(s, g)
	}
	c.reply = r.b
}

func (c *call) infoConsumers(s *stream.Stream) {
	g := s.Group(c.args[3])
	if g == nil {
		c.noGroupFor(c.args[3], c.args[2])
		return
	}
	r := c.buf()
	r.array(len(g.Consumers()))
	for _, name := range g.Consumers() {
		m := g.Consumer(name)
		r.mapLen(3)
		r.bulk("name")
		r.bulk(name)
		r.field("pending", int64(m.Len()))
		r.field("idle", max(c.e.nowMS-m.Seen, 0))
	}
	c.reply = r.b
}
