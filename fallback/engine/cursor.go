package engine

import (
	"strconv"
	"strings"
)

// A cursor of an iteration here is a place in the order of the hashes of keys, or of
// a collection's elements: nothing is kept for it, it outlives a restart, and what is
// there from start to end is returned. It is cursorMark, four bits to check it by,
// and the hash, and so in a range that no cursor of a Redis is in: those count
// buckets of a table. 53 bits are what clients that parse it as a float64 keep.
const (
	cursorMark = 1 << 52
	checkShift = hashBits
)

// cursorAt is the cursor of the place.
func cursorAt(hash uint64) uint64 { return cursorMark | checkOf(hash)<<checkShift | hash }

func checkOf(hash uint64) uint64 {
	hash ^= hash >> 24
	hash ^= hash >> 12
	return (hash ^ hash>>4 ^ hash>>8 ^ 0x5) & 0xf
}

// OurCursor reports whether a cursor was given out by an engine, this one or another.
func OurCursor(cursor uint64) bool {
	hash := cursor & (1<<hashBits - 1)
	return hash != 0 && cursor == cursorAt(hash)
}

// ParseCursor reads a cursor as Redis does.
func ParseCursor(arg string) (uint64, bool) {
	if arg == "" {
		return 0, true
	}
	digits := strings.TrimPrefix(arg, "+")
	if digits == arg && strings.HasPrefix(arg, "-") { // strtoul wraps
		n, err := strconv.ParseUint(arg[1:], 10, 64)
		return -n, err == nil
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// RestartCount is the least COUNT of a step that begins an iteration anew because its
// cursor is of no use here: with so much at once, an iteration ends even if Redis
// comes and goes all the time.
const RestartCount = 10_000

// scanOptions are the arguments of SCAN, HSCAN, SSCAN and ZSCAN.
type scanOptions struct {
	from     uint64 // hash to begin at
	begins   bool   // nothing of the iteration came before
	count    int64
	match    string
	kind     string // "": any
	noValues bool
}

// scanFrom reads the cursor; the call has failed if it is none.
func (c *call) scanFrom(arg string) (o scanOptions, ok bool) {
	cursor, ok := ParseCursor(arg)
	if !ok {
		c.fail("ERR invalid cursor")
		return o, false
	}
	o = scanOptions{count: 10, match: "*", begins: true}
	if OurCursor(cursor) {
		o.from, o.begins = cursor&(1<<hashBits-1), false
	} else if cursor != 0 {
		o.count = RestartCount // see parse: at least so many
	}
	return o, true
}

// parse reads the options behind the cursor.
func (o *scanOptions) parse(c *call, args []string) bool {
	name, least := strings.ToUpper(c.args[0]), int64(1)
	if o.count == RestartCount {
		least = RestartCount
	}
	for i := 0; i < len(args); i += 2 {
		more := i+1 < len(args)
		switch opt := strings.ToUpper(args[i]); {
		case more && opt == "COUNT":
			n, ok := c.countArg(args[i+1])
			if !ok {
				return false
			}
			if n < 1 {
				c.fail(errSyntax)
				return false
			}
			o.count = max(n, least)
		case more && opt == "MATCH":
			o.match = args[i+1]
		case more && opt == "TYPE" && name == "SCAN":
			o.kind = strings.ToLower(args[i+1])
		case opt == "NOVALUES" && name == "HSCAN":
			o.noValues = true
			i--
		case opt == "NOVALUES":
			c.fail("ERR NOVALUES option can only be used in HSCAN")
			return false
		default:
			c.fail(errSyntax)
			return false
		}
	}
	return true
}

// scanReply is the answer to a step: hash is where the next one begins, 0 at the end.
func (c *call) scanReply(hash uint64, found []string) {
	if hash != 0 {
		hash = cursorAt(hash)
	}
	r := c.buf()
	r.array(2)
	r.bulk(strconv.FormatUint(hash, 10))
	r.strings(found)
	c.reply = r.b
}

// scan is SCAN, over the order that dbIndex keeps.
func (c *call) scan() {
	o, ok := c.scanFrom(c.args[1])
	if !ok || !o.parse(c, c.args[2:]) {
		return
	}
	var found []string
	next, seen, last := uint64(0), int64(0), uint64(0)
	c.e.index(c.db).ordered().Ascend(&entry{hash: o.from}, func(item any) bool {
		en := item.(*entry)
		if seen >= o.count && en.hash != last {
			next = en.hash
			return false
		}
		seen, last = seen+1, en.hash
		if (o.kind == "" || o.kind == en.kind) && c.matches(o.match, en.key) {
			found = append(found, en.key)
		}
		return true
	})
	c.scanReply(next, found)
}
