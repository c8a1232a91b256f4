package engine

import (
	"math"
	"strconv"
	"strings"

	"holdfast/fallback/engine/stream"
)

// claims are pending entries to be journaled: as XCLAIM, with as many of them in one
// as have the consumer, the time and the count in common.
type claims []*stream.Pending

func (l *claims) add(p *stream.Pending) { *l = append(*l, p) }

// commands are the XCLAIMs that make them pending.
func (l claims) commands(key, group string) (out [][]string) {
	for len(l) > 0 {
		first, n := l[0], 1
		for n < len(l) && n < dumpChunk && l[n].Consumer == first.Consumer && l[n].Time == first.Time && l[n].Count == first.Count {
			n++
		}
		args := []string{"XCLAIM", key, group, first.Consumer, "0"}
		for _, p := range l[:n] {
			args = append(args, p.ID.String())
		}
		out = append(out, append(args, "TIME", strconv.FormatInt(first.Time, 10),
			"RETRYCOUNT", strconv.FormatInt(first.Count, 10), "FORCE", "JUSTID"))
		l = l[n:]
	}
	return out
}

func (l claims) journal(c *call, key, group string) {
	for _, args := range l.commands(key, group) {
		c.effect(args...)
	}
}

// claim is an XCLAIM or XAUTOCLAIM.
type claim struct {
	c       *call
	s       *stream.Stream
	g       *stream.Group
	minIdle int64
	time    int64 // of delivery, as it is to be noted
	retry   int64 // count of deliveries, as it is to be noted; -1: one more
	force   bool
	justID  bool

	taken claims
	gone  []string // ids of entries that are no more, and are pending no longer
}

// begin finds the group; the call has failed if there is none.
func (cl *claim) begin() bool {
	c := cl.c
	var ok bool
	if cl.s, ok = c.stream(c.args[1]); !ok {
		return false
	}
	if cl.s != nil {
		cl.g = cl.s.Group(c.args[2])
	}
	if cl.g == nil {
		c.noGroup(c.args[1], c.args[2])
	}
	return cl.g != nil
}

func (c *call) noGroup(key, group string) {
	c.fail("NOGROUP No such key '" + key + "' or consumer group '" + group + "'")
}

// take gives what is pending under the id to the consumer; false: it does not.
func (cl *claim) take(id stream.ID) bool {
	c, p := cl.c, cl.g.Pending(id)
	switch {
	case cl.s.Get(id) == nil:
		if p != nil {
			cl.g.Ack(id)
			cl.gone = append(cl.gone, id.String())
		}
		return false
	case p == nil && !cl.force, p != nil && cl.minIdle > 0 && c.e.nowMS-p.Time < cl.minIdle:
		return false
	}
	name := c.args[3]
	if cl.g.AddConsumer(name, c.e.nowMS) {
		c.effect("XGROUP", "CREATECONSUMER", c.args[1], c.args[2], name)
		c.notify("xgroup-createconsumer", c.args[1])
	}
	cl.g.Consumer(name).Seen = c.e.nowMS
	count := int64(1)
	if p != nil {
		count = p.Count
	}
	switch {
	case cl.retry >= 0:
		count = cl.retry
	case !cl.justID:
		count++
	}
	p = &stream.Pending{ID: id, Consumer: name, Time: cl.time, Count: count}
	cl.g.Assign(p)
	cl.taken.add(p)
	return true
}

// end journals what was done.
func (cl *claim) end() {
	c := cl.c
	if len(cl.gone) > 0 {
		c.effect(append([]string{"XACK", c.args[1], c.args[2]}, cl.gone...)...)
	}
	cl.taken.journal(c, c.args[1], c.args[2])
}

// write writes what was taken.
func (cl *claim) write(r *replyBuf) {
	r.array(len(cl.taken))
	for _, p := range cl.taken {
		if cl.justID {
			r.bulk(p.ID.String())
		} else {
			r.entry(cl.s.Get(p.ID))
		}
	}
}

