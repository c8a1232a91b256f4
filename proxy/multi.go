package proxy

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback"
)

// transaction collects a MULTI unit. It is sent, or executed locally, as a
// whole at EXEC, so it occupies no upstream connection while the client thinks.
type transaction struct {
	multi   []byte // MULTI as the client spells it: MONITOR shows that
	unit    [][][]byte
	bytes   int
	writes  bool // it may change something
	scans   bool // it has a step of an iteration
	server  bool // it changes the server for everybody
	spoiled bool // a command was refused when queued: EXEC answers EXECABORT

	// held are the replies of this batch. If EXEC comes in the same one, Redis says which
	// of them were refused, see unitHead; else it is asked, see dryRuns.
	held unitHead
	free bool // replies are not held
}

// unitHead are the replies to MULTI and to what was queued, not yet sent to the client.
type unitHead struct {
	first   int // commands of the unit that were answered before
	replies []byte
	queued  []int // where in replies "QUEUED" is for each other command of the unit
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
	tx.writes = tx.writes || cmd.Flags&acts != 0 && !onlyReads(c, cmd, argv)
	tx.server = tx.server || cmd.Flags&command.Dangerous != 0
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

// holdAgain is called when a batch begins: its replies are held as well.
func (tx *transaction) holdAgain() {
	if tx != nil {
		tx.free, tx.held = false, unitHead{first: len(tx.unit)}
	}
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
	if reply := readUnitWithoutMemory(c, it, queued); reply != nil {
		return reply
	}
	b, head := &c.batch, it.head
	var said, cause []byte
	from, sent, causeAt := 0, 0, 0
	for i := range it.unit {
		sent += it.span(i)
		reply := queued(sent - 1)
		if reply[0] == '-' && cause == nil {
			cause, causeAt = reply, i
		}
		if at := i - head.first; at >= 0 && at < len(head.queued) {
			said = append(append(said, head.replies[from:head.queued[at]]...), reply...)
			from = head.queued[at] + len(replyQueued)
		}
	}
	switch {
	case cause == nil:
		return exec
	case causeAt >= head.first && causeAt < head.first+len(head.queued) && bytes.HasSuffix(b.out, head.replies):
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
	c.multi = &transaction{multi: bytes.Clone(argv[0])}
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
	it := item{kind: kindForward, cmd: execRead, unit: tx.unit, replies: len(tx.unit) + 2, skip: len(tx.unit) + 1, head: tx.held, server: tx.server, bounds: [2][]byte{tx.multi, argv[0]}}
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
	c.awaitPause(it.unit...)
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

// readsAllScript executes the commands that ARGV holds, each behind the number of its
// words, and gives all replies: as EXEC does, with nothing in between.
const readsAllScript = `#!lua flags=no-writes,allow-oom
local out, i = {}, 1
while i <= #ARGV do
  local n = tonumber(ARGV[i])
  out[#out + 1] = redis.pcall(unpack(ARGV, i + 1, i + n))
  i = i + n + 1
end
return out`

// maxReadWords bounds the words of a unit that goes into readsAllScript: Lua's unpack and
// stack have bounds, too.
const maxReadWords = 4000

// readUnitWithoutMemory answers a unit that only reads and that Redis did not queue, because
// it is out of memory: there it would have been queued before, and then be executed all the
// same. nil: it is no such unit, or cannot be had; then the refusal stands.
func readUnitWithoutMemory(c *client, it *item, queued func(i int) []byte) []byte {
	if it.cmd != execRead || it.spans != nil || it.run != 0 || c.proto != 2 || len(it.unit) == 0 {
		return nil
	}
	argv := [][]byte{[]byte("EVAL"), []byte(readsAllScript), []byte("0")}
	for i, one := range it.unit {
		cmd, ok := command.Lookup(one)
		if !ok || cmd.Flags&(command.NoScript|command.Blocking|command.DenyOOM|command.ShowsKeyspace) != 0 || !bytes.HasPrefix(queued(i), []byte("-OOM ")) {
			return nil
		}
		argv = append(append(argv, strconv.AppendInt(nil, int64(len(one)), 10)), one...)
	}
	if len(argv) > maxReadWords {
		return nil
	}
	call := &backend.Call{Payload: resp.AppendCommand(nil, argv...), N: 1, Deadline: time.Now().Add(c.s.cfg.CommandTimeout / 2)}
	if err := c.s.cfg.Upstream.Do(c.proto, c.db, call); err != nil || splitArray(call.Replies, len(it.unit)) == nil {
		return nil
	}
	return call.Replies
}
