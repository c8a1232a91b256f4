package proxy

import (
	"bytes"

	"holdfast/backend"
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
	c.batch.call.Payload = appendValueReads(c.batch.call.Payload, it.values)
	it.replies += 2 * len(it.values)
}

// appendValueReads asks for the values of keys. The odd case is that of ownWords.
func appendValueReads(dst []byte, keys [][]byte) []byte {
	for _, key := range keys {
		dst = resp.AppendCommand(dst, []byte("dUMP"), key)
		dst = resp.AppendCommand(dst, []byte("pEXPIRETIME"), key)
	}
	return dst
}

// encodeWithValues makes the call of a script whose fence Redis refused for want of
// replicas: that concerns writes as they are queued, and a script only as it runs, so the
// values can be read behind it all the same. False: it goes without.
func (c *client) encodeWithValues(it *item, call *backend.Call) bool {
	if !it.alone || len(it.values) == 0 {
		return false
	}
	it.alone = false
	p := append([]byte(nil), ownMultiRaw...)
	p, it.digest = c.s.appendFenced(p, it.argv, it.raw)
	call.Payload, call.N = append(appendValueReads(p, it.values), ownExecRaw...), 2*len(it.values)+3
	return true
}

// takeValues tells the mirror of what was read, and leaves the script's own reply in the
// call. A unit of which nothing ran is sent again as the script alone.
func (c *client) takeValues(it *item, call *backend.Call, err error) error {
	if err != nil {
		return err
	}
	elems := splitArray(call.Reply(call.N-1), call.N-2)
	if elems == nil || refused(elems[0]) {
		*call = backend.Call{Deadline: call.Deadline}
		call.N = it.encode(&call.Payload)
		return c.s.cfg.Upstream.Do(c.proto, c.db, call)
	}
	if acknowledged(elems[0]) != nil && !it.told {
		it.told = c.s.cfg.Local.AckedValues(c.db, it.values, elems[1:])
	}
	call.Replies, call.N = elems[0], 1
	call.Ends = append(call.Ends[:0], len(elems[0]))
	return nil
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
