package proxy

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/fallback"
)

// client is one connection's state. Its fields are used by the connection's own
// goroutine, except those that CLIENT LIST and KILL of others read.
type client struct {
	s       *Server
	id      int64
	conn    net.Conn
	addr    string
	created time.Time

	proto    int // 2 or 3
	db       int
	user     string
	authed   atomic.Bool
	closing  bool
	detached bool       // out of redcon's loop; see session.go
	writeMu  sync.Mutex // detached: replies and pushes share the socket
	mute     muteState
	multi    *transaction
	watch    []*fallback.Watch // WATCH while Redis is away
	// watchLost: keys were watched on a connection that is gone, so that nobody
	// can say whether they changed; EXEC is refused.
	watchLost bool
	relay     *relay    // dedicated upstream connection; nil until one is needed
	session   *detached // set once by detach
	unitShown bool      // others see a unit or watched keys of it
	handing   *handover // of its command that needs a connection of its own
	batch     batch
	answered  func()                     // tellAnswered, made once
	who       func() (addr, name string) // whoAsks, made once
	counts    int                        // its calls with writes that are under way: one, and what is sent again meanwhile
	retryBy   time.Time                  // of what is sent again: how long that may be tried
	parked    *blocked                   // what it waits for once it is detached
	blocked   atomic.Pointer[blocked]    // in a blocking command of an embedded store
	told      uint64                     // the beat after what it was told that names no keys
	keys      [][]byte                   // reused for key extraction
	cmds      []redcon.Command

	name    atomic.Pointer[string]
	lib     atomic.Pointer[[2]string]
	lastCmd atomic.Pointer[command.Command]
	// Copies of the fields above for CLIENT LIST of other connections.
	shownDB    atomic.Int64
	shownProto atomic.Int64
	shown      atomic.Pointer[shown]
	userName   atomic.Pointer[string]
}

// publish shows this connection's state, which has changed, to CLIENT LIST of others.
func (c *client) publish() {
	c.shownDB.Store(int64(c.db))
	c.shownProto.Store(int64(c.proto))
	if p := c.userName.Load(); p == nil || *p != c.user {
		user := c.user
		c.userName.Store(&user)
	}
}

func (s *Server) newClient(conn redcon.Conn) *client {
	c := &client{
		s: s, id: s.nextID.Add(1), conn: conn.NetConn(), addr: conn.RemoteAddr(),
		created: time.Now(), proto: 2, db: s.baseDB(), user: "default",
	}
	c.authed.Store(!s.needsAuth())
	c.batch.call = &backend.Call{}
	c.answered, c.who = c.tellAnswered, func() (addr, name string) { return whoAsks(c) }
	c.publish()
	return c
}

// handle takes one command. It returns false, with nothing done, when the
// command needs a dedicated connection first.
func (c *client) handle(rc redcon.Command) bool {
	if isHTTP(rc.Args) {
		c.closeHTTP()
		return true
	}
	if c.mute != muteOff {
		return c.handleMuted(rc)
	}
	argv := rc.Args
	if len(argv) == 0 {
		return true
	}
	cmd, known := command.Lookup(argv)
	c.lastCmd.Store(cmd)
	if known && mentionsOwn(argv) && c.s.cfg.Upstream != nil {
		var refused bool
		if rc, refused = withoutOwnNames(cmd, rc); refused {
			c.reject(ownRefused)
			return true
		}
		argv = rc.Args
	}
	if known && cmd.Flags&command.Admin != 0 {
		c.administers(cmd, argv)
	}
	c.lookOut(cmd, argv)
	switch {
	case !known:
		return c.unknown(cmd, argv)
	case !cmd.ArityOK(len(argv)):
		c.refuse(cmd, cmd.ArityError())
	case !c.authed.Load() && cmd.Flags&command.NoAuth == 0:
		c.refuse(cmd, "NOAUTH Authentication required.")
	case c.busy(cmd, argv):
	case c.s.cfg.Upstream == nil && (lacksMemory(c, cmd) || awaitPause(c, cmd, argv)):
	case c.multi != nil && !endsUnit(cmd):
		return c.queue(cmd, argv)
	case c.s.hub.monitors.Load() > 0 && feedMonitors(c, cmd, argv):
	case cmd.Flags&(command.ConnState|command.Blocking|command.PubSub) == 0 && cmd.Flags&isData != 0:
		c.data(cmd, rc)
	case c.s.cfg.Upstream == nil && embeddedCommands[cmd.Name] != nil:
		return c.local(cmd, argv)
	case cmd.Flags&command.Aside != 0 && c.s.cfg.Upstream != nil:
		c.aside(cmd, argv)
	case cmd.Flags&command.Blocking != 0 && command.Blocks(argv, cmd), isSubscribing(cmd):
		return c.waits(cmd, rc)
	case c.s.cfg.Upstream == nil && cmd.Flags&command.PubSub != 0:
		c.localPubSub(cmd, argv)
	case localCommands[cmd.Name] != nil || cmd.Flags&command.ConnState != 0:
		return c.local(cmd, argv)
	default:
		c.data(cmd, rc)
	}
	return true
}

