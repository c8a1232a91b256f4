package engine

import (
	"strconv"
	"strings"
)

func expiryCommands() map[string]*spec {
	m := map[string]*spec{
		"PERSIST": write(2, 1, 1, 1, fZero).with((*call).persist),
	}
	for _, name := range []string{"EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"} {
		m[name] = write(-3, 1, 1, 1, fZero).with((*call).expire)
	}
	for _, name := range []string{"TTL", "PTTL"} {
		m[name] = read(2, 1, 1, 1).with((*call).ttl).unsure()
	}
	for _, name := range []string{"EXPIRETIME", "PEXPIRETIME"} {
		m[name] = read(2, 1, 1, 1).with((*call).ttl)
	}
	return m
}

// expire is EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT: journaled as PEXPIREAT,
// whose conditions were decided here, or as DEL when the deadline has passed.
func (c *call) expire() {
	name := strings.ToUpper(c.args[0])
	unit := int64(1000)
	if name[0] == 'P' {
		unit = 1
	}
	nx, xx, gt, lt, msg := expireFlags(c.args[3:])
	if msg != "" {
		c.fail(msg)
		return
	}
	relative := !strings.HasSuffix(name, "AT")
	if relative && !c.renews(c.args[1]) {
		c.e.noteTime()
	}
	at, msg := c.deadline(c.args[2], unit, relative, false)
	if msg != "" {
		c.fail(msg)
		return
	}
	en := c.e.find(c.db, c.args[1])
	c.noEffect()
	switch {
	case en == nil, nx && en.deadline != 0, xx && en.deadline == 0,
		gt && (en.deadline == 0 || at <= en.deadline), lt && en.deadline != 0 && at >= en.deadline:
		c.integer(0)
	default:
		c.expireTo(en, at)
		c.integer(1)
	}
}

// expireTo sets the deadline of a key that exists, or deletes it when that has
// passed, and journals it.
func (c *call) expireTo(en *entry, at int64) {
	if at <= c.e.nowMS {
		c.remove(en.key, "del")
		c.effect("DEL", en.key)
		return
	}
	en.deadline = at
	c.e.schedule(en)
	c.modified(en.key, "expire")
	c.effect("PEXPIREAT", en.key, strconv.FormatInt(at, 10))
}

// persist is PERSIST.
func (c *call) persist() {
	en := c.e.find(c.db, c.args[1])
	if en == nil || en.deadline == 0 {
		c.integer(0)
		return
	}
	c.persistKey(en)
	c.integer(1)
}

func (c *call) persistKey(en *entry) {
	en.deadline = 0
	c.e.schedule(en)
	c.modified(en.key, "persist")
}

func expireFlags(args []string) (nx, xx, gt, lt bool, msg string) {
	for _, a := range args {
		switch strings.ToUpper(a) {
		case "NX":
			nx = true
		case "XX":
			xx = true
		case "GT":
			gt = true
		case "LT":
			lt = true
		default:
			msg = "ERR Unsupported option " + cText(a)
			return
		}
	}
	switch {
	case nx && (xx || gt || lt):
		msg = "ERR NX and XX, GT or LT options at the same time are not compatible"
	case gt && lt:
		msg = "ERR GT and LT options at the same time are not compatible"
	}
	return
}

// ttl is TTL, PTTL, EXPIRETIME and PEXPIRETIME.
func (c *call) ttl() {
	name := strings.ToUpper(c.args[0])
	en := c.e.find(c.db, c.args[1])
	switch {
	case en == nil:
		c.integer(-2)
	case en.deadline == 0:
		c.integer(-1)
	default:
		at := en.deadline
		if strings.HasSuffix(name, "TTL") {
			at = max(at-c.e.nowMS, 0)
		}
		if name[0] != 'P' {
			at = (at + 500) / 1000
		}
		c.integer(at)
	}
}
