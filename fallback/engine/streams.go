package engine

import (
	"math"
	"strconv"
	"strings"

	"holdfast/fallback/engine/stream"
)

// The values of streams are those of package stream.

func streamCommands() map[string]*spec {
	return map[string]*spec{
		"XLEN":   read(2, 1, 1, 1).with((*call).xlen),
		"XRANGE": read(-4, 1, 1, 1).with((*call).xrange), "XREVRANGE": read(-4, 1, 1, 1).with((*call).xrange),
		"XREAD": read(-4, 0, 0, 0).keyed(streamKeys).with((*call).xread),
		"XADD":  write(-5, 1, 1, 1, fNil).with((*call).xadd),
		"XDEL":  write(-3, 1, 1, 1, fZero).with((*call).xdel), "XTRIM": write(-4, 1, 1, 1, fZero).with((*call).xtrim),
		"XSETID":     write(-3, 1, 1, 1, 0).with((*call).xsetid),
		"XINFO":      read(-2, 2, 2, 1).with((*call).xinfo).unsure(),
		"XPENDING":   read(-3, 1, 1, 1).with((*call).xpending).unsure(),
		"XREADGROUP": write(-7, 0, 0, 0, 0).keyed(streamKeys).with((*call).xread),
		"XACK":       write(-4, 1, 1, 1, fZero).with((*call).xack),
		"XCLAIM":     write(-6, 1, 1, 1, 0).with((*call).xclaim),
		"XAUTOCLAIM": write(-6, 1, 1, 1, 0).with((*call).xautoclaim),
		"XGROUP":     write(-2, 2, 2, 1, 0).with((*call).xgroup),
	}
}

func streamKeys(args []string) []string {
	for i := 1; i < len(args); i++ {
		switch {
		case strings.EqualFold(args[i], "GROUP"):
			i += 2 // its name and the consumer's, whatever they are
		case strings.EqualFold(args[i], "STREAMS"):
			rest := args[i+1:]
			return rest[:len(rest)/2]
		}
	}
	return nil
}

// stream is the stream at a key, nil for none. false: the key has another type, and
// the call has failed.
func (c *call) stream(key string) (*stream.Stream, bool) {
	en := c.e.find(c.db, key)
	switch {
	case en == nil:
		return nil, true
	case en.stream == nil:
		c.fail(errWrongType)
		return nil, false
	}
	return en.stream, true
}

// putStream makes s the value of a key that is absent.
func (e *Engine) putStream(db int, key string, s *stream.Stream) {
	e.event(eventNew, "new", db, key)
	en := e.fresh(db, key)
	en.kind, en.stream = "stream", s
}

// madeStream is the stream at a key, which is made if it is not there.
func (c *call) madeStream(key string, s *stream.Stream) *stream.Stream {
	if s == nil {
		s = stream.New()
		c.e.putStream(c.db, key, s)
	}
	return s
}

// xadd is XADD, journaled with the id that the entry got and with what was left
// after trimming.
func (c *call) xadd() {
	o, ok := c.parseStreamOptions(true)
	switch {
	case !ok:
		return
	case len(o.rest) < 2 || len(o.rest)%2 != 0:
		c.fail(wrongArity("xadd"))
		return
	case !o.id.auto && !o.id.noSeq && o.id.id.IsZero():
		c.fail(errStreamZero)
		return
	}
	key := c.args[1]
	s, ok := c.stream(key)
	switch {
	case !ok:
		return
	case s == nil && o.noCreate:
		c.null()
		return
	}
	last := stream.ID{}
	if s != nil {
		last = s.LastID
	}
	id, msg := o.id.place(c, last)
	if msg != "" {
		c.fail(msg)
		return
	}
	s = c.madeStream(key, s)
	_ = s.Append(id, append([]string(nil), o.rest...), c.e.streamLimits) // place has looked at the id
	r := c.buf()
	r.bulk(id.String())
	c.reply = r.b
	args := []string{"XADD", key}
	if o.by != "" {
		args = append(args, c.trimmed(s, o)...)
	}
	at := id.String()
	if o.id.auto {
		at += autoMark
	}
	c.effect(append(append(args, at), o.rest...)...)
}

// trimmed trims and returns the option that gives the same on the same data.
func (c *call) trimmed(s *stream.Stream, o streamOptions) []string {
	n := s.Trim(o.trim)
	c.hasTrimmed = n > 0
	switch {
	case !o.trim.Approx && o.trim.ByID:
		return []string{o.by, "=", o.trim.MinID.String()}
	case !o.trim.Approx:
		return []string{o.by, "=", strconv.FormatInt(o.trim.MaxLen, 10)}
	}
	c.e.noteTime() // where another server's nodes end nobody knows
	switch {
	case n == 0:
		return nil
	case o.trim.ByID:
		return []string{o.by, "=", s.FirstID().String()}
	}
	return []string{o.by, "=", strconv.Itoa(s.Len())}
}

