package engine

import (
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// redisModule is the table redis of scripts.
func (s *luaState) redisModule() *lua.LTable {
	t := s.l.NewTable()
	s.l.SetFuncs(t, map[string]lua.LGFunction{
		"call":  func(l *lua.LState) int { return s.redisCall(l, true) },
		"pcall": func(l *lua.LState) int { return s.redisCall(l, false) },
		"sha1hex": func(l *lua.LState) int {
			if l.GetTop() != 1 {
				return s.raise(l, "ERR wrong number of arguments")
			}
			l.Push(lua.LString(sha1Hex(lua.LVAsString(l.Get(1)))))
			return 1
		},
		"error_reply": func(l *lua.LState) int {
			msg, ok := l.Get(1).(lua.LString)
			if !ok || l.GetTop() != 1 {
				return pushErr(l, "ERR wrong number or type of arguments")
			}
			text := strings.TrimPrefix(string(msg), "-")
			if !strings.Contains(text, " ") {
				text = "ERR " + text
			}
			return pushErr(l, text)
		},
		"status_reply": func(l *lua.LState) int {
			msg, ok := l.Get(1).(lua.LString)
			if !ok || l.GetTop() != 1 {
				return pushErr(l, "ERR wrong number or type of arguments")
			}
			res := l.NewTable()
			res.RawSetString("ok", msg)
			l.Push(res)
			return 1
		},
		"setresp": func(l *lua.LState) int {
			n := l.CheckInt(1)
			if n != 2 && n != 3 {
				return s.raise(l, "ERR RESP version must be 2 or 3.")
			}
			s.call.e.run.proto = n
			return 0
		},
		"log":                func(*lua.LState) int { return 0 },
		"set_repl":           func(*lua.LState) int { return 0 },
		"breakpoint":         func(l *lua.LState) int { l.Push(lua.LFalse); return 1 },
		"replicate_commands": func(l *lua.LState) int { l.Push(lua.LTrue); return 1 },
	})
	for name, n := range map[string]int{"LOG_DEBUG": 0, "LOG_VERBOSE": 1, "LOG_NOTICE": 2, "LOG_WARNING": 3,
		"REPL_NONE": 0, "REPL_AOF": 1, "REPL_SLAVE": 2, "REPL_REPLICA": 2, "REPL_ALL": 3} {
		t.RawSetString(name, lua.LNumber(n))
	}
	t.RawSetString("REDIS_VERSION", lua.LString("7.0.15"))
	t.RawSetString("REDIS_VERSION_NUM", lua.LNumber(0x07000f))
	return t
}

func errTable(l *lua.LState, msg string) *lua.LTable {
	t := l.NewTable()
	t.RawSetString("err", lua.LString(msg))
	return t
}

func pushErr(l *lua.LState, msg string) int {
	l.Push(errTable(l, msg))
	return 1
}

// raise ends the script, or the pcall around it, with a Redis error.
func (s *luaState) raise(l *lua.LState, msg string) int {
	t := errTable(l, msg)
	t.RawSetString("place", lua.LString(lineOf(l)))
	l.Error(t, 0)
	return 0
}

// luaPcall is Lua's pcall; as in Redis, the error of redis.call comes out of it
// as a string.
func luaPcall(l *lua.LState) int {
	l.CheckFunction(1)
	err := l.PCall(l.GetTop()-1, lua.MultRet, nil)
	if err == nil {
		l.Insert(lua.LTrue, 1)
		return l.GetTop()
	}
	obj := lua.LValue(lua.LString(err.Error()))
	if api, ok := err.(*lua.ApiError); ok && api.Object != nil {
		obj = api.Object
	}
	if t, ok := obj.(*lua.LTable); ok {
		if msg, ok := t.RawGetString("err").(lua.LString); ok {
			obj = msg
		}
	}
	l.Push(lua.LFalse)
	l.Push(obj)
	return 2
}

// redisCall is redis.call and redis.pcall, which differ in what becomes of an
// error.
func (s *luaState) redisCall(l *lua.LState, raise bool) int {
	report := func(msg string) int {
		if raise {
			return s.raise(l, msg)
		}
		return pushErr(l, msg)
	}
	n := l.GetTop()
	if n == 0 {
		return report("ERR Please specify at least one argument for this redis lib call")
	}
	args := make([]string, n)
	for i := range args {
		switch a := l.Get(i + 1).(type) {
		case lua.LString:
			args[i] = string(a)
		case lua.LNumber:
			args[i] = formatNumber(float64(a), 17)
		default:
			return report("ERR Lua redis lib command arguments must be strings or integers")
		}
	}
	switch sp := lookup(args[0]); {
	case sp == nil:
		return report("ERR Unknown Redis command called from script")
	case !sp.arityOK(len(args)):
		return report("ERR Wrong number of args calling Redis command from script")
	}
	v := s.nested(args)
	if v.isErr() {
		return report(v.str)
	}
	l.Push(toLua(l, v))
	return 1
}

// JournalEffects lets the script that runs be journaled as what it called instead
// of as itself. For Config.Access.
func (e *Engine) JournalEffects() { e.noteTime() }

// nested executes a command of the script and collects its effects.
func (s *luaState) nested(args []string) value {
	run := s.call.e.run
	c := &call{e: s.call.e, db: run.db, proto: run.proto, args: args, argv: toBytes(args)}
	c.e.exec(c)
	run.effects = append(run.effects, c.effects...)
	v, _ := parseReply(c.reply)
	return v
}

// toLua converts a reply to a Lua value.
func toLua(l *lua.LState, v value) lua.LValue {
	switch v.kind {
	case ':':
		return lua.LNumber(v.num)
	case '$', '=':
		return lua.LString(v.str)
	case '+', '-':
		t := l.NewTable()
		t.RawSetString(map[byte]string{'+': "ok", '-': "err"}[v.kind], lua.LString(v.str))
		return t
	case '*', '>':
		t := l.CreateTable(len(v.list), 0)
		for i, el := range v.list {
			t.RawSetInt(i+1, toLua(l, el))
		}
		return t
	case '%', '~':
		t, inner := l.NewTable(), l.NewTable()
		step, name := 2, "map"
		if v.kind == '~' {
			step, name = 1, "set"
		}
		for i := 0; i < len(v.list); i += step {
			val := lua.LValue(lua.LTrue)
			if step == 2 {
				val = toLua(l, v.list[i+1])
			}
			l.RawSet(inner, toLua(l, v.list[i]), val)
		}
		t.RawSetString(name, inner)
		return t
	case ',':
		f, _ := strconv.ParseFloat(v.str, 64)
		t := l.NewTable()
		t.RawSetString("double", lua.LNumber(f))
		return t
	case '#':
		return lua.LBool(v.str == "t")
	}
	return lua.LFalse // nil, as in RESP2
}

// maxReplyDepth bounds the nesting of a reply: a table may contain itself.
const maxReplyDepth = 200

// luaReply writes what a script returned.
func luaReply(l *lua.LState, r *replyBuf, v lua.LValue, proto int) { luaReplyAt(l, r, v, proto, 0) }

func luaReplyAt(l *lua.LState, r *replyBuf, v lua.LValue, proto, depth int) {
	if depth > maxReplyDepth {
		r.fail("ERR reached lua stack limit")
		return
	}
	switch t := v.(type) {
	case lua.LString:
		r.bulk(string(t))
	case lua.LNumber:
		r.integer(luaInteger(float64(t)))
	case lua.LBool:
		switch {
		case proto == 3 && r.v3:
			r.b = append(r.b, "#"+map[bool]string{true: "t", false: "f"}[bool(t)]+"\r\n"...)
		case bool(t):
			r.integer(1)
		default:
			r.null()
		}
	case *lua.LTable:
		luaTableReply(l, r, t, proto, depth)
	default:
		r.null()
	}
}

// luaInteger cuts off a float's fraction as C does on the usual machines.
func luaInteger(f float64) int64 {
	if f != f || f >= math.MaxInt64 || f <= math.MinInt64 {
		return math.MinInt64
	}
	return int64(f)
}

func luaTableReply(l *lua.LState, r *replyBuf, t *lua.LTable, proto, depth int) {
	if s, ok := t.RawGetString("err").(lua.LString); ok {
		r.fail(strings.TrimPrefix(string(s), "-"))
		return
	}
	if s, ok := t.RawGetString("ok").(lua.LString); ok {
		r.status(string(s))
		return
	}
	if f, ok := t.RawGetString("double").(lua.LNumber); ok {
		r.double(float64(f))
		return
	}
	for _, name := range []string{"map", "set"} {
		inner, ok := t.RawGetString(name).(*lua.LTable)
		if !ok {
			continue
		}
		n := 0
		inner.ForEach(func(lua.LValue, lua.LValue) { n++ })
		if name == "map" {
			r.mapLen(n)
		} else {
			r.setLen(n)
		}
		inner.ForEach(func(k, v lua.LValue) {
			luaReplyAt(l, r, k, proto, depth+1)
			if name == "map" {
				luaReplyAt(l, r, v, proto, depth+1)
			}
		})
		return
	}
	n := 0
	for t.RawGetInt(n+1) != lua.LNil {
		n++
	}
	r.array(n)
	for i := 1; i <= n; i++ {
		luaReplyAt(l, r, t.RawGetInt(i), proto, depth+1)
	}
}

// math.random is the drand48 of POSIX, as in Redis. A script that calls it is
// journaled by its effects.

func (s *luaState) next() uint64 {
	s.rand = (s.rand*0x5DEECE66D + 0xB) & (1<<48 - 1)
	return s.rand >> 17
}

func (s *luaState) mathSeed(l *lua.LState) int {
	s.rand = uint64(uint32(int32(l.CheckInt64(1))))<<16 + 0x330E
	return 0
}

func (s *luaState) mathRandom(l *lua.LState) int {
	const limit = math.MaxInt32
	s.call.e.noteTime()
	x := float64(s.next()%limit) / limit
	lo, hi := 1, 0
	switch l.GetTop() {
	case 0:
		l.Push(lua.LNumber(x))
		return 1
	case 1:
		hi = l.CheckInt(1)
	case 2:
		lo, hi = l.CheckInt(1), l.CheckInt(2)
	default:
		l.RaiseError("wrong number of arguments")
	}
	if lo > hi {
		l.ArgError(l.GetTop(), "interval is empty")
	}
	l.Push(lua.LNumber(math.Floor(x*float64(hi-lo+1)) + float64(lo)))
	return 1
}

// clock is os.clock.
func (s *luaState) clock(l *lua.LState) int {
	s.call.e.noteTime()
	l.Push(lua.LNumber(float64(s.call.e.cfg.Now().UnixMicro()%1e12) / 1e6))
	return 1
}
