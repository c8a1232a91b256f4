package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// scriptTimeout is how long a script may run; then it fails and is undone, for
// it holds up everybody else.
const scriptTimeout = 5 * time.Second

// errScriptTime ends a script at Config.Deadline.
var errScriptTime = errors.New("UPSTREAMDOWN the script takes longer than a command may while Redis is unavailable: nothing of it was executed")

// luaState is one Lua machine, used by one script after another: scripts cannot
// make globals, so nothing of one is left for the next.
type luaState struct {
	l     *lua.LState
	call  *call // the EVAL being executed
	sha   string
	rand  uint64
	cache map[string]*lua.FunctionProto // compiled scripts by SHA-1
}

func (s *luaState) close() { s.l.Close() }

// luaCalls is how deep functions may call each other. Redis allows more, but here
// the time that a deep recursion through pcall takes grows with its square.
const luaCalls = 2000

// maxCompiled bounds the compiled scripts that are kept.
const maxCompiled = 500

func compileScript(body string) (*lua.FunctionProto, error) {
	chunk, err := parse.Parse(strings.NewReader(body), "user_script")
	if err != nil {
		return nil, err
	}
	return lua.Compile(chunk, "user_script")
}

// parseErrorForm is how the parser reports where and what it did not understand.
var parseErrorForm = regexp.MustCompile(`(?s)line:(\d+)\(column:\d+\) near '(.*?)':`)

// compileError is Redis's error for a script that does not compile, or "".
func compileError(body string) string {
	_, err := compileScript(body)
	if err == nil {
		return ""
	}
	return "ERR Error compiling script (new function): " + compileMessage(err)
}

// compileMessage words a parser's error as Lua does, as far as it can be known.
func compileMessage(err error) string {
	text := err.Error()
	if m := parseErrorForm.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("user_script:%s: '=' expected near '%s'", m[1], m[2])
	}
	if strings.Contains(text, "EOF") {
		return "user_script:1: unexpected symbol near '<eof>'"
	}
	return "user_script:1: " + strings.TrimSpace(text)
}

func newLuaState() *luaState {
	s := &luaState{cache: map[string]*lua.FunctionProto{}}
	l := lua.NewState(lua.Options{SkipOpenLibs: true, CallStackSize: luaCalls, MinimizeStackMemory: true,
		RegistrySize: 1 << 10, RegistryMaxSize: 1 << 20, RegistryGrowStep: 16 << 10})
	s.l = l
	for _, lib := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable},
		{lua.StringLibName, lua.OpenString}, {lua.MathLibName, lua.OpenMath}, {lua.CoroutineLibName, lua.OpenCoroutine},
	} {
		l.Push(l.NewFunction(lib.open))
		l.Push(lua.LString(lib.name))
		l.Call(1, 0)
	}
	for _, name := range []string{"dofile", "loadfile", "print", "require", "module", "newproxy", "_printregs", "collectgarbage"} {
		l.SetGlobal(name, lua.LNil)
	}
	l.SetGlobal("redis", s.redisModule())
	l.SetGlobal("server", l.GetGlobal("redis"))
	l.SetGlobal("cjson", cjsonModule(l))
	l.SetGlobal("bit", bitModule(l))
	os := l.NewTable()
	l.SetFuncs(os, map[string]lua.LGFunction{"clock": s.clock})
	l.SetGlobal("os", os)
	l.SetGlobal("tostring", l.NewFunction(luaToString))
	l.SetGlobal("pcall", l.NewFunction(luaPcall))
	l.SetGlobal("error", l.NewFunction(luaError))
	s.openOrder()
	s.openString()
	s.openCoroutine()
	mathLib, _ := l.GetGlobal("math").(*lua.LTable)
	l.SetFuncs(mathLib, map[string]lua.LGFunction{"random": s.mathRandom, "randomseed": s.mathSeed})
	l.SetGlobal("KEYS", l.NewTable())
	l.SetGlobal("ARGV", l.NewTable())
	s.protect()
	return s
}

// openOrder makes scripts that go through a table by pairs or next unsure: Redis
// does it in another order, and a list pushed in it would be another list there.
func (s *luaState) openOrder() {
	step, _ := s.l.GetGlobal("next").(*lua.LFunction)
	s.l.SetGlobal("next", s.l.NewFunction(func(l *lua.LState) int {
		s.call.e.noteTime()
		return step.GFunction(l)
	}))
	s.l.SetGlobal("pairs", s.l.NewFunction(func(l *lua.LState) int {
		s.call.e.noteTime()
		t := l.CheckTable(1)
		l.Push(step)
		l.Push(t)
		l.Push(lua.LNil)
		return 3
	}))
}

// maxCoroutines is how deep coroutines may run each other, as in Redis.
const maxCoroutines = 200

// openCoroutine bounds them: each has a stack of its own, and in the time that a
// script has a recursion fills the memory.
func (s *luaState) openCoroutine() {
	t, _ := s.l.GetGlobal(lua.CoroutineLibName).(*lua.LTable)
	for _, name := range []string{"create", "wrap"} {
		make, _ := t.RawGetString(name).(*lua.LFunction)
		t.RawSetString(name, s.l.NewFunction(func(l *lua.LState) int {
			depth := 0
			for p := l.Parent; p != nil; p = p.Parent {
				if depth++; depth >= maxCoroutines {
					l.RaiseError("C stack overflow")
				}
			}
			return make.GFunction(l)
		}))
	}
}

