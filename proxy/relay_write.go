package proxy

import (
	"net"

	"holdfast/backend/command"
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
