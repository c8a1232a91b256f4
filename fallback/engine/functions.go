package engine

import (
	"strings"
	"time"

	"holdfast/fallback/engine/lua"
)

func functionCommands() map[string]*spec {
	m := map[string]*spec{"FUNCTION": write(-2, 0, 0, 0, fLibraries).with((*call).functionCommand)}
	for _, name := range []string{"FCALL", "FCALL_RO"} {
		m[name] = write(-3, 0, 0, 0, fLibraries).with((*call).fcall)
	}
	return m
}

// functionSubs are the subcommands of FUNCTION: how many arguments they take, with
// both words, and what they do. A journaled one keeps the libraries durable.
var functionSubs map[string]struct {
	least, most int
	journaled   bool
	run         func(c *call)
}

func init() {
	functionSubs = map[string]struct {
		least, most int
		journaled   bool
		run         func(c *call)
	}{
		"LOAD": {3, 1 << 20, true, (*call).functionLoad}, "DELETE": {3, 3, true, (*call).functionDelete},
		"FLUSH": {2, 3, true, (*call).functionFlush}, "RESTORE": {3, 4, true, (*call).functionRestore},
		"LIST": {2, 1 << 20, false, (*call).functionList}, "DUMP": {2, 2, false, (*call).functionDump},
		"STATS": {2, 2, false, (*call).functionStats}, "HELP": {2, 2, false, (*call).functionHelp},
		"KILL": {2, 2, false, func(c *call) { c.fail(errNotBusy) }}, // what may run is killed by Engine.Kill
	}
}

func (c *call) functionCommand() {
	c.noEffect()
	sub, ok := functionSubs[strings.ToUpper(c.args[1])]
	name := strings.ToLower(c.args[1])
	switch {
	case !ok:
		c.fail("ERR unknown subcommand '" + c.args[1] + "'. Try FUNCTION HELP.")
		return
	case len(c.args) < sub.least, len(c.args) > sub.most && sub.most == sub.least:
		c.fail(wrongArity("function|" + name))
		return
	case len(c.args) > sub.most:
		c.fail("ERR unknown subcommand or wrong number of arguments for '" + c.args[1] + "'. Try FUNCTION HELP.")
		return
	}
	sub.run(c)
	if sub.journaled && !c.failed() {
		c.effect(c.args...)
	}
}

func (c *call) functionLoad() {
	replace := false
	for _, opt := range c.args[2 : len(c.args)-1] {
		if !strings.EqualFold(opt, "replace") {
			c.fail("ERR Unknown option given: " + opt)
			return
		}
		replace = true
	}
	libs, lib, err := c.e.world.load(c.e.libs, c.args[len(c.args)-1], replace, !c.e.loading)
	if err != nil {
		c.fail("ERR " + err.Error())
		return
	}
	c.e.setLibraries(libs)
	r := c.buf()
	r.bulk(lib.name)
	c.reply = r.b
}

// setLibraries replaces the libraries, and what FUNCTION STATS tells of them.
func (e *Engine) setLibraries(libs *libraries) {
	e.libs = libs
	e.libCounts.Store(&[2]int{len(libs.list), len(libs.names)})
}

func (c *call) functionDelete() {
	if c.e.libs.find(c.args[2]) == nil {
		c.fail("ERR Library not found")
		return
	}
	c.e.setLibraries(c.e.libs.without(c.args[2]))
	c.ok()
}

