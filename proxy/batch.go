package proxy

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/tidwall/redcon"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/fallback"
	"holdfast/fallback/record"
	"holdfast/proxy/cache"
)

// item is one command of a batch whose answer is not in place yet: forwarded,
// waiting for another client's read, or answered after one of these.
type item struct {
	kind    itemKind
	cmd     *command.Command
	argv    [][]byte
	raw     []byte        // the command as the client sent it; for a unit, nil
	unit    [][][]byte    // commands of a MULTI unit
	server  bool          // of a unit: it changes the server for everybody
	bounds  [2][]byte     // MULTI and EXEC of the unit as the client spells them
	wire    [][][]byte    // what is sent for them, where that is not the same: see showing
	head    unitHead      // of a unit: the replies before that of EXEC, if they are not sent yet
	spans   []int         // how many of wire belong to each command; nil: they are the same
	first   int           // index of its first reply in the call
	replies int           // how many replies of the call are this item's
	values  [][]byte      // keys of a script that are read behind it, see fallback.Store.NeedsValues
	alone   bool          // values: they can be read behind it without a fence
	skip    int           // how many of them come before the one the client gets
	fill    cache.Fill    // of a cacheable read
	wrote   bool          // cache.WriteBegin was called for its keys
	told    bool          // the mirror knows that it was acknowledged
	plain   bool          // it was in a group that Redis refused: it goes without a fence now
	maybe   bool          // an earlier try of this write may have been applied
	digest  bool          // EVALSHA is in it as such: its fence does not prove that it ran
	fence   int           // 1 + index in batch.fences; 0 = not fenced
	after   int           // fences of the call before it
	origin  record.Origin // set when Redis may have executed it
	sent    uint64        // of a write: Local.Takeovers before it was sent
	run     uint64        // of a step of an iteration: the server's process; see iterates
	behind  bool          // a read that may tell of what a group before it writes
	local   [2]int        // kindDone: the answer, in batch.aux
}

type itemKind uint8

const (
	kindForward itemKind = iota // goes to Redis in this call
	kindFollow                  // waits for the same read by another client
	kindDone                    // answered; only its place matters
	kindFailed                  // a read that Redis did not answer
)

// batch collects the commands of one flush. It belongs to one client and is
// reused; out and the call's buffers keep their memory.
type batch struct {
	out       []byte // replies in order, for the client
	aux       []byte // answers that wait for their place in out
	items     []item
	call      *backend.Call
	fences    []fenceGroup
	open      bool     // the last group still takes commands
	writes    bool     // a write is among the items
	yielded   bool     // others have had a turn since it was read
	moved     bool     // a write of this call was executed after the call, or locally
	regrouped bool     // so was one of a group that Redis refused
	wrote     [][]byte // keys of its writes
	wroteAny  bool     // a write may have reached keys that are not among them
	asked     asked
	order     order
	followers int
	sent      time.Time
	durable   []durable
}

// durable is a reply in out that may only leave once its write is on disk.
type durable struct {
	start, end int
	pending    fallback.Pending
}

// maxKeptBytes bounds the buffers a client keeps between batches.
const maxKeptBytes = 256 << 10

func (b *batch) reset() {
	clear(b.items)
	clear(b.durable)
	b.items, b.durable = b.items[:0], b.durable[:0]
	b.followers = 0
	b.out, b.aux, b.order = shrink(b.out), shrink(b.aux), orderUnknown
	b.resetCall()
}

func (b *batch) resetCall() {
	b.call.Payload, b.call.Replies = shrink(b.call.Payload), shrink(b.call.Replies)
	b.call.Ends, b.call.N = b.call.Ends[:0], 0
	b.call.FenceAt, b.call.Answered = b.call.FenceAt[:0], nil
	b.sent = time.Time{}
	b.fences, b.open, b.moved, b.regrouped, b.writes = b.fences[:0], false, false, false, false
	clear(b.wrote)
	b.wrote, b.wroteAny = b.wrote[:0], false
	b.asked.reset()
	if b.order == orderHeld {
		b.order = orderUnknown
	}
}

func shrink(buf []byte) []byte {
	if cap(buf) > maxKeptBytes {
		return nil
	}
	return buf[:0]
}

// maxWrote bounds the search in batch.wrote.
const maxWrote = 64

