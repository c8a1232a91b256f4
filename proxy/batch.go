package proxy

import (
	"bytes"
	"errors"
	"time"

	"github.com/tidwall/redcon"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback"
	"holdfast/proxy/cache"
)

// item is one command of a batch whose answer is not in place yet: forwarded,
// waiting for another client's read, or answered after one of these.
type item struct {
	kind    itemKind
	cmd     *command.Command
	argv    [][]byte
	raw     []byte     // the command as the client sent it; for a unit, nil
	unit    [][][]byte // commands of a MULTI unit
	replies int        // how many replies of the call are this item's
	skip    int        // how many of them come before the one the client gets
	fill    cache.Fill // of a cacheable read
	wrote   bool       // cache.WriteBegin was called for its keys
	local   [2]int     // kindDone: the answer, in batch.aux
}

type itemKind uint8

const (
	kindForward itemKind = iota // goes to Redis in this call
	kindFollow                  // waits for the same read by another client
	kindDone                    // answered; only its place matters
)

// batch collects the commands of one flush. It belongs to one client and is
// reused; out and the call's buffers keep their memory.
type batch struct {
	out       []byte // replies in order, for the client
	aux       []byte // answers that wait for their place in out
	items     []item
	call      *backend.Call
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
	b.out, b.aux = shrink(b.out), shrink(b.aux)
	b.resetCall()
}

func (b *batch) resetCall() {
	b.call.Payload, b.call.Replies = shrink(b.call.Payload), shrink(b.call.Replies)
	b.call.Ends, b.call.N = b.call.Ends[:0], 0
}

func shrink(buf []byte) []byte {
	if cap(buf) > maxKeptBytes {
		return nil
	}
	return buf[:0]
}

// answer appends a reply in its place: right into out when nothing is pending.
func (c *client) answer(reply []byte) {
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
	for i, cmd := range cmds {
		if !c.handle(cmd) {
			rest = cmds[i:]
			break
		}
		if c.closing {
			break
		}
	}
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
	if b.call.N > 0 {
		b.sent = time.Now()
		err = c.s.cfg.Upstream.Do(c.proto, c.db, b.call)
	}
	c.deliver(err)
	clear(b.items)
	b.items, b.aux, b.followers = b.items[:0], b.aux[:0], 0
	b.resetCall()
}

// deliver appends every item's answer to out. Items that Redis did not answer
// are judged one by one, in order. Reads of our own are delivered before waiting
// for others': two clients that wait for each other's reads cannot block.
func (c *client) deliver(err error) {
	b := &c.batch
	c.finishFills(err)
	answered := len(b.call.Ends)
	sent := true
	if err != nil {
		answered, sent = outcome(err, answered)
	}
	next := 0 // index of the item's first reply
	for i := range b.items {
		it := &b.items[i]
		switch it.kind {
		case kindDone:
			b.out = append(b.out, b.aux[it.local[0]:it.local[1]]...)
		case kindFollow:
			c.followed(it)
		case kindForward:
			first := next
			next += it.replies
			switch {
			case next > answered:
				c.unanswered(it, sent)
			case err != nil && refused(c.replyAt(next-1)):
				c.unanswered(it, false) // the reply proves that it was not executed
			default:
				c.delivered(it, c.replyAt(first+it.skip))
			}
		}
	}
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
	next := 0
	for i := range b.items {
		it := &b.items[i]
		if it.kind != kindForward {
			continue
		}
		first := next
		next += it.replies
		if it.skip != 1 || it.unit != nil {
			continue
		}
		if next > answered {
			it.fill.Fail(err)
			continue
		}
		reply := c.replyAt(first + 1)
		it.fill.Done(reply, c.life(c.replyAt(first)), reply[0] != '-' && reply[0] != '!')
	}
}

