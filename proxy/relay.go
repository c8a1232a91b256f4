package proxy

import (
	"bytes"
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// relay is a dedicated upstream connection for one client: subscriptions,
// blocking commands, WATCH, MONITOR, CLIENT TRACKING and commands that nobody
// knows. Commands and replies pass as bytes. Once the client has no state there
// any more, its commands take the shared way again.
//
// The client's goroutine sends; the pump (relay_read.go) delivers. What the pump
// may expect is written down before it is sent.
type relay struct {
	c      *client
	closed chan struct{}

	mu       sync.Mutex
	cond     *sync.Cond
	sess     *backend.Session // nil: Redis is away
	proto    int
	db       int
	queue    []expect // replies to come, in order
	owed     int      // those of them that are not delivered yet
	subs     subscriptions
	watched  int          // keys of WATCH
	watch    bool         // between the answers to WATCH and EXEC, DISCARD, UNWATCH
	multi    bool         // between the answers to MULTI and EXEC, DISCARD
	queueing bool         // between sending MULTI and sending EXEC, DISCARD
	units    int          // MULTI, EXEC and DISCARD sent
	unit     [][][]byte   // commands queued there, which EXEC will acknowledge
	extras   []bool       // of each of them: the proxy added it, see showing
	held     [][]byte     // keys they write, kept out of the cache until EXEC
	heldAt   uint64       // Local.Takeovers before the first of them
	outbox   chan []byte  // messages and invalidations while there is no sess
	waiting  atomic.Int64 // bytes in outbox
	selected bool         // db or proto was changed over the relay
	monitor  bool
	tracking [][]byte  // the CLIENT TRACKING ON command
	track    *tracking // the same on the local state, while there is no sess
	sticky   bool      // something we cannot follow: it stays to the end
	gone     bool      // ended for good
	scanned  uint64    // the server's process that had the last step of an iteration
	left     time.Time // when the client was seen to have hung up

	checker  *time.Timer // see expectSoon
	checking bool

	lostWatch, lostMulti bool // Redis went away in the middle
}

// expect is a reply to come, or the confirmations of one command.
type expect struct {
	left     int                       // frames; more than one only for confirmations
	confirm  bool                      // answered by subscription confirmations
	swallow  bool                      // the client has its answer already
	mute     bool                      // CLIENT REPLY OFF or SKIP
	extra    bool                      // sent in front of a command that shows the keyspace
	stream   bool                      // SYNC, PSYNC: what comes is a replication stream, to the end
	keep     bool                      // its bytes are needed as a whole
	shown    func(whole []byte) []byte // makes the client's reply of it, which is kept whatever its length
	cmd      *command.Command
	argv     [][]byte
	db       int
	wrote    [][]byte  // keys with cache.WriteBegin
	sent     uint64    // of a write: Local.Takeovers before it was sent
	undo     func()    // takes the noted state back when Redis refuses
	handover *handover // over when this is answered
	ping     bool      // passed on behind a PING in the same write
}

// stateful reports whether Redis holds state of the client on this connection.
// The lock is held.
func (r *relay) stateful() bool {
	return r.watch || r.multi || r.sticky || r.standing()
}

// standing reports whether there is state that outlives an outage: it is set up
// again when Redis is back. The lock is held.
func (r *relay) standing() bool { return r.subs.any() || r.monitor || r.tracking != nil }

func (r *relay) close() {
	r.mu.Lock()
	if !r.gone {
		r.gone = true
		close(r.closed)
	}
	sess := r.sess
	r.cond.Broadcast()
	r.mu.Unlock()
	r.c.s.hub.leave(r)
	if sess != nil {
		_ = sess.Close()
	}
}

type route uint8

const (
	routeShared  route = iota // the relay has no say
	routeRelay                // over the relay
	routeHere                 // by the proxy, though the relay has state
	routeStandIn              // by the proxy for a subscriber while Redis is away
)

// route decides where the next command goes. It waits for replies that are owed
// unless the command goes to the relay as well. False: the client has gone.
func (r *relay) route(rc redcon.Command, gone <-chan struct{}) (route, bool) {
	cmd, known := command.Lookup(rc.Args)
	stop := r.wakeOn(gone)
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		here := !r.stateful() || r.sess == nil || r.gone || r.local(cmd, known) || isHoldfast(rc.Args)
		if !here {
			return routeRelay, true
		}
		if r.owed == 0 {
			break
		}
		if r.givenUp(gone) {
			return 0, false
		}
		r.cond.Wait()
	}
	c := r.c
	if r.selected {
		c.db, c.proto, r.selected = r.db, r.proto, false
		c.publish()
	}
	if r.lostMulti {
		c.multi = &transaction{spoiled: true}
	}
	c.watchLost = c.watchLost || r.lostWatch
	if r.sess == nil {
		r.proto, r.db = c.proto, c.db
	}
	r.lostMulti, r.lostWatch = false, false
	switch {
	case r.gone:
		return routeShared, true
	case r.sess == nil && r.standing() && known && (isSubscribing(cmd) || (r.proto == 2 && r.subs.any() && !r.local(cmd, known))):
		return routeStandIn, true
	case r.stateful() && r.sess != nil:
		return routeHere, true
	}
	return routeShared, true
}