// protect makes unknown globals errors and new ones impossible.
func (s *luaState) protect() {
	mt := s.l.NewTable()
	s.l.SetFuncs(mt, map[string]lua.LGFunction{
		"__newindex": func(l *lua.LState) int {
			l.RaiseError("Attempt to modify a readonly table")
			return 0
		},
		"__index": func(l *lua.LState) int {
			l.RaiseError("Script attempted to access nonexistent global variable '%s'", l.Get(2).String())
			return 0
		},
	})
	s.l.SetMetatable(s.l.G.Global, mt)
}

func luaToString(l *lua.LState) int {
	if n, ok := l.CheckAny(1).(lua.LNumber); ok {
		l.Push(lua.LString(formatNumber(float64(n), 14)))
		return 1
	}
	l.Push(l.ToStringMeta(l.CheckAny(1)))
	return 1
}

// luaError is Lua's error; tables get their place as Redis's handler adds it.
func luaError(l *lua.LState) int {
	if t, ok := l.Get(1).(*lua.LTable); ok {
		if t.RawGetString("err") != lua.LNil {
			t.RawSetString("place", lua.LString(lineOf(l)))
		}
		l.Error(t, 0)
		return 0
	}
	level := l.OptInt(2, 1)
	l.Error(l.Get(1), level)
	return 0
}

// lineOf is the line of the script that called the running Go function.
func lineOf(l *lua.LState) string {
	for level := 1; level < 4; level++ {
		if parts := strings.Split(l.Where(level), ":"); len(parts) > 1 && parts[0] == "user_script" {
			return parts[1]
		}
	}
	return ""
}

// formatNumber prints a float as C's %.<digits>g.
func formatNumber(f float64, digits int) string {
	if f == float64(int64(f)) && f < 1e14 && f > -1e14 && !(f == 0 && math.Signbit(f)) {
		return strconv.FormatInt(int64(f), 10)
	}
	s := strconv.FormatFloat(f, 'g', digits, 64)
	switch s {
	case "+Inf":
		return "inf"
	case "-Inf":
		return "-inf"
	case "NaN":
		return "nan"
	}
	mantissa, exp, hasExp := strings.Cut(s, "e")
	if strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}
	if hasExp {
		return mantissa + "e" + exp
	}
	return mantissa
}

// runScript executes a script and leaves its reply in c.
func (c *call) runScript(run *scriptRun, sha, body string, keys int) {
	e := c.e
	if e.lua == nil {
		e.lua = newLuaState()
	}
	s := e.lua
	s.rand ^= e.random
	proto := s.cache[sha]
	if proto == nil {
		var err error
		if proto, err = compileScript(body); err != nil {
			c.fail("ERR Error compiling script (new function): " + compileMessage(err))
			return
		}
		if len(s.cache) >= maxCompiled {
			clear(s.cache)
		}
		s.cache[sha] = proto
	}
	e.scripts.keep(sha, body)
	ctx, cancel := context.WithTimeout(context.Background(), e.scriptTimeout)
	defer cancel()
	if e.cfg.Deadline != nil {
		if at := e.cfg.Deadline(); !at.IsZero() {
			ctx, cancel = context.WithDeadlineCause(ctx, at, errScriptTime)
			defer cancel()
		}
	}
	s.l.SetContext(ctx)
	s.call, s.sha, e.run = c, sha, run
	defer func() {
		s.call, e.run = nil, nil
		if r := recover(); r != nil || ctx.Err() != nil {
			// The machine may be in any state: the next script gets a new one.
			s.close()
			e.lua = nil
			if r != nil {
				c.fail("ERR this script is not supported offline")
			}
		}
	}()
	s.l.G.Global.RawSetString("KEYS", stringTable(s.l, c.args[3:3+keys]))
	s.l.G.Global.RawSetString("ARGV", stringTable(s.l, c.args[3+keys:]))
	s.l.Push(s.l.NewFunctionFromProto(proto))
	err := s.l.PCall(0, 1, nil)
	if err != nil && context.Cause(ctx) == errScriptTime {
		c.fail(errScriptTime.Error())
		return
	}
	if err != nil {
		c.fail(s.errorText(err))
		s.l.SetTop(0)
		return
	}
	r := c.buf()
	luaReply(s.l, r, s.l.Get(-1), run.proto)
	c.reply = r.b
	s.l.SetTop(0)
}

func stringTable(l *lua.LState, list []string) *lua.LTable {
	t := l.CreateTable(len(list), 0)
	for _, s := range list {
		t.Append(lua.LString(s))
	}
	return t
}

var errorPlace = regexp.MustCompile(`^user_script:(\d+): `)

// errorText words an error that a script did not catch as Redis does.
func (s *luaState) errorText(err error) string {
	msg, line := "ERR "+err.Error(), ""
	if api, ok := err.(*lua.ApiError); ok {
		switch obj := api.Object.(type) {
		case *lua.LTable:
			msg = obj.RawGetString("err").String()
			if p := obj.RawGetString("place"); p != lua.LNil {
				line = p.String()
			}
		default:
			text := ""
			if obj != nil {
				text = obj.String()
			} else {
				text = api.Error()
			}
			if m := errorPlace.FindStringSubmatch(text); m != nil {
				line = m[1]
			}
			msg = "ERR " + text
		}
	}
	if line == "" {
		line = "1"
	}
	return fmt.Sprintf("%s script: %s, on @user_script:%s.", msg, s.sha, line)
}
