package engine

import (
	"bufio"
	"strconv"

	"github.com/alicebob/miniredis/v2/server"
)

// peer is a client of miniredis without a connection: its replies end up in
// buf.
type peer struct {
	p   *server.Peer
	w   *bufio.Writer
	buf []byte
}

// Write is io.Writer for the peer's replies.
func (p *peer) Write(b []byte) (int, error) {
	p.buf = append(p.buf, b...)
	return len(b), nil
}

func (e *Engine) peer(db int) *peer {
	p := e.peers[db]
	if p == nil {
		p = &peer{}
		p.w = bufio.NewWriterSize(p, 4096)
		p.p = server.NewPeer(p.w)
		e.mini.Server().Dispatch(p.p, []string{"SELECT", strconv.Itoa(db)})
		_ = p.w.Flush() // its OK is nobody's reply
		e.peers[db] = p
	}
	return p
}

// maxKeptReply is the size of a reply buffer that is kept for the next command.
const maxKeptReply = 1 << 20

// raw executes a command within another one: by the engine's own handler, or by
// miniredis as it is. Its reply is good until the next raw on the same database.
func (e *Engine) raw(db, proto int, args ...string) (reply []byte) {
	if s := lookup(args[0]); s != nil {
		if s.own {
			c := &call{e: e, db: db, proto: proto, args: args, spec: s, unlimited: true}
			c.guarded()
			return c.reply
		}
		for _, key := range s.keysIn(args) {
			if en := e.find(db, key); en != nil && en.held {
				return []byte("-" + errWrongType + "\r\n")
			}
		}
	}
	p := e.peer(db)
	if cap(p.buf) > maxKeptReply {
		p.buf = nil
	}
	p.buf = p.buf[:0]
	p.p.Resp3 = proto == 3
	defer func() {
		if recover() == nil {
			return
		}
		// miniredis does not release its lock when it panics.
		e.mini.TryLock()
		e.mini.Unlock()
		delete(e.peers, db)
		reply = []byte("-ERR command '" + args[0] + "' with these arguments is not supported offline\r\n")
	}()
	e.mini.Server().Dispatch(p.p, args)
	_ = p.w.Flush()
	return p.buf
}

// ask is raw in RESP2 with the reply parsed.
func (e *Engine) ask(db int, args ...string) value {
	v, _ := parseReply(e.raw(db, 2, args...))
	return v
}