func (c *call) functionFlush() {
	if len(c.args) == 3 && !strings.EqualFold(c.args[2], "SYNC") && !strings.EqualFold(c.args[2], "ASYNC") {
		c.fail("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
		return
	}
	c.e.setLibraries(newLibraries())
	c.ok()
}

// Libraries are the codes of all libraries, in the order of loading.
func (e *Engine) Libraries() (codes []string) {
	for _, lib := range e.libs.list {
		codes = append(codes, lib.code)
	}
	return codes
}

func (c *call) functionList() {
	pattern, withCode, given := "", false, false
	for i := 2; i < len(c.args); i++ {
		switch {
		case !withCode && strings.EqualFold(c.args[i], "withcode"):
			withCode = true
		case !given && strings.EqualFold(c.args[i], "libraryname"):
			if i == len(c.args)-1 {
				c.fail("ERR library name argument was not given")
				return
			}
			i++
			pattern, given = c.args[i], true
		default:
			c.fail("ERR Unknown argument " + c.args[i])
			return
		}
	}
	var found []*library
	for _, lib := range c.e.libs.list {
		if !given || c.matches(strings.ToLower(pattern), strings.ToLower(lib.name)) {
			found = append(found, lib)
		}
	}
	r := c.buf()
	r.array(len(found))
	for _, lib := range found {
		lib.describe(r, withCode)
	}
	c.reply = r.b
}

func (lib *library) describe(r *replyBuf, withCode bool) {
	n := 3
	if withCode {
		n = 4
	}
	r.mapLen(n)
	r.bulk("library_name")
	r.bulk(lib.name)
	r.bulk("engine")
	r.bulk("LUA")
	r.bulk("functions")
	r.array(len(lib.functions))
	for _, f := range lib.functions {
		r.mapLen(3)
		r.bulk("name")
		r.bulk(f.name)
		r.bulk("description")
		if f.hasDesc {
			r.bulk(f.desc)
		} else {
			r.null()
		}
		r.bulk("flags")
		f.flags.describe(r)
	}
	if withCode {
		r.bulk("library_code")
		r.bulk(lib.code)
	}
}

func (flags scriptFlags) describe(r *replyBuf) {
	var names []string
	for _, f := range flagNames {
		if flags&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	r.setLen(len(names))
	for _, name := range names {
		r.status(name)
	}
}

func (c *call) functionStats() { c.reply = c.e.FunctionStats(c.proto) }

// FunctionStats is the reply of FUNCTION STATS. Any goroutine may ask, also while a
// function runs.
func (e *Engine) FunctionStats(proto int) []byte {
	r := &replyBuf{v3: proto == 3}
	running := e.running.Load()
	if running != nil && running.Function == "" {
		r.fail(running.Busy())
		return r.b
	}
	r.mapLen(2)
	r.bulk("running_script")
	if running == nil {
		r.null()
	} else {
		r.mapLen(3)
		r.bulk("name")
		r.bulk(running.Function)
		r.bulk("command")
		r.array(len(running.Command))
		for _, a := range running.Command {
			r.bulk(string(a))
		}
		r.bulk("duration_ms")
		r.integer(time.Since(running.Started).Milliseconds())
	}
	counts := e.libCounts.Load()
	r.bulk("engines")
	r.mapLen(1)
	r.bulk("LUA")
	r.mapLen(2)
	r.bulk("libraries_count")
	r.integer(int64(counts[0]))
	r.bulk("functions_count")
	r.integer(int64(counts[1]))
	return r.b
}

// fcall is FCALL and FCALL_RO. They are journaled by their effects: the library may
// be another one, or gone, when they are replayed.
func (c *call) fcall() {
	c.noEffect()
	f := c.e.libs.function(c.args[1])
	if f == nil {
		c.fail("ERR Function not found")
		return
	}
	keys, argv, ok := c.scriptArgs("ERR Bad number of keys provided")
	if !ok {
		return
	}
	readOnly := f.flags&flagNoWrites != 0
	if strings.HasSuffix(strings.ToUpper(c.args[0]), "_RO") && !readOnly {
		c.fail(errReadOnlyScript)
		return
	}
	if c.refusedForMemory(f.flags | flagDeclared) {
		return
	}
	run := c.newRun(readOnly, f.flags)
	c.transact(run, &invocation{name: f.name, fn: f.fn, globals: c.e.world.library,
		args: []lua.Value{luaList(keys), luaList(argv)}, function: f.name})
	if !c.failed() {
		c.effects = run.effects
	}
}

func (c *call) functionHelp() {
	r := c.buf()
	lines := strings.Split(functionHelp, "\n")
	r.array(len(lines))
	for _, l := range lines {
		r.status(l)
	}
	c.reply = r.b
}

const functionHelp = `FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:
LOAD [REPLACE] <FUNCTION CODE>
    Create a new library with the given library name and code.
DELETE <LIBRARY NAME>
    Delete the given library.
LIST [LIBRARYNAME PATTERN] [WITHCODE]
    Return the libraries, with their functions, and with their code if asked for.
STATS
    Return the function that runs, and how many libraries and functions there are.
KILL
    Kill the current running function.
FLUSH [ASYNC|SYNC]
    Delete all the libraries.
DUMP
    Return a serialized payload of the libraries, for FUNCTION RESTORE.
RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]
    Restore the libraries of a payload; APPEND is the default.
HELP
    Prints this help.`
