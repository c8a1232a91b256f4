package engine

import (
	"bytes"
	"strconv"
)

// An entry that a client adds with the id * gets one here, and the client is told
// it. When Redis gets the entry its stream may be beyond that id: others have added
// to it meanwhile, or a write of unknown outcome was executed late. The entry must
// not be lost for that, so the journal says that the id was not the client's: it
// ends with autoMark, which is no id that Redis takes.
const autoMark = "-*"

// autoScript adds an entry with the id that was told, or with a later one.
// ARGV[1] is the place of the id in ARGV.
const autoScript = `local r = redis.pcall('XADD', KEYS[1], unpack(ARGV, 2)) ` +
	`if type(r) == 'table' and r.err and string.find(r.err, 'equal or smaller', 1, true) ` +
	`then ARGV[tonumber(ARGV[1])] = '*' return redis.call('XADD', KEYS[1], unpack(ARGV, 2)) end return r`

// maxUnpack is how many values Lua's unpack takes in Redis, with some to spare.
const maxUnpack = 7000

// autoID finds the id in the effect of an XADD that was given *.
func autoID(effect [][]byte) (at int, id []byte, ok bool) {
	if len(effect) < 5 || !bytes.EqualFold(effect[0], []byte("XADD")) {
		return 0, nil, false
	}
	for _, at := range [...]int{2, 5} { // behind the key, or behind MAXLEN|MINID = n
		if at >= len(effect) {
			break
		}
		id, marked := bytes.CutSuffix(effect[at], []byte(autoMark))
		if marked && bytes.IndexByte(id, '-') > 0 {
			return at, id, at == 2 || bytes.Equal(effect[3], []byte("="))
		}
	}
	return 0, nil, false
}

// Told is a journaled effect as it was executed here.
func Told(effect [][]byte) [][]byte {
	if mark := formOf(effect); mark != "" {
		return toldForm(mark, effect)
	}
	at, id, ok := autoID(effect)
	if !ok {
		return effect
	}
	out := append([][]byte(nil), effect...)
	out[at] = id
	return out
}

// ForRedis is a journaled effect as Redis has to get it. told is the id that the
// client has been told for the new entry, empty for everything else.
func ForRedis(effect [][]byte) (argv [][]byte, told string) {
	if mark := formOf(effect); mark != "" {
		return formForRedis(mark, effect), ""
	}
	at, id, ok := autoID(effect)
	if !ok {
		if argv, older := forOlder(effect); older {
			return argv, ""
		}
		return effect, ""
	}
	if len(effect) > maxUnpack {
		return Told(effect), string(id)
	}
	argv = make([][]byte, 0, len(effect)+3)
	argv = append(argv, []byte("EVAL"), []byte(autoScript), []byte("1"), effect[1], strconv.AppendInt(nil, int64(at), 10))
	argv = append(argv, effect[2:]...)
	argv[at+3] = id
	return argv, string(id)
}
