package engine

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// maxDeadline is the last millisecond that miniredis can hold as a deadline,
// in the year 2262.
const maxDeadline = math.MaxInt64 / 1_000_000

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
	return min(n, maxDeadline), ""
}

// parseInt parses an integer as strictly as Redis: no plus sign, no spaces, no
// leading zeros.
func parseInt(s string) (int64, bool) {
	if s == "" || len(s) > 20 {
		return 0, false
	}
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || digits[0] < '0' || digits[0] > '9' || (digits[0] == '0' && s != "0") {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// expiryOption reads EX, PX, EXAT or PXAT at args[i].
func (c *call) expiryOption(i int) (at int64, found bool, msg string) {
	unit, relative := int64(1), false
	switch strings.ToUpper(c.args[i]) {
	case "EX":
		unit, relative = 1000, true
	case "PX":
		relative = true
	case "EXAT":
		unit = 1000
	case "PXAT":
	default:
		return 0, false, ""
	}
	if i+1 >= len(c.args) {
		return 0, true, errSyntax
	}
	if relative {
		c.e.noteTime()
	}
	at, msg = c.deadline(c.args[i+1], unit, relative, true)
	return at, true, msg
}

// setOptions are the options of SET.
type setOptions struct {
	nx, xx, get, keep, timed bool
	at                       int64 // deadline in Unix ms, when timed
}

// setOptions parses them; it returns an error text. Value errors come after
// syntax errors, as in Redis.
func (c *call) setOptions() (o setOptions, late string) {
	for i := 3; i < len(c.args); i++ {
		switch opt := strings.ToUpper(c.args[i]); {
		case opt == "NX" && !o.xx:
			o.nx = true
		case opt == "XX" && !o.nx:
			o.xx = true
		case opt == "GET":
			o.get = true
		case opt == "KEEPTTL" && !o.timed:
			o.keep = true
		default:
			at, found, msg := c.expiryOption(i)
			if !found || o.timed || o.keep || msg == errSyntax {
				return o, errSyntax
			}
			o.at, o.timed, late = at, true, msg
			i++
		}
	}
	return o, late
}

// set is SET with every option; expiries become absolute.
func (c *call) set() {
	if len(c.args) == 3 {
		c.e.putString(c.db, c.args[1], c.args[2], 0)
		c.indexed = true
		c.ok()
		return
	}
	o, msg := c.setOptions()
	if msg != "" {
		c.fail(msg)
		return
	}
	key := c.args[1]
	if o.get && c.wrongType(key, "string") {
		return
	}
	old := value{kind: '_'}
	if o.get {
		old = c.ask("GET", key)
	}
	exists := c.e.find(c.db, key) != nil
	done := !(o.nx && exists || o.xx && !exists)
	if done {
		args := []string{"SET", key, c.args[2]}
		if o.keep {
			args = append(args, "KEEPTTL")
		}
		if o.timed {
			args = append(args, "PXAT", strconv.FormatInt(o.at, 10))
		}
		c.setEffect(args, o.at)
		if o.nx && len(c.effects) == 1 && len(c.effects[0]) > 3 { // not the DEL of a deadline that has passed
			c.effects[0] = append(c.effects[0], []byte("NX")) // somebody may have been first at Redis
		}
	}
	c.effectSet = true
	switch {
	case o.get && old.isNil(), !done && !o.get:
		c.null()
	case o.get:
		r := c.buf()
		r.bulk(old.str)
		c.reply = r.b
	default:
		c.ok()
	}
}

// setEffect executes a SET without conditions and journals it; one whose
// deadline at (0: none) has passed is a DEL, since the old value must go too.
func (c *call) setEffect(args []string, at int64) {
	key, keep := args[1], len(args) == 4
	if at != 0 && at < c.e.nowMS {
		c.e.drop(c.db, key)
		args = []string{"DEL", key}
	} else {
		if en := c.e.find(c.db, key); keep && en != nil {
			at = en.deadline
		}
		c.e.putString(c.db, key, args[2], at)
	}
	c.indexed = true
	c.effect(args...)
}

// setex is SETEX and PSETEX.
func (c *call) setex() {
	unit := int64(1000)
	if c.args[0][0]|0x20 == 'p' {
		unit = 1
	}
	c.e.noteTime()
	at, msg := c.deadline(c.args[2], unit, true, true)
	if msg != "" {
		c.fail(msg)
		return
	}
	c.setEffect([]string{"SET", c.args[1], c.args[3], "PXAT", strconv.FormatInt(at, 10)}, at)
	c.ok()
}

// getex is GETEX: a read that may move the deadline.
func (c *call) getex() {
	key := c.args[1]
	var at int64
	persist := false
	switch {
	case len(c.args) == 2:
	case len(c.args) == 3 && strings.EqualFold(c.args[2], "PERSIST"):
		persist = true
	case len(c.args) == 4:
		t, found, msg := c.expiryOption(2)
		if !found {
			msg = errSyntax
		}
		if msg != "" {
			c.fail(msg)
			return
		}
		at = t
	default:
		c.fail(errSyntax)
		return
	}
	c.pass("GET", key)
	c.noEffect()
	en := c.e.find(c.db, key)
	switch {
	case c.failed() || en == nil:
	case persist && en.deadline != 0:
		c.e.raw(c.db, 2, "PERSIST", key)
		c.effect("PERSIST", key)
	case at != 0:
		c.expireTo(key, at)
	}
}

// expireTo sets the deadline of a key that exists, or deletes it when that has
// passed, and journals it.
func (c *call) expireTo(key string, at int64) {
	if at <= c.e.nowMS {
		c.e.raw(c.db, 2, "DEL", key)
		c.effect("DEL", key)
		return
	}
	args := []string{"PEXPIREAT", key, strconv.FormatInt(at, 10)}
	if en := c.e.find(c.db, key); en != nil && en.held {
		en.deadline = at
		c.e.schedule(en)
	} else {
		c.e.raw(c.db, 2, args...)
	}
	c.effect(args...)
}

// setrange guards the offsets that miniredis would allocate for, and knows that
// an empty value changes nothing.
func (c *call) setrange() {
	off, ok := parseInt(c.args[2])
	switch {
	case !ok:
		c.fail(errNotInt)
	case off < 0:
		c.fail("ERR offset is out of range")
	case off+int64(len(c.args[3])) > maxString:
		c.fail("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
	case c.args[3] == "":
		c.pass("STRLEN", c.args[1])
		c.noEffect()
	default:
		c.pass(c.args...)
	}
}

// backwards reports whether both ends of a range are negative and the wrong way
// round, which is empty in Redis, whatever the length.
func backwards(from, to string) bool {
	a, ok1 := parseInt(from)
	b, ok2 := parseInt(to)
	return ok1 && ok2 && a < 0 && b < 0 && a > b
}

func (c *call) getrange() {
	if backwards(c.args[2], c.args[3]) && !c.wrongType(c.args[1], "string") {
		c.reply = []byte("$0\r\n\r\n")
		return
	}
	c.pass(append([]string{"GETRANGE"}, c.args[1:]...)...)
}

func (c *call) bitcount() {
	if len(c.args) >= 4 && backwards(c.args[2], c.args[3]) && !c.wrongType(c.args[1], "string") {
		c.integer(0)
		return
	}
	c.pass(c.args...)
}

// incr is INCR, DECR, INCRBY and DECRBY with Redis's strict integers.
func (c *call) incr() {
	key, by := c.args[1], int64(1)
	if len(c.args) == 3 {
		n, ok := parseInt(c.args[2])
		if !ok {
			c.fail(errNotInt)
			return
		}
		by = n
	}
	if c.args[0][0]|0x20 == 'd' {
		if by == math.MinInt64 {
			c.fail("ERR decrement would overflow")
			return
		}
		by = -by
	}
	if c.wrongType(key, "string") {
		return
	}
	n, ok, at := int64(0), true, int64(0)
	if en := c.e.find(c.db, key); en != nil {
		n, ok = parseInt(c.e.stringOf(en))
		at = en.deadline
	}
	switch {
	case !ok:
		c.fail(errNotInt)
	case by > 0 && n > math.MaxInt64-by || by < 0 && n < math.MinInt64-by:
		c.fail("ERR increment or decrement would overflow")
	default:
		c.e.putString(c.db, key, strconv.FormatInt(n+by, 10), at)
		c.indexed = true
		c.integer(n + by)
	}
}

// parseLong parses a float as Redis does for INCRBYFLOAT: a long double, here
// with its 64 bits of precision.
func parseLong(s string) (*big.Float, bool) {
	if s == "" || strings.ContainsAny(s, " _pPxX\t\n") || len(s) > 256 {
		return nil, false
	}
	f, _, err := big.ParseFloat(s, 10, 64, big.ToNearestEven)
	return f, err == nil
}

// formatLong prints a long double as Redis does: 17 decimals without trailing
// zeros.
func formatLong(f *big.Float) string {
	s := f.Text('f', 17)
	s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	if s == "-0" || s == "" {
		return "0"
	}
	return s
}

// addLong adds a float argument to an old value; its error text is old's when
// that is no number.
func addLong(old, by, oldErr string) (string, string) {
	a, ok := parseLong(old)
	if !ok {
		return "", oldErr
	}
	b, ok := parseLong(by)
	if !ok {
		return "", "ERR value is not a valid float"
	}
	if a.IsInf() || b.IsInf() {
		return "", "ERR increment would produce NaN or Infinity"
	}
	return formatLong(new(big.Float).SetPrec(64).Add(a, b)), ""
}

func (c *call) incrbyfloat() {
	key := c.args[1]
	if c.wrongType(key, "string") {
		return
	}
	old := c.ask("GET", key)
	if old.isNil() {
		old.str = "0"
	}
	sum, msg := addLong(old.str, c.args[2], "ERR value is not a valid float")
	if msg != "" {
		c.fail(msg)
		return
	}
	c.e.raw(c.db, 2, "SET", key, sum, "KEEPTTL")
	r := c.buf()
	r.bulk(sum)
	c.reply = r.b
}

// mset is MSET and MSETNX.
func (c *call) mset() {
	if len(c.args)%2 == 0 {
		c.fail(wrongArity(c.args[0]))
		return
	}
	c.pass(c.args...)
}
