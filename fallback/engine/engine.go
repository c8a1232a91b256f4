// Package engine executes Redis commands on local state, in process, and says what
// to journal for each. See DESIGN.md for the guarantee and DIFFERENCES.md for what a
// client can tell apart from a real Redis.
package engine

import (
	"fmt"
	"strings"
	"time"

	"holdfast/fallback/engine/stream"
)

// databases is how many databases there are, as in Redis's default
// configuration.
const databases = 16

// Config configures an Engine; its zero value is usable.
type Config struct {
	Now func() time.Time // the server's time; nil means time.Now

	// Access is asked before every command that a script calls, and for every key
	// that SORT finds by a pattern; nil allows all. An error ends the whole script,
	// pcall or not, or the SORT: it replies with the error's text and has changed
	// nothing. Access may use of the engine what looks at keys without changing
	// them (DumpKey, Has, Size …), and JournalEffects.
	Access func(db int, argv [][]byte) error

	// Replayed says whether the effects of what runs now are for a Redis that gets
	// them later, when deadlines may have passed; nil: yes.
	Replayed func() bool

	// Lock says that a key is a lock somebody holds; nil: none is. A script that
	// renews it compares first: it is journaled whole, so that Redis compares again.
	Lock func(db int, key string) bool

	// Libraries says that functions and their libraries are here, and not at a Redis.
	Libraries bool

	// Deadline is asked when a script begins: it is ended then, and undone. The zero
	// time, or nil: it may run for ever.
	Deadline func() time.Time

	// ScriptBegins is called when a script begins, and what it returns when it is
	// over, before anything else is done with the engine; nil: nobody asks.
	ScriptBegins func(r *Running) (ended func())

	// Expiring is called before a key that is due loses its value, or fields of it;
	// nil: nobody asks. It must not use the engine, DumpKey excepted.
	Expiring func(db int, key string)

	// Notify is told of keyspace events after the command that caused them, if
	// notify-keyspace-events asks for them: by key, by event, or both; nil: nobody
	// listens. It must not use the engine.
	Notify func(db int, event, key string, byKey, byEvent bool)

	// Publish delivers a message to those who listen, and counts them; nil: nobody listens.
	// It must not use the engine.
	Publish func(sharded bool, channel, message string) int64

	// Who tells the address and the name of the client whose command runs, for SLOWLOG;
	// nil: nobody knows.
	Who func() (addr, name string)
}

// Engine is a Redis dataset that executes commands. It is not safe for
// concurrent use: the caller holds one lock around every method, those of Watch
// included.
type Engine struct {
	cfg      Config
	dbs      map[int]*dbIndex // what the engine knows of each key
	due      deadlineHeap     // keys with a deadline, nearest first
	query    plainRead        // reused
	nowMS    int64            // server time of the running command, in ms
	writes   uint64           // counts key changes; a key's version is its value then
	expiring bool             // Config.Expiring is being asked
	still    bool             // between StopClock and StartClock
	loading  bool             // between BeginLoad and EndLoad
	covers   map[keyID]cover
	orders   scanOrders
	random   uint64 // state of the generator for RANDOMKEY and SCAN starts

	streamLimits stream.Limits // of the nodes that a Redis would have

	scripting // scripts and functions

	commandTime time.Duration // of one command, see budget.go

	limits    limits
	maxmemory memoryLimit
	stats     stats
	slow      slowLog
	events    eventClass        // that Config.Notify is told of
	happened  []keyEvent        // of the command that is being executed
	executing bool              // a command is
	dirty     int64             // commands that changed something
	expired   int64             // keys whose deadline has passed
	kept      map[string]string // values of keptParams that were set
	peak      uint64            // of the heap, when it was looked at
}

// Result is what one command or unit gave.
type Result struct {
	// Reply is the RESP reply in the protocol asked for.
	Reply []byte
	// Effects are the commands that bring a Redis with the same state to the
	// state after this one, in order, to be applied as one unit. Empty when
	// nothing may have changed. They may share memory with the arguments.
	Effects [][][]byte
	// TimeMs is the server time it was executed at, in Unix ms.
	TimeMs int64
}

