package engine

// putString stores a string, whatever the key held before, and brings the index
// up to date. deadline is in Unix ms, 0 for none.
func (e *Engine) putString(db int, key, value string, deadline int64) {
	en := e.fresh(db, key)
	en.kind, en.value, en.deadline = "string", value, deadline
	e.schedule(en)
}

// stringOf is the value of a string.
func (e *Engine) stringOf(en *entry) string { return en.value }

// stringAt is the string that a key holds; found is false for an absent one, and ok is
// false, and the call has failed, for another type.
func (c *call) stringAt(key string) (s string, found, ok bool) {
	en := c.e.find(c.db, key)
	if en == nil {
		return "", false, true
	}
	if en.kind != "string" {
		c.fail(errWrongType)
		return "", false, false
	}
	return en.value, true, true
}

// setString gives a key a string, whatever it held; its deadline goes.
func (c *call) setString(key, value string) {
	c.isNew(key)
	c.e.putString(c.db, key, value, 0)
}

// stringForm is how Redis would have the string, which OBJECT ENCODING tells.
type stringForm uint8

const (
	formShort stringForm = iota // as short as it can be
	formText                    // never as an integer
	formRaw                     // it was changed where it lies
)

// changeString replaces the string that a key holds, or makes one; its deadline stays.
func (c *call) changeString(key, value, event string, form stringForm) {
	at := int64(0)
	if en := c.e.find(c.db, key); en != nil {
		at = en.deadline
	} else {
		c.isNew(key)
		if event == "append" {
			form = formShort // the first value is stored as it comes
		}
	}
	c.e.putString(c.db, key, value, at)
	c.e.find(c.db, key).form = form
	c.notify(event, key)
}