// local reports whether the proxy answers the command though the relay has
// state: it is about the client's connection here. A RESP2 subscriber may do
// little, and Redis says so best. The lock is held.
func (r *relay) local(cmd *command.Command, known bool) bool {
	if !known {
		return false
	}
	if cmd.Flags&command.ShowsKeyspace != 0 {
		return !r.queueing && (r.proto == 3 || !r.subs.any())
	}
	switch cmd.Name {
	case "quit", "reset":
		return true
	case "hello", "auth", "client|id", "client|getname", "client|setname", "client|setinfo", "client|info",
		"client|list", "client|kill", "client|no-evict", "client|no-touch", "client|reply", "client|unblock":
		return !r.queueing && (r.proto == 3 || !r.subs.any())
	}
	return false
}

func isSubscribing(cmd *command.Command) bool {
	return bytes.HasSuffix([]byte(cmd.Name), []byte("subscribe"))
}

// startRelay opens the dedicated connection, if need be, and sends the command. False:
// as of send.
func (c *client) startRelay(cmd redcon.Command) bool {
	r := c.relay
	if r != nil && r.orphaned() {
		c.spoil()
		c.handedOver()
		_ = c.writeRaw(resp.AppendError(nil, "UPSTREAMDOWN Redis is just back and this command needs the connection that is being restored"))
		return true
	}
	if r != nil && (r.away() || r.db != c.db || r.proto != c.proto) {
		r.close()     // idle, and bound to another database, protocol or link
		c.s.mu.Lock() // CLIENT LIST of others looks at it
		c.relay = nil
		c.s.mu.Unlock()
	}
	if c.relay == nil {
		ctx, cancel := context.WithTimeout(context.Background(), c.s.cfg.CommandTimeout*6/5) // it takes less, unless Redis is silent because it was told to be
		sess, err := c.s.cfg.Upstream.OpenSession(ctx, c.proto, c.db)
		cancel()
		if err != nil {
			c.spoil()
			c.handedOver()
			_ = c.writeRaw(resp.AppendError(nil, noSession(err)))
			return true
		}
		r := c.newRelay(sess)
		c.s.wg.Add(1)
		go func() {
			defer c.s.wg.Done()
			r.run()
		}()
		if name := c.name.Load(); name != nil {
			r.pass([][]byte{[]byte("CLIENT"), []byte("SETNAME"), []byte(*name)}, nil, true)
		} else {
			r.pass([][]byte{[]byte("CLIENT"), []byte("SETNAME"), nil}, nil, true)
		}
	}
	c.moveUnit(c.relay)
	return c.relay.send(cmd)
}

// spoil makes EXEC refuse the unit that is being collected: one of its commands
// got an error.
func (c *client) spoil() {
	if c.multi != nil {
		c.multi.spoiled = true
	}
}

func (c *client) newRelay(sess *backend.Session) *relay {
	r := &relay{c: c, sess: sess, proto: c.proto, db: c.db, closed: make(chan struct{})}
	r.cond = sync.NewCond(&r.mu)
	c.s.mu.Lock()
	c.relay = r
	c.s.mu.Unlock()
	return r
}

// orphaned reports whether standing state waits for Redis.
func (r *relay) orphaned() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sess == nil && !r.gone && r.standing()
}

func (r *relay) away() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sess == nil || r.gone
}

// moveUnit moves a unit that was being collected here to the dedicated
// connection: its replies were given already.
func (c *client) moveUnit(r *relay) {
	tx := c.multi
	if tx == nil {
		return
	}
	if !r.pass([][]byte{[]byte("MULTI")}, nil, true) {
		return // it stays here
	}
	c.multi = nil
	for _, argv := range tx.unit {
		r.passExtras(argv)
		r.pass(argv, nil, true)
	}
	if tx.spoiled { // so that EXEC is refused there, too
		r.pass([][]byte{[]byte("MULTI"), []byte("spoiled")}, nil, true)
	}
}

