package proxy

import (
	"bytes"
	"time"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// refusedForSure reports whether a reply proves that Redis did not execute the item. The
// errors of a script may have the text of a refusal: where Redis serves other commands
// of the kind, it is the script's own, and the script has run.
func (c *client) refusedForSure(it *item, reply []byte) bool {
	if !refused(reply) || it.unit != nil || it.cmd.Flags&command.OwnWords == 0 {
		return refused(reply)
	}
	probe := "EXISTS"
	if bytes.HasPrefix(reply, []byte("-READONLY ")) {
		probe = "DEL" // a read-only replica answers reads; the key need not exist
	}
	call := &backend.Call{Payload: resp.AppendCommandStrings(nil, probe, backend.ProbeKey), N: 1, Deadline: time.Now().Add(c.s.cfg.CommandTimeout / 2)}
	return c.s.cfg.Upstream.Do(c.proto, c.db, call) != nil
}
