package proxy

import (
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
		c.reject("UPSTREAMDOWN Redis is unavailable and this command cannot be queued without it")
		return true
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
	c.answer(replyQueued)
	return true
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
	c.multi, c.watch, c.watchLost = nil, nil, false
	switch {
	case lost:
		c.answer(resp.AppendError(nil, "EXECABORT Transaction discarded because Redis went away after WATCH and the watched keys cannot be judged"))
		return
	case tx.spoiled:
		c.answer(resp.AppendError(nil, "EXECABORT Transaction discarded because of previous errors."))
		return
	}
	it := item{kind: kindForward, cmd: execRead, unit: tx.unit, replies: len(tx.unit) + 2, skip: len(tx.unit) + 1}
	if tx.writes {
		it.cmd = execWrite
	}
	if it.unit == nil {
		it.unit = [][][]byte{}
	}
	if len(watch) > 0 {
		c.execWatched(&it, watch)
		return
	}
	if !c.online() {
		c.flush()
		c.awaitSettled()
		c.elsewhere(&it)
		return
	}
	if tx.writes {
		c.awaitReady(&it)
	}
	if shows(it.unit) {
		c.askShown(&it)
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
	if tx.scans {
		c.iterates(&it)
	}
	c.noteUnit(it.unit)
	c.forward(it)
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
	req := c.request(it)
	req.Watch = watch
	reply, pending, err := c.s.cfg.Local.Do(req)
	if err != nil {
		c.answer(watchedLost)
		return
	}
	c.appendDurable(reply, pending)
}
