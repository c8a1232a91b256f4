package engine

import (
	"math"
	"strings"

	"holdfast/fallback/engine/stream"
)

const (
	errStreamID   = "ERR Invalid stream ID specified as stream command argument"
	errStreamZero = "ERR The ID specified in XADD must be greater than 0-0"
	errStreamLow  = "ERR The ID specified in XADD is equal or smaller than the target stream top item"
	errStreamFull = "ERR The stream has exhausted the last possible ID, unable to add more items"
)

// streamID reads an id that may lack its sequence; the call has failed if it is none.
func (c *call) streamID(arg string, seq uint64) (stream.ID, bool) {
	id, ok := stream.Parse(arg, seq)
	if !ok {
		c.fail(errStreamID)
	}
	return id, ok
}

// streamIDs reads all of them before anything is done with the first.
func (c *call) streamIDs(args []string) ([]stream.ID, bool) {
	ids := make([]stream.ID, len(args))
	for i, arg := range args {
		var ok bool
		if ids[i], ok = c.streamID(arg, 0); !ok {
			return nil, false
		}
	}
	return ids, true
}

// loose is streamID with "-" and "+" for the ends.
func (c *call) loose(arg string, seq uint64) (stream.ID, bool) {
	switch arg {
	case "-":
		return stream.ID{}, true
	case "+":
		return stream.Max, true
	}
	return c.streamID(arg, seq)
}

// rangeStart and rangeEnd read the ends of an interval, exclusive behind "(".
func (c *call) rangeStart(arg string) (stream.ID, bool) {
	rest, exclusive := strings.CutPrefix(arg, "(")
	if !exclusive || rest == "" {
		return c.loose(arg, 0)
	}
	id, ok := c.streamID(rest, 0)
	if ok {
		if id, ok = id.Next(); !ok {
			c.fail("ERR invalid start ID for the interval")
		}
	}
	return id, ok
}

func (c *call) rangeEnd(arg string) (stream.ID, bool) {
	rest, exclusive := strings.CutPrefix(arg, "(")
	if !exclusive || rest == "" {
		return c.loose(arg, math.MaxUint64)
	}
	id, ok := c.streamID(rest, math.MaxUint64)
	if ok {
		if id, ok = id.Prev(); !ok {
			c.fail("ERR invalid end ID for the interval")
		}
	}
	return id, ok
}

// newID is an id as XADD takes it.
type newID struct {
	auto  bool // "*"
	noSeq bool // "ms-*"
	id    stream.ID
}

// place is the id of a new entry behind last.
func (n newID) place(c *call, last stream.ID) (stream.ID, string) {
	id := n.id
	switch {
	case last == stream.Max:
		return id, errStreamFull
	case n.auto:
		c.e.noteTime()
		if id = (stream.ID{Ms: uint64(c.e.nowMS)}); id.Ms <= last.Ms {
			id, _ = last.Next()
		}
	case n.noSeq && id.Ms == last.Ms:
		if last.Seq == math.MaxUint64 {
			return id, errStreamLow
		}
		id.Seq = last.Seq + 1
	}
	if !last.Less(id) {
		return id, errStreamLow
	}
	return id, ""
}

// parseNewID reads the id of XADD.
func (c *call) parseNewID(arg string) (n newID, ok bool) {
	if arg == "*" {
		return newID{auto: true}, true
	}
	ms, noSeq := strings.CutSuffix(arg, "-*")
	if noSeq {
		arg = ms
		if strings.Contains(ms, "-") {
			arg = "" // one sequence is enough
		}
	}
	n.noSeq = noSeq
	n.id, ok = c.streamID(arg, 0)
	return n, ok
}

// streamOptions are the options of XADD and XTRIM.
type streamOptions struct {
	trim     stream.Trimming
	by       string // MAXLEN, MINID or nothing
	limited  bool
	noCreate bool
	id       newID
	hasID    bool
	rest     []string // XADD: behind the id
}

// parseStreamOptions reads what is behind the key; the call has failed if not ok.
func (c *call) parseStreamOptions(adds bool) (o streamOptions, ok bool) {
	args := c.args[2:]
	for len(args) > 0 && !o.hasID {
		more := len(args) > 1
		switch opt := strings.ToUpper(args[0]); {
		case adds && args[0] == "*":
			o.id, o.hasID = newID{auto: true}, true
		case more && (opt == "MAXLEN" || opt == "MINID"):
			if args, ok = c.parseThreshold(&o, opt, args[1:]); !ok {
				return o, false
			}
			continue
		case more && opt == "LIMIT":
			if o.trim.Limit, ok = c.countArg(args[1]); !ok {
				return o, false
			}
			if o.trim.Limit < 0 {
				c.fail("ERR The LIMIT argument must be >= 0.")
				return o, false
			}
			o.limited, args = true, args[1:]
		case adds && opt == "NOMKSTREAM":
			o.noCreate = true
		case adds:
			if o.id, ok = c.parseNewID(args[0]); !ok {
				return o, false
			}
			o.hasID = true
		default:
			c.fail(errSyntax)
			return o, false
		}
		args = args[1:]
	}
	o.rest = args
	return o, c.checkTrimming(&o, adds)
}

// parseThreshold reads [=|~] threshold of MAXLEN or MINID.
func (c *call) parseThreshold(o *streamOptions, by string, args []string) (rest []string, ok bool) {
	if o.by != "" {
		c.fail("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
		return nil, false
	}
	o.by, o.trim.ByID = by, by == "MINID"
	if len(args) > 1 && (args[0] == "~" || args[0] == "=") {
		o.trim.Approx = args[0] == "~"
		args = args[1:]
	}
	if o.trim.ByID {
		o.trim.MinID, ok = c.streamID(args[0], 0)
		return args[1:], ok
	}
	if o.trim.MaxLen, ok = c.countArg(args[0]); !ok {
		return nil, false
	}
	if o.trim.MaxLen < 0 {
		c.fail("ERR The MAXLEN argument must be >= 0.")
		return nil, false
	}
	return args[1:], true
}

func (c *call) checkTrimming(o *streamOptions, adds bool) bool {
	switch {
	case o.by == "" && o.trim.Limit > 0:
		c.fail("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
	case o.by == "" && !adds:
		c.fail("ERR syntax error, XTRIM must be called with a trimming strategy")
	case o.limited && !o.trim.Approx:
		c.fail("ERR syntax error, LIMIT cannot be used without the special ~ option")
	default:
		if o.trim.Approx && !o.limited {
			o.trim.Limit = defaultTrim(c.e.streamLimits)
		}
		return true
	}
	return false
}

// defaultTrim is how many entries approximate trimming removes at most, without LIMIT.
func defaultTrim(l stream.Limits) int64 {
	if l.Entries <= 0 {
		return 10_000
	}
	return min(100*int64(l.Entries), 1_000_000)
}

// countArg reads an integer argument.
func (c *call) countArg(arg string) (int64, bool) {
	n, ok := parseInt(arg)
	if !ok {
		c.fail(errNotInt)
	}
	return n, ok
}
