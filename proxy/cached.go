package proxy

import (
	"time"

	"holdfast/backend/command"
)

// Nobody gets an older value of a key than any client of this proxy was told
// before, whatever commands they ask with. Redis answers a connection in order,
// so replies over the trunk are safe among themselves. A cached reply, or one of
// a read under way, may be older, as long as the invalidation is under way: then
// a hit waits for a beat, after which what is still cached is as new, or Redis is
// asked. What is told by replies that name no keys holds for that client alone.

// maxHeldFor is how long a hit waits before Redis is asked instead: a fraction of
// the time in which that answers.
const maxHeldFor = 100 * time.Millisecond

// order is what a batch knows of the beats.
type order uint8

const (
	orderUnknown order = iota
	orderHeld          // a beat has passed since the batch came, or since its last flush
	orderSlow          // it takes too long
)

// cached answers a read from the cache, joins the same read under way, or
// forwards it with PTTL in front, so that the entry dies with the key.
func (c *client) cached(it item) {
	b := &c.batch
	c.keys = it.cmd.Keys(c.keys[:0], it.argv)
	if len(c.keys) != 1 {
		c.forwardRead(it) // an entry is dropped with its one key
		return
	}
	key := c.keys[0]
	if !c.s.cache.Cacheable(key) {
		c.forward(it)
		return
	}
	if b.writesTo(key) {
		c.forwardRead(it) // behind an own write: the same read of another may be older
		return
	}
	pending := b.asked.about(key, it.raw)
	if pending&askedOtherFollow != 0 {
		c.flush() // a read of another client, sent we do not know when: its reply first
		pending = 0
	}
	if pending == 0 && !b.asked.keyless && c.hit(key, &it) {
		return
	}
	fill, leader := c.s.cache.Begin(c.db, key, c.proto, it.raw, pending&askedFollows != 0 || c.behind())
	if !leader && (pending&askedOther != 0 || b.asked.keyless) {
		fill.Leave() // it may be executed before what this batch asks for first
		c.flush()
		fill, leader = c.s.cache.Begin(c.db, key, c.proto, it.raw, true)
	}
	b.asked.add(askedKey{key: key, raw: it.raw, follows: !leader})
	if !leader {
		it.kind, it.fill = kindFollow, fill
		b.followers++
		b.items = append(b.items, it)
		return
	}
	c.s.cfg.Local.Read(c.db, key)
	it.fill, it.skip, it.replies = fill, 1, 2
	c.closeFence()
	b.call.Payload = appendWithLife(b.call.Payload, key, it.raw)
	c.push(it)
}

// hit answers from the cache, if what is there is not older than what was told.
func (c *client) hit(key []byte, it *item) bool {
	b := &c.batch
	for {
		buf := &b.out
		if len(b.items) > 0 {
			buf = &b.aux
		}
		out, hit, after := c.s.cache.Get(*buf, c.db, key, c.proto, it.raw)
		if hit && (b.order == orderHeld || (after == 0 && !c.behind())) {
			if len(b.items) > 0 {
				b.items = append(b.items, item{kind: kindDone, local: [2]int{len(*buf), len(out)}})
			}
			*buf = out
			return true
		}
		if !hit || b.order == orderSlow {
			return false
		}
		c.flush() // nobody who waits for a read of ours has to wait for this
		c.settleOrder()
	}
}

// behind reports whether this client was told something that names no keys, and
// that the cache may not know of.
func (c *client) behind() bool { return c.told > 0 && c.told > c.s.cfg.Upstream.PassedBeat() }

// settleOrder lets what the cache holds become as new as all that was told until
// now, and notes in the batch whether it did.
func (c *client) settleOrder() {
	up := c.s.cfg.Upstream
	c.batch.order = orderSlow
	if n := up.NextBeat(); n > 0 && up.AwaitBeat(n, min(c.s.cfg.CommandTimeout/10, maxHeldFor)) {
		c.batch.order = orderHeld
	}
}

// forwardRead forwards a command whose replies are never cached, and notes what
// it tells of keys that may be.
func (c *client) forwardRead(it item) {
	if c.batch.followers > 0 {
		c.flush() // this reply must not be older than what another client's read will say
	}
	c.noteRead(it.cmd, it.argv)
	c.forward(it)
}

// noteUnit does that for the commands of a MULTI unit.
func (c *client) noteUnit(unit [][][]byte) {
	for _, argv := range unit {
		if cmd, ok := command.Lookup(argv); ok {
			c.s.aboutScripts(cmd, argv)
			c.noteRead(cmd, argv)
		}
	}
}

// noteRead notes what the reply to a command will tell of keys that it does not
// change. Those it changes are kept out of the cache meanwhile.
func (c *client) noteRead(cmd *command.Command, argv [][]byte) {
	if cmd.Flags&command.Tells == 0 {
		return
	}
	a := &c.batch.asked
	c.keys = cmd.ReadKeys(c.keys[:0], argv)
	for _, key := range c.keys {
		if c.s.cache.Cacheable(key) {
			a.add(askedKey{key: key})
		}
	}
	if cmd.Flags&(command.Read|command.Script) != 0 && len(c.keys) == 0 { // KEYS, SCAN, DBSIZE, some scripts
		c.keys = cmd.Keys(c.keys[:0], argv)
		a.keyless = a.keyless || len(c.keys) == 0
	}
}

// noteTold is called when a call has ended, before its replies are handed out.
// Reads that the cache knows of were noted by their own end.
func (c *client) noteTold() {
	a := &c.batch.asked
	if a.keyless {
		c.told = c.s.cfg.Upstream.NextBeat()
	}
	for _, k := range a.list {
		if k.raw == nil {
			c.s.cache.Told(k.key)
		}
	}
}

// tellsAlone notes what a reply outside of the batch's call is about to tell.
func (c *client) tellsAlone(it *item) {
	for _, argv := range it.commands() {
		if cmd, ok := command.Lookup(argv); ok {
			c.s.tells(cmd, argv)
		}
	}
	c.told = c.s.cfg.Upstream.NextBeat()
	if c.batch.order == orderHeld {
		c.batch.order = orderUnknown // a beat before it does not count
	}
}

// tells notes that a client is about to be told of keys.
func (s *Server) tells(cmd *command.Command, argv [][]byte) {
	if cmd.Flags&command.Tells == 0 || !cmd.ArityOK(len(argv)) {
		return
	}
	for _, key := range cmd.ReadKeys(nil, argv) {
		s.cache.Told(key)
	}
}
