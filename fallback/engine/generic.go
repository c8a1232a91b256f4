package engine

import (
	"strings"
	"time"
)

func genericCommands() map[string]*spec {
	return map[string]*spec{
		"DEL": write(-2, 1, -1, 1, fZero), "UNLINK": write(-2, 1, -1, 1, fZero),
		"EXISTS": read(-2, 1, -1, 1), "TOUCH": read(-2, 1, -1, 1),
		"TYPE": read(2, 1, 1, 1).with((*call).typeOf), "KEYS": read(2, 0, 0, 0).with((*call).keysMatching).unsure(),
		"SCAN":      read(-2, 0, 0, 0).with((*call).scan).unsure(),
		"RANDOMKEY": read(1, 0, 0, 0).with((*call).randomKey).unsure(),
		"RENAME":    write(3, 1, 2, 1, 0).with((*call).rename), "RENAMENX": write(3, 1, 2, 1, fZero).with((*call).rename),
		"COPY": write(-3, 1, 2, 1, fZero).with((*call).copyKey), "MOVE": write(3, 1, 1, 1, fZero).with((*call).move),
		"OBJECT": read(-2, 2, 2, 1).with((*call).object).unsure(),
		"SORT":   write(-2, 0, 0, 0, 0).keyed(storeKeys).with((*call).sort), "SORT_RO": read(-2, 1, 1, 1).with((*call).sort).unsure(),
	}
}

func (c *call) typeOf() {
	r := replyBuf{}
	r.status(c.e.keyType(c.db, c.args[1]))
	c.reply = r.b
}

func (c *call) keysMatching() {
	var found []string
	for key := range c.e.index(c.db).keys {
		if globMatch(c.args[1], key) {
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
	old := c.e.find(c.db, from)
	if old != nil && from == to {
		c.noEffect()
		if len(c.args[0]) == len("RENAME") {
			c.ok()
			return
		}
		c.integer(0)
		return
	}
	c.pass(c.args...)
	if old == nil || c.failed() || c.zero() {
		return
	}
	c.inherit(old, c.db, to)
}

// inherit hands what the index alone knows of a key to the key made from it.
func (c *call) inherit(old *entry, db int, key string) {
	value, field := old.stream, old.field
	c.e.touch(db, key)
	if en := c.e.find(db, key); en != nil {
		en.stream, en.field = value, field
		c.e.schedule(en)
	}
}

// otherDB parses the number of another database.
func (c *call) otherDB(arg string) (int, bool) {
	n, ok := parseInt(arg)
	if !ok {
		c.fail(errNotInt)
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
	c.e.save(db, dst)
	c.e.drop(db, dst)
	c.e.duplicate(c.db, src, db, dst)
	c.inherit(old, db, dst)
	if old.stream != nil {
		c.e.find(db, dst).stream = old.stream.Clone()
	}
	c.integer(1)
}

// duplicate copies a key that exists to a name that does not. miniredis drops the
// deadlines of hash fields.
func (e *Engine) duplicate(db int, key string, toDB int, to string) {
	en := e.find(db, key)
	if en != nil && en.held {
		e.putString(toDB, to, en.value, en.deadline)
		return
	}
	_ = e.mini.Copy(db, key, toDB, to)
	if en != nil && en.field != 0 {
		for field, at := range e.fieldDeadlines(db, key) {
			e.mini.DB(toDB).HExpire(to, field, time.Duration(at)*time.Millisecond)
		}
	}
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
	old := c.e.find(c.db, c.args[1])
	if old == nil || c.e.find(db, c.args[1]) != nil {
		c.integer(0)
		return
	}
	c.e.save(db, c.args[1])
	c.pass(c.args...)
	if !c.failed() && !c.zero() {
		c.inherit(old, db, c.args[1])
	}
}

func (c *call) object() {
	sub := strings.ToUpper(c.args[1])
	known := sub == "ENCODING" || sub == "REFCOUNT" || sub == "IDLETIME" || sub == "FREQ"
	if !known {
		c.fail("ERR unknown subcommand '" + c.args[1] + "'. Try OBJECT HELP.")
		return
	}
	if len(c.args) != 3 {
		c.fail(wrongArity("object|" + sub))
		return
	}
	en := c.e.find(c.db, c.args[2])
	switch {
	case en == nil:
		c.null()
	case sub == "ENCODING":
		r := c.buf()
		r.bulk(c.e.encoding(en))
		c.reply = r.b
	case sub == "FREQ":
		c.fail("ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.")
	case sub == "REFCOUNT":
		c.integer(1)
	default:
		c.integer(0)
	}
}

// encoding is how a Redis with default settings would hold the value.
func (e *Engine) encoding(en *entry) string {
	longest := func(list []string) (n int) {
		for _, s := range list {
			n = max(n, len(s))
		}
		return n
	}
	db := int(en.db)
	switch en.kind {
	case "string":
		s := e.stringOf(en)
		if _, ok := parseInt(s); ok {
			return "int"
		}
		if len(s) <= 44 {
			return "embstr"
		}
		return "raw"
	case "list":
		l := e.ask(db, "LRANGE", en.key, "0", "-1").flat()
		if len(l) <= 128 && longest(l) <= 64 {
			return "listpack"
		}
		return "quicklist"
	case "hash":
		l := e.ask(db, "HGETALL", en.key).flat()
		if len(l) <= 256 && longest(l) <= 64 {
			return "listpack"
		}
		return "hashtable"
	case "zset":
		l := e.ask(db, "ZRANGE", en.key, "0", "-1").flat()
		if len(l) <= 128 && longest(l) <= 64 {
			return "listpack"
		}
		return "skiplist"
	case "set":
		l := e.ask(db, "SMEMBERS", en.key).flat()
		for _, s := range l {
			if _, ok := parseInt(s); !ok {
				return "hashtable"
			}
		}
		if len(l) <= 512 {
			return "intset"
		}
		return "hashtable"
	}
	return "stream"
}
