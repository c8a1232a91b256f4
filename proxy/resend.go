package proxy

import (
	"time"

	"holdfast/backend"
	"holdfast/backend/command"
)

// needsFence reports whether the item may be sent to Redis in a call of its own only
// with a fence: a link that dies under it must not leave a write that nobody can judge.
// One of a group that Redis refused goes without, as the fence may be the reason.
func (c *client) needsFence(it *item) bool {
	return it.cmd.Flags&isWriting != 0 && !it.maybe && !it.plain && it.cmd.Flags&command.NoMulti == 0 &&
		!c.repeatable(it, isWriting) && c.s.cfg.Upstream.FenceName(c.proto, c.db) != ""
}

// resend sends one command by itself as if it had come alone, while the batch that it
// is part of waits: what becomes of it is settled as for any other. by bounds how
// long it may be tried anew.
func (c *client) resend(it *item, by time.Time) {
	again := item{kind: kindForward, cmd: it.cmd, argv: it.argv, raw: it.raw, unit: it.unit, bounds: it.bounds, replies: 1}
	if it.unit != nil {
		again.replies, again.skip = len(it.unit)+2, len(it.unit)+1
	}
	outer, outerBy := c.batch, c.retryBy
	c.batch, c.retryBy = batch{call: &backend.Call{}}, by
	c.awaitReady(&again)
	c.beginWrite(&again)
	c.forward(again)
	c.flush()
	inner := c.batch
	c.batch, c.retryBy = outer, outerBy
	at := len(c.batch.out)
	c.batch.out = append(c.batch.out, inner.out...)
	for _, d := range inner.durable {
		c.batch.durable = append(c.batch.durable, durable{at + d.start, at + d.end, d.pending})
	}
}
