package proxy

import (
	"bytes"
	"strconv"

	"github.com/tidwall/redcon"

	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// handleMuted handles a command after CLIENT REPLY OFF or SKIP: on its own, so
// that its reply can be taken out again.
func (c *client) handleMuted(rc redcon.Command) bool {
	b, was := &c.batch, c.mute
	c.release()
	c.settleNow()
	start := len(b.out)
	c.mute = muteOff
	if !c.handle(rc) {
		c.mute = was
		return false
	}
	if c.mute == muteOff && unmutes(rc.Args, was) {
		return true
	}
	c.release() // of a MULTI that is muted, too
	c.settleNow()
	b.out = b.out[:start]
	if was == muteOn {
		c.mute = muteOn // SKIP after OFF changes nothing
	}
	return true
}

// unmutes reports whether the command, once it has run, ends the muting with its own
// reply: CLIENT REPLY ON, and RESET after OFF.
func unmutes(argv [][]byte, was muteState) bool {
	if len(argv) == 1 {
		return was == muteOn && bytes.EqualFold(argv[0], []byte("reset"))
	}
	return len(argv) == 3 && bytes.EqualFold(argv[0], []byte("client")) &&
		bytes.EqualFold(argv[1], []byte("reply")) && bytes.EqualFold(argv[2], []byte("on"))
}

// settleNow puts all replies so far in their final form.
func (c *client) settleNow() {
	c.flush()
	c.settle()
	clear(c.batch.durable)
	c.batch.durable = c.batch.durable[:0]
}

// clientUnblock names the blocked connection as Redis knows it.
func (c *client) clientUnblock(argv [][]byte) {
	c.flush()
	if !c.online() {
		c.unblockLocally(argv)
		return
	}
	args := append([][]byte(nil), argv...)
	if id, err := strconv.ParseInt(string(argv[2]), 10, 64); err == nil {
		args[2] = strconv.AppendInt(nil, c.s.upstreamID(id), 10)
	}
	c.forward(item{kind: kindForward, cmd: command.ByName("client|unblock"), argv: args, raw: resp.AppendCommand(nil, args...), replies: 1})
	c.flush()
}

// upstreamID is the CLIENT ID in Redis of a client's dedicated connection, 0
// when it has none.
func (s *Server) upstreamID(id int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if r := c.relay; c.id == id && r != nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.sess != nil {
				return r.sess.ID()
			}
		}
	}
	return 0
}

// appendReply appends a reply of the call to out; a large one that is alone
// there is taken over instead of copied.
func (c *client) appendReply(reply []byte) {
	b := &c.batch
	if len(b.out) > 0 || len(reply) <= maxKeptBytes {
		b.out = append(b.out, reply...)
		return
	}
	b.out = reply[:len(reply):len(reply)] // nothing can be appended into what follows
}
