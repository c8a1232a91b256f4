package proxy

import (
	"bytes"

	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// readValues lets the keys of a script that the local state cannot follow be read
// behind it, in its group.
func (c *client) readValues(it *item) {
	if it.cmd.Flags&command.Script == 0 || c.s.noValues.Load() {
		return
	}
	it.values = c.s.cfg.Local.NeedsValues(c.db, it.cmd, it.argv)
	for _, key := range it.values {
		p := resp.AppendCommand(c.batch.call.Payload, []byte("DUMP"), key)
		c.batch.call.Payload = resp.AppendCommand(p, []byte("PEXPIRETIME"), key)
		it.replies += 2
	}
}

// tellValues tells the mirror what was read behind a script; false: nothing was.
func (c *client) tellValues(it *item) bool {
	if it.values == nil || it.fence == 0 {
		return false
	}
	g := &c.batch.fences[it.fence-1]
	at := it.first - g.first
	return g.elems != nil && c.s.cfg.Local.AckedValues(c.db, it.values, g.elems[at:at+2*len(it.values)])
}

// valuesRefused ends the reading of values if that is what Redis refused: one before
// version 7, or a user without the rights. The mirror fetches the keys then. Whatever else
// it says inside MULTI, as without memory, holds for all commands and passes.
func (c *client) valuesRefused(it *item) {
	for i := 1; i < it.replies; i++ {
		reply := c.replyAt(it.first + i)
		if bytes.HasPrefix(reply, []byte("-ERR ")) || bytes.HasPrefix(reply, []byte("-NOPERM ")) {
			c.s.noValues.Store(true)
		}
	}
}