// send forwards one command of the client. False: Redis went away just now, and the
// command has to be served without the connection, whose unit and watched keys are
// lost: an error alone would leave client and proxy of two minds about the unit.
func (r *relay) send(rc redcon.Command) bool {
	cmd, _ := command.Lookup(rc.Args)
	r.c.lastCmd.Store(cmd)
	r.mu.Lock()
	queueing, quiet := r.queueing, r.monitor || r.proto == 2 && r.subs.any() // in these states PING says other things
	r.mu.Unlock()
	if queueing {
		r.passExtras(rc.Args)
	}
	if cmd != nil && (cmd.Name == "sync" || cmd.Name == "psync") {
		awaitOwed(r) // Redis refuses it while replies to what was sent before wait
	}
	// Its own reply may take for ever; that of a PING in the same write says that Redis has
	// both. WAIT waits for what this connection has seen written, and the writes went
	// over others: any command here takes note of them.
	ping := !queueing && !quiet && (cmd == nil || command.Blocks(rc.Args, cmd))
	handover := r.c.handing
	if handover != nil { // it is the queue's now
		r.c.handing = nil
	}
	if !r.passAs(rc.Args, rc.Raw, expect{mute: r.c.muted(), handover: handover, ping: ping}) {
		if handover != nil {
			r.c.handing = handover
		}
		return false
	}
	r.c.s.commands.Add(1)
	if r.c.mute == muteNext {
		r.c.mute = muteOff
	}
	return true
}

// follow tells Redis of a protocol that the client chose with HELLO meanwhile.
func (r *relay) follow(proto int) {
	r.mu.Lock()
	same := r.proto == proto || r.sess == nil || r.gone
	r.proto = proto
	r.mu.Unlock()
	if !same {
		r.pass([][]byte{[]byte("HELLO"), strconv.AppendInt(nil, int64(proto), 10)}, nil, true)
	}
}

// note tracks what the command will leave behind on the connection, except what
// only its reply decides. The lock is held.
func (r *relay) note(e *expect) {
	name := e.cmd.Name
	ends := name == "exec" || name == "discard" && len(e.argv) == 1
	queued := r.queueing && !ends
	switch {
	case ends:
		r.queueing = false
		r.units++
	case isSubscribing(e.cmd):
		if queued {
			r.sticky = true // confirmed inside EXEC's reply, where nobody counts
			break
		}
		if e.cmd.ArityOK(len(e.argv)) {
			r.expectConfirm(e)
		}
	case queued:
	case tellsRedirect[name]:
		e.shown = shownRedirect(r)
	case name == "multi":
		if !e.cmd.ArityOK(len(e.argv)) || r.proto == 2 && r.subs.any() {
			break // refused, and nothing changes
		}
		r.units++
		unit := r.units
		r.queueing, e.undo = true, func() { r.queueing = r.queueing && r.units != unit } // not a later unit
	case name == "monitor" && !r.monitor:
		r.monitor, e.undo = true, func() { r.monitor = false }
	case name == "sync", name == "psync":
		r.sticky, e.stream = true, true
	case name == "script|debug" && !bytes.EqualFold(e.argv[len(e.argv)-1], []byte("no")):
		r.sticky = true
	}
	if e.cmd.Flags&(command.Write|command.Script) == 0 {
		r.c.s.aboutScripts(e.cmd, e.argv)
		return
	}
	e.sent = r.c.s.cfg.Local.Takeovers()
	r.c.s.beforeWrite(e.cmd, e.db, e.argv)
	if e.cmd.Flags&command.Dangerous != 0 {
		r.c.s.cache.Invalidate(nil) // and again when it is answered
	}
	for _, k := range e.cmd.WriteKeys(nil, e.argv) {
		r.c.s.cache.WriteBegin(e.db, k)
		if e.cmd.Flags&command.Blocking == 0 || queued { // one that blocks would hold up fetches for as long
			r.c.s.cfg.Local.Sending(e.db, k)
		}
		e.wrote = append(e.wrote, k)
	}
}

// expectConfirm counts the confirmations of a (un)subscribe command.
func (r *relay) expectConfirm(e *expect) {
	e.confirm = true
	e.left, e.undo = r.subs.change(e.cmd.Name, e.argv[1:])
}