// isData are the flags of commands that read or write data.
const isData = command.Read | isWriting

// isWriting are the flags of commands that may change data.
const isWriting = command.Write | command.Script

// unknown forwards a command that is not in the table (a module's, a newer
// server's) on a dedicated connection, since nobody knows what it does to the
// connection; while Redis is away it does not exist. So it is, too, for what
// newer clients ask of their connection, as go-redis does when it connects.
func (c *client) unknown(container *command.Command, argv [][]byte) bool {
	if isHoldfast(argv) && c.authed.Load() {
		c.flush()
		c.answer(c.s.holdfast(c.proto, argv))
		return true
	}
	ours := container != nil && container.Flags&command.ConnState != 0
	if c.online() && c.authed.Load() && !ours {
		return false
	}
	if c.s.cfg.Upstream == nil {
		c.s.counted.Failed([]byte("-ERR"))
	}
	c.reject(command.UnknownError(argv))
	return true
}

// online reports whether commands go to Redis.
func (c *client) online() bool { return c.s.cfg.Upstream != nil && !c.s.cfg.Local.Serving() }

// data routes a command that reads or writes data.
func (c *client) data(cmd *command.Command, rc redcon.Command) {
	it := item{kind: kindForward, cmd: cmd, argv: rc.Args, raw: rc.Raw, replies: 1}
	if !c.online() {
		if cmd.Flags&isData == 0 && c.answerOffline(cmd, rc.Args) {
			return
		}
		c.flush()
		c.awaitSettled()
		if c.relay != nil {
			c.noteTracked(cmd, rc.Args)
		}
		if c.s.newerForm(it.commands()) {
			c.elsewhere(&it)
			return
		}
		if out, ok := c.s.cfg.Local.ReadHeld(c.batch.out, c.db, c.proto, cmd, rc.Args); ok {
			c.batch.out = out
			return
		}
		c.elsewhere(&it)
		return
	}
	c.awaitPause(rc.Args)
	write := cmd.Flags&(command.Write|command.Script) != 0
	if write && onlyReads(c, cmd, rc.Args) && readsAs[cmd] != nil {
		c.s.scripts.note(c.s.cfg.Local, cmd, rc.Args)
		it.cmd, write = readsAs[cmd], false
	}
	switch {
	case write:
		c.awaitReady(&it)
		if c.batch.followers > 0 {
			c.flush() // a read before this write must not see it
		}
		if c.behindGroup(&it) {
			c.flush()
		}
		c.noteRead(cmd, rc.Args)
		c.beginWrite(&it)
		c.forward(it)
	case cmd.Flags&command.Cacheable != 0:
		c.cached(it)
	case cmd.Flags&command.ShowsKeyspace != 0:
		c.askShown(&it)
		c.forwardRead(it)
	default:
		c.s.aboutScripts(cmd, rc.Args)
		c.iterates(&it)
		c.forwardRead(it)
	}
}

// forward adds the command to the call under construction: inside a fence when
// applying it twice would do harm.
func (c *client) forward(it item) {
	b := &c.batch
	if it.wrote && !c.repeatable(&it, isWriting) && it.cmd.Flags&command.NoMulti == 0 && c.s.cfg.Upstream.FenceName(c.proto, c.db) != "" {
		c.forwardFenced(it)
		return
	}
	c.closeFence()
	if !it.wrote && len(b.fences) > 0 {
		it.behind = c.readsBehindGroup(&it)
	}
	if it.unit == nil && it.wire == nil {
		if len(b.call.Payload) == 0 && len(it.raw) > maxKeptBytes {
			b.call.Payload = it.raw[:len(it.raw):len(it.raw)] // sent as it is, without a copy
		} else {
			b.call.Payload = append(b.call.Payload, it.raw...)
		}
	} else {
		it.encode(&b.call.Payload)
	}
	c.push(it)
}

