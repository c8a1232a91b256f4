package proxy

import (
	"bytes"
	"time"

	"holdfast/backend/command"
)

// A client never gets an older value of a key than it had before, whatever
// commands it asks with. Redis answers a client's commands in order, so replies
// over the trunk are safe among themselves. A cached reply, or one that another
// client is about to get, may be older than what this client saw last, as long
// as the invalidation is under way: then it waits for a beat, after which what
// is still cached is as new, or asks Redis itself.

// asked is a read of this call whose reply this client does not have yet.
type asked struct {
	key []byte
	raw []byte // of a cacheable read that the cache knows of; nil for others
	// follows: another client sends it, perhaps later than this call.
	follows bool
}

// maxAsked bounds the search in batch.asked.
const maxAsked = 64

func (b *batch) noteAsked(a asked) {
	if len(b.asked) == maxAsked {
		b.askedAny = true
		return
	}
	b.asked = append(b.asked, a)
}

// asks reports whether this call asks for the key by another read than raw.
func (b *batch) asks(key, raw []byte, following bool) bool {
	if b.askedAny && (!following || b.followers > 0) {
		return true
	}
	for _, a := range b.asked {
		if (a.follows || !following) && bytes.Equal(a.key, key) && !bytes.Equal(a.raw, raw) {
			return true
		}
	}
	return false
}

const (
	// maxHeld is how often a hit may have to wait before Redis is asked instead,
	// and maxHeldFor for how long: Redis can be asked instead.
	maxHeld    = 2
	maxHeldFor = 100 * time.Millisecond
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
	if !c.s.cache.Cacheable(key) || b.writesTo(key) {
		c.forward(it) // behind an own write: the same read of another may be older
		return
	}
	if b.followers > 0 && b.asks(key, it.raw, true) {
		c.flush() // a read of another client, sent we do not know when: its reply first
	}
	for tries := 0; ; tries++ {
		answered, hit := c.hit(key, &it)
		if answered {
			return
		}
		if !hit {
			break
		}
		if tries == maxHeld || !c.settleOrder() {
			c.forwardAlone(it, key)
			return
		}
	}
	fill, leader := c.s.cache.Begin(c.db, key, c.proto, it.raw)
	switch {
	case leader:
		c.s.cfg.Local.Read(c.db, key)
		it.fill, it.skip, it.replies = fill, 1, 2
		c.closeFence()
		b.call.Payload = appendWithLife(b.call.Payload, key, it.raw)
		b.noteAsked(asked{key: key, raw: it.raw})
		c.push(it)
	case b.asks(key, it.raw, false) || (!c.seen.Empty() && c.s.cache.After(&c.seen, key, it.raw) > 0):
		fill.Leave() // it may have been executed before what this client saw, or is about to see
		c.forwardAlone(it, key)
	default:
		it.kind, it.fill = kindFollow, fill
		b.followers++
		b.noteAsked(asked{key: key, raw: it.raw, follows: true})
		b.items = append(b.items, it)
	}
}

// hit answers from the cache. hit without answered: the reply there may be older
// than what this client has seen.
func (c *client) hit(key []byte, it *item) (answered, hit bool) {
	b := &c.batch
	buf := &b.out
	if len(b.items) > 0 {
		buf = &b.aux
	}
	out, hit, after := c.s.cache.Get(*buf, c.db, key, c.proto, it.raw)
	if !hit || after > 0 ||
		(len(b.asked) > 0 && b.asks(key, it.raw, false)) ||
		(!c.seen.Empty() && c.s.cache.After(&c.seen, key, it.raw) > 0) {
		return false, hit
	}
	if len(b.items) > 0 {
		b.items = append(b.items, item{kind: kindDone, local: [2]int{len(*buf), len(out)}})
	}
	*buf = out
	return true, true
}

// settleOrder lets everything asked before have its answer, and what the cache
// holds become as new as all that was seen. False: it takes too long.
func (c *client) settleOrder() bool {
	c.flush()
	up := c.s.cfg.Upstream
	n := up.NextBeat()
	if n == 0 {
		return true
	}
	return up.AwaitBeat(n, min(c.s.cfg.CommandTimeout/10, maxHeldFor))
}

// forwardAlone forwards a cacheable read beside the cache.
func (c *client) forwardAlone(it item, key []byte) {
	c.batch.noteAsked(asked{key: key})
	c.forward(it)
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

// noteUnit does that for the reads of a MULTI unit.
func (c *client) noteUnit(unit [][][]byte) {
	for _, argv := range unit {
		if cmd, ok := command.Lookup(argv); ok {
			c.noteRead(cmd, argv)
		}
	}
}

func (c *client) noteRead(cmd *command.Command, argv [][]byte) {
	b := &c.batch
	if cmd.Flags&(command.Read|command.Script) == 0 {
		return
	}
	c.keys = cmd.Keys(c.keys[:0], argv)
	b.askedAny = b.askedAny || len(c.keys) == 0 // KEYS, SCAN, DBSIZE, some scripts: of any key
	if cmd.Flags&command.MayReplicate != 0 {
		return // a script that may write: its keys are kept out of the cache meanwhile
	}
	for _, key := range c.keys {
		if c.s.cache.Cacheable(key) {
			b.noteAsked(asked{key: key})
		}
	}
}

// noteSeen notes which replies of a call that has ended are not in the cache.
// Reads that the cache knows of were noted by their own end.
func (c *client) noteSeen() {
	b := &c.batch
	if len(b.asked) == 0 && !b.askedAny {
		return
	}
	look := c.s.cfg.Upstream.NextBeat()
	if b.askedAny {
		c.seen.All(look)
	}
	for _, a := range b.asked {
		if a.raw == nil {
			c.s.cache.Saw(&c.seen, a.key, nil, look)
		}
	}
}

// saw notes a reply to a cacheable read that was not stored.
func (c *client) saw(key, raw []byte) {
	c.s.cache.Saw(&c.seen, key, raw, c.s.cfg.Upstream.NextBeat())
}
