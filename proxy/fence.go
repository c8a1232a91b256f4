package proxy

import (
	"bytes"
	"slices"
	"strconv"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/record"
)

// fenceGroup is one MULTI/EXEC around writes that must not be applied twice. It
// ends with a SET of the fence key to the group's number, so that after a dead
// link the key tells whether the group was executed. See fallback.Origin.
type fenceGroup struct {
	first int        // index of MULTI's reply in the call
	count int        // commands in it, the fence not counted
	unit  *[2][]byte // a client's own unit: its MULTI and EXEC; nil for single commands
	elems [][]byte   // EXEC's replies, split once
	split bool
}

var (

	// What the proxy adds to a client's commands is spelled like nobody spells it, so that
	// MONITOR's feed can leave it out: see ownFeed.
	ownMultiRaw   = []byte("*1\r\n$5\r\nmULTI\r\n")
	ownExecRaw    = []byte("*1\r\n$4\r\neXEC\r\n")
	ownDiscardRaw = []byte("*1\r\n$7\r\ndISCARD\r\n")
	ownPTTL       = "*2\r\n$4\r\npTTL\r\n"

	fenceZero = bytes.Repeat([]byte("0"), backend.FenceDigits)
)

// unitBytes is no less than a unit takes on the wire, so that one of many
// megabytes is not copied again and again while it grows.
func unitBytes(unit [][][]byte) (n int) {
	const frame = 16 // "$", a length and two line ends, for any length below 10^10
	for _, argv := range unit {
		n += frame
		for _, a := range argv {
			n += frame + len(a)
		}
	}
	return n
}

// forwardFenced adds a write to the open group, or a client's own unit as a
// group by itself.
func (c *client) forwardFenced(it item) {
	b := &c.batch
	if it.unit != nil {
		c.closeFence()
		bounds := it.bounds
		c.openFence(&bounds)
		b.call.Payload = slices.Grow(b.call.Payload, unitBytes(it.unit))
		sent := it.sends()
		for _, argv := range sent {
			var digest bool
			b.call.Payload, digest = c.s.appendFenced(b.call.Payload, argv, nil)
			it.digest = it.digest || digest
		}
		it.replies = len(sent)
		c.addFenced(it, len(sent))
		c.closeFence()
		return
	}
	if !b.open {
		c.openFence(nil)
	}
	b.call.Payload, it.digest = c.s.appendFenced(b.call.Payload, it.argv, it.raw)
	c.readValues(&it)
	c.addFenced(it, it.replies)
}

func (c *client) openFence(of *[2][]byte) {
	b, begin := &c.batch, ownMultiRaw
	if of != nil {
		begin = resp.AppendCommand(nil, of[0])
	}
	b.fences = append(b.fences, fenceGroup{first: b.call.N, unit: of})
	b.open = true
	b.call.Payload = append(b.call.Payload, begin...)
	b.call.N++
}

func (c *client) addFenced(it item, commands int) {
	b := &c.batch
	it.fence = len(b.fences)
	b.fences[it.fence-1].count += commands
	c.push(it)
}

// closeFence ends the open group with the fence and EXEC.
func (c *client) closeFence() {
	b := &c.batch
	if !b.open {
		return
	}
	b.open = false
	end := ownExecRaw
	if of := b.fences[len(b.fences)-1].unit; of != nil {
		end = resp.AppendCommand(nil, of[1])
	}
	p := append(b.call.Payload, "*3\r\n$3\r\nSET\r\n"...)
	p = resp.AppendBulkString(p, c.s.cfg.Upstream.FenceName(c.proto, c.db))
	p = append(p, '$')
	p = strconv.AppendInt(p, backend.FenceDigits, 10)
	p = append(p, "\r\n"...)
	b.call.FenceAt = append(b.call.FenceAt, len(p))
	p = append(p, fenceZero...)
	p = append(p, "\r\n"...)
	b.call.Payload = append(p, end...)
	b.call.N += 2
}

// deliverFenced answers one item of a group.
func (c *client) deliverFenced(it *item, answered int, sent bool) {
	b := &c.batch
	g := &b.fences[it.fence-1]
	exec := g.first + g.count + 2
	if exec >= answered {
		c.fencedUnknown(it, sent)
		return
	}
	reply := c.replyAt(exec)
	c.splitGroup(g)
	switch {
	case g.elems == nil && reply[0] == '-':
		c.fencedAborted(it, g, reply)
	case g.elems == nil:
		c.fencedUnknown(it, true) // not what EXEC answers: do not guess
	case g.unit != nil && it.spans != nil:
		c.delivered(it, unitReply(c.s.visible(c.proto, c.db, it.unit, it.spans, g.elems[:g.count])))
	case g.unit != nil:
		c.delivered(it, unitReply(g.elems[:g.count]))
	default:
		c.delivered(it, g.elems[it.first-g.first-1])
	}
}

// splitGroup takes the answer of an answered group apart, once.
func (c *client) splitGroup(g *fenceGroup) {
	if g.split {
		return
	}
	g.split = true
	g.elems = splitArray(c.replyAt(g.first+g.count+2), g.count+1)
	if g.elems == nil {
		return
	}
	if !c.s.fenceSeen(c.proto, c.db) {
		c.s.own.saw([]byte(c.s.cfg.Upstream.FenceName(c.proto, c.db)))
	}
	c.s.seenFences.Store([2]int{c.proto, c.db}, true)
}

