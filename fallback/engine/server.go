package engine

import (
	"strconv"
	"strings"
)

func serverCommands() map[string]*spec {
	return map[string]*spec{
		"PING": read(-1, 0, 0, 0).with((*call).ping), "ECHO": read(2, 0, 0, 0).with((*call).echo),
		"TIME": read(1, 0, 0, 0).with((*call).time).unsure(), "DBSIZE": read(1, 0, 0, 0).with((*call).dbsize),
		"FLUSHDB": write(-1, 0, 0, 0, 0).with((*call).flush), "FLUSHALL": write(-1, 0, 0, 0, 0).with((*call).flush),
		"SWAPDB": write(3, 0, 0, 0, 0).with((*call).swapDB),
		"SELECT": read(2, 0, 0, 0).with((*call).selectDB),
		"CONFIG": read(-2, 0, 0, 0).with((*call).config).unsure(), "INFO": read(-1, 0, 0, 0).with((*call).info).unsure(),
		"SLOWLOG": read(-2, 0, 0, 0).with((*call).slowlog).unsure(),
		"MEMORY":  read(-2, 0, 0, 0).keyed(memoryKeys).with((*call).memoryCommand).unsure(),
		"PUBLISH": read(3, 0, 0, 0).with((*call).publish), "SPUBLISH": read(3, 0, 0, 0).with((*call).publish),
	}
}

func (c *call) ping() {
	r := c.buf()
	switch len(c.args) {
	case 1:
		r.status("PONG")
	case 2:
		r.bulk(c.args[1])
	default:
		c.fail(wrongArity("ping"))
		return
	}
	c.reply = r.b
}

func (c *call) echo() {
	r := c.buf()
	r.bulk(c.args[1])
	c.reply = r.b
}

func (c *call) time() {
	now := c.e.cfg.Now()
	if c.e.run != nil {
		c.e.run.unsure = true
	}
	r := c.buf()
	r.strings([]string{strconv.FormatInt(now.Unix(), 10), strconv.Itoa(now.Nanosecond() / 1000)})
	c.reply = r.b
}

func (c *call) dbsize() { c.integer(int64(len(c.e.index(c.db).keys))) }

// publish is PUBLISH and SPUBLISH, of a script above all: it takes effect at once, and is
// never journaled.
func (c *call) publish() {
	if c.e.cfg.Publish == nil || c.unlimited || c.e.loading {
		c.integer(0)
		return
	}
	c.integer(c.e.cfg.Publish(len(c.args[0]) == len("SPUBLISH"), c.args[1], c.args[2]))
}

// flush is FLUSHDB and FLUSHALL.
func (c *call) flush() {
	if len(c.args) > 2 || len(c.args) == 2 && !strings.EqualFold(c.args[1], "ASYNC") && !strings.EqualFold(c.args[1], "SYNC") {
		c.fail(errSyntax)
		return
	}
	db := c.db
	if len(c.args[0]) == len("FLUSHALL") {
		db = -1
	}
	c.e.saveAll(db)
	c.e.Flush(db)
	c.ok()
}

// swapDB is refused in scripts, whose failure could not be undone.
func (c *call) swapDB() {
	var ids [2]int
	for i := range ids {
		n, ok := parseInt(c.args[1+i])
		if !ok {
			c.fail("ERR invalid " + [2]string{"first", "second"}[i] + " DB index")
			return
		}
		if n < 0 || n >= databases {
			c.fail("ERR DB index is out of range")
			return
		}
		ids[i] = int(n)
	}
	a, b := ids[0], ids[1]
	if c.e.run != nil {
		c.fail("ERR SWAPDB in a script is not supported offline")
		return
	}
	if a == b {
		c.noEffect()
		c.ok()
		return
	}
	x, y := c.e.index(a), c.e.index(b)
	c.e.dbs[a], c.e.dbs[b] = y, x
	for id, ix := range map[int]*dbIndex{a: y, b: x} {
		for _, en := range ix.keys {
			c.e.writes++
			en.db, en.version = uint8(id), c.e.writes
		}
	}
	c.ok()
}

// selectDB changes the database of the running script. A client's own database
// is an argument of Do, so nothing else can be selected there.
func (c *call) selectDB() {
	n, ok := c.otherDB(c.args[1])
	switch {
	case !ok:
	case c.e.run != nil:
		c.e.run.db = n
		c.e.run.moved = c.e.run.moved || n != c.db
		c.ok()
	case n == c.db:
		c.ok()
	default:
		c.fail("ERR SELECT inside MULTI is not supported offline")
	}
}
