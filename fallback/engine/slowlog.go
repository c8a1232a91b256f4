package engine

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// slowLog is SLOWLOG: the last commands that took long to be executed.
type slowLog struct {
	after   atomic.Int64 // microseconds, slowlog-log-slower-than; negative: nothing is logged
	most    int64        // slowlog-max-len
	next    int64
	entries []slowEntry // the newest first
}

type slowEntry struct {
	id, at, usec int64
	args         []string
	addr, name   string
}

// What is kept of a command, as in Redis.
const (
	slowArgs  = 32
	slowBytes = 128
)

// SlowAfter is from how many microseconds on a command is slow; negative: never. Any
// goroutine may ask.
func (e *Engine) SlowAfter() int64 { return e.slow.after.Load() }

// LogSlow notes a command that was executed by whoever owns the engine.
func (e *Engine) LogSlow(argv [][]byte, took time.Duration) { e.slow.note(e, argv, took) }

func (l *slowLog) note(e *Engine, argv [][]byte, took time.Duration) {
	after := l.after.Load()
	if after < 0 || took.Microseconds() < after || l.most <= 0 || e.run != nil || e.loading {
		return
	}
	en := slowEntry{id: l.next, at: e.cfg.Now().Unix(), usec: took.Microseconds(), args: trimmed(argv)}
	if e.cfg.Who != nil {
		en.addr, en.name = e.cfg.Who()
	}
	l.next++
	if int64(len(l.entries)) >= l.most {
		l.entries = l.entries[:l.most-1]
	}
	l.entries = append([]slowEntry{en}, l.entries...)
}

// trimmed are the arguments as SLOWLOG shows them: secrets are not in it.
func trimmed(argv [][]byte) (out []string) {
	for i, a := range argv {
		if i == slowArgs-1 && len(argv) > slowArgs {
			return append(out, fmt.Sprintf("... (%d more arguments)", len(argv)-slowArgs+1))
		}
		switch {
		case i > 2 && i%2 == 1 && secretParam(argv, i):
			out = append(out, "(redacted)")
		case len(a) > slowBytes:
			out = append(out, fmt.Sprintf("%s... (%d more bytes)", a[:slowBytes], len(a)-slowBytes))
		default:
			out = append(out, string(a))
		}
	}
	return out
}

// secretParam reports whether argument i is the value of a parameter that nobody is to see.
func secretParam(argv [][]byte, i int) bool {
	if !strings.EqualFold(string(argv[0]), "config") {
		return false
	}
	switch strings.ToLower(string(argv[i-1])) {
	case "requirepass", "masterauth", "masteruser", "tls-key-file-pass", "tls-client-key-file-pass":
		return true
	}
	return false
}

// slowlog is SLOWLOG GET, LEN, RESET.
func (c *call) slowlog() {
	l := &c.e.slow
	sub := strings.ToUpper(c.args[1])
	switch {
	case sub == "RESET" && len(c.args) == 2:
		l.entries = nil
		c.ok()
	case sub == "LEN" && len(c.args) == 2:
		c.integer(int64(len(l.entries)))
	case sub == "GET" && len(c.args) <= 3:
		n := int64(10)
		if len(c.args) == 3 {
			given, ok := parseInt(c.args[2])
			if !ok || given < -1 {
				c.fail("ERR count should be greater than or equal to -1")
				return
			}
			n = given
		}
		if n == -1 || n > int64(len(l.entries)) {
			n = int64(len(l.entries))
		}
		c.slowEntries(l.entries[:n])
	case sub == "GET":
		c.fail("ERR unknown subcommand or wrong number of arguments for '" + cText(c.args[1]) + "'. Try SLOWLOG HELP.")
	case sub == "RESET" || sub == "LEN":
		c.fail(wrongArity("slowlog|" + sub))
	default:
		c.fail("ERR unknown subcommand '" + cText(c.args[1]) + "'. Try SLOWLOG HELP.")
	}
}

func (c *call) slowEntries(entries []slowEntry) {
	r := c.buf()
	r.array(len(entries))
	for _, en := range entries {
		r.array(6)
		r.integer(en.id)
		r.integer(en.at)
		r.integer(en.usec)
		r.strings(en.args)
		r.bulk(en.addr)
		r.bulk(en.name)
	}
	c.reply = r.b
}

// slowParams are the parameters of SLOWLOG.
func slowParams() []*param {
	number := func(name string, least int64, get func(e *Engine) int64, set func(e *Engine, n int64)) *param {
		return &param{
			name: name,
			get:  func(e *Engine) string { return itoa(get(e)) },
			set: func(e *Engine, v string) string {
				n, ok := parseInt(v)
				switch {
				case !ok:
					return "argument couldn't be parsed into an integer"
				case n < least:
					return "argument must be between " + itoa(least) + " and 9223372036854775807 inclusive"
				}
				set(e, n)
				return ""
			},
		}
	}
	return []*param{
		number("slowlog-log-slower-than", -1, func(e *Engine) int64 { return e.SlowAfter() }, func(e *Engine, n int64) { e.slow.after.Store(n) }),
		number("slowlog-max-len", 0, func(e *Engine) int64 { return e.slow.most }, func(e *Engine, n int64) {
			e.slow.most = n
			e.slow.entries = e.slow.entries[:min(int64(len(e.slow.entries)), n)]
		}),
	}
}
