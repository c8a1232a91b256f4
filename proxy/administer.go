package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"

	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// administers prepares for what a command does to the proxy's own use of Redis: it is
// silent for a while, or wants another password.
func (c *client) administers(cmd *command.Command, argv [][]byte) {
	if c.s.cfg.Upstream == nil || !c.authed.Load() {
		return
	}
	if d := command.Silence(argv, cmd); d > 0 && c.online() && c.multi == nil {
		c.s.cfg.Upstream.ExpectSilence(d)
	}
	if user, password, ok := command.NewPassword(argv, cmd); ok {
		c.s.cfg.Upstream.OfferPassword(user, password)
	}
}

// whileBusy are the commands that Redis carries out while a script runs for long (its
// ALLOW_BUSY). True: only Redis can, and where it is one of its own, on a connection that
// does not wait behind the script.
var whileBusy = map[string]bool{
	"auth": false, "hello": false, "reset": false, "quit": false, "multi": false, "discard": false, "watch": false, "unwatch": false,
	"script|kill": true, "function|kill": true, "function|stats": true, "shutdown": true,
}

// busy answers a command while a script runs for long, in Redis or in an embedded store:
// with the error that Redis has for that, unless it is one that is carried out then.
// Reads that the cache may have are asked for as ever.
func (c *client) busy(cmd *command.Command, argv [][]byte) bool {
	upstream := c.s.cfg.Upstream
	text := ""
	if upstream == nil {
		text = c.s.cfg.Local.Alone().Busy()
	} else if text = upstream.Busy(); text != "" && (!c.online() || cmd.Flags&command.Cacheable != 0 && c.multi == nil) {
		return false
	}
	if text == "" {
		return false
	}
	aside, taken := whileBusy[cmd.Name]
	switch {
	case !taken:
		c.refuse(cmd, text)
	case aside && upstream != nil && c.multi == nil:
		c.aside(cmd, argv)
	default:
		return false
	}
	return true
}

// aside asks Redis on a connection of its own, at once and whatever the state of the
// link: a script that keeps Redis busy keeps the shared connection waiting, and after
// a while passes for an outage.
func (c *client) aside(cmd *command.Command, argv [][]byte) {
	c.flush() // what the client sent before comes first, as on one connection
	ctx, cancel := context.WithTimeout(context.Background(), c.s.cfg.CommandTimeout*9/10)
	defer cancel()
	reply, err := c.s.cfg.Upstream.Reach(ctx, c.proto, argv)
	switch {
	case err == nil:
		if isOK(reply) && (cmd.Name == "script|kill" || cmd.Name == "function|kill") {
			c.s.cfg.Upstream.ScriptEnded() // what the client sends next is not refused any more
		}
		if acknowledged(reply) != nil {
			c.s.writePause.noteAll([][][]byte{argv})
		}
		c.answer(reply)
	case ctx.Err() != nil:
		c.reject("UPSTREAMDOWN Redis is too busy to take '" + cmd.Name + "' yet: try again")
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET):
		c.reject("UPSTREAMDOWN Redis closed the connection upon '" + cmd.Name + "'")
	default:
		c.answer(resp.AppendError(nil, "UPSTREAMDOWN Redis is unavailable and '"+cmd.Name+"' cannot reach it"))
	}
}
