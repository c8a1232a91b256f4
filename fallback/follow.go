package fallback

import (
	"strconv"
	"strings"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/record"
)

// actual says what an acknowledged command did, by its reply: a refused SET NX
// did nothing, SPOP removed what it returned. nil: nothing.
type actual func(argv [][]byte, reply resp.Value) [][]byte

// byReply are the commands whose effect the arguments alone do not tell.
var byReply = map[*command.Command]actual{
	command.ByName("set"):    actualSet,
	command.ByName("setnx"):  ifOne("SET"),
	command.ByName("msetnx"): ifOne("MSET"),
	command.ByName("spop"):   actualPop,
	command.ByName("xadd"):   actualXAdd,

	command.ByName("blpop"): actualListPop("1"), command.ByName("brpop"): actualListPop("-1"),
	command.ByName("blmove"): unblocked("LMOVE"), command.ByName("brpoplpush"): unblocked("RPOPLPUSH"),
	command.ByName("blmpop"):   actualListPops,
	command.ByName("bzpopmin"): actualZPop, command.ByName("bzpopmax"): actualZPop,
	command.ByName("bzmpop"): actualZPops,
	// What is pending in groups is not held.
	command.ByName("xreadgroup"): nothing, command.ByName("xclaim"): nothing,
	command.ByName("xautoclaim"): nothing, command.ByName("xack"): nothing,
}

// ackedEffects turns an acknowledged command, or the commands of a unit, and the
// reply into what happened. The result may share memory with both. A reply that
// cannot be read leaves the commands as they are.
func ackedEffects(argvs [][][]byte, reply []byte, unit bool) [][][]byte {
	if !unit && !dependsOnReply(argvs[0]) {
		return argvs
	}
	v, _, err := resp.Parse(reply)
	if err != nil {
		return argvs
	}
	if !unit {
		return appendActual(nil, argvs[0], v)
	}
	if v.Null {
		return nil // a watched key changed: nothing ran
	}
	if len(v.Elems) != len(argvs) {
		return argvs
	}
	out := make([][][]byte, 0, len(argvs))
	for i, argv := range argvs {
		if !v.Elems[i].IsError() {
			out = appendActual(out, argv, v.Elems[i])
		}
	}
	return out
}

func dependsOnReply(argv [][]byte) bool {
	c, ok := command.Lookup(argv)
	return ok && byReply[c] != nil
}

func appendActual(out [][][]byte, argv [][]byte, v resp.Value) [][][]byte {
	c, ok := command.Lookup(argv)
	if ok && byReply[c] != nil {
		done := byReply[c](argv, v)
		if done == nil {
			return out
		}
		if _, _, lock := command.TakesLock(argv); lock {
			return append(out, argv) // kept whole: that it was granted is all there is to know
		}
		argv = done
	}
	return append(out, argv)
}

// actualSet drops NX, XX and GET, and the command if they kept it from acting.
func actualSet(argv [][]byte, v resp.Value) [][]byte {
	if len(argv) < 4 {
		return argv
	}
	var nx, xx, get bool
	out := argv[:3:3]
	for _, opt := range argv[3:] {
		switch strings.ToUpper(string(opt[:min(len(opt), 8)])) {
		case "NX":
			nx = true
		case "XX":
			xx = true
		case "GET":
			get = true
		default:
			out = append(out, opt)
		}
	}
	switch {
	case !get && v.Null, // refused by its condition
		get && nx && !v.Null, // there was an old value
		get && xx && v.Null:  // there was none
		return nil
	}
	return out
}

// ifOne is for commands that answer 1 when they acted: what they did then.
func ifOne(name string) actual {
	return func(argv [][]byte, v resp.Value) [][]byte {
		if v.Int != 1 {
			return nil
		}
		return append([][]byte{[]byte(name)}, argv[1:]...)
	}
}

func actualPop(argv [][]byte, v resp.Value) [][]byte {
	out := [][]byte{[]byte("SREM"), argv[1]}
	if v.Elems == nil && v.Kind == resp.KindBulk && !v.Null {
		return append(out, v.Str)
	}
	for _, e := range v.Elems {
		out = append(out, e.Str)
	}
	if len(out) == 2 {
		return nil
	}
	return out
}

// actualListPop is for BLPOP and BRPOP, which answer key and value: the first such
// value from that end (count, see LREM) is gone.
func actualListPop(count string) actual {
	return func(_ [][]byte, v resp.Value) [][]byte {
		if len(v.Elems) != 2 {
			return nil
		}
		return [][]byte{[]byte("LREM"), v.Elems[0].Str, []byte(count), v.Elems[1].Str}
	}
}

// unblocked is for commands that do the same without waiting, named so.
func unblocked(name string) actual {
	return func(argv [][]byte, v resp.Value) [][]byte {
		if v.Null {
			return nil
		}
		out := append([][]byte{[]byte(name)}, argv[1:]...)
		return out[:len(out)-1] // the time-out
	}
}

// actualListPops is for BLMPOP: timeout numkeys key... LEFT|RIGHT.
func actualListPops(argv [][]byte, v resp.Value) [][]byte {
	if len(v.Elems) != 2 {
		return nil
	}
	name := "LPOP"
	for _, word := range argv[3:] {
		if record.IsWord(word, "RIGHT") {
			name = "RPOP" // a key of that name comes before the word that counts
		} else if record.IsWord(word, "LEFT") {
			name = "LPOP"
		}
	}
	return [][]byte{[]byte(name), v.Elems[0].Str, strconv.AppendInt(nil, int64(len(v.Elems[1].Elems)), 10)}
}

func actualZPop(_ [][]byte, v resp.Value) [][]byte {
	if len(v.Elems) != 3 {
		return nil
	}
	return [][]byte{[]byte("ZREM"), v.Elems[0].Str, v.Elems[1].Str}
}

func actualZPops(_ [][]byte, v resp.Value) [][]byte {
	if len(v.Elems) != 2 {
		return nil
	}
	out := [][]byte{[]byte("ZREM"), v.Elems[0].Str}
	for _, pair := range v.Elems[1].Elems {
		if len(pair.Elems) == 2 {
			out = append(out, pair.Elems[0].Str)
		}
	}
	return out
}

func nothing([][]byte, resp.Value) [][]byte { return nil }

// actualXAdd puts the id that the server gave in the place of the one asked for.
func actualXAdd(argv [][]byte, v resp.Value) [][]byte {
	if v.Null {
		return nil // NOMKSTREAM and no stream
	}
	for i := 2; i < len(argv); i++ {
		word := argv[i]
		switch {
		case record.IsWord(word, "NOMKSTREAM"), record.IsWord(word, "KEEPREF"), record.IsWord(word, "DELREF"), record.IsWord(word, "ACKED"):
		case record.IsWord(word, "MAXLEN"), record.IsWord(word, "MINID"):
			if i++; i < len(argv) && (string(argv[i]) == "~" || string(argv[i]) == "=") {
				i++
			}
		case record.IsWord(word, "LIMIT"):
			i++
		default: // the id
			out := append([][]byte(nil), argv...)
			out[i] = v.Str
			return out
		}
	}
	return argv
}
