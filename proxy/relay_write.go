package proxy

import (
	"net"
	"slices"

	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// halfOut reports whether the client has part of a frame, and nothing else may follow.
func (p *pump) halfOut() bool { return p.decided && p.deliver }

// write writes to the client, whose socket it keeps to itself until unlock. After
// RESET nothing comes any more.
func (p *pump) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	r := p.r
	if !p.locked {
		r.c.writeMu.Lock()
		p.locked = true
		if isDone(r.closed) {
			p.deliver = false // nothing of it has gone out
			return net.ErrClosed
		}
	}
	_, err := r.c.conn.Write(b)
	return err
}

func (p *pump) unlock() {
	if !p.locked {
		return
	}
	if p.halfOut() {
		_ = p.r.c.conn.Close() // before anybody else writes
	}
	p.locked = false
	p.r.c.writeMu.Unlock()
}

// passExtras queues what is asked in front of a command that shows the keyspace.
func (r *relay) passExtras(argv [][]byte) {
	if cmd, ok := command.Lookup(argv); ok && cmd.Flags&command.ShowsKeyspace != 0 {
		for _, extra := range showings[cmd.Name].before(r.c.s, argv) {
			r.passAs(extra, nil, expect{swallow: true, extra: true})
		}
	}
}

// pass writes down what to expect and sends the command. False: Redis went away just
// now, and nothing of it was sent.
func (r *relay) pass(argv [][]byte, raw []byte, swallow bool) bool {
	return r.passAs(argv, raw, expect{swallow: swallow, mute: r.c.muted()})
}

var pingRaw = []byte("*1\r\n$4\r\nPING\r\n")

func (r *relay) passAs(argv [][]byte, raw []byte, e expect) bool {
	cmd, known := command.Lookup(argv)
	if sent := r.forRedis(cmd, argv); raw == nil || &sent[0] != &argv[0] {
		raw = resp.AppendCommand(nil, sent...)
	}
	if known && isWrite(cmd) && cmd.Flags&command.Blocking == 0 {
		r.awaitReady(cmd, argv)
	}
	r.mu.Lock()
	sess := r.sess
	if sess == nil || r.gone {
		r.mu.Unlock()
		return false
	}
	if e.ping {
		r.queue = append(r.queue, expect{left: 1, swallow: true, db: r.db, handover: e.handover})
		r.owed++
		e.handover, raw = nil, append(slices.Clip(pingRaw), raw...)
	}
	e.left, e.argv, e.db = 1, argv, r.db
	if known {
		e.cmd = cmd
		r.note(&e)
	}
	r.queue = append(r.queue, e)
	r.owed++
	r.expectSoon()
	r.mu.Unlock()
	if _, err := sess.Conn().Write(raw); err != nil {
		_ = sess.Close() // the pump answers what is owed
	}
	if e.stream {
		e.handover.end()
	}
	return true
}