// noteWrite remembers that this call writes to key; nil: perhaps to any key.
func (b *batch) noteWrite(key []byte) {
	if key == nil || len(b.wrote) == maxWrote {
		b.wroteAny = true
		return
	}
	b.wrote = append(b.wrote, key)
}

// writesTo reports whether this call writes to key before what comes next.
func (b *batch) writesTo(key []byte) bool {
	return b.wroteAny || slices.ContainsFunc(b.wrote, func(k []byte) bool { return bytes.Equal(k, key) })
}

// answer appends a reply in its place: right into out when nothing is pending.
func (c *client) answer(reply []byte) {
	if c.hold(reply) {
		return
	}
	b := &c.batch
	if len(b.items) == 0 {
		b.out = append(b.out, reply...)
		return
	}
	start := len(b.aux)
	b.aux = append(b.aux, reply...)
	b.items = append(b.items, item{kind: kindDone, local: [2]int{start, len(b.aux)}})
}

// serve handles what one read brought and returns the commands that are left
// when one of them needs a connection of its own.
func (c *client) serve(cmds []redcon.Command) (rest []redcon.Command) {
	c.batch.reset()
	c.batch.yielded = false
	c.multi.holdAgain()
	for i, cmd := range cmds {
		if !c.handle(cmd) {
			c.handOver(cmd.Args)
			rest = cmds[i:]
			break
		}
		if c.relay != nil {
			c.endCaching(c.lastCmd.Load())
		}
		if c.multi != nil || len(c.watch) > 0 || c.unitShown {
			c.showUnit()
		}
		if c.closing {
			break
		}
	}
	if rest == nil && c.handing != nil {
		c.handedOver() // it did not need its own connection in the end
	}
	c.checkQueued()
	c.release()
	c.flush()
	c.settle()
	return rest
}

// flush sends what was collected as one call and puts the replies in order.
func (c *client) flush() {
	b := &c.batch
	if len(b.items) == 0 {
		return
	}
	var err error
	c.closeFence()
	b.moved, b.regrouped = false, false // what was executed here before this call is no reason to repeat its reads
	if b.call.N > 0 {
		b.sent = time.Now()
		if b.writes {
			// Until every write under way has found its place, Redis must not be
			// declared back: its fences would move on.
			c.s.beginCall()
			c.counts++
			b.call.Answered = c.answered
		}
		err = c.s.cfg.Upstream.Do(c.proto, c.db, b.call)
	}
	c.finishFills(err)
	c.noteTold()
	turnOver, counted := c.awaitTurn(err)
	c.deliver(err)
	if turnOver != nil {
		turnOver()
	}
	if counted {
		c.endCall()
	}
	clear(b.items)
	b.items, b.aux, b.followers = b.items[:0], b.aux[:0], 0
	b.resetCall()
}

// awaitTurn lets the writes of a call that was not answered wait for their turn;
// done, if any, ends it. counted: the call still counts as under way.
func (c *client) awaitTurn(err error) (done func(), counted bool) {
	b := &c.batch
	if err == nil || !b.writes || b.call.N == 0 {
		return nil, b.writes && b.call.N > 0
	}
	answered, sent := outcome(err, len(b.call.Ends))
	switch {
	case !sent: // Redis has not seen it: it comes after those that were sent
		c.endCall()
		if c.counts == 0 {
			c.awaitSettled()
		}
		return nil, false
	case answered == b.call.N, c.counts > 1: // others wait for this client's outer call
		return nil, true
	}
	return c.s.takeTurn(c.proto, c.db, b.call.Order, c.s.cfg.CommandTimeout), true
}

// endCall notes that the writes of a call have their outcome.
func (c *client) endCall() {
	c.counts--
	c.s.endCall()
}

