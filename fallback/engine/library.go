package engine

import (
	"strings"
	"time"

	"holdfast/fallback/engine/lua"
)

// library is the code of one FUNCTION LOAD, with the functions that it registered.
type library struct {
	name, code string
	functions  []*function // in the order of registration
}

// function is what FCALL calls. Its closure keeps what it shares with the others of
// its library.
type function struct {
	name    string
	desc    string
	hasDesc bool
	flags   scriptFlags
	fn      *lua.Function
}

// libraries are all of them. The value is replaced as a whole or not at all.
type libraries struct {
	list  []*library           // in the order of loading
	names map[string]*function // by their names in small letters
}

func newLibraries() *libraries { return &libraries{names: map[string]*function{}} }

func (s *libraries) find(name string) *library {
	for _, lib := range s.list {
		if lib.name == name {
			return lib
		}
	}
	return nil
}

func (s *libraries) function(name string) *function { return s.names[strings.ToLower(name)] }

// without is a copy that lacks a library.
func (s *libraries) without(name string) *libraries {
	out := newLibraries()
	for _, lib := range s.list {
		if lib.name != name {
			out.link(lib)
		}
	}
	return out
}

// link adds a library. Its names must be free.
func (s *libraries) link(lib *library) {
	s.list = append(s.list, lib)
	for _, f := range lib.functions {
		s.names[strings.ToLower(f.name)] = f
	}
}

// taken is the name of a function of lib that another library has already.
func (s *libraries) taken(lib *library) (name string, found bool) {
	for _, f := range lib.functions {
		if s.function(f.name) != nil {
			return f.name, true
		}
	}
	return "", false
}

const errLibraryName = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"

func validName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i] | 0x20; s[i] != '_' && (s[i] < '0' || s[i] > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != ""
}

// libraryHeader reads the first line of a library. skip is its length.
func libraryHeader(code string) (name string, skip int, err error) {
	if !strings.HasPrefix(code, "#!") {
		return "", 0, refusal("Missing library metadata")
	}
	head, _, found := strings.Cut(code, "\n")
	parts, ok := splitArgs(head)
	if !found || !ok || len(parts) == 0 {
		return "", 0, refusal("Invalid library metadata")
	}
	named := false
	for _, p := range parts[1:] {
		if len(p) < 5 || !strings.EqualFold(p[:5], "name=") {
			return "", 0, refusal("Invalid metadata value given: " + p)
		}
		if named {
			return "", 0, refusal("Invalid metadata value, name argument was given multiple times")
		}
		name, named = p[5:], true
	}
	switch {
	case !named:
		return "", 0, refusal("Library name was not given")
	case !validName(name):
		return "", 0, refusal(errLibraryName)
	case !strings.EqualFold(parts[0], "#!lua"):
		return "", 0, refusal("Engine '" + parts[0][2:] + "' not found")
	}
	return name, len(head), nil
}

// loadTime is how long a library may take to register its functions, as in Redis.
const loadTime = 500 * time.Millisecond

var errLoadTime = refusal("FUNCTION LOAD timeout")

// load adds a library to others and returns both. limited: it ends after loadTime.
func (w *world) load(libs *libraries, code string, replace, limited bool) (*libraries, *library, error) {
	name, skip, err := libraryHeader(code)
	if err != nil {
		return nil, nil, err
	}
	if libs.find(name) != nil {
		if !replace {
			return nil, nil, refusal("Library '" + name + "' already exists")
		}
		libs = libs.without(name)
	}
	fn, err := lua.Compile(code[skip:], "@user_function", w.library)
	if err != nil {
		return nil, nil, refusal("Error compiling function: " + err.Error())
	}
	lib := &library{name: name, code: code}
	if err := w.register(lib, fn, limited); err != nil {
		return nil, nil, err
	}
	if len(lib.functions) == 0 {
		return nil, nil, refusal("No functions registered")
	}
	if name, found := libs.taken(lib); found {
		return nil, nil, refusal("Function " + name + " already exists")
	}
	out := libs.without("") // a copy
	out.link(lib)
	return out, lib, nil
}

