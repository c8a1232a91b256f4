package engine

import (
	"strconv"
	"strings"
)

// HGETDEL, HGETEX and HSETEX are of Redis 8.0. Older servers do not know them, so they
// are journaled as the HSET, HDEL and HPEXPIREAT that they amount to.

// readFields is the beginning of HGETDEL and HGETEX: the values of fields as reply.
func (c *call) readFields(h *hash, names []string) {
	r := c.buf()
	r.array(len(names))
	for _, f := range names {
		r.optional(h.get(f))
	}
	c.reply = r.b
	c.noEffect()
}

// countedFields is fieldNames with the texts that the younger commands have.
func (c *call) countedFields(at, each int) (names []string, ok bool) {
	if at+1 >= len(c.args) || !strings.EqualFold(c.args[at], "FIELDS") {
		c.fail("ERR Mandatory argument FIELDS is missing or not at the right position")
		return nil, false
	}
	n, isInt := parseInt(c.args[at+1])
	names = c.args[at+2:]
	switch {
	case !isInt || n < 1:
		c.fail("ERR Number of fields must be a positive integer")
	case n*int64(each) != int64(len(names)):
		c.fail("ERR The `numfields` parameter must match the number of arguments")
	default:
		return names, true
	}
	return nil, false
}

func (c *call) hgetdel() {
	h, ok := objectAt[*hash](c, c.args[1])
	if !ok {
		return
	}
	names, ok := c.countedFields(2, 1)
	if !ok {
		return
	}
	c.readFields(h, names)
	gone := []string{"HDEL", c.args[1]}
	for _, f := range names {
		if h != nil && h.remove(f) {
			gone = append(gone, f)
		}
	}
	if len(gone) > 2 {
		c.fieldsChanged(c.args[1], "hdel")
		c.effect(gone...)
	}
}

// fieldOptions are those before FIELDS; rest is the place of that.
type fieldOptions struct {
	cond          string // FNX or FXX
	ex            expiry
	keep, persist bool
	at            int64
	rest          int
}

func (c *call) fieldOptions(set bool) (o fieldOptions, ok bool) {
	exclusive := "ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified"
	if set {
		exclusive = "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"
	}
	i := 2
	for ; i < len(c.args) && !strings.EqualFold(c.args[i], "FIELDS"); i++ {
		timed := o.ex.name != "" || o.keep || o.persist
		switch opt := strings.ToUpper(c.args[i]); {
		case set && (opt == "FNX" || opt == "FXX"):
			if o.cond != "" {
				c.fail("ERR Only one of FXX or FNX arguments can be specified")
				return o, false
			}
			o.cond = opt
		case set && opt == "KEEPTTL", !set && opt == "PERSIST":
			if timed {
				c.fail(exclusive)
				return o, false
			}
			o.keep, o.persist = set, !set
		default:
			ex, found := c.expiryOption(i)
			if !found {
				c.fail("ERR unknown argument: " + c.args[i])
				return o, false
			}
			if timed {
				c.fail(exclusive)
				return o, false
			}
			o.ex = ex
			i++
		}
	}
	o.rest = i
	if o.ex.name != "" {
		var msg string
		if o.at, msg = c.fieldTime(o.ex.arg, o.ex.unit, o.ex.relative); msg != "" {
			c.fail(msg)
			return o, false
		}
	}
	return o, true
}

func (c *call) hgetex() {
	h, ok := objectAt[*hash](c, c.args[1])
	if !ok {
		return
	}
	o, ok := c.fieldOptions(false)
	if !ok {
		return
	}
	names, ok := c.countedFields(o.rest, 1)
	if !ok {
		return
	}
	c.readFields(h, names)
	event := ""
	for _, f := range names {
		i := h.find(f)
		switch {
		case i < 0:
		case o.persist && h.fields[i].deadline != 0:
			h.expireAt(i, 0)
			c.effect("HPERSIST", c.args[1], "FIELDS", "1", f)
			event = "hpersist"
		case o.ex.name != "":
			event = "hexpire"
			if c.expireField(h, f, o.at, "") == 2 {
				event = "hdel"
			}
		}
	}
	if event != "" {
		c.fieldsChanged(c.args[1], event)
	}
}

func (c *call) hsetex() {
	h, ok := objectAt[*hash](c, c.args[1])
	if !ok {
		return
	}
	o, ok := c.fieldOptions(true)
	if !ok {
		return
	}
	pairs, ok := c.countedFields(o.rest, 2)
	if !ok {
		return
	}
	c.noEffect()
	for i := 0; i < len(pairs); i += 2 {
		if there := h.find(pairs[i]) >= 0; o.cond == "FNX" && there || o.cond == "FXX" && !there {
			c.integer(0)
			return
		}
	}
	h, _ = c.hashFor(c.args[1])
	c.effect(append([]string{"HSET", c.args[1]}, pairs...)...)
	for i := 0; i < len(pairs); i += 2 {
		f, at := pairs[i], int64(0)
		if j := h.find(f); o.keep && j >= 0 {
			at = h.fields[j].deadline
		}
		h.set(f, pairs[i+1], &c.e.limits)
		switch {
		case at != 0:
			h.expireAt(h.find(f), at)
			c.effect("HPEXPIREAT", c.args[1], strconv.FormatInt(at, 10), "FIELDS", "1", f)
		case o.ex.name != "":
			c.expireField(h, f, o.at, "")
		}
	}
	events := []string{"hset"}
	if o.ex.name != "" {
		events = append(events, "hexpire")
	}
	c.fieldsChanged(c.args[1], events...)
	c.integer(1)
}
