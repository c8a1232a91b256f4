package engine

import "time"

// Most keys of most data sets are strings that are set and read as a whole.
// miniredis has four map slots for each, which is most of what a key costs in
// time and in memory. So a string that is set whole is held in the engine's own
// index, and miniredis does not have the key. It is handed over before miniredis
// sees a command that names it: from then on it is like any other key, until it is
// set again.

// putString stores a string, whatever the key held before, and brings the index
// up to date. deadline is in Unix ms, 0 for none.
func (e *Engine) putString(db int, key, value string, deadline int64) {
	ix := e.index(db)
	en := ix.keys[key]
	if en == nil {
		en = newEntry(db, key)
		ix.insert(en)
	} else if !en.held {
		e.mini.DB(db).Del(key)
	}
	e.writes++
	en.kind, en.stream, en.field, en.deadline, en.version = "string", nil, 0, deadline, e.writes
	en.value, en.held = value, true
	e.schedule(en)
}

// handOver gives miniredis the held strings that a command may look at.
func (e *Engine) handOver(db int, args []string) {
	keys := args[1:] // of a command without row: each may be a key
	if s := lookup(args[0]); s != nil {
		keys = s.keysIn(args)
	}
	for _, key := range keys {
		en := e.find(db, key)
		if en == nil || !en.held {
			continue
		}
		d := e.mini.DB(db)
		_ = d.Set(key, en.value) // it refuses keys of other types only, and has none of this name
		if en.deadline != 0 {
			d.SetTTL(key, time.Duration(en.deadline)*time.Millisecond)
		}
		en.value, en.held = "", false
	}
}

// stringOf is the value of a string, wherever it is.
func (e *Engine) stringOf(en *entry) string {
	if en.held {
		return en.value
	}
	s, _ := e.mini.DB(int(en.db)).Get(en.key)
	return s
}

// get is GET. What is held needs no other look.
func (c *call) get() {
	en := c.e.find(c.db, c.args[1])
	if en == nil || !en.held {
		c.pass(c.args...)
		return
	}
	r := replyBuf{b: make([]byte, 0, len(en.value)+16)}
	r.bulk(en.value)
	c.reply = r.b
}
