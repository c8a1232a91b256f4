package engine

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	errStreamID   = "ERR Invalid stream ID specified as stream command argument"
	errStreamZero = "ERR The ID specified in XADD must be greater than 0-0"
)

// streamID is a parsed entry id.
type streamID struct{ ms, seq uint64 }

func (a streamID) less(b streamID) bool { return a.ms < b.ms || a.ms == b.ms && a.seq < b.seq }

func (a streamID) String() string { return fmt.Sprintf("%d-%d", a.ms, a.seq) }

// next is the id after a; it is not asked for the last one of all.
func (a streamID) next() streamID {
	if a.seq == math.MaxUint64 {
		return streamID{a.ms + 1, 0}
	}
	return streamID{a.ms, a.seq + 1}
}

func parseStreamID(s string, seq uint64) (streamID, bool) {
	head, tail, full := strings.Cut(s, "-")
	ms, err := strconv.ParseUint(head, 10, 64)
	if err == nil && full {
		seq, err = strconv.ParseUint(tail, 10, 64)
	}
	return streamID{ms, seq}, err == nil
}

// newID is the id of a new entry for the argument given: one above last, which
// is the highest that the stream ever had.
func (c *call) newID(arg string, last streamID) (streamID, string) {
	var id streamID
	ms, auto := strings.CutSuffix(arg, "-*")
	switch {
	case arg == "*":
		c.e.noteTime()
		id = streamID{uint64(c.e.nowMS), 0}
		if !last.less(id) {
			id = last.next()
		}
		return id, ""
	case auto:
		n, err := strconv.ParseUint(ms, 10, 64)
		if err != nil {
			return id, errStreamID
		}
		id = streamID{n, 0}
		if n == last.ms && last != (streamID{}) || n == 0 {
			id.seq = last.seq + 1
			if n == 0 && last.ms != 0 {
				id = streamID{}
			}
		}
	default:
		var ok bool
		if id, ok = parseStreamID(arg, 0); !ok {
			return id, errStreamID
		}
		if id == (streamID{}) {
			return id, errStreamZero
		}
	}
	if !last.less(id) {
		return id, "ERR The ID specified in XADD is equal or smaller than the target stream top item"
	}
	return id, ""
}

// trimming is a MAXLEN or MINID option.
type trimming struct{ by, limit string }

// parseTrim reads MAXLEN|MINID [=|~] threshold [LIMIT n] at the start of args.
// Approximate trimming is done exactly.
func parseTrim(args []string) (t trimming, rest []string, msg string) {
	t.by, args = strings.ToUpper(args[0]), args[1:]
	approx := false
	if len(args) > 0 && (args[0] == "~" || args[0] == "=") {
		approx = args[0] == "~"
		args = args[1:]
	}
	if len(args) == 0 {
		return t, nil, errSyntax
	}
	t.limit, args = args[0], args[1:]
	if t.by == "MAXLEN" {
		n, ok := parseInt(t.limit)
		if !ok {
			return t, nil, errNotInt
		}
		if n < 0 {
			return t, nil, "ERR The MAXLEN argument must be >= 0."
		}
	} else if id, ok := parseStreamID(t.limit, 0); ok {
		t.limit = id.String()
	} else {
		return t, nil, errStreamID
	}
	if len(args) > 1 && strings.EqualFold(args[0], "LIMIT") {
		n, ok := parseInt(args[1])
		switch {
		case !ok:
			return t, nil, errNotInt
		case n < 0:
			return t, nil, "ERR The LIMIT argument must be >= 0."
		case !approx:
			return t, nil, "ERR syntax error, LIMIT cannot be used without the special ~ option"
		}
		args = args[2:]
	}
	return t, args, ""
}
