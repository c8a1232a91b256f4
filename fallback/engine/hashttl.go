package engine

import (
	"strconv"
	"strings"
)

// maxFieldDeadline is the last millisecond that Redis takes as a deadline of a field.
const maxFieldDeadline = 1<<46 - 1

func fieldExpiryCommands() map[string]*spec {
	m := map[string]*spec{
		"HPERSIST": write(-5, 1, 1, 1, 0).with((*call).hpersist),
		"HGETDEL":  write(-5, 1, 1, 1, 0).with((*call).hgetdel),
		"HGETEX":   write(-5, 1, 1, 1, 0).with((*call).hgetex),
		"HSETEX":   write(-6, 1, 1, 1, 0).with((*call).hsetex),
	}
	for _, name := range []string{"HEXPIRE", "HPEXPIRE", "HEXPIREAT", "HPEXPIREAT"} {
		m[name] = write(-6, 1, 1, 1, 0).with((*call).hexpire)
	}
	for _, name := range []string{"HTTL", "HPTTL"} {
		m[name] = read(-5, 1, 1, 1).with((*call).httl).unsure()
	}
	for _, name := range []string{"HEXPIRETIME", "HPEXPIRETIME"} {
		m[name] = read(-5, 1, 1, 1).with((*call).httl)
	}
	return m
}

// expireFields deletes the due fields of a hash, and the hash with its last.
func (e *Engine) expireFields(en *entry) {
	h, _ := en.obj.(*hash)
	var gone []string
	for i := range h.size() {
		if at := h.fields[i].deadline; at != 0 && at < e.nowMS {
			gone = append(gone, h.fields[i].name)
		}
	}
	for _, name := range gone {
		h.remove(name)
	}
	c := &call{e: e, db: int(en.db), spec: lookup("HDEL")}
	e.event(eventHash, "hexpired", int(en.db), en.key)
	c.fieldsChanged(en.key)
	if e.find(int(en.db), en.key) == en {
		en.field = h.nearest()
		e.schedule(en)
	}
}

// fieldTime makes an expiry argument of a field absolute; it returns an error text.
func (c *call) fieldTime(arg string, unit int64, relative bool) (int64, string) {
	at, ok := parseInt(arg)
	base := int64(0)
	if relative {
		c.e.noteTime()
		base = c.e.nowMS
	}
	switch {
	case !ok:
		return 0, errNotInt
	case at < 0:
		return 0, "ERR invalid expire time, must be >= 0"
	case at > maxFieldDeadline/unit || at*unit > maxFieldDeadline-base:
		return 0, "ERR invalid expire time in '" + strings.ToLower(c.args[0]) + "' command"
	}
	return at*unit + base, ""
}

// fieldNames reads FIELDS n field … at args[at]; ok is false after an error.
func (c *call) fieldNames(at int) (names []string, ok bool) {
	if at+1 >= len(c.args) || !strings.EqualFold(c.args[at], "FIELDS") {
		c.fail("ERR Mandatory argument FIELDS is missing or not at the right position")
		return nil, false
	}
	n, isInt := parseInt(c.args[at+1])
	names = c.args[at+2:]
	switch {
	case !isInt || n < 1:
		c.fail("ERR Parameter `numFields` should be greater than 0")
	case n != int64(len(names)):
		c.fail("ERR The `numfields` parameter must match the number of arguments")
	default:
		return names, true
	}
	return nil, false
}

// hexpire is HEXPIRE, HPEXPIRE, HEXPIREAT and HPEXPIREAT (Redis 7.4).
func (c *call) hexpire() {
	name := strings.ToUpper(c.args[0])
	unit := int64(1000)
	if name[1] == 'P' {
		unit = 1
	}
	h, ok := objectAt[*hash](c, c.args[1])
	if !ok {
		return
	}
	at, msg := c.fieldTime(c.args[2], unit, !strings.HasSuffix(name, "AT"))
	if msg != "" {
		c.fail(msg)
		return
	}
	cond, from := strings.ToUpper(c.args[3]), 4
	if cond != "NX" && cond != "XX" && cond != "GT" && cond != "LT" {
		cond, from = "", 3
	}
	names, ok := c.fieldNames(from)
	if !ok {
		return
	}
	c.noEffect()
	r := c.buf()
	r.array(len(names))
	event := ""
	for _, f := range names {
		n := c.expireField(h, f, at, cond)
		if n == 1 {
			event = "hexpire"
		} else if n == 2 && event == "" {
			event = "hdel"
		}
		r.integer(n)
	}
	c.reply = r.b
	if event != "" {
		c.fieldsChanged(c.args[1], event)
	}
}

// expireField gives one field a deadline, if the condition allows: 1. 0 where it does not,
// 2 where the deadline has passed and the field is gone, -2 where there is no such field.
func (c *call) expireField(h *hash, name string, at int64, cond string) int64 {
	i := h.find(name)
	if i < 0 {
		return -2
	}
	old := h.fields[i].deadline
	switch {
	case cond == "NX" && old != 0, cond == "XX" && old == 0,
		cond == "GT" && (old == 0 || at <= old), cond == "LT" && old != 0 && at >= old:
		return 0
	case at <= c.e.nowMS:
		h.remove(name)
		c.effect("HDEL", c.args[1], name)
		return 2
	}
	h.expireAt(i, at)
	c.effect("HPEXPIREAT", c.args[1], strconv.FormatInt(at, 10), "FIELDS", "1", name)
	return 1
}

func (c *call) hpersist() {
	h, ok := objectAt[*hash](c, c.args[1])
	if !ok {
		return
	}
	names, ok := c.fieldNames(2)
	if !ok {
		return
	}
	c.noEffect()
	r := c.buf()
	r.array(len(names))
	changed := false
	for _, f := range names {
		switch i := h.find(f); {
		case i < 0:
			r.integer(-2)
		case h.fields[i].deadline == 0:
			r.integer(-1)
		default:
			h.expireAt(i, 0)
			changed = true
			c.effect("HPERSIST", c.args[1], "FIELDS", "1", f)
			r.integer(1)
		}
	}
	c.reply = r.b
	if changed {
		c.fieldsChanged(c.args[1], "hpersist")
	}
}

// httl is HTTL, HPTTL, HEXPIRETIME and HPEXPIRETIME (Redis 7.4).
func (c *call) httl() {
	name := strings.ToUpper(c.args[0])
	h, ok := objectAt[*hash](c, c.args[1])
	if !ok {
		return
	}
	names, ok := c.fieldNames(2)
	if !ok {
		return
	}
	r := c.buf()
	r.array(len(names))
	for _, f := range names {
		i := h.find(f)
		if i < 0 {
			r.integer(-2)
			continue
		}
		at := h.fields[i].deadline
		if at == 0 {
			r.integer(-1)
			continue
		}
		if strings.HasSuffix(name, "TTL") {
			at = max(at-c.e.nowMS, 0)
		}
		if name[1] != 'P' {
			at = (at + 999) / 1000
		}
		r.integer(at)
	}
	c.reply = r.b
}
