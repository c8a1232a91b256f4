package engine

import (
	"strconv"
	"strings"
	"time"
)

func streamCommands() map[string]*spec {
	m := map[string]*spec{
		"XLEN": read(2, 1, 1, 1), "XRANGE": read(-4, 1, 1, 1), "XREVRANGE": read(-4, 1, 1, 1),
		"XREAD": read(-4, 0, 0, 0).keyed(streamKeys).with((*call).xread),
		"XADD":  write(-5, 1, 1, 1, fNil).with((*call).xadd),
		"XDEL":  write(-3, 1, 1, 1, fZero), "XTRIM": write(-4, 1, 1, 1, fZero).with((*call).xtrim),
		"XSETID": write(-3, 1, 1, 1, 0).with((*call).xsetid),
		"XINFO":  read(-2, 2, 2, 1).with((*call).xinfo), "XPENDING": read(-3, 1, 1, 1).with((*call).timed).unsure(),
		"XREADGROUP": write(-7, 0, 0, 0, 0).keyed(streamKeys).with((*call).xread),
		"XACK":       write(-4, 1, 1, 1, 0), "XCLAIM": write(-6, 1, 1, 1, 0).with((*call).xclaim),
		"XAUTOCLAIM": write(-6, 1, 1, 1, 0).with((*call).xautoclaim),
		"XGROUP":     write(-2, 2, 2, 1, fZero).with((*call).xgroup),
	}
	return m
}

func streamKeys(args []string) []string {
	for i := 1; i < len(args); i++ {
		switch {
		case strings.EqualFold(args[i], "GROUP"):
			i += 2 // its name and the consumer's, whatever they are
		case strings.EqualFold(args[i], "STREAMS"):
			rest := args[i+1:]
			return rest[:len(rest)/2]
		}
	}
	return nil
}

// topID is the id of the last entry of a stream, "0-0" for an empty one.
func (e *Engine) topID(db int, key string) string {
	v := e.ask(db, "XREVRANGE", key, "+", "-", "COUNT", "1")
	if len(v.list) == 0 {
		return "0-0"
	}
	return v.list[0].list[0].str
}

// streamTime lets the clock of miniredis go for a command that stores or reads
// delivery times, which are not deadlines; "" stops it again.
func (e *Engine) streamTime(name string) {
	now := time.Unix(0, 0)
	if name != "" {
		now = time.UnixMilli(e.nowMS)
	}
	e.mini.SetTime(now)
}

// timed passes a command with the clock going.
func (c *call) timed() { c.timedPass(c.args...) }

func (c *call) timedPass(args ...string) {
	c.e.streamTime(args[0])
	defer c.e.streamTime("")
	c.pass(args...)
}

// xadd is XADD, journaled with the id that the entry got and with exact
// trimming.
func (c *call) xadd() {
	args, mkstream := c.args[2:], true
	trim := trimming{}
parsing:
	for len(args) > 0 {
		switch strings.ToUpper(args[0]) {
		case "NOMKSTREAM":
			mkstream, args = false, args[1:]
		case "MAXLEN", "MINID":
			var msg string
			if trim, args, msg = parseTrim(args); msg != "" {
				c.fail(msg)
				return
			}
		default:
			break parsing
		}
	}
	if len(args) < 3 || len(args)%2 == 0 {
		c.fail(wrongArity("xadd"))
		return
	}
	key := c.args[1]
	en := c.e.find(c.db, key)
	last := streamID{}
	if en != nil {
		last, _ = parseStreamID(en.lastID, 0)
	}
	id, msg := c.newID(args[0], last)
	switch {
	case msg == errStreamID || msg == errStreamZero:
		c.fail(msg)
		return
	case c.wrongType(key, "stream"):
		return
	case en == nil && !mkstream:
		c.null()
		return
	case msg != "":
		c.fail(msg)
		return
	}
	c.appendEntry(key, id.String(), args[0] == "*", args[1:], trim)
}

// appendEntry stores an entry whose id is above all others, trims, and journals
// both. auto: the client gave no id.
func (c *call) appendEntry(key, id string, auto bool, fields []string, trim trimming) {
	c.pass(append([]string{"XADD", key, id}, fields...)...)
	if c.failed() {
		return
	}
	if trim.by != "" {
		c.e.raw(c.db, 2, "XTRIM", key, trim.by, "=", trim.limit)
	}
	c.e.touch(c.db, key)
	if en := c.e.find(c.db, key); en != nil {
		en.lastID = id
	}
	args := []string{"XADD", key}
	if trim.by != "" {
		args = append(args, trim.by, "=", trim.limit)
	}
	if auto {
		id += autoMark
	}
	c.effect(append(append(args, id), fields...)...)
}

func (c *call) xtrim() {
	by := strings.ToUpper(c.args[2])
	if by != "MAXLEN" && by != "MINID" {
		c.fail(errSyntax)
		return
	}
	t, rest, msg := parseTrim(c.args[2:])
	if msg == "" && len(rest) > 0 {
		msg = errSyntax
	}
	if msg != "" {
		c.fail(msg)
		return
	}
	c.rewritten("XTRIM", c.args[1], t.by, "=", t.limit)
}

// xsetid is XSETID; its counters of added and deleted entries are not kept.
func (c *call) xsetid() {
	id, ok := parseStreamID(c.args[2], 0)
	en := c.e.find(c.db, c.args[1])
	switch {
	case !ok:
		c.fail(errStreamID)
	case en == nil:
		c.fail(errNoKey)
	case c.wrongType(c.args[1], "stream"):
	default:
		if top, _ := parseStreamID(c.e.topID(c.db, c.args[1]), 0); id.less(top) {
			c.fail("ERR The ID specified in XSETID is smaller than the target stream top item")
			return
		}
		en.lastID = id.String()
		c.ok()
	}
}

