package engine

import (
	"strconv"
	"strings"

	"holdfast/fallback/engine/lua"
)

// toLua converts a reply of a command to a Lua value; proto is what redis.setresp
// has chosen.
func toLua(l *lua.State, v value, proto int) lua.Value {
	switch v.kind {
	case ':':
		return lua.Number(float64(v.num))
	case '$':
		l.Charge(len(v.str))
		return v.str
	case '-':
		return commandError("-" + v.str)
	case '+':
		return luaField("ok", v.str)
	case '(':
		return luaField("big_number", v.str)
	case '=':
		t := lua.NewTable()
		t.Set("string", v.str[min(4, len(v.str)):])
		t.Set("format", v.str[:min(3, len(v.str))])
		return luaField("verbatim_string", t)
	case '*', '>':
		l.Charge(96 + 16*len(v.list))
		t := lua.NewTable()
		for i, el := range v.list {
			t.SetInt(i+1, toLua(l, el, proto))
		}
		return t
	case '%', '~':
		return toLuaPairs(l, v, proto)
	case ',':
		f, _ := strconv.ParseFloat(v.str, 64)
		return luaField("double", f)
	case '#':
		return v.str == "t"
	}
	if proto == 3 {
		return nil
	}
	return false
}

// field is a table of one field.
func luaField(name string, v lua.Value) *lua.Table {
	t := lua.NewTable()
	t.Set(name, v)
	return t
}

// toLuaPairs converts a map or a set.
func toLuaPairs(l *lua.State, v value, proto int) lua.Value {
	l.Charge(96 + 40*len(v.list))
	inner, step, name := lua.NewTable(), 2, "map"
	if v.kind == '~' {
		step, name = 1, "set"
	}
	for i := 0; i+step <= len(v.list); i += step {
		k, val := toLua(l, v.list[i], proto), lua.Value(true)
		if step == 2 {
			val = toLua(l, v.list[i+1], proto)
		}
		l.RawSet(inner, k, val)
	}
	return luaField(name, inner)
}

// maxReplySlots is how many places of Lua's stack a reply may take in Redis, so how
// deep tables may nest: a table may contain itself. An element of a list takes one, a
// key of a map four, its value three.
const maxReplySlots = 7994

// luaReply writes what a script returned. budget is the memory that the reply may
// take, which a table that contains itself many times would fill.
type luaReply struct {
	l     *lua.State
	r     *replyBuf
	proto int // of the script
	asked int
}

func (w *luaReply) value(v lua.Value, slots int) {
	if slots > maxReplySlots {
		w.r.fail("ERR reached lua stack limit")
		return
	}
	w.l.Look()
	if n := len(w.r.b) - w.asked; n > 1<<20 {
		w.l.Charge(2 * n)
		w.asked = len(w.r.b)
	}
	switch t := v.(type) {
	case string:
		w.r.bulk(t)
	case float64:
		w.r.integer(lua.ToInteger(t))
	case bool:
		w.bool(t)
	case *lua.Table:
		w.table(t, slots)
	default:
		w.r.null()
	}
}

func (w *luaReply) bool(b bool) {
	switch {
	case w.proto == 3 && w.r.v3:
		w.r.b = append(w.r.b, "#"+map[bool]string{true: "t", false: "f"}[b]+"\r\n"...)
	case b:
		w.r.integer(1)
	case w.proto == 3:
		w.r.integer(0)
	default:
		w.r.null()
	}
}

// line makes a text fit for a reply of one line.
func line(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }

func (w *luaReply) table(t *lua.Table, slots int) {
	if s, ok := t.Get("err").(string); ok {
		w.r.fail(s)
		return
	}
	if s, ok := t.Get("ok").(string); ok {
		w.r.status(line(cString(s)))
		return
	}
	if f, ok := t.Get("double").(float64); ok {
		w.r.double(f)
		return
	}
	if s, ok := t.Get("big_number").(string); ok {
		w.bigNumber(line(s))
		return
	}
	if in, ok := t.Get("verbatim_string").(*lua.Table); ok && w.verbatim(in) {
		return
	}
	for _, name := range []string{"map", "set"} {
		if inner, ok := t.Get(name).(*lua.Table); ok {
			w.pairs(inner, name == "map", slots)
			return
		}
	}
	n := 0
	for t.Int(n+1) != nil {
		n++
	}
	w.r.array(n)
	for i := 1; i <= n; i++ {
		w.value(t.Int(i), slots+1)
	}
}

func (w *luaReply) bigNumber(s string) {
	if !w.r.v3 {
		w.r.bulk(s)
		return
	}
	w.r.b = append(w.r.b, "("+s+"\r\n"...)
}

func (w *luaReply) verbatim(t *lua.Table) bool {
	format, ok1 := t.Get("format").(string)
	s, ok2 := t.Get("string").(string)
	if !ok1 || !ok2 {
		return false
	}
	if !w.r.v3 {
		w.r.bulk(s)
		return true
	}
	format = (format + "   ")[:3]
	w.r.b = append(w.r.b, "="+strconv.Itoa(len(s)+4)+"\r\n"+format+":"+s+"\r\n"...)
	return true
}

func (w *luaReply) pairs(t *lua.Table, isMap bool, slots int) {
	n := 0
	for k, _, _ := t.Next(nil); k != nil; k, _, _ = t.Next(k) {
		n++
	}
	if isMap {
		w.r.mapLen(n)
	} else {
		w.r.setLen(n)
	}
	for k, v, _ := t.Next(nil); k != nil; k, v, _ = t.Next(k) {
		if !isMap {
			w.value(k, slots+3)
			continue
		}
		w.value(k, slots+4)
		w.value(v, slots+3)
	}
}