// deliver appends every item's answer to out. Items that Redis did not answer
// are judged one by one, in order. Reads of our own are delivered before waiting
// for others': two clients that wait for each other's reads cannot block.
func (c *client) deliver(err error) {
	b := &c.batch
	answered := len(b.call.Ends)
	sent := true
	if err != nil {
		answered, sent = outcome(err, answered)
	}
	for i := range b.items {
		it := &b.items[i]
		b.out = append(b.out, it.head.replies...)
		switch it.kind {
		case kindDone:
			b.out = append(b.out, b.aux[it.local[0]:it.local[1]]...)
		case kindFollow:
			c.followed(i)
		case kindFailed:
			c.elsewhere(it)
		case kindForward:
			last := it.first + it.replies - 1
			switch {
			case it.fence > 0:
				c.deliverFenced(it, answered, sent)
			case last >= answered:
				c.unanswered(it, sent)
			case err != nil && c.refusedForSure(it, c.replyAt(last)) && !(it.wrote && c.overtaken(i, answered)):
				c.unanswered(it, false) // the reply proves that it was not executed
			case it.unit != nil && !isOK(c.replyAt(it.first)):
				c.unitWithoutMulti(it, c.replyAt(last))
			case (b.moved || b.regrouped && it.behind) && it.cmd.Flags&command.Read != 0 && !it.wrote:
				c.elsewhere(it) // Redis answered it without a write before it
			case it.unit != nil && acknowledged(c.replyAt(last)) == nil:
				c.delivered(it, c.aborted(it, c.replyAt(last), func(i int) []byte { return c.replyAt(it.first + 1 + i) }))
			default:
				c.delivered(it, c.replyTo(it, func(i int) []byte { return c.replyAt(it.first + i) }))
			}
		}
	}
}

// overtaken reports whether Redis, which refused item i, has executed a write behind
// it: it was made a master again in between. Item i must not land behind that.
func (c *client) overtaken(i, answered int) bool {
	b := &c.batch
	for _, it := range b.items[i+1:] {
		last := it.first + it.replies - 1
		if it.fence > 0 {
			last = b.fences[it.fence-1].first + b.fences[it.fence-1].count + 2
		}
		if it.wrote && last < answered && acknowledged(c.replyAt(last)) != nil {
			return true
		}
	}
	return false
}

// outcome reads how far a failed call got.
func outcome(err error, have int) (answered int, sent bool) {
	var oe *backend.OutcomeError
	if errors.As(err, &oe) {
		return min(oe.Answered, have), oe.Sent
	}
	return 0, true
}

// refused reports whether the reply says that the server cannot serve now: the
// command, or the whole unit, was not executed.
func refused(reply []byte) bool {
	return backend.IsRefusal(reply) || bytes.HasPrefix(reply, []byte("-EXECABORT"))
}

func (c *client) replyAt(i int) []byte {
	call := c.batch.call
	start := 0
	if i > 0 {
		start = call.Ends[i-1]
	}
	return call.Replies[start:call.Ends[i]]
}

// finishFills hands the replies of cacheable reads to the cache and to whoever
// waits for the same read, before anything of this batch can block.
func (c *client) finishFills(err error) {
	b := &c.batch
	answered := len(b.call.Ends)
	if err != nil {
		answered, _ = outcome(err, answered)
	}
	for i := range b.items {
		it := &b.items[i]
		if it.kind != kindForward || it.skip != 1 || it.unit != nil {
			continue
		}
		c.finishFill(it, b.call, it.first, answered, err, b.sent)
	}
}

// life is how long a value may be served, from the PTTL sent beside it: counted
// from before the send, so that the cache never outlives the server's deadline.
func life(pttl []byte, sent time.Time) time.Duration {
	ms, ok := integer(pttl)
	if !ok || ms < 0 {
		return -1
	}
	return max(0, time.Duration(ms)*time.Millisecond-time.Since(sent))
}

// integer reads a RESP integer reply.
func integer(reply []byte) (n int64, ok bool) {
	if len(reply) < 4 || reply[0] != ':' {
		return 0, false
	}
	digits := reply[1 : len(reply)-2]
	neg := digits[0] == '-'
	if neg {
		digits = digits[1:]
	}
	for _, d := range digits {
		if d < '0' || d > '9' || n > 1<<53 {
			return 0, false
		}
		n = n*10 + int64(d-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}

// acknowledged is the reply, or nil when it is an error: then nothing was done.
func acknowledged(reply []byte) []byte {
	if reply[0] == '-' || reply[0] == '!' {
		return nil
	}
	return reply
}

// delivered notes the effects of an answered command and appends its reply.
func (c *client) delivered(it *item, reply []byte) {
	if (it.server || it.cmd.Flags&command.Dangerous != 0) && acknowledged(reply) != nil {
		c.s.writePause.noteAll(it.commands())
	}
	if it.wrote {
		c.finishWrite(it, acknowledged(reply))
	}
	if it.run != 0 {
		reply = c.marked(it, reply)
	}
	c.appendReply(reply)
}
