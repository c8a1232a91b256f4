package proxy

import (
	"bytes"
	"context"
	"strconv"
	"sync"

	"github.com/tidwall/redcon"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback"
	"holdfast/proxy/front"
)

type watchHandle = *fallback.Watch

// relay is a dedicated upstream connection for one client: subscriptions,
// blocking commands, WATCH, MONITOR and commands that nobody knows. Commands and
// replies pass as bytes. Once the client has no state there any more, its
// commands take the shared way again.
type relay struct {
	c     *client
	sess  *backend.Session
	proto int
	db    int

	mu      sync.Mutex
	cond    *sync.Cond
	pending int      // replies that Redis owes
	swallow int      // how many of the next replies the client had already
	subs    int      // subscriptions to channels and patterns, as Redis counts them
	shards  int      // subscriptions to shard channels
	watch   bool     // between WATCH and EXEC, DISCARD, UNWATCH
	multi   bool     // between MULTI and EXEC, DISCARD
	forever bool     // MONITOR, CLIENT TRACKING: until the connection ends
	wrote   [][]byte // keys with cache.WriteBegin
	dead    bool
}

// busy reports whether the client's next command has to go to the relay.
func (r *relay) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.dead && (r.pending > 0 || r.stateful())
}

// stateful reports whether Redis holds state of the client on this connection.
// The lock is held.
func (r *relay) stateful() bool {
	return r.subs > 0 || r.shards > 0 || r.watch || r.multi || r.forever
}

func (r *relay) close() { _ = r.sess.Close() }

// detach takes the connection out of redcon's loop, since from now on replies
// may come without a request. rest are commands already read.
func (c *client) detach(conn redcon.Conn, rest []redcon.Command) {
	c.detached = true
	dc := conn.Detach()
	left := append([]redcon.Command(nil), rest...)
	c.s.wg.Add(1)
	go func() {
		defer c.s.wg.Done()
		defer c.s.forget(c)
		defer dc.Close()
		c.detachedLoop(dc, left)
	}()
}

// detachedLoop is the connection's life after detach: one command at a time,
// each to the relay or, when that is idle, the shared way.
func (c *client) detachedLoop(dc redcon.DetachedConn, left []redcon.Command) {
	if err := c.write(dc, nil); err != nil {
		return
	}
	for !c.closing {
		var cmd redcon.Command
		if len(left) > 0 {
			cmd, left = left[0], left[1:]
		} else {
			next, err := dc.ReadCommand()
			if err != nil {
				return
			}
			cmd = front.Resolve(dc.NetConn(), next)
		}
		if c.toRelay(cmd) {
			continue
		}
		c.s.commands.Add(1)
		if c.serve([]redcon.Command{cmd}) != nil {
			c.startRelay(cmd)
			continue
		}
		if err := c.write(dc, c.batch.out); err != nil {
			return
		}
	}
}

// write sends replies of the shared way; the relay's pump writes to the same socket.
func (c *client) write(dc redcon.DetachedConn, out []byte) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if len(out) > 0 {
		dc.WriteRaw(out)
	}
	return dc.Flush()
}

func (c *client) writeRaw(b []byte) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	_, err := c.conn.Write(b)
	return err
}

// toRelay forwards the command when the relay has state of this client. It
// waits until replies that are owed have come, when that is all there is.
func (c *client) toRelay(cmd redcon.Command) bool {
	r := c.relay
	if r == nil {
		return false
	}
	r.mu.Lock()
	for !r.dead && r.pending > 0 && !r.stateful() {
		r.cond.Wait()
	}
	stateful := !r.dead && r.stateful()
	dead := r.dead
	r.mu.Unlock()
	if dead {
		r.close()
		c.relay = nil
		return false
	}
	if !stateful {
		r.endWrites()
		return false
	}
	r.send(cmd)
	return true
}

// startRelay opens the dedicated connection, if need be, and sends the command.
func (c *client) startRelay(cmd redcon.Command) {
	if r := c.relay; r != nil && (r.db != c.db || r.proto != c.proto) {
		r.close() // idle, and bound to another database or protocol
		c.relay = nil
	}
	if c.relay == nil {
		ctx, cancel := context.WithTimeout(context.Background(), c.s.cfg.CommandTimeout)
		sess, err := c.s.cfg.Upstream.OpenSession(ctx, c.proto, c.db)
		cancel()
		if err != nil {
			_ = c.writeRaw(resp.AppendError(nil, "UPSTREAMDOWN Redis is unavailable and this command needs a connection of its own"))
			return
		}
		r := &relay{c: c, sess: sess, proto: c.proto, db: c.db}
		r.cond = sync.NewCond(&r.mu)
		c.relay = r
		c.s.wg.Add(1)
		go func() {
			defer c.s.wg.Done()
			r.pump()
		}()
		c.replayUnit(r)
	}
	c.relay.send(cmd)
}

// replayUnit moves a unit that was being collected here to the dedicated
// connection: its replies were given already.
func (c *client) replayUnit(r *relay) {
	tx := c.multi
	if tx == nil {
		return
	}
	c.multi = nil
	buf := resp.AppendCommandStrings(nil, "MULTI")
	for _, argv := range tx.unit {
		buf = resp.AppendCommand(buf, argv...)
	}
	r.mu.Lock()
	r.multi = true
	r.swallow = len(tx.unit) + 1
	r.pending += r.swallow
	r.mu.Unlock()
	_, _ = r.sess.Conn().Write(buf)
}

