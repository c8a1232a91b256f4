package engine

import (
	"encoding/binary"
	"hash/crc64"
	"strconv"
	"strings"

	"holdfast/fallback/engine/stream"
)

// rdbVersion ends each payload: the one of Redis 7.0, or the first that knows deadlines
// of hash fields where there are some.
const (
	rdbVersion       = 10
	rdbVersionFields = 12
	rdbVersionMost   = 12 // that is read
)

func dumpCommands() map[string]*spec {
	return map[string]*spec{
		"DUMP":    read(2, 1, 1, 1).with((*call).dump),
		"RESTORE": write(-4, 1, 1, 1, 0).with((*call).restore), "RESTORE-ASKING": write(-4, 1, 1, 1, 0).with((*call).restore),
	}
}

var rdbTable = crc64.MakeTable(0x95ac9329ac4bc9b5) // the polynomial that Redis uses, reflected

// rdbChecksum is Redis's CRC-64, which begins with 0 and ends without inversion.
func rdbChecksum(b []byte) (crc uint64) {
	for _, x := range b {
		crc = rdbTable[byte(crc)^x] ^ crc>>8
	}
	return crc
}

// dump is DUMP.
func (c *call) dump() {
	en := c.e.find(c.db, c.args[1])
	if en == nil {
		c.null()
		return
	}
	w := &rdbWriter{}
	version := uint16(rdbVersion)
	switch v := en.obj.(type) {
	case *list:
		w.list(v)
	case *set:
		w.set(v)
	case *hash:
		if w.hash(v); v.timed > 0 {
			version = rdbVersionFields
		}
	case *zset:
		w.zset(v)
	default:
		if en.kind == "stream" {
			w.stream(en.stream, c.e.streamLimits)
			break
		}
		w.b = append(w.b, rdbString)
		w.str(en.value)
	}
	w.b = binary.LittleEndian.AppendUint16(w.b, version)
	w.b = binary.LittleEndian.AppendUint64(w.b, rdbChecksum(w.b))
	r := c.buf()
	r.bulk(string(w.b))
	c.reply = r.b
}

// restoreOptions are those of RESTORE; ok is false after an error.
func (c *call) restoreOptions() (replace, absolute, ok bool) {
	idle, freq := false, false
	for i := 4; i < len(c.args); i++ {
		opt := strings.ToUpper(c.args[i])
		switch {
		case opt == "REPLACE":
			replace = true
		case opt == "ABSTTL":
			absolute = true
		case (opt == "IDLETIME" && !freq || opt == "FREQ" && !idle) && i+1 < len(c.args):
			n, isInt := parseInt(c.args[i+1])
			switch {
			case !isInt:
				c.fail(errNotInt)
				return false, false, false
			case opt == "IDLETIME" && n < 0:
				c.fail("ERR Invalid IDLETIME value, must be >= 0")
				return false, false, false
			case opt == "FREQ" && (n < 0 || n > 255):
				c.fail("ERR Invalid FREQ value, must be >= 0 and <= 255")
				return false, false, false
			}
			idle, freq = idle || opt == "IDLETIME", freq || opt == "FREQ"
			i++
		default:
			c.fail(errSyntax)
			return false, false, false
		}
	}
	return replace, absolute, true
}

// restore is RESTORE, journaled as what it stored: any server reads that.
func (c *call) restore() {
	replace, absolute, ok := c.restoreOptions()
	if !ok {
		return
	}
	key := c.args[1]
	old := c.e.find(c.db, key)
	if old != nil && !replace {
		c.fail("BUSYKEY Target key name already exists.")
		return
	}
	at, isInt := parseInt(c.args[2])
	switch {
	case !isInt:
		c.fail(errNotInt)
		return
	case at < 0:
		c.fail("ERR Invalid TTL value, must be >= 0")
		return
	case !rdbIntact(c.args[3]):
		c.fail("ERR DUMP payload version or checksum are wrong")
		return
	}
	v, ok := c.readRDB(c.args[3][:len(c.args[3])-10])
	if !ok {
		c.fail("ERR Bad data format")
		return
	}
	if at != 0 && !absolute {
		c.e.noteTime()
		at += c.e.nowMS
	}
	c.ok()
	c.noEffect()
	if at != 0 && at <= c.e.nowMS {
		if old != nil {
			c.remove(key, "del")
			c.effect("DEL", key)
		}
		return
	}
	c.isNew(key)
	switch {
	case v.stream != nil:
		c.e.putStream(c.db, key, v.stream)
		en := c.e.find(c.db, key)
		en.deadline = at
		c.e.schedule(en)
	case v.obj != nil:
		c.e.putObject(c.db, key, v.obj, at)
	default:
		c.e.putString(c.db, key, v.text, at)
	}
	c.notify("restore", key)
	c.effects = append(c.effects, c.byState(key)...)
}

// rdbIntact checks the version and the checksum of a payload.
func rdbIntact(s string) bool {
	if len(s) < 10 {
		return false
	}
	body, foot := []byte(s[:len(s)-8]), []byte(s[len(s)-8:])
	version := binary.LittleEndian.Uint16(body[len(body)-2:])
	sum := binary.LittleEndian.Uint64(foot)
	return version <= rdbVersionMost && (sum == 0 || sum == rdbChecksum(body))
}

// restored is a value that was read: a stream, a collection, or a string.
type restored struct {
	text   string
	obj    object
	stream *stream.Stream
}

// readRDB reads a value. ok is false for what is none.
func (c *call) readRDB(s string) (v restored, ok bool) {
	r := &rdbReader{b: s, room: c.e.limits.bulk, lim: &c.e.limits}
	defer func() {
		if x := recover(); x != nil {
			if x != errRDB {
				panic(x)
			}
			ok = false
		}
	}()
	kind := r.byte()
	switch kind {
	case rdbString:
		v.text = r.str()
		return v, r.b == ""
	case rdbStream, rdbStream2, rdbStream3:
		v.stream = r.stream(kind, c.e.streamLimits)
		return v, r.b == ""
	}
	obj := r.object(kind)
	if h, isHash := obj.(*hash); isHash {
		for _, f := range h.fields {
			if f.deadline != 0 && f.deadline <= c.e.nowMS {
				defer h.remove(f.name)
			}
		}
	}
	return restored{obj: obj}, obj != nil && obj.size() > 0 && r.b == ""
}

// number of a listpack entry, as text.
func itoa(n int64) string { return strconv.FormatInt(n, 10) }
