package proxy

import (
	"bytes"
	"cmp"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/backend/command"
	"holdfast/proxy/front"
)

// A command that needs a connection of its own reaches Redis later than what other
// clients send behind it on the shared one: that connection may have to be made first,
// and Redis looks at its sockets in an order of its own. So what concerns the command
// (PUBLISH to the channel that it subscribes to, a write to the key that it waits for)
// waits until Redis has it for certain.

// handoverPart of a CommandTimeout is how long anybody waits for another client's
// command; the rest is for the answer.
const handoverPart = 10

// handovers are the commands on their way to a connection of their own. Everybody
// else pays one atomic load while there are none.
type handovers struct {
	n      atomic.Int32 // len(open)
	recent lately       // there was one, or a client that waits or watches here
	fresh  lately       // it was a client's first
	mu     sync.Mutex
	open   []*handover // in the order of at
}

// handover is such a command, from when it was read to when Redis has it.
type handover struct {
	of   *client
	cmd  *command.Command // nil: nobody knows it
	argv [][]byte
	keys [][]byte // that it waits for, or watches
	at   int64    // when it arrived; 0: nobody knows, and it counts as first
	in   *handovers
	done chan struct{}
}

// begin registers a command of c that needs a connection of its own.
func (h *handovers) begin(c *client, argv [][]byte) *handover {
	o := &handover{of: c, argv: argv, at: c.arrived(), in: h, done: make(chan struct{})}
	if cmd, ok := command.Lookup(argv); ok {
		o.cmd, o.keys = cmd, cmd.Keys(nil, argv)
	}
	h.note(c)
	h.mu.Lock()
	place, _ := slices.BinarySearchFunc(h.open, o.at+1, func(o *handover, at int64) int { return cmp.Compare(o.at, at) })
	h.open = slices.Insert(h.open, place, o)
	h.n.Store(int32(len(h.open)))
	h.mu.Unlock()
	return o
}

// note makes writes look out for what was sent before them. A client's first one may be
// a sign of more: whoever has its connection already is not so easily overtaken.
func (h *handovers) note(c *client) {
	h.recent.note(recently)
	if !c.detached {
		h.fresh.note(freshly)
	}
}

// lately is a flag that goes down by itself.
type lately struct{ up atomic.Bool }

func (l *lately) note(d time.Duration) {
	if !l.up.Load() && l.up.CompareAndSwap(false, true) {
		time.AfterFunc(d, func() { l.up.Store(false) })
	}
}

// lookAround lets what arrived before a command be read first. Yielding once is enough
// for what was read together with it. While clients need their first connection, the
// command waits until lookAround behind its arrival: one that had to queue waits no more.
func (h *handovers) lookAround(arrived int64) {
	runtime.Gosched() // the poller has the last first
	if !h.fresh.up.Load() {
		return
	}
	start, left := time.Now(), lookAround
	if arrived != 0 {
		left -= time.Duration(start.UnixNano() - arrived)
	}
	for time.Since(start) < min(left, lookAround) {
		runtime.Gosched()
	}
}

// lookAround is how long a command waits for those that arrived before it to be read.
const lookAround = 100 * time.Microsecond

// How long after a hand-over all writes look out for the next one, and how long after
// the first one of a client they look around.
const (
	recently = 10 * time.Second
	freshly  = time.Second
)

// mayConcern reports whether a command is worth a look at what others sent just
// before: it is what others wait for, or it writes and somebody needed a connection of
// its own lately. What waits itself is not: it would be late.
func (h *handovers) mayConcern(cmd *command.Command) bool {
	return cmd.Flags&command.Blocking == 0 && (cmd.Flags&command.Wakes != 0 || cmd.Flags&isWriting != 0 && h.recent.up.Load())
}

// end says that Redis has the command, or never will. Idempotent; nil does nothing.
func (o *handover) end() {
	if o == nil {
		return
	}
	h := o.in
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.open, o); i >= 0 {
		h.open = slices.Delete(h.open, i, i+1)
		h.n.Store(int32(len(h.open)))
		close(o.done)
	}
}

