package engine

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"

	"holdfast/fallback/engine/lua"
)

func scriptCommands() map[string]*spec {
	m := map[string]*spec{"SCRIPT": write(-2, 0, 0, 0, 0).with((*call).script)}
	for _, name := range []string{"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"} {
		m[name] = write(-3, 0, 0, 0, 0).with((*call).eval) // what it calls names the keys
	}
	return m
}

// refusal is the text of an error of Redis.
type refusal string

func (r refusal) Error() string { return string(r) }

// scriptRun is a script being executed.
type scriptRun struct {
	e        *Engine
	db       int // what the script has selected
	proto    int // what redis.setresp has chosen
	readOnly bool
	noMemory bool   // what needs memory is refused until it has written
	unsure   bool   // it asked for time, chance or order: a replay could differ
	moved    bool   // it selected another database
	seeded   bool   // it chose the seed of math.random
	denied   string // why Config.Access ended it; "" if it did not
	effects  [][][]byte
	saved    map[savedKey]*savedValue
}

type savedKey struct {
	db  int
	key string
}

// savedValue is a key before the script wrote it; old is nil where it was absent.
type savedValue struct{ old *entry }

// noteTime records that the running script's effect depends on the clock.
func (e *Engine) noteTime() {
	if e.run != nil {
		e.run.unsure = true
	}
}

// allows checks a command that a script calls, and saves what it will write.
func (r *scriptRun) allows(c *call) bool {
	if r.deny(c) {
		return false
	}
	if c.spec.flags&fWrite != 0 {
		if r.readOnly {
			c.fail("ERR Write commands are not allowed from read-only scripts.")
			return false
		}
		r.e.running.Load().dirty.Store(true)
		for _, key := range c.keys() {
			r.e.save(c.db, key)
		}
	}
	r.unsure = r.unsure || c.spec.flags&fUnsure != 0
	return true
}

// deny asks Config.Access. Once it refused, every later call is refused too, so
// that a script which goes on after a pcall does nothing more; what it did is
// undone at its end.
func (r *scriptRun) deny(c *call) bool {
	if r.denied == "" && r.e.cfg.Access != nil {
		if err := r.e.cfg.Access(c.db, toBytes(c.args)); err != nil {
			r.denied = err.Error()
		}
	}
	if r.denied != "" {
		c.fail(r.denied)
	}
	return r.denied != ""
}

// save keeps the value of a key for the case that the running script fails; it
// does nothing outside scripts.
func (e *Engine) save(db int, key string) {
	if e.run == nil {
		return
	}
	id := savedKey{db, key}
	if e.run.saved[id] != nil {
		return
	}
	v := &savedValue{}
	e.run.saved[id] = v
	en := e.find(db, key)
	if en == nil {
		return
	}
	old := *en
	old.unshare(func(int) {})
	v.old = &old
}

// saveAll saves every key of a database, or of all for -1.
func (e *Engine) saveAll(db int) {
	if e.run == nil {
		return
	}
	e.ForEachKey(func(id int, key string) bool {
		if db == -1 || db == id {
			e.save(id, key)
		}
		return true
	})
}

// undo puts back everything that the script wrote.
func (r *scriptRun) undo() {
	e := r.e
	for id, v := range r.saved {
		e.drop(id.db, id.key)
		if v.old != nil {
			e.putBack(v.old)
		}
	}
}

// scriptArgs are the keys and arguments of EVAL or FCALL. On error the call has
// failed.
func (c *call) scriptArgs(notNumber string) (keys, argv []string, ok bool) {
	n, isNumber := parseInt(c.args[2])
	switch {
	case !isNumber:
		c.fail(notNumber)
	case n > int64(len(c.args)-3):
		c.fail("ERR Number of keys can't be greater than number of args")
	case n < 0:
		c.fail("ERR Number of keys can't be negative")
	default:
		return c.args[3 : 3+n], c.args[3+n:], true
	}
	return nil, nil, false
}

const errReadOnlyScript = "ERR Can not execute a script with write flag using *_ro command."

