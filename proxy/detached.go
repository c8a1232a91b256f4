package proxy

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tidwall/redcon"

	"holdfast/proxy/front"
)

const (
	// readAhead bounds the commands read while one before them waits. Reading
	// goes on so that a client that hangs up while it blocks is noticed.
	readAhead = 1024
	// maxAheadBytes bounds them as well: one more is read while there are no more.
	maxAheadBytes = 16 << 20
	// maxTogether bounds the commands served as one batch after detach.
	maxTogether = 256
)

// detached is a client outside of redcon's loop: from now on replies may come
// without a request, and requests may wait.
type detached struct {
	c    *client
	conn redcon.DetachedConn
	in   chan redcon.Command
	gone chan struct{} // closed when the client has hung up

	ahead atomic.Int64  // bytes of the commands in in
	room  chan struct{} // one slot: some were taken out

	relayed bool // replies came over the relay that the cache may know older ones beside

	// Where commands are read; closed with the connection.
	endOnce sync.Once
	end     chan struct{}
}

// detach takes the connection out of redcon's loop. rest are commands already
// read, in redcon's memory: they are copied.
func (c *client) detach(conn redcon.Conn, rest []redcon.Command) {
	c.detached = true
	if guarded, ok := c.conn.(*front.Conn); ok {
		guarded.NoIdle(true) // silence is normal for a subscriber and for who blocks
	}
	d := &detached{
		c: c, conn: conn.Detach(), in: make(chan redcon.Command, readAhead),
		gone: make(chan struct{}), end: make(chan struct{}), room: make(chan struct{}, 1),
	}
	c.session = d
	left := slices.Clone(rest) // no command aliases a read buffer: redcon and the guard copy them out
	_ = d.conn.Flush()         // replies of the batch before
	c.s.wg.Add(2)
	go func() {
		defer c.s.wg.Done()
		d.read()
	}()
	go func() {
		defer c.s.wg.Done()
		d.serve(left)
		d.close()
		c.s.forget(c)
	}()
}

func (d *detached) close() {
	d.endOnce.Do(func() {
		close(d.end)
		_ = d.conn.Close()
	})
}

// read reads commands ahead until the client hangs up.
func (d *detached) read() {
	defer close(d.gone)
	for {
		next, err := d.conn.ReadCommand()
		if err != nil {
			return
		}
		for _, cmd := range front.Resolve(nil, d.conn.NetConn(), next) {
			for d.ahead.Load() > maxAheadBytes {
				select {
				case <-d.room:
				case <-d.end:
					return
				}
			}
			d.ahead.Add(int64(len(cmd.Raw)))
			select {
			case d.in <- cmd:
			case <-d.end:
				return
			}
		}
	}
}

// took makes room for more commands to be read.
func (d *detached) took(cmd redcon.Command) redcon.Command {
	if d.ahead.Add(-int64(len(cmd.Raw))); len(d.room) == 0 {
		select {
		case d.room <- struct{}{}:
		default:
		}
	}
	return cmd
}

// serve takes commands in order, each to the relay or the shared way.
func (d *detached) serve(left []redcon.Command) {
	c := d.c
	for !c.closing {
		if len(left) == 0 {
			left = nil // an idle client holds neither its last command nor the reply
			c.batch.reset()
			select {
			case cmd := <-d.in:
				left = append(left, d.took(cmd))
			case <-d.gone:
				if len(d.in) > 0 {
					continue
				}
				if r := c.relay; r != nil {
					r.finish(d.gone)
				}
				return
			}
		}
		for more := true; more && len(left) < maxTogether; {
			select {
			case cmd := <-d.in:
				left = append(left, d.took(cmd))
			default:
				more = false
			}
		}
		ok := false
		if left, ok = d.step(left); !ok {
			return
		}
	}
}

// step serves some of the commands and returns the others. False: the client
// has gone.
func (d *detached) step(cmds []redcon.Command) (rest []redcon.Command, ok bool) {
	c := d.c
	if isHTTP(cmds[0].Args) {
		c.closeHTTP()
		return nil, false
	}
	if r := c.relay; r != nil {
		to, alive := r.route(cmds[0], d.gone)
		switch {
		case !alive:
			return nil, false
		case to == routeRelay:
			c.handOver(cmds[0].Args)
			if !r.send(cmds[0]) {
				return cmds, true // the next look at it finds the relay without Redis
			}
			d.relayed = true
			return cmds[1:], true
		case to == routeHere:
			return cmds[1:], d.shared(cmds[:1])
		case to == routeStandIn:
			return cmds[1:], c.writeRaw(c.standIn(cmds[0])) == nil
		}
	}
	c.s.commands.Add(uint64(len(cmds)))
	if d.relayed && c.online() {
		d.relayed = false
		c.told = c.s.cfg.Upstream.NextBeat()
	}
	rest, err := c.serveInOrder(cmds)
	if err != nil {
		return nil, false
	}
	if len(rest) == 0 {
		return nil, true
	}
	if !c.online() {
		ok = d.serveAlone(rest[0])
		c.handedOver()
		return rest[1:], ok
	}
	if !c.startRelay(rest[0]) {
		return rest, true
	}
	d.relayed = true
	return rest[1:], true
}

// shared serves commands that concern the connection while the relay has state. What
// comes over the relay waits meanwhile, between two frames.
func (d *detached) shared(cmds []redcon.Command) bool {
	c := d.c
	c.writeMu.Lock()
	c.serve(cmds)
	var err error
	if len(c.batch.out) > 0 {
		_, err = c.conn.Write(c.batch.out)
	}
	c.writeMu.Unlock()
	if r := c.relay; r != nil {
		r.follow(c.proto)
	}
	return err == nil
}

// writeRaw writes to the client's socket, which the relay's pump shares.
func (c *client) writeRaw(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	_, err := c.conn.Write(b)
	return err
}

// endSession gives up the dedicated connection and all state on it.
func (c *client) endSession() {
	c.s.mu.Lock()
	r := c.relay
	c.relay = nil
	c.s.mu.Unlock()
	if r != nil {
		r.close()
	}
	c.watchLost = false
}