// register runs the code of a library, which registers its functions.
func (w *world) register(lib *library, fn *lua.Function, limited bool) (err error) {
	m := lua.NewMachine(maxScriptMemory)
	m.StringMeta, m.Globals = w.strings, w.library
	defer m.Close()
	if limited {
		defer time.AfterFunc(loadTime, func() { m.Stop(errLoadTime) }).Stop()
	}
	w.finds(w.loading)
	w.loadingLib = lib
	defer func() {
		w.finds(w.calling)
		w.loadingLib = nil
		if p := recover(); p != nil {
			stopped, ok := p.(*lua.Stopped)
			if !ok {
				panic(p)
			}
			err = refusal("Error registering functions: ERR " + stopped.Err.Error())
		}
	}()
	if _, raised := m.Main().PCall(fn); raised != nil {
		// Nothing adds a code to what is raised here: no handler is set.
		if t, ok := raised.Value.(*lua.Table); ok {
			text, _ := lua.ToString(t.Get("err"))
			return refusal("Error registering functions: " + text)
		}
		return refusal("Error registering functions: ERR " + plainText(raised.Value))
	}
	return nil
}

// registerFunction is redis.register_function.
func (w *world) registerFunction(l *lua.State, args []lua.Value) []lua.Value {
	lib := w.loadingLib
	if lib == nil {
		return raise(l, "redis.register_function can only be called on FUNCTION LOAD command")
	}
	f := &function{}
	text := ""
	switch len(args) {
	case 1:
		text = f.named(args[0])
	case 2:
		text = f.positional(args)
	default:
		text = "wrong number of arguments to redis.register_function"
	}
	if text != "" {
		return raise(l, text)
	}
	if !validName(f.name) {
		return raise(l, errLibraryName)
	}
	for _, other := range lib.functions {
		if other.name == f.name {
			return raise(l, "Function already exists in the library")
		}
	}
	lib.functions = append(lib.functions, f)
	return nil
}

func (f *function) positional(args []lua.Value) string {
	var ok bool
	if f.name, ok = lua.ToString(args[0]); !ok {
		return "first argument to redis.register_function must be a string"
	}
	if f.fn, ok = args[1].(*lua.Function); !ok {
		return "second argument to redis.register_function must be a function"
	}
	return ""
}

// named reads the arguments out of a table.
func (f *function) named(arg lua.Value) string {
	t, ok := arg.(*lua.Table)
	if !ok {
		return "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments)."
	}
	hasName := false
	for k, v, _ := t.Next(nil); k != nil; k, v, _ = t.Next(k) {
		key, ok := lua.ToString(k)
		if !ok {
			return "named argument key given to redis.register_function is not a string"
		}
		switch strings.ToLower(key) {
		case "function_name":
			if f.name, hasName = lua.ToString(v); !hasName {
				return "function_name argument given to redis.register_function must be a string"
			}
		case "description":
			if f.desc, f.hasDesc = lua.ToString(v); !f.hasDesc {
				return "description argument given to redis.register_function must be a string"
			}
		case "callback":
			if f.fn, ok = v.(*lua.Function); !ok {
				return "callback argument given to redis.register_function must be a function"
			}
		case "flags":
			if text := f.readFlags(v); text != "" {
				return text
			}
		default:
			return "unknown argument given to redis.register_function"
		}
	}
	switch {
	case !hasName:
		return "redis.register_function must get a function name argument"
	case f.fn == nil:
		return "redis.register_function must get a callback argument"
	}
	return ""
}

func (f *function) readFlags(v lua.Value) string {
	t, ok := v.(*lua.Table)
	if !ok {
		return "flags argument to redis.register_function must be a table representing function flags"
	}
	for i := 1; t.Int(i) != nil; i++ {
		name, _ := lua.ToString(t.Int(i))
		flag := flagNamed(strings.ToLower(name))
		if flag == 0 {
			return "unknown flag given"
		}
		f.flags |= flag
	}
	return ""
}
