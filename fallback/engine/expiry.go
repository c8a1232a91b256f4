package engine

import (
	"strconv"
	"strings"
	"time"
)

func expiryCommands() map[string]*spec {
	m := map[string]*spec{
		"PERSIST": write(2, 1, 1, 1, fZero),
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
		c.expireTo(c.args[1], at)
		c.integer(1)
	}
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
			msg = "ERR Unsupported option " + a
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

// hexpire is HEXPIRE, HPEXPIRE, HEXPIREAT and HPEXPIREAT (Redis 7.4).
func (c *call) hexpire() {
	name := strings.ToUpper(c.args[0])
	unit, relative := int64(1000), !strings.HasSuffix(name, "AT")
	if name[1] == 'P' {
		unit = 1
	}
	if relative {
		c.e.noteTime()
	}
	at, msg := c.deadline(c.args[2], unit, relative, false)
	if msg == "" && at < 0 {
		msg = "ERR invalid expire time, must be >= 0"
	}
	if msg != "" {
		c.fail(msg)
		return
	}
	c.effectSet = true
	// miniredis knows whole seconds only, so it decides on the conditions and
	// the milliseconds are set after.
	rest := c.args[3:]
	c.pass(append([]string{"HEXPIRE", c.args[1], strconv.FormatInt(at/1000+1, 10)}, rest...)...)
	en := c.e.find(c.db, c.args[1])
	if c.failed() || en == nil {
		return
	}
	v, _ := parseReply(c.reply)
	fields := c.args[len(c.args)-len(v.list):]
	for i, done := range v.list {
		if done.num == 1 {
			c.e.mini.DB(c.db).HExpire(en.key, fields[i], time.Duration(max(at, 1))*time.Millisecond)
			c.effect("HPEXPIREAT", en.key, strconv.FormatInt(at, 10), "FIELDS", "1", fields[i])
		}
	}
	en.field = c.e.fieldDeadline(c.db, en.key)
	c.e.schedule(en)
	c.e.expireDue()
}

// httl is HTTL, HPTTL, HEXPIRETIME and HPEXPIRETIME (Redis 7.4).
func (c *call) httl() {
	name := strings.ToUpper(c.args[0])
	v := c.ask(append([]string{"HPTTL"}, c.args[1:]...)...)
	if v.isErr() {
		c.fail(v.str)
		return
	}
	if v.isNil() {
		c.reply = []byte("*-1\r\n")
		return
	}
	r := c.buf()
	r.array(len(v.list))
	for _, el := range v.list {
		at := el.num
		if at >= 0 {
			if strings.HasSuffix(name, "TTL") {
				at = max(at-c.e.nowMS, 0)
			}
			if name[1] != 'P' {
				at = (at + 999) / 1000
			}
		}
		r.integer(at)
	}
	c.reply = r.b
}
