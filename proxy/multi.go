package proxy

import (
	"bytes"
	"errors"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback"
)

// transaction collects a MULTI unit. It is sent, or executed locally, as a
// whole at EXEC, so it occupies no upstream connection while the client thinks.
type transaction struct {
	unit    [][][]byte
	bytes   int
	writes  bool // it may change something
	scans   bool // it has a step of an iteration
	spoiled bool // a command was refused when queued: EXEC answers EXECABORT

	// held are the replies since MULTI while the batch lasts that it came in. If EXEC
	// comes in the same one, Redis says which of them were refused; see unitHead.
	held unitHead
	free bool // replies are not held
}

// unitHead are the replies to MULTI and to what was queued, not yet sent to the client.
type unitHead struct {
	replies []byte
	queued  []int // where in replies "QUEUED" is for each command of the unit
}

// maxUnitBytes bounds what one client may queue in MULTI.
const maxUnitBytes = 512 << 20

var replyQueued = []byte("+QUEUED\r\n")

// endsUnit reports whether the command is handled at once inside MULTI.
func endsUnit(cmd *command.Command) bool {
	switch cmd.Name {
	case "exec", "discard", "multi", "watch", "quit", "reset":
		return true
	}
	return false
}

// queue adds a command to the unit. False: the command changes the connection
// itself, so the unit has to be built on a connection of its own.
func (c *client) queue(cmd *command.Command, argv [][]byte) bool {
	if cmd.Flags&command.NoMulti != 0 {
		c.reject("ERR Command not allowed inside a transaction")
		return true
	}
	if cmd.Flags&command.ConnState != 0 && cmd.Flags&command.Blocking == 0 {
		if c.online() {
			return false
		}
		if c.s.cfg.Upstream != nil || !answeredHere(cmd) {
			c.reject("UPSTREAMDOWN Redis is unavailable and this command cannot be queued without it")
			return true
		}
	}
	tx := c.multi
	copied := make([][]byte, len(argv))
	for i, a := range argv {
		copied[i] = append([]byte(nil), a...)
		tx.bytes += len(a)
	}
	if tx.bytes > maxUnitBytes {
		c.reject("ERR transaction is larger than 512 MB")
		return true
	}
	tx.unit = append(tx.unit, copied)
	tx.writes = tx.writes || cmd.Flags&acts != 0
	tx.scans = tx.scans || cursorPlace[cmd] != 0
	if !tx.free {
		tx.held.queued = append(tx.held.queued, len(tx.held.replies))
	}
	c.answer(replyQueued)
	return true
}

// hold keeps a reply inside of MULTI for later. False: it is to be answered now.
func (c *client) hold(reply []byte) bool {
	tx := c.multi
	if tx == nil || tx.free {
		return false
	}
	tx.held.replies = append(tx.held.replies, reply...)
	return true
}

// release answers what was held: nothing more can be said about it.
func (c *client) release() {
	tx := c.multi
	if tx == nil || tx.free {
		return
	}
	tx.free = true
	if len(tx.held.replies) > 0 {
		c.answer(tx.held.replies)
	}
	tx.held = unitHead{}
}

// aborted is EXEC's reply to a unit that Redis refused, with the cause: queued gives its
// replies to what was sent. Where those of the proxy are not sent yet, they become those
// of Redis; else EXEC's own text says it, in the form that Redis has for that.
func (c *client) aborted(it *item, exec []byte, queued func(i int) []byte) []byte {
	if !bytes.HasPrefix(exec, []byte("-EXECABORT")) {
		return exec
	}
	b, head := &c.batch, it.head
	var said, cause []byte
	from, sent := 0, 0
	for i := range it.unit {
		sent += it.span(i)
		reply := queued(sent - 1)
		if reply[0] == '-' && cause == nil {
			cause = reply
		}
		if i < len(head.queued) {
			said = append(append(said, head.replies[from:head.queued[i]]...), reply...)
			from = head.queued[i] + len(replyQueued)
		}
	}
	switch {
	case cause == nil:
		return exec
	case len(head.queued) == len(it.unit) && bytes.HasSuffix(b.out, head.replies):
		b.out = append(append(b.out[:len(b.out)-len(head.replies)], said...), head.replies[from:]...)
		return exec
	}
	return resp.AppendError(nil, "EXECABORT Transaction discarded because of: "+string(bytes.TrimSpace(cause[1:])))
}

// span is how many commands are sent for the i-th one of the unit.
func (it *item) span(i int) int {
	if it.spans == nil {
		return 1
	}
	return it.spans[i]
}

