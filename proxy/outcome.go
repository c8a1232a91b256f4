package proxy

import (
	"bytes"
	"errors"
	"time"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback"
	"holdfast/fallback/record"
)

// acts are the flags of commands that somebody notices if they are done twice: they
// change data, or reach subscribers, the server or its replicas.
const acts = command.Write | command.Script | command.MayReplicate | command.Dangerous

// unanswered decides what becomes of a command that Redis did not answer: reads
// and what never left are executed on the local state; what may have been
// executed only if doing it again does no harm.
func (c *client) unanswered(it *item, sent bool) {
	if it.wrote {
		defer c.endWrite(it) // not before: a fetch of the mirror must not get in between
	}
	if sent && !c.repeatable(it, acts) {
		c.outcomeUnknown(it)
		return
	}
	it.maybe = sent && it.cmd.Flags&(command.Write|command.Script) != 0
	if name := c.s.cfg.Upstream.FenceName(c.proto, c.db); it.maybe && name != "" {
		// A later fence of this connection proves that it was executed: repeating it
		// then would undo what came after it.
		it.origin = record.Origin{Key: name, Number: c.batch.call.Fence + uint64(it.after)}
	}
	c.elsewhere(it)
}

// outcomeUnknown tells the client that nobody knows, and the local state that
// Redis may have executed the write after all.
func (c *client) outcomeUnknown(it *item) {
	c.eachWrite(it, func(_ *command.Command, _ [][]byte) {
		for _, key := range c.keys {
			c.s.cfg.Local.Unsure(c.db, key, it.sent)
		}
	})
	c.batch.out = fallback.ReplyUnknownOutcome(c.batch.out)
}

// awaitSettled lets writes that were under way when the link died find their
// place in the journal before a new one: Redis may have executed them.
func (c *client) awaitSettled() {
	if !c.s.Fencing() {
		return
	}
	for end := time.Now().Add(c.s.cfg.CommandTimeout); c.s.Fencing() && time.Now().Before(end); {
		time.Sleep(200 * time.Microsecond)
	}
}

// repeatable reports whether all commands of the item that have one of the flags
// may be done twice.
func (c *client) repeatable(it *item, flags command.Flags) bool {
	if it.unit == nil {
		return it.cmd.Flags&flags == 0 || command.Idempotent(it.argv, it.cmd)
	}
	for _, argv := range it.unit {
		cmd, ok := command.Lookup(argv)
		if !ok || (cmd.Flags&flags != 0 && !command.Idempotent(argv, cmd)) {
			return false
		}
	}
	return true
}

// elsewhere executes one command again where it can be: on the local state, or
// on Redis once that is there, within the command time-out.
func (c *client) elsewhere(it *item) {
	c.batch.moved = c.batch.moved || it.cmd.Flags&(command.Write|command.Script) != 0
	deadline := time.Now().Add(c.s.cfg.CommandTimeout)
	if !c.retryBy.IsZero() {
		deadline = c.retryBy
	}
	counted := false
	defer func() {
		if counted {
			c.s.endCall()
		}
	}()
	newer := c.s.newerForm(it.commands())
	for {
		if newer && c.s.cfg.Local.Serving() {
			c.withoutRedis(it)
			return
		}
		reply, pending, err := c.s.cfg.Local.Do(c.request(it))
		switch {
		case err == nil && it.maybe && localRefusal(reply):
			c.outcomeUnknown(it)
			return
		case err == nil:
			c.appendDurable(reply, pending)
			return
		case !errors.Is(err, fallback.ErrOnline):
			c.batch.out = resp.AppendError(c.batch.out, "ERR "+err.Error())
			return
		}
		if c.s.cfg.Upstream.Up() && c.needsFence(it) && time.Now().Before(deadline) {
			c.resend(it, deadline)
			return
		}
		if c.s.cfg.Upstream.Up() {
			if !counted && it.cmd.Flags&(command.Write|command.Script) != 0 {
				counted = true
				c.s.beginCall()
			}
			done, again := c.single(it)
			if done {
				return
			}
			if !again {
				c.outcomeUnknown(it)
				return
			}
		}
		wait := time.Until(deadline)
		if wait <= 0 && it.maybe {
			c.outcomeUnknown(it)
			return
		} else if wait <= 0 {
			c.batch.out = resp.AppendError(c.batch.out, "UPSTREAMDOWN Redis did not answer in time")
			return
		}
		_ = c.s.cfg.Local.AwaitServing(min(wait, 10*time.Millisecond))
	}
}

// withoutRedis answers a call that the local state cannot judge.
func (c *client) withoutRedis(it *item) {
	if it.maybe {
		c.outcomeUnknown(it)
		return
	}
	c.batch.out = append(c.batch.out, notWithoutRedis...)
}