func (c *call) xtrim() {
	o, ok := c.parseStreamOptions(false)
	if !ok {
		return
	}
	c.noEffect()
	s, ok := c.stream(c.args[1])
	if !ok || s == nil {
		c.emptyUnless(ok)
		return
	}
	was := s.Len()
	option := c.trimmed(s, o)
	n := was - s.Len()
	c.integer(int64(n))
	if n > 0 {
		c.effect(append([]string{"XTRIM", c.args[1]}, option...)...)
	}
}

// emptyUnless answers 0, unless the call has failed.
func (c *call) emptyUnless(ok bool) {
	if ok {
		c.integer(0)
	}
}

func (c *call) xdel() {
	s, ok := c.stream(c.args[1])
	if !ok || s == nil {
		c.emptyUnless(ok)
		return
	}
	ids, ok := c.streamIDs(c.args[2:])
	if !ok {
		return
	}
	n := int64(0)
	for _, id := range ids {
		if s.Delete(id) {
			n++
		}
	}
	c.integer(n)
}

func (c *call) xlen() {
	s, ok := c.stream(c.args[1])
	switch {
	case !ok:
	case s == nil:
		c.integer(0)
	default:
		c.integer(int64(s.Len()))
	}
}

// xrange is XRANGE and XREVRANGE.
func (c *call) xrange() {
	rev := len(c.args[0]) == len("XREVRANGE")
	from, to := c.args[2], c.args[3]
	if rev {
		from, to = to, from
	}
	start, ok := c.rangeStart(from)
	if !ok {
		return
	}
	end, ok := c.rangeEnd(to)
	if !ok {
		return
	}
	count := int64(math.MaxInt64)
	for i := 4; i < len(c.args); i += 2 {
		if !strings.EqualFold(c.args[i], "COUNT") || i+1 == len(c.args) {
			c.fail(errSyntax)
			return
		}
		if count, ok = c.countArg(c.args[i+1]); !ok {
			return
		}
		count = max(count, 0)
	}
	s, ok := c.stream(c.args[1])
	r := c.buf()
	switch {
	case !ok:
		return
	case s == nil:
		r.array(0)
	case count == 0:
		r.nullArray()
	default:
		r.entries(s, start, end, count, rev)
	}
	c.reply = r.b
}

// entry writes an entry: its id and its fields.
func (r *replyBuf) entry(e *stream.Entry) {
	r.array(2)
	r.bulk(e.ID.String())
	r.strings(e.Fields)
}

// entries writes the entries of an interval, count at most, and returns how many.
func (r *replyBuf) entries(s *stream.Stream, start, end stream.ID, count int64, rev bool) (n int) {
	body := replyBuf{v3: r.v3}
	write := func(e *stream.Entry) bool {
		body.entry(e)
		n++
		return int64(n) < count
	}
	if rev {
		s.Descend(start, end, write)
	} else {
		s.Ascend(start, end, write)
	}
	r.array(n)
	r.b = append(r.b, body.b...)
	return n
}

// xsetid is XSETID.
func (c *call) xsetid() {
	id, ok := c.streamID(c.args[2], 0)
	if !ok {
		return
	}
	added, deleted := int64(-1), stream.ID{}
	for i := 3; i < len(c.args); i += 2 {
		switch opt := strings.ToUpper(c.args[i]); {
		case opt == "ENTRIESADDED" && i+1 < len(c.args):
			if added, ok = c.countArg(c.args[i+1]); ok && added < 0 {
				c.fail("ERR entries_added must be positive")
				return
			}
		case opt == "MAXDELETEDID" && i+1 < len(c.args):
			if deleted, ok = c.streamID(c.args[i+1], 0); ok && id.Less(deleted) {
				c.fail("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
				return
			}
		default:
			c.fail(errSyntax)
			return
		}
		if !ok {
			return
		}
	}
	c.setStreamID(id, added, deleted)
}

func (c *call) setStreamID(id stream.ID, added int64, deleted stream.ID) {
	s, ok := c.stream(c.args[1])
	switch {
	case !ok:
		return
	case s == nil:
		c.fail(errNoKey)
		return
	case s.Len() > 0 && id.Less(s.Last().ID):
		c.fail("ERR The ID specified in XSETID is smaller than the target stream top item")
		return
	case s.Len() > 0 && added != -1 && int64(s.Len()) > added:
		c.fail("ERR The entries_added specified in XSETID is smaller than the target stream length")
		return
	}
	s.LastID = id
	if added != -1 {
		s.Added = added
	}
	if !deleted.IsZero() {
		s.MaxDeleted = deleted
	}
	c.ok()
}
