package engine

import (
	"math"
	"strings"

	"holdfast/backend/command"
	"holdfast/fallback/engine/lua"
)

// redisModule is the table redis of scripts.
func (e *Engine) redisModule() *lua.Table {
	t := lua.NewTable()
	for name, fn := range map[string]lua.Native{
		"call":          func(l *lua.State, args []lua.Value) []lua.Value { return e.redisCall(l, args, true) },
		"pcall":         func(l *lua.State, args []lua.Value) []lua.Value { return e.redisCall(l, args, false) },
		"setresp":       e.setResp,
		"sha1hex":       redisSha1,
		"error_reply":   redisErrorReply,
		"status_reply":  redisStatusReply,
		"set_repl":      e.setRepl,
		"acl_check_cmd": e.aclCheck,
	} {
		t.Set(name, lua.NewFunction(fn))
	}
	for name, n := range map[string]float64{"REPL_NONE": 0, "REPL_AOF": 1, "REPL_SLAVE": 2, "REPL_REPLICA": 2, "REPL_ALL": 3} {
		t.Set(name, n)
	}
	setLog(t)
	setVersion(t)
	return t
}

func setVersion(t *lua.Table) {
	t.Set("REDIS_VERSION", "7.0.15")
	t.Set("REDIS_VERSION_NUM", float64(0x07000f))
}

// setLog adds redis.log, which checks its arguments and logs nothing: what scripts
// log is for the log of Redis.
func setLog(t *lua.Table) {
	for i, name := range []string{"LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"} {
		t.Set(name, float64(i))
	}
	t.Set("log", lua.NewFunction(func(l *lua.State, args []lua.Value) []lua.Value {
		if len(args) < 2 {
			return raise(l, "redis.log() requires two arguments or more.")
		}
		level, ok := lua.ToNumber(args[0])
		if !ok {
			return raise(l, "First argument must be a number (log level).")
		}
		if n := int32(level); n < 0 || n > 3 {
			return raise(l, "Invalid debug level.")
		}
		return nil
	}))
}

// errorTable is an error as redis.pcall gives it. A text that begins with "-" has a
// code.
func errorTable(text string) *lua.Table {
	code, msg := "ERR", text
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		if before, after, found := strings.Cut(rest, " "); found {
			code, msg = before, after
		} else {
			msg = rest
		}
	}
	t := lua.NewTable()
	t.Set("err", code+" "+strings.Trim(msg, "\r\n"))
	return t
}

// raise ends the script, or the pcall around it, with an error of Redis.
func raise(l *lua.State, text string) []lua.Value { return l.Raise(errorTable(text)) }

func (e *Engine) setResp(l *lua.State, args []lua.Value) []lua.Value {
	if e.run == nil {
		return raise(l, "redis.setresp can only be called inside a script invocation")
	}
	if len(args) != 1 {
		return raise(l, "redis.setresp() requires one argument.")
	}
	f, _ := lua.ToNumber(args[0])
	n := int(f)
	if n != 2 && n != 3 {
		return raise(l, "RESP version must be 2 or 3.")
	}
	e.run.proto = n
	return nil
}