func (c *client) cmdMulti(argv [][]byte) {
	if c.multi != nil {
		c.answer(resp.AppendError(nil, "ERR MULTI calls can not be nested"))
		return
	}
	c.multi = &transaction{}
	c.answer(replyOK)
}

func (c *client) cmdDiscard(argv [][]byte) {
	if c.multi == nil {
		c.answer(resp.AppendError(nil, "ERR DISCARD without MULTI"))
		return
	}
	c.release()
	c.multi, c.watch, c.watchLost = nil, nil, false
	c.answer(replyOK)
}

func (c *client) cmdExec(argv [][]byte) {
	tx := c.multi
	if tx == nil {
		c.answer(resp.AppendError(nil, "ERR EXEC without MULTI"))
		return
	}
	watch, lost := c.watch, c.watchLost
	if lost || tx.spoiled || len(watch) > 0 || !c.online() {
		c.release()
	}
	c.multi, c.watch, c.watchLost = nil, nil, false
	switch {
	case lost:
		c.answer(resp.AppendError(nil, "EXECABORT Transaction discarded because Redis went away after WATCH and the watched keys cannot be judged"))
		return
	case tx.spoiled:
		c.answer(resp.AppendError(nil, "EXECABORT Transaction discarded because of previous errors."))
		return
	}
	it := item{kind: kindForward, cmd: execRead, unit: tx.unit, replies: len(tx.unit) + 2, skip: len(tx.unit) + 1, head: tx.held}
	if tx.writes {
		it.cmd = execWrite
	}
	if it.unit == nil {
		it.unit = [][][]byte{}
	}
	if execMixed(c, &it, watch) {
		return
	}
	if len(watch) > 0 {
		c.execWatched(&it, watch)
		return
	}
	if !c.online() {
		c.execLocally(&it)
		return
	}
	if tx.writes {
		c.awaitReady(&it)
	}
	switch {
	case shows(it.unit):
		c.askShown(&it)
	case tx.scans:
		c.iterates(&it)
	}
	if c.batch.followers > 0 {
		c.flush()
	}
	if tx.writes && c.behindGroup(&it) {
		c.flush()
	}
	if tx.writes {
		c.beginWrite(&it)
	}
	c.noteUnit(it.unit)
	c.forward(it)
}

// execLocally has a unit executed on the local state.
func (c *client) execLocally(it *item) {
	c.flush()
	c.awaitSettled()
	for _, argv := range it.unit {
		if cmd, ok := command.Lookup(argv); ok && c.relay != nil {
			c.noteTracked(cmd, argv)
		}
	}
	c.elsewhere(it)
}

// execWrite and execRead are the table's row for EXEC, with the flags of what the
// unit does: one that only reads is as free to be asked elsewhere as a read.
var execWrite, execRead = execAs(command.Write), execAs(command.Read)

func execAs(what command.Flags) *command.Command {
	row, _ := command.Lookup([][]byte{[]byte("exec")})
	exec := *row
	exec.Flags |= what
	return &exec
}

func (c *client) cmdWatch(argv [][]byte) {
	if c.multi != nil {
		c.answer(resp.AppendError(nil, "ERR WATCH inside MULTI is not allowed"))
		return
	}
	c.flush()
	if c.watchLost {
		c.answer(replyOK) // EXEC is refused anyway
		return
	}
	c.s.handovers.note(c)
	w, err := c.s.cfg.Local.Watch(c.db, argv[1:])
	if busy := (fallback.BusyError{}); errors.As(err, &busy) {
		c.answer(resp.AppendError(nil, busy.Error()))
		return
	}
	if err != nil {
		c.answer(resp.AppendError(nil, "UPSTREAMDOWN Redis is unavailable and these keys cannot be watched"))
		return
	}
	c.watch = append(c.watch, w)
	c.answer(replyOK)
}

var watchedLost = resp.AppendError(nil, "EXECABORT Transaction discarded because the watched keys cannot be judged after Redis came back")

// execWatched executes a unit whose keys were watched on the local state. If
// Redis took over meanwhile, nobody can say whether they changed: the unit is
// not executed, and the error (not nil, which would make clients loop) says so.
func (c *client) execWatched(it *item, watch []*fallback.Watch) {
	c.flush()
	if c.s.newerForm(it.unit) {
		c.answer(notWithoutRedis)
		return
	}
	req := c.request(it)
	req.Watch = watch
	reply, pending, err := c.s.cfg.Local.Do(req)
	if err != nil {
		c.answer(watchedLost)
		return
	}
	c.appendDurable(reply, pending)
}
