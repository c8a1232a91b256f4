package engine

import (
	"slices"
	"strconv"
	"strings"
)

// Wait is one key on which a blocked command waits.
type Wait struct {
	Key string
	// Argv is the command for this key alone: what it answers is the answer of the
	// blocked command.
	Argv [][]byte

	kind    string // type that the key must have
	grouped bool   // XREADGROUP: it also ends when the stream, or the group, goes
	group   string
}

const (
	errStreamGone = "UNBLOCKED the stream key no longer exists"
	errGroupGone  = "NOGROUP the consumer group this client was blocked on no longer exists"
	// blockedCount is COUNT of a blocked XREAD that has none, as in Redis.
	blockedCount = "1000"
)

// waitForms are the blocking commands: the type that they wait for, and how one for
// each key is made of it.
var waitForms = map[string]struct {
	kind  string
	split func(e *Engine, db int, args []string) []Wait
}{
	"BLPOP": {"list", waitPop}, "BRPOP": {"list", waitPop}, "BZPOPMIN": {"zset", waitPop}, "BZPOPMAX": {"zset", waitPop},
	"BLMPOP": {"list", waitMpop}, "BZMPOP": {"zset", waitMpop},
	"BLMOVE": {"list", waitMove}, "BRPOPLPUSH": {"list", waitMove},
	"XREAD": {"stream", waitRead}, "XREADGROUP": {"stream", waitRead},
}

// Waits is what a command waits for that was executed, found nothing and may block:
// one Wait for each key, in order. "$" is made the id that it means now.
func (e *Engine) Waits(db int, argv [][]byte) (out []Wait) {
	args := toStrings(argv)
	form := waitForms[strings.ToUpper(args[0])]
	if form.split == nil {
		return nil
	}
	for _, w := range form.split(e, db, args) {
		if !slices.ContainsFunc(out, func(o Wait) bool { return o.Key == w.Key }) {
			w.kind = form.kind
			out = append(out, w)
		}
	}
	return out
}

// Ready reports whether what is waited for may be there. failure: it never will be,
// and that is the error.
func (e *Engine) Ready(db int, w Wait) (ready bool, failure string) {
	en := e.find(db, w.Key)
	switch {
	case !w.grouped:
		return en != nil && en.kind == w.kind, ""
	case en == nil || en.stream == nil:
		return false, errStreamGone
	case en.stream.Group(w.group) == nil:
		return false, errGroupGone
	}
	return true, ""
}

func waitPop(_ *Engine, _ int, args []string) (out []Wait) {
	last := len(args) - 1
	for _, key := range args[1:last] {
		out = append(out, Wait{Key: key, Argv: toBytes([]string{args[0], key, args[last]})})
	}
	return out
}

func waitMpop(_ *Engine, _ int, args []string) (out []Wait) {
	n, err := strconv.Atoi(args[2])
	if err != nil || n < 1 || n > len(args)-3 {
		return nil
	}
	for _, key := range args[3 : 3+n] {
		out = append(out, Wait{Key: key, Argv: toBytes(append([]string{args[0], args[1], "1", key}, args[3+n:]...))})
	}
	return out
}

func waitMove(_ *Engine, _ int, args []string) []Wait {
	return []Wait{{Key: args[1], Argv: toBytes(args)}}
}

func waitRead(e *Engine, db int, args []string) (out []Wait) {
	at, w, counted := 1, Wait{}, false
	for ; at < len(args) && !strings.EqualFold(args[at], "STREAMS"); at++ {
		switch strings.ToUpper(args[at]) {
		case "GROUP":
			w.grouped, w.group = true, args[min(at+1, len(args)-1)]
			at += 2
		case "COUNT":
			counted = true
			at++
		case "BLOCK":
			at++
		}
	}
	if at >= len(args) {
		return nil
	}
	head := slices.Clone(args[:at])
	if !counted {
		head = append(head, "COUNT", blockedCount)
	}
	list := args[at+1:]
	n := len(list) / 2
	for i, key := range list[:n] {
		id := list[n+i]
		if id == "$" || id == "+" {
			id = "0-0"
			if en := e.find(db, key); en != nil && en.stream != nil {
				id = en.stream.LastID.String()
			}
		}
		w.Key, w.Argv = key, toBytes(append(slices.Clone(head), "STREAMS", key, id))
		out = append(out, w)
	}
	return out
}