// New makes an empty engine. It opens no listener and no socket.
func New(cfg Config) *Engine {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	e := &Engine{
		cfg:    cfg,
		dbs:    map[int]*dbIndex{},
		covers: map[keyID]cover{},
		random: uint64(cfg.Now().UnixNano()) | 1,

		streamLimits: stream.DefaultLimits,

		commandTime: commandTime,
		stats:       newStats(),
		limits:      defaultLimits(),
		kept:        map[string]string{},
	}
	e.slow.after.Store(10_000)
	e.slow.most = 128
	e.beginScripting()
	e.tick()
	return e
}

// Close frees what the engine holds. The engine must not be used after.
func (e *Engine) Close() {
}

// tick reads the clock once for a command, a unit or a script, as Redis does,
// and deletes what is due by it.
func (e *Engine) tick() {
	if e.run != nil || e.expiring || e.still {
		return // Config looks at keys meanwhile: time stands still
	}
	e.nowMS = e.cfg.Now().UnixMilli()
	e.expireDue()
}

// Expire deletes what is due. Every command does so before it runs.
func (e *Engine) Expire() { e.tick() }

// StopClock lets time stand still until StartClock: what the caller sees of keys is
// what commands find. Deadlines that pass meanwhile are kept at StartClock's next tick.
func (e *Engine) StopClock() {
	e.tick()
	e.still = true
}

// StartClock ends StopClock.
func (e *Engine) StartClock() { e.still = false }

// Do executes one command on a database for a client that speaks RESP version
// proto (2 or 3). Blocking commands answer at once, as if their time had run
// out. It never panics: a command whose handler does gets an error.
func (e *Engine) Do(db, proto int, argv [][]byte) Result {
	e.tick()
	c := e.newCall(db, proto, argv)
	e.exec(c)
	return Result{Reply: c.reply, Effects: c.effects, TimeMs: e.nowMS}
}

// DoKept is Do for arguments that will never change: large ones become part of
// the state without a copy.
func (e *Engine) DoKept(db, proto int, argv [][]byte) Result {
	e.tick()
	c := &call{e: e, db: db, proto: proto, argv: argv, args: keepStrings(argv)}
	e.exec(c)
	return Result{Reply: c.reply, Effects: c.effects, TimeMs: e.nowMS}
}

// DoUnit executes the commands of a MULTI … EXEC unit. Its reply is EXEC's: the
// array of replies, or EXECABORT, with nothing executed, when a command of it
// would not have been queued.
func (e *Engine) DoUnit(db, proto int, cmds [][][]byte) Result {
	e.tick()
	for _, argv := range cmds {
		if msg := e.queueError(argv); msg != "" {
			return Result{Reply: []byte("-EXECABORT Transaction discarded because of previous errors.\r\n")}
		}
	}
	res := Result{TimeMs: e.nowMS}
	out := replyBuf{}
	out.array(len(cmds))
	for _, argv := range cmds {
		c := e.newCall(db, proto, argv)
		e.exec(c)
		out.b = append(out.b, c.reply...)
		res.Effects = append(res.Effects, c.effects...)
		db = c.db
	}
	res.Reply = out.b
	return res
}

// queueError is the error with which Redis would refuse to queue a command, or
// "" for none.
func (e *Engine) queueError(argv [][]byte) string {
	if len(argv) == 0 {
		return "ERR empty command"
	}
	args := toStrings(argv)
	s := lookup(args[0])
	if s == nil {
		return unknownCommand(args)
	}
	if !s.arityOK(len(args)) {
		return wrongArity(args[0])
	}
	return ""
}

// Apply executes a command that was journaled as an effect, or one that loads a
// value, and returns the error that it replied with, if any. What it changed is
// not to be journaled again.
func (e *Engine) Apply(db int, argv [][]byte) error {
	return e.apply(e.newCall(db, 2, argv))
}

