package proxy

import (
	"fmt"
	"time"
)

// ownMemory is about what a client takes beside what it has sent and not been sent.
const ownMemory = 4096

// shown is what CLIENT LIST of other connections tells of the client's own goroutine.
type shown struct {
	queued  int // commands in MULTI; -1 outside
	bytes   int // of them
	watched int // keys
}

// show notes what others may see, if it has changed.
func (c *client) show(change func(s *shown)) {
	now := shown{queued: -1}
	if p := c.shown.Load(); p != nil {
		now = *p
	}
	before := now
	if change(&now); now != before {
		c.shown.Store(&now)
	}
}

// showUnit notes how far a unit has come.
func (c *client) showUnit() {
	c.unitShown = c.multi != nil || len(c.watch) > 0
	c.show(func(s *shown) {
		s.queued, s.bytes = -1, 0
		if tx := c.multi; tx != nil {
			s.queued, s.bytes = len(tx.unit), tx.bytes
		}
		if s.watched = 0; len(c.watch) > 0 {
			s.watched = len(c.watch)
		}
	})
}

// line describes the client in the format of CLIENT LIST, with the fields that the
// version of Redis has. What has no meaning here (buffers of a socket that Go reads) is 0;
// asked is what the client sent, where it is the one that asks.
func (c *client) line(asked int) string {
	var name, lib, ver, cmd string
	if p := c.name.Load(); p != nil {
		name = *p
	}
	if p := c.lib.Load(); p != nil {
		lib, ver = p[0], p[1]
	}
	cmd = "NULL"
	if p := c.lastCmd.Load(); p != nil {
		cmd = p.Name
	}
	s := shown{queued: -1}
	if p := c.shown.Load(); p != nil {
		s = *p
	}
	sub, psub, ssub := c.subscribed()
	r := c.relayState(&s)
	r.blocked = r.blocked || c.blocked.Load() != nil
	now := time.Now()
	watch := ""
	if atLeast(c.s.serverInfo(), "7.4", "8.0") {
		watch = fmt.Sprintf(" watch=%d", s.watched)
	}
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=0 name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=%d ssub=%d multi=%d%s "+
		"qbuf=%d qbuf-free=0 argv-mem=0 multi-mem=%d rbs=0 rbp=0 obl=0 oll=%d omem=%d tot-mem=%d events=r cmd=%s user=%s redir=%d resp=%d lib-name=%s lib-ver=%s",
		c.id, c.addr, c.conn.LocalAddr(), name, int(now.Sub(c.created).Seconds()), int(c.idle(now).Seconds()), r.flags(sub+psub+ssub > 0, &s),
		c.shownDB.Load(), sub, psub, ssub, s.queued, watch, asked, s.bytes, r.waiting, r.waitingBytes, ownMemory+int64(s.bytes)+r.waitingBytes,
		cmd, c.shownUser(), r.redirect, c.shownProto.Load(), lib, ver)
}

// relayShown is what CLIENT LIST tells of a client's own connection to Redis.
type relayShown struct {
	monitor, blocked, tracks, bcast, broken bool

	redirect     int64 // -1: it does not track keys
	waiting      int   // messages
	waitingBytes int64
}

func (c *client) relayState(s *shown) (out relayShown) {
	out.redirect = -1
	c.s.mu.Lock()
	r := c.relay
	c.s.mu.Unlock()
	if r == nil {
		return out
	}
	out.waitingBytes = r.waiting.Load()
	r.mu.Lock()
	out.waiting = len(r.outbox)
	out.monitor, out.blocked = r.monitor, r.blocks() && r.sess != nil
	if r.queueing || r.multi {
		s.queued = len(r.unit)
	}
	s.watched += r.watched
	t := r.track
	if t == nil && r.tracking != nil {
		t, _ = parseTracking(r.tracking, nil, func(int64) bool { return true })
	}
	if t != nil {
		out.tracks, out.bcast, out.redirect = true, t.bcast, t.redirect
	}
	r.mu.Unlock()
	out.broken = out.redirect > 0 && !c.s.hasClient(out.redirect)
	return out
}

// flags are Redis's letters, in its order.
func (r *relayShown) flags(subscribed bool, s *shown) string {
	var b []byte
	for _, f := range []struct {
		on     bool
		letter byte
	}{
		{r.monitor, 'O'}, {subscribed, 'P'}, {s.queued >= 0, 'x'}, {r.blocked, 'b'}, {r.tracks, 't'}, {r.broken, 'R'}, {r.bcast, 'B'},
	} {
		if f.on {
			b = append(b, f.letter)
		}
	}
	if len(b) == 0 {
		return "N"
	}
	return string(b)
}