// notWithoutRedis is the reply to a call that only a newer Redis than the local state
// follows could answer: whether it is right, nobody else can say.
var notWithoutRedis = resp.AppendError(nil, "UPSTREAMDOWN Redis is unavailable and this command cannot be answered without it")

// newerForm reports whether one of the commands has an option that the local state of a
// Redis does not know.
func (s *Server) newerForm(commands [][][]byte) bool {
	for _, argv := range commands {
		if cmd, ok := command.Lookup(argv); ok && command.NewerForm(argv, cmd) {
			return s.cfg.Upstream != nil
		}
	}
	return false
}

// single sends one command alone. again says that it may be tried once more.
func (c *client) single(it *item) (done, again bool) {
	call := &backend.Call{}
	c.iterates(it)
	withValues := c.encodeWithValues(it, call)
	if !withValues {
		call.N = it.encode(&call.Payload)
	}
	call.Deadline = time.Now().Add(c.s.cfg.CommandTimeout)
	write := it.cmd.Flags&(command.Write|command.Script) != 0
	var acked []byte
	if write {
		c.beginWrite(it)
		defer func() { c.finishWrite(it, acked) }()
	}
	err := c.s.cfg.Upstream.Do(c.proto, c.db, call)
	if withValues {
		err = c.takeValues(it, call, err)
	}
	answered, sent := outcome(err, len(call.Ends))
	whole := answered == call.N || err == nil
	refused := err != nil && whole && c.refusedForSure(it, call.Reply(call.N-1))
	if whole && !refused {
		reply := call.Reply(call.N - 1)
		if it.spans != nil {
			reply = c.replyTo(it, call.Reply)
		}
		if it.unit != nil && !isOK(call.Reply(0)) {
			c.unitWithoutMulti(&item{cmd: it.cmd, unit: it.unit}, reply)
			return true, false
		}
		if acked = acknowledged(reply); it.unit != nil && acked == nil {
			reply = c.aborted(it, reply, func(i int) []byte { return call.Reply(1 + i) })
		}
		c.tellsAlone(it)
		c.batch.out = append(c.batch.out, c.marked(it, reply)...)
		return true, false
	}
	if !sent || refused {
		return false, true // it was not executed
	}
	if it.maybe = it.maybe || write; write {
		if name := c.s.cfg.Upstream.FenceName(c.proto, c.db); name != "" {
			it.origin = record.Origin{Key: name, Number: call.Fence}
		}
	}
	return false, c.repeatable(it, acts)
}

// localRefusal reports whether the local state refused a command without
// executing it. That says nothing about an earlier try at Redis.
func localRefusal(reply []byte) bool {
	for _, code := range []string{"-UPSTREAMDOWN ", "-JOURNALFULL ", "-JOURNALFAILED ", "-STALE ", "-ERR this write is larger"} {
		if bytes.HasPrefix(reply, []byte(code)) {
			return true
		}
	}
	return false
}

// encode appends the item as sent to Redis and returns the number of replies.
func (it *item) encode(dst *[]byte) int {
	sent := it.sends()
	if it.unit == nil && it.wire == nil {
		*dst = append(*dst, it.raw...)
		return 1
	}
	if it.unit != nil {
		*dst = resp.AppendCommand(*dst, it.bounds[0])
	}
	for _, argv := range sent {
		*dst = resp.AppendCommand(*dst, argv...)
	}
	if it.unit == nil {
		return len(sent)
	}
	*dst = resp.AppendCommand(*dst, it.bounds[1])
	return len(sent) + 2
}

// sends are the commands that go to Redis for the item, MULTI and EXEC not counted.
func (it *item) sends() [][][]byte {
	if it.wire != nil {
		return it.wire
	}
	return it.commands()
}

func (c *client) request(it *item) fallback.Request {
	return fallback.Request{DB: c.db, Client: c.id, Proto: c.proto, Commands: it.commands(), Unit: it.unit != nil, Origin: it.origin, Takeovers: it.sent, Until: c.answerBy(), Called: called(c, it), Who: c.who}
}

// answerBy is when the client must have its answer, for the scripts in it; the zero
// time where there is no Redis. A call that was under way has what is left of its
// time, and a moment at least: most scripts need no more.
func (c *client) answerBy() time.Time {
	if c.s.cfg.Upstream == nil {
		return time.Time{}
	}
	limit := c.s.cfg.CommandTimeout
	if c.batch.sent.IsZero() {
		return time.Now().Add(limit - limit/10) // in the rest it is undone and answered
	}
	by, least := c.batch.sent.Add(limit), time.Now().Add(limit/10)
	if by.Before(least) {
		return least
	}
	return by
}

// commands are those of a unit, or the one command.
func (it *item) commands() [][][]byte {
	if it.unit != nil {
		return it.unit
	}
	return [][][]byte{it.argv}
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