// readsBehindGroup reports whether a read may tell of what a group before it writes:
// if Redis refuses the group it is repeated behind the call. So a write to what it
// reads must not be in that call any more, as if this one wrote there, too.
func (c *client) readsBehindGroup(it *item) bool {
	b := &c.batch
	behind := false
	for _, argv := range it.commands() {
		cmd, ok := command.Lookup(argv)
		if ok {
			c.keys = cmd.Keys(c.keys[:0], argv)
		}
		if !ok || len(c.keys) == 0 && cmd.Flags&command.Read != 0 {
			b.noteWrite(nil) // KEYS, DBSIZE: it tells of any
			return true
		}
		behind = behind || slices.ContainsFunc(c.keys, b.writesTo)
	}
	if !behind {
		return false
	}
	for _, argv := range it.commands() {
		if cmd, ok := command.Lookup(argv); ok {
			c.keys = cmd.Keys(c.keys[:0], argv)
		}
		for _, key := range c.keys {
			b.noteWrite(key)
		}
	}
	return true
}

// behindGroup reports whether the write follows a group that has one to the same
// key: that is executed anew if Redis refuses the group, and must not land behind.
func (c *client) behindGroup(it *item) bool {
	b := &c.batch
	if len(b.fences) == 0 || (b.open && it.unit == nil && !c.repeatable(it, isWriting)) {
		return false
	}
	for _, argv := range it.commands() {
		cmd, ok := command.Lookup(argv)
		if !ok {
			return true
		}
		c.keys = cmd.Keys(c.keys[:0], argv)
		if c.reachesAll(cmd) || slices.ContainsFunc(c.keys, b.writesTo) {
			return true
		}
	}
	return false
}

// push notes where the item's replies will be.
func (c *client) push(it item) {
	b := &c.batch
	it.first, it.after = b.call.N, len(b.fences)
	b.writes = b.writes || it.wrote
	b.call.N += it.replies
	b.items = append(b.items, it)
}

// beginWrite keeps the item's keys out of the cache until endWrite.
func (c *client) beginWrite(it *item) {
	it.wrote, it.sent = true, c.s.cfg.Local.Takeovers()
	c.eachWrite(it, func(cmd *command.Command, argv [][]byte) {
		c.s.beforeWrite(cmd, c.db, argv)
		if c.reachesAll(cmd) {
			c.s.cache.FlushBegin()
			c.batch.noteWrite(nil)
		}
		for _, key := range c.keys {
			c.batch.noteWrite(key)
			c.s.cache.WriteBegin(c.db, key)
			c.s.cfg.Local.Sending(c.db, key)
		}
	})
}

// endWrite lets the item's keys be cached again.
func (c *client) endWrite(it *item) { c.finishWrite(it, nil) }

// finishWrite is endWrite after the mirror was told of the write; reply is nil
// when it was not acknowledged.
func (c *client) finishWrite(it *item, reply []byte) {
	it.wrote = false
	if reply != nil && !it.told {
		c.tell(it, reply)
	}
	c.eachWrite(it, func(cmd *command.Command, argv [][]byte) {
		if c.reachesAll(cmd) {
			c.s.cache.FlushEnd()
		}
		for _, key := range c.keys {
			c.s.cache.WriteEnd(c.db, key)
			c.s.cfg.Local.Sent(c.db, key)
		}
	})
}

// tell tells the mirror of an acknowledged item.
func (c *client) tell(it *item, reply []byte) {
	it.told = true
	if len(it.unit) > 0 {
		c.s.cfg.Local.Acked(c.db, it.unit, reply, true)
	} else if it.unit == nil && !c.tellValues(it) {
		c.keys = it.cmd.WriteKeys(c.keys[:0], it.argv)
		c.s.cfg.Local.AckedOne(c.db, it.cmd, it.argv, c.keys, reply)
	}
}

// tellAnswered tells the mirror of what a call that was answered has written. The
// reader of the connection calls it while this client waits, so that the mirror
// learns of all clients' writes in the order in which Redis executed them.
func (c *client) tellAnswered() {
	b := &c.batch
	for i := range b.items {
		it := &b.items[i]
		if !it.wrote {
			continue
		}
		reply := c.answerTo(it)
		if reply != nil {
			reply = acknowledged(reply)
		}
		if reply != nil {
			c.tell(it, reply)
		}
	}
}

// answerTo is the reply that a write got in an answered call; nil: what became of
// it is to be judged, see deliver.
func (c *client) answerTo(it *item) []byte {
	switch {
	case it.fence > 0:
		g := &c.batch.fences[it.fence-1]
		c.splitGroup(g)
		switch {
		case g.elems == nil:
			return nil
		case g.unit != nil:
			return unitReply(g.elems[:g.count])
		}
		return g.elems[it.first-g.first-1]
	case it.unit != nil && !isOK(c.replyAt(it.first)):
		return nil
	}
	return c.replyAt(it.first + it.skip)
}