// ApplyKept is Apply of arguments that will never change: large ones become part
// of the state without a copy.
func (e *Engine) ApplyKept(db int, argv [][]byte) error {
	return e.apply(&call{e: e, db: db, proto: 2, argv: argv, args: keepStrings(argv)})
}

func (e *Engine) apply(c *call) error {
	c.unlimited = true
	e.tick()
	e.exec(c)
	if c.failed() {
		return fmt.Errorf("apply %q: %s", commandName(c.argv), strings.TrimSpace(string(c.reply[1:])))
	}
	return nil
}

// Supports reports whether the engine executes the command at all, whatever
// its options; the name may be in any case.
func (e *Engine) Supports(name string) bool {
	container, _, _ := strings.Cut(name, "|") // its handler refuses subcommands that it does not know
	s := lookup(container)
	return s != nil && (s.flags&fLibraries == 0 || e.cfg.Libraries)
}

// Has reports whether the key exists.
func (e *Engine) Has(db int, key []byte) bool {
	e.tick()
	return e.find(db, string(key)) != nil
}

// Delete removes a key, if it exists.
func (e *Engine) Delete(db int, key []byte) {
	e.tick()
	e.drop(db, string(key))
}

// Flush empties one database, or all of them for db -1.
func (e *Engine) Flush(db int) {
	for id, ix := range e.dbs {
		if db == -1 || db == id {
			e.flushDB(id, ix)
		}
	}
}

// Type is the type of a key as TYPE names it, or "none".
func (e *Engine) Type(db int, key []byte) string {
	e.tick()
	return e.keyType(db, string(key))
}

// Keys counts the keys of all databases, in constant time.
func (e *Engine) Keys() int {
	n := 0
	for _, ix := range e.dbs {
		n += len(ix.keys)
	}
	return n
}

// ForEachKey calls fn for every key that has not expired, in no useful order,
// until it returns false. fn must not change the engine.
func (e *Engine) ForEachKey(fn func(db int, key string) bool) {
	e.tick()
	for id, ix := range e.dbs {
		for key := range ix.keys {
			if !fn(id, key) {
				return
			}
		}
	}
}

// LoadScript keeps the body of a script for EVALSHA and returns its SHA-1.
func (e *Engine) LoadScript(body []byte) string {
	sha := sha1Hex(string(body))
	e.scripts.load(sha, string(body))
	return sha
}

// RememberScript keeps the body of a script that Redis runs, as EVAL and SCRIPT LOAD
// keep it here; not one that it would refuse.
func (e *Engine) RememberScript(body []byte, loaded bool) {
	text := string(body)
	sha := sha1Hex(text)
	switch _, failed := e.compiler.script(sha, text); {
	case failed != "":
	case loaded:
		e.LoadScript(body)
	default:
		e.scripts.keep(sha, text)
	}
}

// ForgetScripts is SCRIPT FLUSH.
func (e *Engine) ForgetScripts() { e.scripts = newScriptCache() }

// Script is the body of a script the engine has seen, by its SHA-1 in any case.
func (e *Engine) Script(sha string) (body string, ok bool) {
	return e.scripts.get(strings.ToLower(sha))
}

// Watch remembers the state of keys, as WATCH does.
type Watch struct {
	e    *Engine
	db   int
	keys []string
	seen []uint64
}

// Watch starts watching keys. It holds nothing in the engine, so it need not be
// ended.
func (e *Engine) Watch(db int, keys [][]byte) *Watch {
	e.tick()
	w := &Watch{e: e, db: db}
	for _, key := range keys {
		w.keys = append(w.keys, string(key))
		w.seen = append(w.seen, e.version(db, string(key)))
	}
	return w
}

// Changed reports whether any of the keys was written, deleted or has expired
// since. A key that was absent and is absent again counts as unchanged.
func (w *Watch) Changed() bool {
	w.e.tick()
	for i, key := range w.keys {
		if w.e.version(w.db, key) != w.seen[i] {
			return true
		}
	}
	return false
}
