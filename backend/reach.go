package backend

import (
	"context"
	"fmt"
	"time"

	"holdfast/backend/resp"
)

// Reach sends one command of RESP version proto on a connection of its own, and gives
// the raw reply. It does so also while the upstream is not up: a server that cannot
// serve, such as a replica, may still be told to be a master again, and one that is
// busy with a script to end it (SCRIPT KILL). An attempt to connect follows at once.
// argv must not touch data: nothing here keeps it in order with calls. The error is an
// *OutcomeError; ctx bounds all of it.
func (u *Upstream) Reach(ctx context.Context, proto int, argv [][]byte) ([]byte, error) {
	c, err := u.target.dial(ctx, proto, noDatabase)
	if err != nil {
		return nil, &OutcomeError{Err: err}
	}
	defer c.abort()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.Write(resp.AppendCommand(nil, argv...)); err != nil {
		return nil, &OutcomeError{Sent: true, Err: fmt.Errorf("reach upstream: %w", err)}
	}
	reply, err := readRaw(c)
	if err != nil {
		return nil, &OutcomeError{Sent: true, Err: fmt.Errorf("reach upstream: %w", err)}
	}
	u.retryNow()
	if g := u.live.Load(); g != nil {
		g.want() // it may have ended what kept the server busy
	}
	return reply, nil
}

// GiveUp ends the link for a reason that its user knows, as if it were lost: calls under way
// fail and new attempts to connect follow. It does nothing while there is no link.
func (u *Upstream) GiveUp(reason error) {
	if g := u.live.Load(); g != nil {
		g.fail(reason)
	}
}

// readRaw reads one reply as it is on the wire, before the connection has another user.
func readRaw(c *conn) (reply []byte, err error) {
	split, buf := resp.Splitter{}, make([]byte, 16<<10)
	for {
		n, err := c.Read(buf)
		if n > 0 {
			used, done, ferr := split.Feed(buf[:n])
			if ferr != nil {
				return nil, ferr
			}
			if reply = append(reply, buf[:used]...); done {
				return reply, nil
			}
		}
		if err != nil {
			return nil, err
		}
	}
}

// retryNow ends the wait for the next attempt to connect.
func (u *Upstream) retryNow() {
	select {
	case u.retry <- struct{}{}:
	default:
	}
}