// life is how long a value may be served, from the PTTL sent beside it: counted
// from before the send, so that the cache never outlives the server's deadline.
func (c *client) life(pttl []byte) time.Duration {
	ms, ok := integer(pttl)
	if !ok || ms < 0 {
		return -1
	}
	return max(0, time.Duration(ms)*time.Millisecond-time.Since(c.batch.sent))
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

// delivered notes the effects of an answered command and appends its reply.
func (c *client) delivered(it *item, reply []byte) {
	if it.wrote {
		c.endWrite(it)
		if reply[0] != '-' && reply[0] != '!' {
			c.s.acked(c.db, it)
		}
	}
	c.batch.out = append(c.batch.out, reply...)
}

// unanswered decides what becomes of a command that Redis did not answer: reads
// and what never left are executed on the local state; a write that may have
// been applied only if applying it again does no harm.
func (c *client) unanswered(it *item, sent bool) {
	if it.wrote {
		c.endWrite(it)
	}
	if sent && it.cmd.Flags&(command.Write|command.Script) != 0 && !c.repeatable(it) {
		c.batch.out = fallback.ReplyUnknownOutcome(c.batch.out)
		return
	}
	c.elsewhere(it)
}

func (c *client) repeatable(it *item) bool {
	if it.unit == nil {
		return command.Idempotent(it.argv, it.cmd)
	}
	for _, argv := range it.unit {
		cmd, ok := command.Lookup(argv)
		if !ok || (cmd.Flags&(command.Write|command.Script) != 0 && !command.Idempotent(argv, cmd)) {
			return false
		}
	}
	return true
}

// followed answers a read that waited for the same read of another client.
func (c *client) followed(it *item) {
	if reply, ok := it.fill.Wait(time.Now().Add(c.s.cfg.CommandTimeout)); ok {
		c.batch.out = append(c.batch.out, reply...)
		return
	}
	c.elsewhere(it)
}

// elsewhere executes one command again where it can be: on the local state, or
// on Redis once that is there, within the command time-out.
func (c *client) elsewhere(it *item) {
	deadline := time.Now().Add(c.s.cfg.CommandTimeout)
	for {
		reply, pending, err := c.s.cfg.Local.Do(c.request(it))
		switch {
		case err == nil:
			c.appendDurable(reply, pending)
			return
		case !errors.Is(err, fallback.ErrOnline):
			c.batch.out = resp.AppendError(c.batch.out, "ERR "+err.Error())
			return
		}
		if c.s.cfg.Upstream.Up() {
			done, again := c.single(it)
			if done {
				return
			}
			if !again {
				c.batch.out = fallback.ReplyUnknownOutcome(c.batch.out)
				return
			}
		}
		wait := time.Until(deadline)
		if wait <= 0 {
			c.batch.out = resp.AppendError(c.batch.out, "UPSTREAMDOWN Redis did not answer in time")
			return
		}
		_ = c.s.cfg.Local.AwaitServing(min(wait, 10*time.Millisecond))
	}
}

// single sends one command alone. again says that it may be tried once more.
func (c *client) single(it *item) (done, again bool) {
	call := &backend.Call{}
	call.N = it.encode(&call.Payload)
	write := it.cmd.Flags&(command.Write|command.Script) != 0
	if write {
		c.beginWrite(it)
	}
	err := c.s.cfg.Upstream.Do(c.proto, c.db, call)
	if write {
		c.endWrite(it)
	}
	if err == nil {
		start := 0
		if call.N > 1 {
			start = call.Ends[call.N-2]
		}
		reply := call.Replies[start:]
		if write && reply[0] != '-' && reply[0] != '!' {
			c.s.acked(c.db, it)
		}
		c.batch.out = append(c.batch.out, reply...)
		return true, false
	}
	_, sent := outcome(err, 0)
	return false, !sent || !write || c.repeatable(it)
}

// encode appends the item as sent to Redis and returns the number of replies.
func (it *item) encode(dst *[]byte) int {
	if it.unit == nil {
		*dst = append(*dst, it.raw...)
		return 1
	}
	*dst = append(*dst, "*1\r\n$5\r\nMULTI\r\n"...)
	for _, argv := range it.unit {
		*dst = resp.AppendCommand(*dst, argv...)
	}
	*dst = append(*dst, "*1\r\n$4\r\nEXEC\r\n"...)
	return len(it.unit) + 2
}

func (c *client) request(it *item) fallback.Request {
	if it.unit != nil {
		return fallback.Request{DB: c.db, Proto: c.proto, Commands: it.unit, Unit: true}
	}
	return fallback.Request{DB: c.db, Proto: c.proto, Commands: [][][]byte{it.argv}}
}

// appendDurable appends a local answer; settle waits for its write.
func (c *client) appendDurable(reply []byte, p fallback.Pending) {
	b := &c.batch
	start := len(b.out)
	b.out = append(b.out, reply...)
	if p.Needed() {
		b.durable = append(b.durable, durable{start, len(b.out), p})
	}
}

// settle waits until every journaled write of the batch is on disk. If the
// journal failed, the answers that promised otherwise become errors.
func (c *client) settle() {
	b := &c.batch
	if len(b.durable) == 0 {
		return
	}
	failed := false
	for _, d := range b.durable {
		failed = d.pending.Wait() != nil || failed
	}
	if !failed {
		return
	}
	fixed := make([]byte, 0, len(b.out))
	from := 0
	for _, d := range b.durable {
		fixed = append(fixed, b.out[from:d.start]...)
		if d.pending.Wait() != nil {
			fixed = fallback.ReplyJournalFailed(fixed)
		} else {
			fixed = append(fixed, b.out[d.start:d.end]...)
		}
		from = d.end
	}
	b.out = append(fixed, b.out[from:]...)
}