// eval is EVAL, EVALSHA and their read-only forms.
func (c *call) eval() {
	name := strings.ToUpper(c.args[0])
	readOnly := strings.HasSuffix(name, "_RO")
	c.noEffect()
	keys, argv, ok := c.scriptArgs(errNotInt)
	if !ok {
		return
	}
	body, sha := c.args[1], ""
	if strings.HasPrefix(name, "EVALSHA") {
		sha = strings.ToLower(body)
		if body, ok = c.e.scripts.get(sha); !ok {
			c.fail("NOSCRIPT No matching script. Please use EVAL.")
			return
		}
	} else {
		sha = sha1Hex(body)
	}
	s, failed := c.e.compiler.script(sha, body)
	if failed != "" {
		c.fail(failed)
		return
	}
	c.e.scripts.keep(sha, body)
	if readOnly && s.flags&flagDeclared != 0 && s.flags&flagNoWrites == 0 {
		c.fail(errReadOnlyScript)
		return
	}
	if c.refusedForMemory(s.flags) {
		return
	}
	w := c.e.world
	w.eval.Set("KEYS", luaList(keys))
	w.eval.Set("ARGV", luaList(argv))
	run := c.newRun(readOnly || s.flags&flagNoWrites != 0, s.flags)
	c.transact(run, &invocation{name: sha, fn: s.fn.With(w.eval), globals: w.eval})
	switch {
	case c.failed() || len(run.effects) == 0:
	case run.unsure:
		c.effects = run.effects
	default:
		c.effect(append([]string{"EVAL", body}, c.args[2:]...)...)
	}
	w.eval.Set("KEYS", lua.NewTable())
	w.eval.Set("ARGV", lua.NewTable())
}

func (c *call) newRun(readOnly bool, flags scriptFlags) *scriptRun {
	return &scriptRun{e: c.e, db: c.db, proto: 2, readOnly: readOnly, saved: map[savedKey]*savedValue{},
		noMemory: flags&flagAllowOOM == 0 && !c.unlimited && c.e.OutOfMemory()}
}

// transact runs a script, and undoes it as a whole if it fails.
func (c *call) transact(run *scriptRun, inv *invocation) {
	c.runScript(run, inv)
	if run.denied != "" {
		c.fail(run.denied)
	}
	if run.moved && (run.unsure || run.readOnly || inv.function != "") && len(run.effects) > 0 && !c.failed() {
		c.fail("ERR a script that selects a database and depends on time or chance is not supported offline")
	}
	if c.failed() {
		run.undo()
	}
}

// script is SCRIPT LOAD, EXISTS, FLUSH.
func (c *call) script() {
	sub := strings.ToUpper(c.args[1])
	c.noEffect()
	switch {
	case sub == "LOAD" && len(c.args) == 3:
		if _, failed := c.e.compiler.script(sha1Hex(c.args[2]), c.args[2]); failed != "" {
			c.fail(failed)
			return
		}
		r := c.buf()
		r.bulk(c.e.LoadScript([]byte(c.args[2])))
		c.reply = r.b
		c.effect(c.args...)
	case sub == "EXISTS" && len(c.args) > 2:
		r := c.buf()
		r.array(len(c.args) - 2)
		for _, sha := range c.args[2:] {
			n := int64(0)
			if _, ok := c.e.Script(sha); ok {
				n = 1
			}
			r.integer(n)
		}
		c.reply = r.b
	case sub == "FLUSH" && (len(c.args) == 2 || len(c.args) == 3 && (strings.EqualFold(c.args[2], "ASYNC") || strings.EqualFold(c.args[2], "SYNC"))):
		c.e.ForgetScripts()
		c.ok()
		c.effect(c.args...)
	case sub == "KILL" && len(c.args) == 2:
		c.fail(errNotBusy) // what may run is killed by Engine.Kill
	case sub == "FLUSH" && len(c.args) == 3:
		c.fail("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
	case sub == "LOAD" || sub == "EXISTS" || sub == "FLUSH" || sub == "KILL":
		c.fail(wrongArity("script|" + sub))
	default:
		c.fail("ERR unknown subcommand '" + c.args[1] + "'. Try SCRIPT HELP.")
	}
}

func sha1Hex(s string) string {
	sum := sha1.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// OnlyReads reports whether the call of a script or function is of one that has declared
// the flag no-writes.
func (e *Engine) OnlyReads(argv [][]byte) bool {
	if len(argv) < 2 {
		return false
	}
	body, name := string(argv[1]), strings.ToUpper(string(argv[0]))
	switch {
	case strings.HasPrefix(name, "FCALL"):
		f := e.libs.function(body)
		return f != nil && f.flags&flagNoWrites != 0
	case strings.HasPrefix(name, "EVALSHA"):
		body, _ = e.scripts.get(strings.ToLower(body))
	}
	flags, _, failed := scriptHeader(body)
	return failed == "" && flags&flagNoWrites != 0
}
