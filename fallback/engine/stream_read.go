package engine

import (
	"math"
	"strconv"
	"strings"

	"holdfast/fallback/engine/stream"
)

// streamRead is an XREAD or XREADGROUP.
type streamRead struct {
	c     *call
	group bool // XREADGROUP

	grouped        bool // GROUP was given
	name, consumer string
	count          int64 // entries of each stream at most
	noack          bool
	sources        []streamSource
}

// streamSource is one of the streams to be read.
type streamSource struct {
	key   string
	s     *stream.Stream // nil: there is none
	g     *stream.Group
	after stream.ID
	news  bool // ">"
	last  bool // "+": the last entry, whatever was read before
}

const (
	errOnlyGroup  = " option is only supported by XREADGROUP. You called XREAD instead."
	errMeaningOf1 = "ERR The %s ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by " +
		"specifying a proper ID, or use the > ID to get new messages. The %s ID would just return an empty result set."
)

// xread is XREAD and XREADGROUP; with BLOCK they answer as after the time-out.
func (c *call) xread() {
	rd := &streamRead{c: c, group: len(c.args[0]) == len("XREADGROUP"), count: math.MaxInt64}
	if rd.group {
		c.noEffect()
		c.indexed = true // WATCH does not look at groups, and nothing else of a key changes
		c.e.noteTime()
	}
	if at, ok := rd.parse(); !ok || !rd.resolve(c.args[at:]) {
		return
	}
	body, n := c.buf(), 0
	for i := range rd.sources {
		if rd.serve(body, &rd.sources[i]) {
			n++
		}
	}
	r := c.buf()
	switch {
	case n == 0:
		r.nullArray()
	case r.v3:
		r.mapLen(n)
	default:
		r.array(n)
	}
	if n > 0 {
		r.b = append(r.b, body.b...)
	}
	c.reply = r.b
}

// parse reads the options; the keys begin at the place that it returns.
func (rd *streamRead) parse() (at int, ok bool) {
	c := rd.c
	for i := 1; i < len(c.args); i++ {
		more := len(c.args) - i - 1
		switch opt := strings.ToUpper(c.args[i]); {
		case opt == "BLOCK" && more > 0:
			if i++; !c.blockArg(c.args[i]) {
				return 0, false
			}
		case opt == "COUNT" && more > 0:
			i++
			if rd.count, ok = c.countArg(c.args[i]); !ok {
				return 0, false
			}
			if rd.count <= 0 {
				rd.count = math.MaxInt64
			}
		case opt == "STREAMS" && more > 0:
			if more%2 != 0 {
				c.fail("ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")
				return 0, false
			}
			if rd.group && !rd.grouped {
				c.fail("ERR Missing GROUP option for XREADGROUP")
				return 0, false
			}
			return i + 1, true
		case (opt == "GROUP" && more >= 2 || opt == "NOACK") && !rd.group:
			c.fail("ERR The " + opt + errOnlyGroup)
			return 0, false
		case opt == "GROUP" && more >= 2:
			rd.grouped, rd.name, rd.consumer = true, c.args[i+1], c.args[i+2]
			i += 2
		case opt == "NOACK":
			rd.noack = true
		default:
			c.fail(errSyntax)
			return 0, false
		}
	}
	c.fail(errSyntax)
	return 0, false
}

// blockArg checks BLOCK's time-out, which whoever waits has to keep.
func (c *call) blockArg(arg string) bool {
	if c.e.run != nil {
		c.fail("ERR " + c.args[0] + " command is not allowed with BLOCK option from scripts")
		return false
	}
	switch n, ok := parseInt(arg); {
	case !ok:
		c.fail("ERR timeout is not an integer or out of range")
	case n < 0:
		c.fail("ERR timeout is negative")
	default:
		return true
	}
	return false
}

