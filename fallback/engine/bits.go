package engine

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unsafe"
)

const (
	errBitOffset = "ERR bit offset is not an integer or out of range"
	errBit       = "ERR bit is not an integer or out of range"
)

func bitCommands() map[string]*spec {
	return map[string]*spec{
		"GETBIT": read(3, 1, 1, 1).with((*call).getbit), "SETBIT": write(4, 1, 1, 1, 0).with((*call).setbit),
		"BITCOUNT": read(-2, 1, 1, 1).with((*call).bitcount), "BITPOS": read(-3, 1, 1, 1).with((*call).bitpos),
		"BITOP":    write(-4, 2, -1, 1, 0).with((*call).bitop),
		"BITFIELD": write(-2, 1, 1, 1, 0).with((*call).bitfield), "BITFIELD_RO": read(-2, 1, 1, 1).with((*call).bitfield),
	}
}

// bitOffset parses the place of a bit; width is that of the field for the form #n, 0
// where that is not allowed.
func (c *call) bitOffset(arg string, width int64) (int64, bool) {
	digits, times := arg, int64(1)
	if width > 0 && strings.HasPrefix(arg, "#") {
		digits, times = arg[1:], width
	}
	n, ok := parseInt(digits)
	if !ok || n < 0 || n > (8*c.e.limits.bulk-1)/times {
		c.fail(errBitOffset)
		return 0, false
	}
	return n * times, true
}

func (c *call) getbit() {
	off, ok := c.bitOffset(c.args[2], 0)
	if !ok {
		return
	}
	if s, _, ok := c.stringAt(c.args[1]); ok {
		c.integer(bitAt(s, off))
	}
}

func bitAt[T string | []byte](s T, off int64) int64 {
	if off>>3 >= int64(len(s)) {
		return 0
	}
	return int64(s[off>>3] >> (7 - off&7) & 1)
}

func (c *call) setbit() {
	off, ok := c.bitOffset(c.args[2], 0)
	if !ok {
		return
	}
	if c.args[3] != "0" && c.args[3] != "1" {
		c.fail(errBit)
		return
	}
	s, found, ok := c.stringAt(c.args[1])
	if !ok {
		return
	}
	on := int64(c.args[3][0] - '0')
	old := bitAt(s, off)
	c.integer(old)
	if found && off>>3 < int64(len(s)) && old == on {
		c.noEffect()
		c.e.find(c.db, c.args[1]).form = formRaw
		return
	}
	b := grownTo(s, int(off>>3)+1)
	b[off>>3] = b[off>>3]&^(1<<(7-off&7)) | byte(on<<(7-off&7))
	c.changeString(c.args[1], asString(b), "setbit", formRaw)
}

// bitRange reads start, end and BIT or BYTE at args[at:], in bits of a string of n
// bytes. given says that there is an end. ok is false, with the call failed, for
// arguments that Redis refuses.
func (c *call) bitRange(at int, n int64) (from, to int64, given, ok bool) {
	from, to = 0, -1
	unit := int64(8)
	if at+2 < len(c.args) {
		switch strings.ToUpper(c.args[at+2]) {
		case "BIT":
			unit = 1
		case "BYTE":
		default:
			c.fail(errSyntax)
			return
		}
	}
	if at < len(c.args) {
		if from, ok = parseInt(c.args[at]); !ok {
			c.fail(errNotInt)
			return
		}
	}
	if given = at+1 < len(c.args); given {
		if to, ok = parseInt(c.args[at+1]); !ok {
			c.fail(errNotInt)
			return
		}
	}
	if from, to = span(from, to, n*8/unit); from > to {
		return 1, 0, given, true
	}
	return from * unit, (to+1)*unit - 1, given, true
}

