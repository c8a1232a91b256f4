package engine

import "strconv"

type flags uint8

const (
	fWrite     flags = 1 << iota // may change keys
	fZero                        // the reply 0 means that nothing changed
	fNil                         // so does a nil or an empty array
	fLibraries                   // of no use without the libraries of functions: see Config.Libraries
	fUnsure                      // answers by time, chance or an order that servers differ in
)

// spec is what the engine knows of a command.
type spec struct {
	arity int // as in COMMAND: negative means at least
	flags flags
	// first, last and step say which arguments are keys, as in COMMAND.
	first, last, step int
	keys              func(args []string) []string // instead of first, last, step
	run               func(c *call)                // what it does
	plain             func(q *plainRead) bool      // the short way of a busy read; see ReadPlain
	own               bool                         // its handler keeps the index up to date itself
	class             eventClass                   // of the keyspace events that it causes
	id                int                          // its place in stats
	container         bool                         // its subcommands are counted one by one
}

func (s *spec) arityOK(n int) bool { return n == s.arity || s.arity < 0 && n >= -s.arity }

// unchanged reports whether the reply says that the command changed nothing.
func (s *spec) unchanged(c *call) bool {
	return s.flags&fZero != 0 && c.zero() || s.flags&fNil != 0 && c.nothing()
}

// keys are the keys that the command names.
func (c *call) keys() []string { return c.spec.keysIn(c.args) }

// keysIn are the keys among the arguments, the first of which is the name.
func (s *spec) keysIn(args []string) []string {
	if s.keys != nil {
		return s.keys(args)
	}
	if s.first == 0 || s.first >= len(args) {
		return nil
	}
	last := s.last
	if last < 0 {
		last += len(args)
	}
	if s.step == 1 && last >= s.first && last < len(args) {
		return args[s.first : last+1]
	}
	var out []string
	for i := s.first; i <= last && i < len(args); i += s.step {
		out = append(out, args[i])
	}
	return out
}

// counted are the keys after their number at args[at], and extra ones before.
func counted(at int, extra ...int) func([]string) []string {
	return func(args []string) []string {
		var out []string
		for _, i := range extra {
			out = append(out, args[i])
		}
		if at >= len(args) {
			return out
		}
		n, err := strconv.Atoi(args[at])
		if err != nil || n < 0 || n > len(args)-at-1 {
			return out
		}
		return append(out, args[at+1:at+1+n]...)
	}
}

// table holds every command by its name in capitals. It is filled in init
// because handlers look commands up in it.
var table map[string]*spec

func init() {
	table = map[string]*spec{}
	merge(eventString, stringCommands, bitCommands, hllCommands)
	merge(eventGeneric, genericCommands, expiryCommands, scriptCommands, functionCommands, serverCommands, dumpCommands)
	merge(eventHash, hashCommands, fieldExpiryCommands)
	merge(eventList, listCommands)
	merge(eventSet, setCommands)
	merge(eventZset, zsetCommands, geoCommands)
	merge(eventStream, streamCommands)
}

// merge adds families of commands to the table.
func merge(class eventClass, families ...func() map[string]*spec) {
	for _, f := range families {
		for name, s := range f() {
			s.class, s.own = class, class != eventStream
			s.id, s.container = len(table), containers[name]
			table[name] = s
		}
	}
}

// lookup finds a command by its name in any case, without allocating.
func lookup[T string | []byte](name T) *spec {
	var up [32]byte
	if len(name) > len(up) {
		return nil
	}
	for i := 0; i < len(name); i++ {
		ch := name[i]
		if 'a' <= ch && ch <= 'z' {
			ch -= 'a' - 'A'
		}
		up[i] = ch
	}
	return table[string(up[:len(name)])]
}