// setRepl checks its argument. What a script journals does not depend on it: Redis
// decides when the script runs there.
func (e *Engine) setRepl(l *lua.State, args []lua.Value) []lua.Value {
	if e.run == nil {
		return raise(l, "redis.set_repl can only be called inside a script invocation")
	}
	if len(args) != 1 {
		return raise(l, "redis.set_repl() requires two arguments.")
	}
	f, _ := lua.ToNumber(args[0])
	if int32(f)&^3 != 0 {
		return raise(l, "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
	}
	return nil
}

func redisSha1(l *lua.State, args []lua.Value) []lua.Value {
	if len(args) != 1 {
		return raise(l, "wrong number of arguments")
	}
	s, _ := lua.ToString(args[0])
	return l.Return(sha1Hex(s))
}

func redisErrorReply(l *lua.State, args []lua.Value) []lua.Value {
	msg, ok := argString(args)
	if !ok {
		return l.Return(errorTable("wrong number or type of arguments"))
	}
	return l.Return(errorTable("-" + strings.TrimPrefix(cString(msg), "-")))
}

func redisStatusReply(l *lua.State, args []lua.Value) []lua.Value {
	msg, ok := argString(args)
	if !ok {
		return l.Return(errorTable("wrong number or type of arguments"))
	}
	t := lua.NewTable()
	t.Set("ok", msg)
	return l.Return(t)
}

func argString(args []lua.Value) (string, bool) {
	if len(args) != 1 {
		return "", false
	}
	s, ok := args[0].(string)
	return s, ok
}

// cString ends where a string of C does.
func cString(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return s
}

var (
	errNoArgument = refusal("Please specify at least one argument for this redis lib call")
	errArgument   = refusal("Lua redis lib command arguments must be strings or integers")
)

// commandArgs are the arguments of a command that a script calls.
func commandArgs(values []lua.Value) ([]string, error) {
	if len(values) == 0 {
		return nil, errNoArgument
	}
	args := make([]string, len(values))
	for i, v := range values {
		switch a := v.(type) {
		case string:
			args[i] = a
		case float64:
			args[i] = lua.FormatNumber(a, 17)
		default:
			return nil, errArgument
		}
	}
	return args, nil
}

// redisCall is redis.call and redis.pcall, which differ in what becomes of an
// error.
func (e *Engine) redisCall(l *lua.State, values []lua.Value, raises bool) []lua.Value {
	if e.run == nil {
		return raise(l, "redis.call/pcall can only be called inside a script invocation")
	}
	report := func(t *lua.Table) []lua.Value {
		if raises {
			return l.Raise(t)
		}
		return l.Return(t)
	}
	l.Look()
	args, err := commandArgs(values)
	if err != nil {
		return report(errorTable(err.Error()))
	}
	if text := e.run.refuses(args); text != "" {
		return report(commandError(text))
	}
	v := e.nested(args)
	if v.isErr() {
		return report(commandError("-" + v.str))
	}
	return l.Return(toLua(l, v, e.run.proto))
}

// commandError is the error of a command; scripts see also what Redis notes in it.
func commandError(text string) *lua.Table {
	t := errorTable(text)
	t.Set("ignore_error_stats_update", true)
	return t
}

// refuses is the error for a command that no script may call, "" for others.
func (r *scriptRun) refuses(args []string) string {
	name, _, _ := strings.Cut(args[0], "|")
	c, known := command.Lookup(toBytes(args))
	sp := lookup(name)
	switch {
	case sp == nil && !known:
		return "Unknown Redis command called from script"
	case known && !c.ArityOK(len(args)), sp != nil && !sp.arityOK(len(args)):
		return "Wrong number of args calling Redis command from script"
	case known && c.Flags&command.NoScript != 0:
		return "This Redis command is not allowed from script"
	case sp == nil:
		return "command '" + strings.ToLower(args[0]) + "' is not supported offline"
	case known && c.Flags&command.DenyOOM != 0 && r.lacksMemory():
		return "-" + errOutOfSpace
	case known && r.readOnly && c.Flags&(command.MayReplicate|command.Write) != 0:
		return "Write commands are not allowed from read-only scripts."
	case blocksStream(name, args):
		return strings.ToLower(name) + " command is not allowed with BLOCK option from scripts"
	}
	return ""
}

// blocksStream reports whether the command reads streams and asks to wait.
func blocksStream(name string, args []string) bool {
	if !strings.EqualFold(name, "xread") && !strings.EqualFold(name, "xreadgroup") {
		return false
	}
	for _, a := range args[1:] {
		if strings.EqualFold(a, "streams") {
			return false
		}
		if strings.EqualFold(a, "block") {
			return true
		}
	}
	return false
}

// aclCheck is redis.acl_check_cmd. Who asks was let in by whoever owns the engine,
// so every command that there is is allowed.
func (e *Engine) aclCheck(l *lua.State, values []lua.Value) []lua.Value {
	if e.run == nil {
		return raise(l, "redis.acl_check_cmd can only be called inside a script invocation")
	}
	args, err := commandArgs(values)
	if err != nil {
		return raise(l, err.Error())
	}
	if _, known := command.Lookup(toBytes(args)); !known && lookup(args[0]) == nil {
		return raise(l, "Invalid command passed to redis.acl_check_cmd()")
	}
	return l.Return(true)
}

// JournalEffects lets the script that runs be journaled as what it called instead
// of as itself. For Config.Access.
func (e *Engine) JournalEffects() { e.noteTime() }

// nested executes a command of the script and collects its effects.
func (e *Engine) nested(args []string) value {
	run := e.run
	c := &call{e: e, db: run.db, proto: run.proto, args: args, argv: toBytes(args)}
	e.exec(c)
	run.effects = append(run.effects, c.effects...)
	v, _ := parseReply(c.reply)
	return v
}

// math.random is the drand48 of POSIX, as in Redis. A script that calls it is
// journaled by its effects.

func (e *Engine) drand48() uint64 {
	e.rand48 = (e.rand48*0x5DEECE66D + 0xB) & (1<<48 - 1)
	return e.rand48 >> 17
}

func (e *Engine) mathSeed(l *lua.State, args []lua.Value) []lua.Value {
	if e.run == nil {
		return l.Errorf("math.randomseed can only be called inside a script invocation")
	}
	e.run.seeded = true
	e.rand48 = uint64(uint32(int32(l.CheckInt(args, 1))))<<16 + 0x330E
	return nil
}

func (e *Engine) mathRandom(l *lua.State, args []lua.Value) []lua.Value {
	if e.run == nil {
		return l.Errorf("math.random can only be called inside a script invocation")
	}
	if !e.run.seeded { // what follows a seed is the same everywhere
		e.noteTime()
	}
	const limit = math.MaxInt32
	x := float64(e.drand48()%limit) / limit
	lo, hi := 1, 0
	switch len(args) {
	case 0:
		return l.Return(x)
	case 1:
		hi = l.CheckInt(args, 1)
	case 2:
		lo, hi = l.CheckInt(args, 1), l.CheckInt(args, 2)
	default:
		return l.Errorf("wrong number of arguments")
	}
	if lo > hi {
		l.ArgError(len(args), "interval is empty")
	}
	return l.Return(lua.Number(math.Floor(x*float64(hi-lo+1)) + float64(lo)))
}

// clock is os.clock.
func (e *Engine) clock(l *lua.State, _ []lua.Value) []lua.Value {
	e.noteTime()
	return l.Return(float64(e.cfg.Now().UnixMicro()%1e12) / 1e6)
}
