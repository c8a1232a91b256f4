package engine

import (
	"math"
	"strings"
)

// deadline makes an expiry argument absolute, in Unix ms. unit is the argument's
// in ms; relative says that it counts from now. It returns an error text for
// arguments that Redis refuses.
func (c *call) deadline(arg string, unit int64, relative, positive bool) (int64, string) {
	n, ok := parseInt(arg)
	if !ok {
		return 0, errNotInt
	}
	invalid := "ERR invalid expire time in '" + strings.ToLower(c.args[0]) + "' command"
	if positive && n <= 0 || n > math.MaxInt64/unit || n < math.MinInt64/unit {
		return 0, invalid
	}
	n *= unit
	if relative {
		if n > math.MaxInt64-c.e.nowMS {
			return 0, invalid
		}
		n += c.e.nowMS
	}
	return n, ""
}

// expiryOption reads EX, PX, EXAT or PXAT at args[i].
func (c *call) expiryOption(i int) (o expiry, found bool) {
	switch o.name = strings.ToUpper(c.args[i]); o.name {
	case "EX":
		o.unit, o.relative = 1000, true
	case "PX":
		o.unit, o.relative = 1, true
	case "EXAT":
		o.unit = 1000
	case "PXAT":
		o.unit = 1
	default:
		return o, false
	}
	if i+1 >= len(c.args) {
		return o, false
	}
	o.arg = c.args[i+1]
	return o, true
}

// expiry is an option that sets a deadline; its zero value is none.
type expiry struct {
	name, arg string
	unit      int64 // in ms
	relative  bool
}

// at is the deadline in Unix ms; it returns an error text.
func (o expiry) at(c *call) (int64, string) {
	if o.relative {
		c.e.noteTime()
	}
	return c.deadline(o.arg, o.unit, o.relative, true)
}

// setOptions are the options of SET.
type setOptions struct {
	nx, xx, get, keep, timed bool
	at                       int64 // deadline in Unix ms, when timed
}

// setOptions parses them; it returns an error text. Value errors come after
// syntax errors, as in Redis.
func (c *call) setOptions() (o setOptions, late string) {
	var ex expiry
	for i := 3; i < len(c.args); i++ {
		switch opt := strings.ToUpper(c.args[i]); {
		case opt == "NX" && !o.xx:
			o.nx = true
		case opt == "XX" && !o.nx:
			o.xx = true
		case opt == "GET":
			o.get = true
		case opt == "KEEPTTL" && ex.name == "":
			o.keep = true
		default:
			next, found := c.expiryOption(i)
			if !found || o.keep || ex.name != "" && ex.name != next.name {
				return o, errSyntax
			}
			ex, o.timed = next, true
			i++
		}
	}
	if o.timed {
		o.at, late = ex.at(c)
	}
	return o, late
}