// fencedAborted handles a group that Redis refused: nothing of it was executed.
// The command that was refused gets its own error; the others are sent again.
// A client's unit is answered as Redis did.
func (c *client) fencedAborted(it *item, g *fenceGroup, exec []byte) {
	if !isOK(c.replyAt(g.first)) { // no MULTI: each command was executed by itself, or refused
		c.withoutMulti(it, g)
		return
	}
	c.endWrite(it)
	if g.unit != nil {
		if refusedAny(c, it) || c.fenceRefused(it, g) {
			c.regrouped(it)
			return
		}
		exec = c.aborted(it, exec, func(i int) []byte { return c.replyAt(it.first + i) })
		c.batch.out = append(c.batch.out, exec...)
		return
	}
	c.valuesRefused(it)
	it.alone = bytes.HasPrefix(c.replyAt(g.first+g.count+1), []byte("-NOREPLICAS "))
	queued := c.replyAt(it.first)
	// Redis that is out of memory refuses everything inside MULTI, also what frees
	// memory: that goes alone.
	frees := bytes.HasPrefix(queued, []byte("-OOM ")) && it.cmd.Flags&command.DenyOOM == 0
	if queued[0] == '-' && !backend.IsRefusal(queued) && !frees {
		c.batch.out = append(c.batch.out, queued...)
		return
	}
	c.regrouped(it)
}

// regrouped sends a command of a refused group again. Redis has executed the rest of
// the call meanwhile: of its reads only those are repeated that were noted as behind
// the group, for the others may have writes to their keys behind them.
func (c *client) regrouped(it *item) {
	b := &c.batch
	moved := b.moved
	it.plain = true
	c.elsewhere(it)
	b.moved, b.regrouped = moved, true
}

// withoutMulti answers an item of a group whose MULTI was refused: the user may
// not use it.
func (c *client) withoutMulti(it *item, g *fenceGroup) {
	if g.unit == nil {
		c.delivered(it, c.replyAt(it.first))
		return
	}
	c.unitWithoutMulti(it, nil)
}

// unitWithoutMulti answers a client's unit whose MULTI was refused: each command was
// executed by itself, or refused. exec is what Redis says then, which is no answer
// where something may have changed.
func (c *client) unitWithoutMulti(it *item, exec []byte) {
	if it.wrote {
		c.endWrite(it)
	}
	if it.cmd.Flags&isWriting != 0 {
		c.outcomeUnknown(it)
		return
	}
	c.batch.out = append(c.batch.out, exec...)
}

// fenceRefused reports whether only the fence made Redis refuse the unit.
func (c *client) fenceRefused(it *item, g *fenceGroup) bool {
	for i := range it.replies {
		if c.replyAt(it.first + i)[0] == '-' {
			return false
		}
	}
	return c.replyAt(g.first + g.count + 1)[0] == '-'
}

// refusedAny reports whether the server said of a queued command that it cannot
// serve at all now.
func refusedAny(c *client, it *item) bool {
	for i := range it.replies {
		if backend.IsRefusal(c.replyAt(it.first + i)) {
			return true
		}
	}
	return false
}

// fencedUnknown executes a write on the local state that Redis may or may not
// have executed: the replay asks the fence. What the local state cannot answer
// for, nobody can: the client is told so.
func (c *client) fencedUnknown(it *item, sent bool) {
	defer c.endWrite(it) // not before: a fetch of the mirror must not get in between
	if !sent {
		c.elsewhere(it)
		return
	}
	if it.digest || !c.speculable(it) || c.s.newerForm(it.commands()) {
		c.outcomeUnknown(it)
		return
	}
	call := c.batch.call
	n := call.Fence + uint64(it.fence) - 1
	req := c.request(it)
	req.Origin = record.Origin{Key: c.s.cfg.Upstream.FenceName(c.proto, c.db), Number: n, Seen: c.s.fenceSeen(c.proto, c.db)}
	if c.s.cfg.Local.Takeovers() != it.sent || c.s.cfg.Local.AwaitServing(c.s.cfg.CommandTimeout) != nil {
		c.outcomeUnknown(it)
		return
	}
	reply, pending, err := c.s.cfg.Local.Do(req)
	if err != nil || !pending.Needed() && (reply[0] == '-' || isLock(it)) {
		c.outcomeUnknown(it)
		return
	}
	c.appendDurable(reply, pending)
}

// isLock reports whether the local state answers the command with nil whatever it holds.
func isLock(it *item) bool {
	_, _, lock := command.TakesLock(it.argv)
	return lock && it.unit == nil
}

// speculable reports whether the local state gives the answer that Redis gave,
// if Redis executed the command: not when chance or Redis's clock decides.
func (c *client) speculable(it *item) bool {
	for _, argv := range it.commands() {
		cmd, ok := command.Lookup(argv)
		if !ok || cmd.Flags&command.NonDeterministic != 0 || (cmd.Name == "xadd" && hasWord(argv[2:], "*")) {
			return false
		}
	}
	return true
}

// splitArray returns the n elements of a RESP array; nil when it is anything else.
func splitArray(reply []byte, n int) [][]byte {
	head := bytes.IndexByte(reply, '\n') + 1
	if head < 4 || reply[0] != '*' || string(reply[1:head-2]) != strconv.Itoa(n) {
		return nil
	}
	out := make([][]byte, 0, n)
	for rest := reply[head:]; len(rest) > 0; {
		size, err := resp.ReplyLen(rest)
		if err != nil || size == 0 {
			return nil
		}
		out = append(out, rest[:size])
		rest = rest[size:]
	}
	if len(out) != n {
		return nil
	}
	return out
}

func unitReply(elems [][]byte) []byte {
	out := resp.AppendArrayLen(nil, len(elems))
	for _, e := range elems {
		out = append(out, e...)
	}
	return out
}

// fenceSeen reports whether a fence of the protocol and database was answered
// since the start: then it has to be at Redis, unless somebody removed it.
func (s *Server) fenceSeen(proto, db int) bool {
	_, seen := s.seenFences.Load([2]int{proto, db})
	return seen
}