// before lists the hand-overs of other clients that a command has to wait for; own is
// its own, behind which none counts.
func (h *handovers) before(c *client, own *handover, cmd *command.Command, argv [][]byte) (found []*handover) {
	h.mu.Lock()
	defer h.mu.Unlock()
	arrived := c.arrived()
	for _, o := range h.open {
		if o == own || own == nil && arrived != 0 && o.at > arrived {
			break
		}
		if o.of != c && o.concerns(cmd, argv) {
			found = append(found, o)
		}
	}
	return found
}

// concerns reports whether another client's command must not overtake this one.
func (o *handover) concerns(cmd *command.Command, argv [][]byte) bool {
	switch {
	case o.cmd == nil || o.cmd.Name == "monitor":
		return true
	case cmd == nil:
		return true
	case cmd.Name == "client|unblock" || cmd.Name == "client|list":
		return true // it tells of what this one does
	case isSubscribing(o.cmd):
		return o.hears(cmd, argv)
	case cmd.Flags&(isWriting|command.Blocking) == 0:
		return false
	case cmd.Flags&command.Dangerous != 0:
		return true
	}
	keys := cmd.Keys(nil, argv)
	if len(keys) == 0 {
		return cmd.Flags&command.Script != 0
	}
	return slices.ContainsFunc(keys, func(k []byte) bool {
		return slices.ContainsFunc(o.keys, func(own []byte) bool { return bytes.Equal(k, own) })
	})
}

// hears reports whether a subscription may be told of what a command does.
func (o *handover) hears(cmd *command.Command, argv [][]byte) bool {
	kind, _ := kindOf(o.cmd.Name)
	for _, name := range o.argv[1:] {
		switch {
		case cmd.Flags&isWriting != 0 && (cmd.Flags&command.Script != 0 || len(name) > 0 && bytes.IndexByte([]byte("_*?["), name[0]) >= 0):
			return true // a script that publishes, or an event about a key
		case cmd.Flags&command.PubSub == 0 || len(argv) < 2 || isSubscribing(cmd):
		case cmd.Name != "publish" && cmd.Name != "spublish", kind == 1 && command.MatchGlob(name, argv[1]), bytes.Equal(name, argv[1]):
			return true
		}
	}
	return false
}

// lookOut lets a command that others may have been waiting for, or that must not overtake
// one of theirs, come after those that were sent before.
func (c *client) lookOut(cmd *command.Command, argv [][]byte) {
	if cmd != nil && !c.batch.yielded && c.s.handovers.mayConcern(cmd) {
		c.batch.yielded = true
		c.s.handovers.lookAround(c.arrived())
	}
	if c.s.handovers.n.Load() != 0 {
		c.yield(cmd, argv)
	}
}

// yield waits for the commands of other clients that came first and that this one
// must not overtake.
func (c *client) yield(cmd *command.Command, argv [][]byte) {
	if cmd != nil && cmd.Name == "exec" && c.multi != nil {
		for _, queued := range c.multi.unit {
			if q, ok := command.Lookup(queued); ok {
				c.yield(q, queued)
			}
		}
		return
	}
	waits := c.s.handovers.before(c, c.handing, cmd, argv)
	if len(waits) == 0 {
		return
	}
	c.flush()
	timer := time.NewTimer(c.s.cfg.CommandTimeout / handoverPart)
	defer timer.Stop()
	for _, o := range waits {
		select {
		case <-o.done:
		case <-timer.C:
			return
		}
	}
}

// arrived is when the command that is served came in; 0: nobody knows.
func (c *client) arrived() int64 {
	if guarded, ok := c.conn.(*front.Conn); ok {
		return guarded.Arrived()
	}
	return 0
}

// handOver registers a command that needs a connection of its own, and waits for those
// that came before it.
func (c *client) handOver(argv [][]byte) {
	if c.handing == nil {
		c.handing = c.s.handovers.begin(c, argv)
		// Of two sockets that are ready the poller may have the later one read first: by the
		// end of a sleep it has looked at all of them, and who came before is registered.
		// It takes about a millisecond, once for a client.
		if c.relay == nil {
			time.Sleep(lookAround)
		} else {
			runtime.Gosched() // it has its connection: a sleep would double the time of each command
		}
	}
	if c.s.handovers.n.Load() > 1 {
		c.yield(c.handing.cmd, argv)
	}
}

// handedOver says that the client's command has been dealt with otherwise.
func (c *client) handedOver() {
	if c.handing == nil {
		return
	}
	c.handing.end()
	c.handing = nil
}