// resolve finds the streams and the places to read from; list is keys and ids.
func (rd *streamRead) resolve(list []string) bool {
	c, n := rd.c, len(list)/2
	for i, key := range list[:n] {
		s, ok := c.stream(key)
		if !ok {
			return false
		}
		src := streamSource{key: key, s: s}
		if rd.group {
			if s != nil {
				src.g = s.Group(rd.name)
			}
			if src.g == nil {
				c.fail("NOGROUP No such key '" + key + "' or consumer group '" + rd.name + "' in XREADGROUP with GROUP option")
				return false
			}
		}
		switch id := list[n+i]; {
		case rd.group && (id == "$" || id == "+"):
			c.fail(strings.ReplaceAll(errMeaningOf1, "%s", id))
			return false
		case id == "$":
			if s != nil {
				src.after = s.LastID
			}
		case id == "+":
			src.last = true
		case id == ">" && !rd.group:
			c.fail("ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.")
			return false
		case id == ">":
			src.news = true
		default:
			if src.after, ok = c.streamID(id, 0); !ok {
				return false
			}
		}
		rd.sources = append(rd.sources, src)
	}
	return true
}

// serve writes what one stream has; false: nothing.
func (rd *streamRead) serve(out *replyBuf, src *streamSource) bool {
	s := src.s
	if s == nil {
		return false
	}
	history := rd.group && !src.news
	switch {
	case src.news:
		src.after = src.g.LastID
	case src.last && s.Len() > 0:
		src.after, _ = s.Last().ID.Prev()
	}
	if !history && (s.Len() == 0 || !src.after.Less(s.Last().ID)) {
		return false
	}
	if !out.v3 {
		out.array(2)
	}
	out.bulk(src.key)
	from, ok := src.after.Next()
	switch {
	case !ok: // nothing is behind the highest id
		rd.member(src)
		out.array(0)
	case !rd.group:
		count := rd.count
		if src.last {
			count = 1
		}
		out.entries(s, from, stream.Max, count, false)
	case history:
		rd.member(src)
		rd.history(out, src, from)
	default:
		rd.member(src)
		rd.deliver(out, src, from)
	}
	return true
}

// member makes the consumer, if it is not there, and notes that it was seen.
func (rd *streamRead) member(src *streamSource) {
	if src.g == nil {
		return
	}
	c := rd.c
	if src.g.AddConsumer(rd.consumer, c.e.nowMS) {
		c.effect("XGROUP", "CREATECONSUMER", src.key, rd.name, rd.consumer)
		c.notify("xgroup-createconsumer", src.key)
	}
	src.g.Consumer(rd.consumer).Seen = c.e.nowMS
}

// deliver writes new entries, which become pending.
func (rd *streamRead) deliver(out *replyBuf, src *streamSource, from stream.ID) {
	now := rd.c.e.nowMS
	var taken claims
	var list []*stream.Entry
	src.s.Ascend(from, stream.Max, func(e *stream.Entry) bool {
		list = append(list, e)
		return int64(len(list)) < rd.count
	})
	out.array(len(list))
	for _, e := range list {
		src.s.Delivered(src.g, e.ID)
		out.entry(e)
		if !rd.noack {
			p := &stream.Pending{ID: e.ID, Consumer: rd.consumer, Time: now, Count: 1}
			src.g.Assign(p)
			taken.add(p)
		}
	}
	taken.journal(rd.c, src.key, rd.name)
	rd.c.journalPosition(src.key, rd.name, src.g)
}

// history writes what is pending for the consumer already.
func (rd *streamRead) history(out *replyBuf, src *streamSource, from stream.ID) {
	var list []*stream.Pending
	src.g.Consumer(rd.consumer).Ascend(from, stream.Max, func(p *stream.Pending) bool {
		list = append(list, p)
		return int64(len(list)) < rd.count
	})
	var again claims
	out.array(len(list))
	for _, p := range list {
		e := src.s.Get(p.ID)
		if e == nil {
			out.array(2)
			out.bulk(p.ID.String())
			out.nullArray()
			continue
		}
		out.entry(e)
		p = &stream.Pending{ID: p.ID, Consumer: p.Consumer, Time: rd.c.e.nowMS, Count: p.Count + 1}
		src.g.Assign(p)
		again.add(p)
	}
	again.journal(rd.c, src.key, rd.name)
}

// journalPosition journals where a group has got to.
func (c *call) journalPosition(key, group string, g *stream.Group) {
	c.effect("XGROUP", "SETID", key, group, g.LastID.String(), "ENTRIESREAD", strconv.FormatInt(g.Read, 10))
}