// xclaim is XCLAIM.
func (c *call) xclaim() {
	c.noEffect()
	c.indexed = true
	c.e.noteTime()
	cl := &claim{c: c, time: -1, retry: -1}
	if !cl.begin() {
		return
	}
	var ok bool
	if cl.minIdle, ok = parseInt(c.args[4]); !ok {
		c.fail("ERR Invalid min-idle-time argument for XCLAIM")
		return
	}
	var ids []stream.ID
	at := 5
	for ; at < len(c.args); at++ {
		id, ok := stream.Parse(c.args[at], 0)
		if !ok {
			break
		}
		ids = append(ids, id)
	}
	last, ok := cl.options(c.args[at:])
	if !ok {
		return
	}
	if cl.time < 0 || cl.time > c.e.nowMS {
		cl.time = c.e.nowMS
	}
	moved := cl.g.LastID.Less(last)
	if moved {
		cl.g.LastID = last
	}
	for _, id := range ids {
		cl.take(id)
	}
	cl.end()
	if moved {
		c.journalPosition(c.args[1], c.args[2], cl.g)
	}
	r := c.buf()
	cl.write(r)
	c.reply = r.b
}

// options reads XCLAIM's options; last is LASTID.
func (cl *claim) options(args []string) (last stream.ID, ok bool) {
	c := cl.c
	numbers := map[string]*int64{"IDLE": &cl.time, "TIME": &cl.time, "RETRYCOUNT": &cl.retry}
	for i := 0; i < len(args); i++ {
		opt := strings.ToUpper(args[i])
		more := i+1 < len(args)
		switch {
		case opt == "FORCE":
			cl.force = true
		case opt == "JUSTID":
			cl.justID = true
		case more && numbers[opt] != nil:
			i++
			n, ok := parseInt(args[i])
			if !ok {
				c.fail("ERR Invalid " + opt + " option argument for XCLAIM")
				return last, false
			}
			if opt == "IDLE" {
				n = c.e.nowMS - n
			}
			*numbers[opt] = n
		case more && opt == "LASTID":
			i++
			if last, ok = c.streamID(args[i], 0); !ok {
				return last, false
			}
		default:
			c.fail("ERR Unrecognized XCLAIM option '" + args[i] + "'")
			return last, false
		}
	}
	return last, true
}

const maxAutoClaim = math.MaxInt64 / 16 // Redis holds as many ids in memory

// xautoclaim is XAUTOCLAIM.
func (c *call) xautoclaim() {
	c.noEffect()
	c.indexed = true
	c.e.noteTime()
	cl := &claim{c: c, time: c.e.nowMS, retry: -1}
	var ok bool
	if cl.minIdle, ok = parseInt(c.args[4]); !ok {
		c.fail("ERR Invalid min-idle-time argument for XAUTOCLAIM")
		return
	}
	start, ok := c.rangeStart(c.args[5])
	if !ok {
		return
	}
	count := int64(100)
	for i := 6; i < len(c.args); i++ {
		switch opt := strings.ToUpper(c.args[i]); {
		case opt == "COUNT" && i+1 < len(c.args):
			i++
			if count, ok = parseInt(c.args[i]); !ok || count < 1 || count > maxAutoClaim {
				c.fail("ERR COUNT must be > 0")
				return
			}
		case opt == "JUSTID":
			cl.justID = true
		default:
			c.fail(errSyntax)
			return
		}
	}
	if !cl.begin() {
		return
	}
	next := cl.sweep(start, count)
	cl.end()
	r := c.buf()
	r.array(3)
	r.bulk(next.String())
	cl.write(r)
	r.strings(cl.gone)
	c.reply = r.b
}

// sweepEach is how many pending entries XAUTOCLAIM looks at for each that it may take.
const sweepEach = 10

// sweep takes up to count entries from the id on and returns where to go on, 0-0 at
// the end.
func (cl *claim) sweep(start stream.ID, count int64) (next stream.ID) {
	looks := count * sweepEach
	if count > math.MaxInt64/sweepEach {
		looks = math.MaxInt64
	}
	var list []stream.ID // what is pending changes while it is taken
	cl.g.Ascend(start, stream.Max, func(p *stream.Pending) bool {
		list = append(list, p.ID)
		return int64(len(list)) <= looks
	})
	for _, id := range list {
		if looks == 0 || count == 0 {
			return id
		}
		looks--
		gone := len(cl.gone)
		if cl.take(id) || len(cl.gone) > gone {
			count--
		}
	}
	return stream.ID{}
}
