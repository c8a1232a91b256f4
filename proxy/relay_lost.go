package proxy

import (
	"context"
	"errors"
	"time"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/descriptors"
	"holdfast/backend/resp"
	"holdfast/fallback"
)

// noSession is the error for a client that gets no connection of its own.
func noSession(err error) string {
	if errors.Is(err, descriptors.ErrScarce) {
		return "ERR max number of clients reached"
	}
	return "UPSTREAMDOWN Redis is unavailable and this command needs a connection of its own"
}

// lost answers what Redis owes after the connection broke: a client gets one
// answer for each command, and its connection stays. True: nothing is left to do.
func (r *relay) lost(p *pump, sess *backend.Session) (over bool) {
	r.mu.Lock()
	owed := r.queue
	if p.isReply {
		owed = append([]expect{p.reply}, owed...)
	}
	cutOff := p.decided && p.deliver || p.stream // half a frame has gone out: nothing can follow it
	if len(r.held) > 0 {
		owed = append(owed, expect{swallow: true, wrote: r.held, db: r.db, sent: r.heldAt})
		r.owed++
	}
	r.queue, r.sess, r.held = nil, nil, nil
	open := -1 // the MULTI whose EXEC was not sent yet
	for i, e := range owed {
		if r.queueing && e.cmd != nil && e.cmd.Name == "multi" && e.cmd.ArityOK(len(e.argv)) {
			open = i
		}
	}
	r.lostWatch, r.lostMulti = r.unitLeft(owed)
	r.lostMulti = r.lostMulti || open >= 0
	r.watch, r.watched, r.multi, r.queueing, r.unit, r.extras, r.sticky = false, 0, false, false, nil, nil, false
	gone := r.gone
	r.mu.Unlock()
	if cutOff && !gone {
		_ = r.c.conn.Close()
	}
	for i := range owed {
		if e := &owed[i]; i == open && !e.swallow && !e.mute {
			_ = r.c.writeRaw(replyOK) // what follows is collected, and EXEC refused
			continue
		}
		r.fail(&owed[i])
	}
	r.settled(len(owed))
	r.mu.Lock()
	standing := r.standing()
	r.mu.Unlock()
	if gone || cutOff || !standing {
		return true
	}
	timer := time.NewTimer(2 * r.c.s.cfg.CommandTimeout)
	defer timer.Stop()
	select {
	case <-sess.Lost():
		r.mu.Lock()
		r.trackAgain()
		r.mu.Unlock()
		r.c.s.hub.join(r)
		return false
	case <-r.closed:
	case <-timer.C:
		// Redis closed this one connection (CLIENT KILL, its output limit).
		_ = r.c.conn.Close()
	}
	return true
}

// unitLeft says what the client believes of its connection once it has an error
// for all that is owed: that keys are watched, and that it is inside MULTI. An
// EXEC that got an error is over all the same. The lock is held.
func (r *relay) unitLeft(owed []expect) (watch, multi bool) {
	watch, multi = r.watch, r.multi
	for _, e := range owed {
		switch {
		case e.cmd == nil || !e.cmd.ArityOK(len(e.argv)):
		case e.cmd.Name == "exec" || e.cmd.Name == "discard":
			watch, multi = false, false
		case e.cmd.Name == "multi" && e.swallow:
			multi = true // it was answered here, see moveUnit
		}
	}
	return watch, multi
}

// fail answers one command that got no reply.
func (r *relay) fail(e *expect) {
	e.handover.end()
	if e.undo != nil && !e.swallow {
		r.mu.Lock()
		e.undo()
		r.mu.Unlock()
	}
	for _, k := range e.wrote {
		r.c.s.cfg.Local.Unsure(e.db, k, e.sent)
	}
	r.endWrites(e)
	if e.swallow || e.mute {
		return
	}
	if e.cmd != nil && e.cmd.Flags&(command.Write|command.Script) == 0 && e.cmd.Name != "exec" && e.cmd.Name != "multi" {
		_ = r.c.writeRaw(resp.AppendError(nil, "UPSTREAMDOWN Redis went away while this command was under way"))
		return
	}
	_ = r.c.writeRaw(fallback.ReplyUnknownOutcome(nil))
}

// restorePause is how often an orphaned subscriber looks for Redis.
const restorePause = 50 * time.Millisecond

// restore waits for Redis and sets up subscriptions, tracking and monitoring
// again; the confirmations are swallowed, for the client had them. False: the
// client has gone, or unsubscribed meanwhile.
func (r *relay) restore() bool {
	tick := time.NewTicker(restorePause)
	defer tick.Stop()
	for {
		select {
		case <-r.closed:
			return false
		case <-tick.C:
		}
		if !r.c.online() || !r.c.s.cfg.Upstream.Up() {
			continue
		}
		r.mu.Lock()
		proto, db, standing, tracking := r.proto, r.db, r.standing(), r.tracking
		r.mu.Unlock()
		if !standing {
			return false
		}
		if tracking != nil {
			wait := false
			if tracking, wait = r.c.redirected(tracking); wait {
				continue // the one who gets the invalidations is not back yet
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), r.c.s.cfg.CommandTimeout)
		sess, err := r.c.s.cfg.Upstream.OpenSession(ctx, proto, db)
		cancel()
		if err == nil {
			return r.resume(sess, tracking)
		}
	}
}

// announceGap tells a client that tracks keys that nobody announced what changed
// meanwhile. It writes to the client without the relay's lock: whoever holds the
// client's socket may be waiting for that.
func (r *relay) announceGap() {
	r.mu.Lock()
	tracks := r.tracking != nil && r.proto == 3 && !r.gone
	r.mu.Unlock()
	if tracks {
		_ = r.c.writeRaw([]byte(">2\r\n$10\r\ninvalidate\r\n_\r\n"))
	}
}

// resume sets up the state on a new connection; tracking is that command as Redis
// has to get it.
func (r *relay) resume(sess *backend.Session, tracking [][]byte) bool {
	r.c.s.hub.leave(r)
	r.announceGap()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		_ = sess.Close()
		return false
	}
	r.track = nil
	again := r.subs.commands()
	if r.tracking != nil {
		again = append(again, r.tracking)
	}
	if r.monitor {
		again = append(again, [][]byte{[]byte("MONITOR")})
	}
	var raw []byte
	for _, argv := range again {
		if tracking != nil && r.tracking != nil && &r.tracking[0] == &argv[0] {
			raw = resp.AppendCommand(raw, tracking...)
		} else {
			raw = resp.AppendCommand(raw, argv...)
		}
		cmd, _ := command.Lookup(argv)
		e := expect{left: 1, swallow: true, cmd: cmd, argv: argv, db: r.db}
		if isSubscribing(cmd) {
			e.confirm, e.left = true, len(argv)-1
		}
		r.queue = append(r.queue, e)
		r.owed++
	}
	r.sess = sess
	if _, err := sess.Conn().Write(raw); err != nil {
		_ = sess.Close()
	}
	return true
}
