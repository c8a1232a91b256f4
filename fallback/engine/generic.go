package engine

import (
	"math"
	"strings"
)

func genericCommands() map[string]*spec {
	return map[string]*spec{
		"DEL": write(-2, 1, -1, 1, fZero).with((*call).del), "UNLINK": write(-2, 1, -1, 1, fZero).with((*call).del),
		"EXISTS": read(-2, 1, -1, 1).with((*call).exists), "TOUCH": read(-2, 1, -1, 1).with((*call).exists),
		"TYPE": read(2, 1, 1, 1).with((*call).typeOf), "KEYS": read(2, 0, 0, 0).with((*call).keysMatching).unsure(),
		"SCAN":      read(-2, 0, 0, 0).with((*call).scan).unsure(),
		"RANDOMKEY": read(1, 0, 0, 0).with((*call).randomKey).unsure(),
		"RENAME":    write(3, 1, 2, 1, 0).with((*call).rename), "RENAMENX": write(3, 1, 2, 1, fZero).with((*call).rename),
		"COPY": write(-3, 1, 2, 1, fZero).with((*call).copyKey), "MOVE": write(3, 1, 1, 1, fZero).with((*call).move),
		"OBJECT": read(-2, 2, 2, 1).with((*call).object).unsure(),
		"SORT":   write(-2, 0, 0, 0, 0).keyed(storeKeys).with((*call).sort), "SORT_RO": read(-2, 1, 1, 1).with((*call).sort).unsure(),
	}
}

// del is DEL and UNLINK.
func (c *call) del() {
	n := int64(0)
	for _, key := range c.args[1:] {
		if c.e.find(c.db, key) != nil {
			c.remove(key, "del")
			n++
		}
	}
	c.integer(n)
}

// exists is EXISTS and TOUCH.
func (c *call) exists() {
	n := int64(0)
	for _, key := range c.args[1:] {
		if c.e.find(c.db, key) != nil {
			n++
		}
	}
	c.integer(n)
}

func (c *call) typeOf() {
	r := replyBuf{}
	r.status(c.e.keyType(c.db, c.args[1]))
	c.reply = r.b
}

func (c *call) keysMatching() {
	var found []string
	for key := range c.e.index(c.db).keys {
		if c.matches(c.args[1], key) {
			found = append(found, key)
		}
	}
	r := c.buf()
	r.strings(found)
	c.reply = r.b
}

// randomKey picks the key that follows a random hash.
func (c *call) randomKey() {
	ix := c.e.index(c.db)
	if len(ix.keys) == 0 {
		c.null()
		return
	}
	c.e.random ^= c.e.random << 13
	c.e.random ^= c.e.random >> 7
	c.e.random ^= c.e.random << 17
	picked, _ := ix.ordered().Min().(*entry)
	ix.ordered().Ascend(&entry{hash: c.e.random >> (64 - hashBits)}, func(item any) bool {
		picked = item.(*entry)
		return false
	})
	r := c.buf()
	r.bulk(picked.key)
	c.reply = r.b
}

// rename is RENAME and RENAMENX.
func (c *call) rename() {
	from, to := c.args[1], c.args[2]
	nx := len(c.args[0]) > len("RENAME")
	old := c.e.find(c.db, from)
	if old == nil {
		c.fail(errNoKey)
		return
	}
	if from == to || nx && c.e.find(c.db, to) != nil {
		c.noEffect()
		if nx {
			c.integer(0)
		} else {
			c.ok()
		}
		return
	}
	c.e.carry(old, c.db, to)
	c.e.drop(c.db, from)
	c.notify("rename_from", from)
	c.notify("rename_to", to)
	if nx {
		c.integer(1)
	} else {
		c.ok()
	}
}

// carry makes a key what another one is.
func (e *Engine) carry(old *entry, db int, key string) {
	e.save(db, key)
	e.event(eventNew, "new", db, key) // also where another key was: that is deleted first
	en := e.fresh(db, key)
	en.kind, en.value, en.obj, en.stream = old.kind, old.value, old.obj, old.stream
	en.deadline, en.field, en.form = old.deadline, old.field, old.form
	e.schedule(en)
}

// otherDB parses the number of another database.
func (c *call) otherDB(arg string) (int, bool) {
	n, ok := parseInt(arg)
	if !ok {
		c.fail(errNotInt)
		return 0, false
	}
	if n < math.MinInt32 || n > math.MaxInt32 {
		c.fail("ERR value is out of range, value must between -2147483648 and 2147483647")
		return 0, false
	}
	if n < 0 || n >= databases {
		c.fail("ERR DB index is out of range")
		return 0, false
	}
	return int(n), true
}

func (c *call) copyKey() {
	src, dst, db, replace := c.args[1], c.args[2], c.db, false
	for i := 3; i < len(c.args); i++ {
		switch opt := strings.ToUpper(c.args[i]); {
		case opt == "REPLACE":
			replace = true
		case opt == "DB" && i+1 < len(c.args):
			n, ok := c.otherDB(c.args[i+1])
			if !ok {
				return
			}
			db = n
			i++
		default:
			c.fail(errSyntax)
			return
		}
	}
	if db == c.db && src == dst {
		c.fail("ERR source and destination objects are the same")
		return
	}
	old := c.e.find(c.db, src)
	if old == nil || !replace && c.e.find(db, dst) != nil {
		c.integer(0)
		return
	}
	mine := *old
	mine.unshare(c.spend)
	c.e.carry(&mine, db, dst)
	c.e.event(eventGeneric, "copy_to", db, dst)
	c.integer(1)
}

func (c *call) move() {
	db, ok := c.otherDB(c.args[2])
	if !ok {
		return
	}
	if db == c.db {
		c.fail("ERR source and destination objects are the same")
		return
	}
	key := c.args[1]
	old := c.e.find(c.db, key)
	if old == nil || c.e.find(db, key) != nil {
		c.integer(0)
		return
	}
	c.e.carry(old, db, key)
	c.e.drop(c.db, key)
	c.notify("move_from", key)
	c.e.event(eventGeneric, "move_to", db, key)
	c.integer(1)
}
