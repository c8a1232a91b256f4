package proxy

import (
	"time"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// refusedForSure reports whether a reply proves that Redis did not execute the item. The
// errors of a script may have the text of a refusal: where Redis serves other commands,
// it is the script's own, and the script has run.
func (c *client) refusedForSure(it *item, reply []byte) bool {
	if !refused(reply) || it.unit != nil || it.cmd.Flags&command.OwnWords == 0 {
		return refused(reply)
	}
	probe := &backend.Call{Payload: resp.AppendCommandStrings(nil, "EXISTS", backend.ProbeKey), N: 1, Deadline: time.Now().Add(c.s.cfg.CommandTimeout / 2)}
	return c.s.cfg.Upstream.Do(c.proto, c.db, probe) != nil
}
