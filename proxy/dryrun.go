package proxy

import (
	"context"
	"errors"
	"time"

	"holdfast/backend"
	"holdfast/backend/resp"
)

// dryRuns asks Redis what it says to a command that a client queues in MULTI, while the
// unit itself is collected here: OOM, NOPERM, MISCONF and their like belong to the command,
// and a client that waits for each reply would learn of them at EXEC only. A unit that comes
// as one pipeline needs none: there EXEC's call tells.
//
// There is one connection for all clients. Between two uses it is inside MULTI, as Redis
// has confirmed, with nothing queued: so whatever is sent on it is queued or refused and
// never executed, also where the user may not use MULTI. DISCARD and MULTI follow each
// use; anything unexpected closes the connection.
type dryRuns struct {
	slot chan struct{} // one: whoever may use sess
	sess *backend.Session
}

const (
	// maxDryCommands and maxDryBytes bound what is asked for at once: more of it is a
	// pipeline, and is told at EXEC.
	maxDryCommands = 128
	maxDryBytes    = 64 << 10
)

func newDryRuns() *dryRuns {
	d := &dryRuns{slot: make(chan struct{}, 1)}
	d.slot <- struct{}{}
	return d
}

var errNotQueued = errors.New("the server did not queue")

// ask gives Redis's reply to each of the commands; nil: it is not known, in time.
func (d *dryRuns) ask(u Upstream, db int, limit time.Duration, commands [][][]byte) [][]byte {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	select {
	case <-d.slot:
	case <-ctx.Done():
		return nil
	}
	defer func() { d.slot <- struct{}{} }()
	for range 2 { // the connection may have ended meanwhile, unnoticed
		replies, old, err := d.askOnce(ctx, u, db, commands)
		if err == nil {
			return replies
		}
		d.close()
		if !old {
			return nil
		}
	}
	return nil
}

// askOnce reports in old whether the connection had been used before.
func (d *dryRuns) askOnce(ctx context.Context, u Upstream, db int, commands [][][]byte) (replies [][]byte, old bool, err error) {
	old = d.sess != nil
	if !old {
		if d.sess, err = u.OpenSession(ctx, 2, db); err != nil {
			return nil, false, err
		}
	}
	conn := d.sess.Conn()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err()
		}
	}()
	if !old {
		first, err := d.exchange(ownMultiRaw, 1)
		if err != nil || !isOK(first[0]) {
			return nil, false, errors.Join(err, errNotQueued)
		}
	}
	var payload []byte
	for _, argv := range commands {
		payload = resp.AppendCommand(payload, argv...)
	}
	payload = append(append(payload, ownDiscardRaw...), ownMultiRaw...)
	replies, err = d.exchange(payload, len(commands)+2)
	if err != nil {
		return nil, old, err
	}
	n := len(commands)
	if !isOK(replies[n]) || !isOK(replies[n+1]) {
		return nil, false, errNotQueued
	}
	return replies[:n], old, nil
}

// exchange sends payload and reads n replies.
func (d *dryRuns) exchange(payload []byte, n int) (replies [][]byte, err error) {
	conn := d.sess.Conn()
	if _, err := conn.Write(payload); err != nil {
		return nil, err
	}
	var got []byte
	buf := make([]byte, 4<<10)
	for len(replies) < n {
		size, err := resp.ReplyLen(got)
		if err != nil {
			return nil, err
		}
		if size > 0 {
			replies, got = append(replies, got[:size:size]), got[size:]
			continue
		}
		read, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		got = append(got, buf[:read]...)
	}
	return replies, nil
}

// close ends the connection, if there is one. The caller has the slot.
func (d *dryRuns) close() {
	if d.sess != nil {
		_ = d.sess.Close()
		d.sess = nil
	}
}

// end is close for whoever does not have the slot.
func (d *dryRuns) end() {
	<-d.slot
	d.close()
	d.slot <- struct{}{}
}

// checkQueued replaces the replies to what was queued in this batch by those of Redis
// where it refuses to queue it, and spoils the unit then. Where Redis does not say, or
// cannot serve now, QUEUED stands and EXEC tells.
func (c *client) checkQueued() {
	tx := c.multi
	if tx == nil || tx.free || !c.online() {
		return
	}
	n := len(tx.held.queued)
	commands := tx.unit[len(tx.unit)-n:]
	if left, _ := c.s.writePause.left(); left > 0 {
		return // Redis would hold a write that is queued
	}
	if n == 0 || n > maxDryCommands || unitBytes(commands) > maxDryBytes {
		return
	}
	c.flush() // what came before may decide
	replies := c.s.dry.ask(c.s.cfg.Upstream, c.s.baseDB(), c.s.cfg.CommandTimeout/4, commands)
	var said []byte
	from := 0
	for i, reply := range replies {
		if reply[0] != '-' || backend.IsRefusal(reply) {
			continue
		}
		at := tx.held.queued[i]
		said = append(append(said, tx.held.replies[from:at]...), reply...)
		from = at + len(replyQueued)
		tx.spoiled = true
	}
	tx.held.replies = append(said, tx.held.replies[from:]...)
}
