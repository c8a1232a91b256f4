package backend

import (
	"context"
	"fmt"
	"net"
	"time"

	"holdfast/backend/resp"
)

// busyPause is how long a server that is busy with a script is left alone before it
// is asked again.
const busyPause = 20 * time.Millisecond

// Aside sends one command on a connection of its own, whatever the state of the link,
// and gives the raw reply: to a server that is busy with a script, and so neither
// answers on a shared connection nor passes for being up. Only commands that such a
// server takes (SCRIPT KILL, FUNCTION KILL, SHUTDOWN) should go this way. The error
// wraps ErrTimeout when ctx ended first; the command is not executed later then, unless
// it is at that moment.
func (u *Upstream) Aside(ctx context.Context, proto int, args ...[]byte) ([]byte, error) {
	c, err := u.target.dial(ctx, proto, noDatabase)
	if err != nil {
		return nil, fmt.Errorf("connect aside: %w", err)
	}
	defer c.abort()
	stop := context.AfterFunc(ctx, func() { _ = c.raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	reply, err := askRaw(c, args)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", err, ErrTimeout)
	}
	return reply, err
}

func askRaw(c net.Conn, args [][]byte) ([]byte, error) {
	if _, err := c.Write(resp.AppendCommand(nil, args...)); err != nil {
		return nil, fmt.Errorf("ask aside: %w", err)
	}
	var split resp.Splitter
	var reply []byte
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		used, done, ferr := split.Feed(buf[:n])
		reply = append(reply, buf[:used]...)
		switch {
		case ferr != nil:
			return nil, fmt.Errorf("read aside: %w", ferr)
		case done:
			return reply, nil
		case err != nil:
			return nil, fmt.Errorf("read aside: %w", err)
		}
	}
}
