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
		c.answer(reply)
	case ctx.Err() != nil:
		c.reject("UPSTREAMDOWN Redis is too busy to take '" + cmd.Name + "' yet: try again")
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET):
		c.reject("UPSTREAMDOWN Redis closed the connection upon '" + cmd.Name + "'")
	default:
		c.answer(resp.AppendError(nil, "UPSTREAMDOWN Redis is unavailable and '"+cmd.Name+"' cannot reach it"))
	}
}