// send forwards one command and notes what it does to the connection.
func (r *relay) send(rc redcon.Command) {
	cmd, known := command.Lookup(rc.Args)
	r.mu.Lock()
	if known {
		r.note(cmd, rc.Args)
	}
	if !known || !confirmed(cmd) {
		r.pending++
	}
	r.mu.Unlock()
	if _, err := r.sess.Conn().Write(rc.Raw); err != nil {
		_ = r.sess.Close() // the pump answers what is owed
	}
}

// note tracks the state that the command leaves. The lock is held.
func (r *relay) note(cmd *command.Command, argv [][]byte) {
	switch cmd.Name {
	case "subscribe", "psubscribe":
		r.subs = max(r.subs, 1) // until the confirmation tells the number
	case "ssubscribe":
		r.shards = max(r.shards, 1)
	case "watch":
		r.watch = true
	case "multi":
		r.multi = true
	case "exec", "discard":
		r.watch, r.multi = false, false
	case "unwatch":
		r.watch = false
	case "monitor", "client|tracking", "sync", "psync":
		r.forever = true
	}
	if cmd.Flags&(command.Write|command.Script) == 0 {
		return
	}
	for _, k := range cmd.WriteKeys(nil, argv) {
		key := append([]byte(nil), k...)
		r.c.s.cache.WriteBegin(r.c.db, key)
		r.wrote = append(r.wrote, key)
	}
}

// endWrites lets keys written over the relay be cached again; the mirror
// fetches them.
func (r *relay) endWrites() {
	r.mu.Lock()
	wrote := r.wrote
	r.wrote = nil
	r.mu.Unlock()
	for _, k := range wrote {
		r.c.s.cache.WriteEnd(r.c.db, k)
	}
	if len(wrote) > 0 {
		if f, ok := r.c.s.cfg.Local.(interface{ Invalidate(keys [][]byte) }); ok {
			f.Invalidate(wrote)
		}
	}
}

// pump copies replies and pushes to the client until the connection ends, then
// answers what is still owed: a client gets one answer for each command, and
// its connection stays.
func (r *relay) pump() {
	conn := r.sess.Conn()
	buf := make([]byte, 0, 16<<10)
	tmp := make([]byte, 16<<10)
	for {
		n, err := conn.Read(tmp)
		buf = append(buf, tmp[:n]...)
		used, perr := r.pass(buf)
		buf = append(buf[:0], buf[used:]...)
		if err != nil || perr != nil {
			break
		}
	}
	r.end()
}

// pass forwards the complete replies at the start of buf.
func (r *relay) pass(buf []byte) (used int, err error) {
	for used < len(buf) {
		n, err := resp.ReplyLen(buf[used:])
		if err != nil {
			return used, err
		}
		if n == 0 {
			return used, nil
		}
		if r.account(buf[used : used+n]) {
			if err := r.c.writeRaw(buf[used : used+n]); err != nil {
				return used, err
			}
		}
		used += n
		r.mu.Lock()
		if r.pending == 0 {
			r.cond.Broadcast()
		}
		r.mu.Unlock()
	}
	return used, nil
}

// confirmed reports whether Redis answers the command with pushes that say
// where the subscriptions stand, instead of a reply.
func confirmed(cmd *command.Command) bool {
	return bytes.HasSuffix([]byte(cmd.Name), []byte("subscribe"))
}

// account books one frame from Redis and reports whether the client gets it.
func (r *relay) account(frame []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.swallow > 0 {
		r.swallow--
		r.pending--
		return false
	}
	if frame[0] == '*' || frame[0] == '>' {
		word := firstWord(frame)
		switch string(word) {
		case "subscribe", "unsubscribe", "psubscribe", "punsubscribe":
			r.subs = lastInt(frame)
			return true
		case "ssubscribe", "sunsubscribe":
			r.shards = lastInt(frame)
			return true
		}
		if frame[0] == '>' || (r.stateful() && bytes.HasSuffix(word, []byte("message"))) {
			return true
		}
	}
	if r.pending > 0 {
		r.pending--
	}
	return true
}

// firstWord is the first element of an array of bulk strings.
func firstWord(frame []byte) []byte {
	i := bytes.IndexByte(frame, '\n') + 1
	if i >= len(frame) || frame[i] != '$' {
		return nil
	}
	j := i + bytes.IndexByte(frame[i:], '\n') + 1
	end := bytes.IndexByte(frame[j:], '\r')
	if end < 0 {
		return nil
	}
	return frame[j : j+end]
}

// lastInt is the integer at the end of a frame.
func lastInt(frame []byte) int {
	i := bytes.LastIndexByte(frame, ':')
	n, err := strconv.Atoi(string(bytes.TrimSuffix(frame[i+1:], []byte("\r\n"))))
	if i < 0 || err != nil {
		return 0
	}
	return n
}

// end answers what Redis still owes after the connection broke.
func (r *relay) end() {
	r.mu.Lock()
	owed := max(0, r.pending-r.swallow)
	r.pending, r.subs, r.shards, r.swallow = 0, 0, 0, 0
	r.watch, r.multi, r.forever = false, false, false
	r.dead = true
	r.mu.Unlock()
	for range owed {
		if r.c.writeRaw(fallback.ReplyUnknownOutcome(nil)) != nil {
			break
		}
	}
	_ = r.sess.Close()
	r.endWrites()
	r.mu.Lock()
	r.cond.Broadcast()
	r.mu.Unlock()
}
