package engine

import "holdfast/fallback/engine/lua"

// world is what scripts find: one for all of them, since none can change it. All
// tables are frozen; what differs from script to script (KEYS, ARGV) is set before
// it begins, and what functions know of the script that runs they ask e.run.
type world struct {
	e       *Engine
	strings *lua.Table // the metatable of strings
	eval    *lua.Table // the globals of EVAL
	// The globals of libraries: an empty table that finds everything in another one,
	// which is loading while FUNCTION LOAD runs and calling after that.
	library, libraryMeta, calling, loading *lua.Table
	loadingLib                             *library // being loaded; nil: none
}

func newWorld(e *Engine) *world {
	w := &world{e: e}
	w.eval, w.strings = w.globals()
	redis, _ := w.eval.Get("redis").(*lua.Table)
	for name, fn := range map[string]lua.Native{
		"breakpoint":         func(l *lua.State, _ []lua.Value) []lua.Value { return l.Return(false) },
		"debug":              func(*lua.State, []lua.Value) []lua.Value { return nil },
		"replicate_commands": func(l *lua.State, _ []lua.Value) []lua.Value { return l.Return(true) },
	} {
		redis.Set(name, lua.NewFunction(fn))
	}
	w.eval.Set("KEYS", lua.NewTable())
	w.eval.Set("ARGV", lua.NewTable())
	w.calling, _ = w.globals()
	w.loading = lua.NewTable()
	api := lua.NewTable()
	api.Set("register_function", lua.NewFunction(w.registerFunction))
	setLog(api)
	setVersion(api)
	api.SetMeta(strict())
	w.loading.Set("redis", api)
	w.loading.SetMeta(strict())
	w.library, w.libraryMeta = lua.NewTable(), lua.NewTable()
	w.library.SetMeta(w.libraryMeta)
	w.finds(w.calling)
	for _, t := range []*lua.Table{w.strings, w.eval, w.calling, w.loading, w.library} {
		t.Freeze()
	}
	return w
}

// globals are Lua's own and Redis's. Reading others is an error.
func (w *world) globals() (g, strings *lua.Table) {
	g, strings = lua.NewGlobals()
	mathLib, _ := g.Get("math").(*lua.Table)
	mathLib.Set("random", lua.NewFunction(w.e.mathRandom))
	mathLib.Set("randomseed", lua.NewFunction(w.e.mathSeed))
	g.Set("__redis__err__handler", lua.NewFunction(errorHandler))
	os := lua.NewTable()
	os.Set("clock", lua.NewFunction(w.e.clock))
	g.Set("os", os)
	g.Set("redis", w.e.redisModule())
	g.SetMeta(strict())
	return g, strings
}

// errorHandler is in Redis what its own calls of scripts use.
func errorHandler(l *lua.State, args []lua.Value) []lua.Value {
	if len(args) > 0 {
		if t, ok := args[0].(*lua.Table); ok {
			return l.Return(t)
		}
		return l.Return(errorTable(plainText(args[0])))
	}
	return l.Return(errorTable("nil"))
}

// finds makes another table the globals of libraries.
func (w *world) finds(globals *lua.Table) { w.libraryMeta.Set("__index", globals) }

// strict is a metatable that makes reading what is not there an error.
func strict() *lua.Table {
	mt := lua.NewTable()
	mt.Set("__index", lua.NewFunction(func(l *lua.State, args []lua.Value) []lua.Value {
		if len(args) != 2 {
			return l.Errorf("Wrong number of arguments to luaProtectedTableError")
		}
		name, ok := lua.ToString(args[1])
		if !ok {
			return l.Errorf("Second argument to luaProtectedTableError must be a string or number")
		}
		return l.Errorf("Script attempted to access nonexistent global variable '%s'", name)
	}))
	return mt
}
