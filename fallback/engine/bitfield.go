package engine

import (
	"math"
	"strings"
)

// bitOp is one operation of BITFIELD.
type bitOp struct {
	name     string // GET, SET or INCRBY
	overflow string // WRAP, SAT or FAIL
	signed   bool
	width    int64
	at       int64 // in bits
	arg      int64
}

// bitfield is BITFIELD and BITFIELD_RO.
func (c *call) bitfield() {
	ops, writes, ok := c.bitOps()
	if !ok {
		return
	}
	if writes && c.spec.flags&fWrite == 0 {
		c.fail("ERR BITFIELD_RO only supports the GET subcommand")
		return
	}
	key := c.args[1]
	s, found, ok := c.stringAt(key)
	if !ok {
		return
	}
	need := 0
	for _, op := range ops {
		if op.name != "GET" {
			need = max(need, int(op.at+op.width-1)>>3+1)
		}
	}
	var b []byte
	grew := writes && (need > len(s) || !found)
	if writes {
		b = grownTo(s, need)
	}
	r, changed := c.buf(), false
	r.array(len(ops))
	for _, op := range ops {
		c.spend(1)
		if !writes {
			r.integer(readBits(s, op))
			continue
		}
		wrote, differs := applyBits(b, op, r)
		changed = changed || wrote && (grew || differs)
	}
	c.reply = r.b
	if !changed {
		// Redis makes room even where nothing is written then.
		if c.noEffect(); !grew {
			if writes {
				c.e.find(c.db, key).form = formRaw
			}
			return
		}
		c.effectSet = false
	}
	c.changeString(key, asString(b), "setbit", formRaw)
}

// applyBits executes one operation and adds its answer. It reports whether it wrote
// bits, and whether they differ from those before.
func applyBits(b []byte, op bitOp, r *replyBuf) (wrote, differs bool) {
	old := readBits(b, op)
	if op.name == "GET" {
		r.integer(old)
		return false, false
	}
	base, by := old, op.arg
	if op.name == "SET" {
		base, by = op.arg, 0
	}
	val, over := op.sum(base, by)
	if over && op.overflow == "FAIL" {
		r.null()
		return false, false
	}
	if op.name == "SET" {
		r.integer(old)
	} else {
		r.integer(val)
	}
	writeBits(b, op, val)
	return true, val != old
}

// bitOps parses the operations; writes says that some are not GET.
func (c *call) bitOps() (ops []bitOp, writes, ok bool) {
	overflow := "WRAP"
	for i := 2; i < len(c.args); {
		left := len(c.args) - i - 1
		op := bitOp{name: strings.ToUpper(c.args[i]), overflow: overflow}
		switch {
		case op.name == "OVERFLOW" && left >= 1:
			overflow = strings.ToUpper(c.args[i+1])
			if overflow != "WRAP" && overflow != "SAT" && overflow != "FAIL" {
				c.fail("ERR Invalid OVERFLOW type specified")
				return nil, false, false
			}
			i += 2
			continue
		case op.name == "GET" && left >= 2, (op.name == "SET" || op.name == "INCRBY") && left >= 3:
		default:
			c.fail(errSyntax)
			return nil, false, false
		}
		if !c.bitType(c.args[i+1], &op) {
			return nil, false, false
		}
		if op.at, ok = c.bitOffset(c.args[i+2], op.width); !ok {
			return nil, false, false
		}
		i += 3
		if op.name != "GET" {
			if op.arg, ok = parseInt(c.args[i]); !ok {
				c.fail(errNotInt)
				return nil, false, false
			}
			writes = true
			i++
		}
		ops = append(ops, op)
	}
	return ops, writes, true
}

func (c *call) bitType(arg string, op *bitOp) bool {
	if arg != "" && (arg[0] == 'i' || arg[0] == 'u') {
		op.signed = arg[0] == 'i'
		n, ok := parseInt(arg[1:])
		if op.width = n; ok && n >= 1 && (n <= 63 || n == 64 && op.signed) {
			return true
		}
	}
	c.fail("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.")
	return false
}

// bounds are the smallest and the largest value of the field.
func (op bitOp) bounds() (least, most int64) {
	if !op.signed {
		return 0, int64(uint64(1)<<op.width - 1)
	}
	most = int64(uint64(1)<<(op.width-1) - 1)
	return -most - 1, most
}

// sum is base+by as the field holds it, and whether it did not fit.
func (op bitOp) sum(base, by int64) (val int64, over bool) {
	least, most := op.bounds()
	val = base + by
	tooBig := by > 0 && base > math.MaxInt64-by || !(by < 0 && base < math.MinInt64-by) && val > most
	tooSmall := by < 0 && base < math.MinInt64-by || !tooBig && val < least
	if !op.signed && by == 0 && base < 0 { // SET of a negative value: a large unsigned one
		tooBig, tooSmall = true, false
	}
	switch {
	case !tooBig && !tooSmall:
		return val, false
	case op.overflow == "SAT" && tooBig:
		return most, true
	case op.overflow == "SAT":
		return least, true
	}
	shift := 64 - op.width
	if op.signed {
		return val << shift >> shift, true
	}
	return int64(uint64(val) << shift >> shift), true
}

func readBits[T string | []byte](b T, op bitOp) int64 {
	var v uint64
	for i := range op.width {
		v = v<<1 | uint64(bitAt(b, op.at+i))
	}
	if op.signed {
		shift := 64 - op.width
		return int64(v) << shift >> shift
	}
	return int64(v)
}

func writeBits(b []byte, op bitOp, val int64) {
	for i := range op.width {
		at := op.at + i
		bit := byte(uint64(val) >> (op.width - 1 - i) & 1)
		b[at>>3] = b[at>>3]&^(1<<(7-at&7)) | bit<<(7-at&7)
	}
}