// xread is XREAD and XREADGROUP, without BLOCK and with $ made an id.
func (c *call) xread() {
	args := append([]string(nil), c.args...)
	for i := 1; i < len(args); i++ {
		opt := strings.ToUpper(args[i])
		if opt == "BLOCK" && i+1 < len(args) {
			if n, ok := parseInt(args[i+1]); !ok || n < 0 {
				c.fail("ERR timeout is not an integer or out of range")
				return
			}
			args = append(args[:i], args[i+2:]...)
			i--
			continue
		}
		if opt == "STREAMS" {
			keys := args[i+1:]
			for j := len(keys) / 2; j < len(keys); j++ {
				if en := c.e.find(c.db, keys[j-len(keys)/2]); keys[j] == "$" {
					keys[j] = "0-0"
					if en != nil && en.kind == "stream" {
						keys[j] = en.lastID
					}
				}
			}
			break
		}
		if opt == "GROUP" {
			i += 2
		}
	}
	for _, key := range streamKeys(args) {
		if c.wrongType(key, "stream") {
			return
		}
	}
	c.timedPass(args...)
	if c.spec.flags&fWrite != 0 {
		c.effectSet = true
		if !c.failed() {
			c.effect(args...)
		}
	}
}

// xgroup is XGROUP; $ becomes the stream's last id, which miniredis takes from
// the last entry that is still there.
func (c *call) xgroup() {
	sub := strings.ToUpper(c.args[1])
	want := map[string]int{"CREATE": -5, "SETID": -5, "DESTROY": 4, "CREATECONSUMER": 5, "DELCONSUMER": 5}[sub]
	switch {
	case want == 0:
		c.fail("ERR unknown subcommand '" + c.args[1] + "'. Try XGROUP HELP.")
		return
	case !(&spec{arity: want}).arityOK(len(c.args)):
		c.fail(wrongArity("xgroup|" + sub))
		return
	case sub == "SETID":
		c.fail("ERR XGROUP SETID is not supported offline")
		return
	case sub != "CREATE":
		c.timedPass(c.args...)
		return
	}
	args := append([]string(nil), c.args...)
	en := c.e.find(c.db, args[2])
	if args[4] == "$" {
		args[4] = "0-0"
		if en != nil && en.kind == "stream" {
			args[4] = en.lastID
		}
	} else if id, ok := parseStreamID(args[4], 0); ok {
		args[4] = id.String()
	} else {
		c.fail(errStreamID)
		return
	}
	for i := 5; i < len(args); i++ {
		switch opt := strings.ToUpper(args[i]); {
		case opt == "MKSTREAM":
		case opt == "ENTRIESREAD" && i+1 < len(args):
			args = append(args[:i], args[i+2:]...)
			i--
		default:
			c.fail(errSyntax)
			return
		}
	}
	c.timedPass(args...)
}

// claimed journals entries taken over at this moment, whatever their idle time
// will be at the replay.
func (c *call) claimed(key, group, consumer string, ids []string) {
	for _, id := range ids {
		v := c.ask("XPENDING", key, group, id, id, "1")
		if len(v.list) == 1 {
			c.effect("XCLAIM", key, group, consumer, "0", id, "TIME", strconv.FormatInt(c.e.nowMS, 10),
				"RETRYCOUNT", strconv.FormatInt(v.list[0].list[3].num, 10), "FORCE", "JUSTID")
		}
	}
}

// xclaim keeps only the ids that are idle for long enough, which miniredis does
// not look at.
func (c *call) xclaim() {
	minIdle, ok := parseInt(c.args[4])
	if !ok {
		c.fail("ERR Invalid min-idle-time argument for XCLAIM")
		return
	}
	if minIdle <= 0 {
		c.timedPass(c.args...)
		c.e.noteTime()
		return
	}
	c.e.noteTime()
	c.e.streamTime("XPENDING")
	args := append([]string(nil), c.args[:5]...)
	i, kept := 5, 0
	for ; i < len(c.args); i++ {
		if _, ok := parseStreamID(c.args[i], 0); !ok {
			break
		}
		v := c.ask("XPENDING", c.args[1], c.args[2], c.args[i], c.args[i], "1")
		if len(v.list) == 1 && v.list[0].list[2].num < minIdle {
			continue
		}
		args = append(args, c.args[i])
		kept++
	}
	c.e.streamTime("")
	c.noEffect()
	if kept == 0 {
		args = append(args, "0-0") // pending in no group
	}
	args = append(args, c.args[i:]...)
	args[4] = "0"
	c.timedPass(args...)
	if !c.failed() {
		c.effect(args...)
	}
}

// xautoclaim is journaled as the XCLAIMs that it amounts to.
func (c *call) xautoclaim() {
	c.e.noteTime()
	c.timedPass(c.args...)
	c.noEffect()
	if c.failed() {
		return
	}
	v, _ := parseReply(c.reply)
	var ids []string
	for _, el := range v.list[1].list {
		if len(el.list) > 0 {
			el = el.list[0]
		}
		ids = append(ids, el.str)
	}
	c.claimed(c.args[1], c.args[2], c.args[3], ids)
}

func (c *call) xinfo() { c.timed() }