func (c *call) bitcount() {
	s, found, ok := c.stringAt(c.args[1])
	if !ok {
		return
	}
	if !found {
		c.integer(0)
		return
	}
	if len(c.args) == 3 || len(c.args) > 5 {
		c.fail(errSyntax)
		return
	}
	if len(c.args) > 3 && (c.backwards(c.args[2], c.args[3])) {
		c.integer(0)
		return
	}
	// Numbers are looked at before the unit here, and in BITPOS the other way round.
	for _, a := range c.args[2:min(4, len(c.args))] {
		if _, isInt := parseInt(a); !isInt {
			c.fail(errNotInt)
			return
		}
	}
	from, to, _, ok := c.bitRange(2, int64(len(s)))
	if !ok {
		return
	}
	n := int64(0)
	for ; from <= to && from&7 != 0; from++ {
		n += bitAt(s, from)
	}
	for ; from+63 <= to; from += 64 {
		n += int64(bits.OnesCount64(binary.LittleEndian.Uint64(unsafe.Slice(unsafe.StringData(s[from>>3:]), 8))))
	}
	for ; from <= to; from++ {
		n += bitAt(s, from)
	}
	c.integer(n)
}

// backwards reports whether both ends of a range are negative and the wrong way
// round, which is empty in Redis, whatever the length.
func (c *call) backwards(from, to string) bool {
	a, ok1 := parseInt(from)
	b, ok2 := parseInt(to)
	return ok1 && ok2 && a < 0 && b < 0 && a > b
}

func (c *call) bitpos() {
	want, isInt := parseInt(c.args[2])
	switch {
	case !isInt:
		c.fail(errNotInt)
		return
	case want != 0 && want != 1:
		c.fail("ERR The bit argument must be 1 or 0.")
		return
	}
	s, found, ok := c.stringAt(c.args[1])
	switch {
	case !ok:
		return
	case !found && want == 1:
		c.integer(-1)
		return
	case !found:
		c.integer(0)
		return
	case len(c.args) > 6:
		c.fail(errSyntax)
		return
	}
	if len(c.args) > 3 {
		if _, isInt := parseInt(c.args[3]); !isInt {
			c.fail(errNotInt)
			return
		}
	}
	from, to, given, ok := c.bitRange(3, int64(len(s)))
	if !ok {
		return
	}
	skip := byte(0xff) // a byte without the bit
	if want == 1 {
		skip = 0
	}
	end := to
	for ; from <= to; from++ {
		for from&7 == 0 && from+7 <= to && s[from>>3] == skip {
			from += 8
		}
		if from <= to && bitAt(s, from) == want {
			c.integer(from)
			return
		}
	}
	// Without an end, zeros follow the string.
	if want == 0 && !given && len(s) > 0 && end == int64(len(s))*8-1 {
		if start, _, _, _ := c.bitRange(3, int64(len(s))); start <= end {
			c.integer(end + 1)
			return
		}
	}
	c.integer(-1)
}

// bitop is BITOP.
func (c *call) bitop() {
	op := strings.ToUpper(c.args[1])
	switch {
	case op != "AND" && op != "OR" && op != "XOR" && op != "NOT":
		c.fail(errSyntax)
		return
	case op == "NOT" && len(c.args) != 4:
		c.fail("ERR BITOP NOT must be called with a single source key.")
		return
	}
	var out []byte
	longest := 0
	sources := make([]string, 0, len(c.args)-3)
	for _, key := range c.args[3:] {
		s, _, ok := c.stringAt(key)
		if !ok {
			return
		}
		sources, longest = append(sources, s), max(longest, len(s))
	}
	dst := c.args[2]
	c.integer(int64(longest))
	if longest == 0 {
		if c.e.find(c.db, dst) == nil {
			c.noEffect()
			return
		}
		c.remove(dst, "del")
		return
	}
	out = grownTo(sources[0], longest)
	if op == "NOT" {
		for i := range out {
			out[i] = ^out[i]
		}
	}
	for _, s := range sources[1:] {
		combine(op, out, s)
		c.spend(longest)
	}
	c.setString(dst, asString(out))
	c.e.find(c.db, dst).form = formRaw
	c.notify("set", dst)
}

// combine works a shorter or equally long string into out.
func combine(op string, out []byte, s string) {
	switch op {
	case "AND":
		for i := range len(s) {
			out[i] &= s[i]
		}
		clear(out[len(s):])
	case "OR":
		for i := range len(s) {
			out[i] |= s[i]
		}
	case "XOR":
		for i := range len(s) {
			out[i] ^= s[i]
		}
	}
}
