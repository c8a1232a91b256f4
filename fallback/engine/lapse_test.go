package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"holdfast/backend/redistest"
)

// lapseTemplates put deadlines on keys: short ones are over before Redis gets
// anything, some of them while the commands still run.
var lapseTemplates = []string{
	"PEXPIRE {k} {d}", "PEXPIRE {k} {d}", "PEXPIRE {k} {d}", "PEXPIRE {k} {d} GT", "PEXPIRE {k} {d} LT", "PEXPIRE {k} {d} NX", "SET {k} {v} PX {d}", "GETEX {k} PX {d}", "GETEX {k} PERSIST",
	"PERSIST {k}", "SET {k} {n} KEEPTTL", "INCR {k}", "HSET {k} {m} {v}", "RPUSH {k} {v} {m}", "SADD {k} {m} {n}", "ZADD {k} {n} {m}", "SETRANGE {k} 5000 z", "APPEND {k} +",
	"XADD {k} * f {v}", "XGROUP CREATE {k} g $ MKSTREAM", "LSET {k} 0 {v}", "SMOVE {k} {k} {m}", "RPOPLPUSH {k} {k}", "COPY {k} {k} REPLACE", "RENAME {k} {k}",
	"EVAL 'if redis.call([[TYPE]],KEYS[1]).ok==[[string]] then return redis.call([[RPUSH]],KEYS[2],redis.call([[GET]],KEYS[1])) end return redis.call([[INCR]],KEYS[2])' 2 {k} {q}",
	"EVAL 'if redis.call([[INCR]],KEYS[1])==1 then redis.call([[PEXPIRE]],KEYS[1],ARGV[1]) end return 1' 1 {k} {d}",
}

// lapseRun executes commands in the past of a Redis: on what it held then, of
// which it holds now what has not expired, and again what the effects make of it.
type lapseRun struct {
	e         *Engine
	c         *conn
	now, base time.Time // of the engine; of Redis
	journaled bool
	log       []string
	effects   [][][]byte
}

func newLapseRun(c *conn) *lapseRun {
	c.ask("FLUSHALL")
	r := &lapseRun{c: c, base: time.Now()}
	r.now = r.base.Add(-100 * time.Second)
	r.e = New(Config{Now: func() time.Time { return r.now }, Replayed: func() bool { return r.journaled }})
	return r
}

// lost begins the outage: from here on all that Redis gets is effects.
func (r *lapseRun) lost(fail func(string, ...any)) {
	r.journaled = true
	_ = r.e.Dump(func(db int, argv [][]byte) error {
		r.c.ask("SELECT", fmt.Sprint(db))
		if v := r.c.ask(toStrings(argv)...); v.isErr() {
			fail("dump %q: %s", argv, v.str)
		}
		return nil
	})
	r.c.ask("SELECT", "0")
}

func (r *lapseRun) do(line string) {
	res := r.e.Do(0, 2, cmd(line))
	r.log = append(r.log, fmt.Sprintf("%v %s -> %q", r.now.Sub(r.base).Round(time.Second), line, res.Effects))
	if r.journaled {
		r.effects = append(r.effects, res.Effects...)
	}
}

// replayed compares Redis and the engine now, and an engine that read the journal.
func (r *lapseRun) replayed(fail func(string, ...any), t testing.TB) {
	for _, effect := range r.effects {
		argv, _ := ForRedis(effect)
		if reply := r.c.do(argv); reply[0] == '-' {
			fail("effect %q: %s\n%s", effect, reply, strings.Join(r.log, "\n"))
		}
	}
	r.now = time.Now()
	r.e.Has(0, nil) // lets what is due go
	if want, got := r.c.state(), state(t, r.e); want != got {
		fail("%s", strings.ReplaceAll(fmt.Sprintf("state\nredis\n%s\nengine\n%s\nafter\n%s", want, got, strings.Join(r.log, "\n")), `\x00`, ""))
	}
}

// TestDeadlinesThatPassBeforeTheReplay: whatever ran on keys with deadlines, Redis
// has what the engine has, though it gets the effects after the deadlines.
func TestDeadlinesThatPassBeforeTheReplay(t *testing.T) {
	srv := redistest.Start(t)
	c := dial(t, srv.Addr(), 2)
	templates := append([]string{}, sureTemplates...)
	templates = append(templates, unsureTemplates...)
	for range 6 {
		templates = append(templates, lapseTemplates...)
	}
	templates = slices.DeleteFunc(templates, func(line string) bool {
		return strings.HasPrefix(line, "MOVE") || strings.Contains(line, "DB 1") // another database: refused while Redis is away
	})
	rapid.Check(t, func(rt *rapid.T) {
		r := newLapseRun(c)
		defer r.e.Close()
		for i := range 70 {
			if i == 20 {
				r.lost(rt.Fatalf)
			}
			r.now = r.now.Add(time.Duration(rapid.IntRange(0, 1000).Draw(rt, "step")) * time.Millisecond)
			line := generate(rt, templates)
			for strings.Contains(line, "{") {
				line = strings.Replace(line, "{d}", pick(rt, []string{"900", "4000", "15000", "16000", "500000", "600000"}), 1)
				line = strings.Replace(line, "{q}", pick(rt, []string{"k1", "k2", "k3"}), 1)
			}
			r.do(line)
		}
		r.replayed(rt.Fatalf, t)
	})
}

// TestJournalWithFormsLoads: what a restart reads from the journal is what was here.
func TestJournalWithFormsLoads(t *testing.T) {
	c := newClock()
	e, again := newTestEngine(t, c.Now), newTestEngine(t, c.Now)
	for _, line := range []string{"SET s 1 PX 500", "INCR s", "APPEND s 0", "PEXPIRE s 900", "RPUSH l a b", "PEXPIRE l 900", "LSET l 0 z", "PERSIST l",
		"XADD x * f v", "PEXPIRE x 800", "XADD x * f w", "COPY s s2", "PERSIST s2", "SADD set m n", "PEXPIRE set 900", "SMOVE set to m"} {
		for _, effect := range e.Do(0, 2, cmd(line)).Effects {
			require.NoError(t, again.Apply(0, Told(effect)), line)
		}
		c.now = c.now.Add(10 * time.Millisecond)
	}
	require.Equal(t, state(t, e), state(t, again))
	c.now = c.now.Add(time.Second)
	e.Has(0, nil)
	again.Has(0, nil)
	require.Equal(t, state(t, e), state(t, again))
	require.Equal(t, 3, e.Keys()) // l, s2 and to
}

// TestScriptsDoNotFindWhatWasKept: a large value that is kept for longer than it lived
// here is there at the replay; what a script did without it is done all the same.
func TestScriptsDoNotFindWhatWasKept(t *testing.T) {
	c := dial(t, redistest.Start(t).Addr(), 2)
	r := newLapseRun(c)
	defer r.e.Close()
	for _, key := range []string{"k", "read"} {
		r.do("SET " + key + " " + strings.Repeat("v", smallState+1) + " PX 4000")
	}
	r.lost(t.Fatalf)
	for _, key := range []string{"k", "read"} {
		r.do("PEXPIRE " + key + " 90000") // restored by the replay, until a second from now
	}
	r.now = r.base.Add(-5 * time.Second)
	r.do("EVAL 'if redis.call([[EXISTS]],KEYS[1])==0 then redis.call([[SET]],KEYS[1],[[new]]) end return 1' 1 k")
	r.do("EVAL 'return redis.call([[RPUSH]],KEYS[2],redis.call([[EXISTS]],KEYS[1]))' 2 read list")
	for _, effect := range r.effects {
		argv, _ := ForRedis(effect)
		require.NotEqual(t, byte('-'), c.do(argv)[0])
	}
	require.Equal(t, "new", c.ask("GET", "k").str)
	require.Equal(t, []string{"0"}, c.ask("LRANGE", "list", "0", "-1").flat())
}

// TestSortByKeysThatExpire: the keys that SORT finds by its patterns may be gone at
// the replay.
func TestSortByKeysThatExpire(t *testing.T) {
	r := newLapseRun(dial(t, redistest.Start(t).Addr(), 2))
	defer r.e.Close()
	for _, line := range []string{"RPUSH q a b c", "MSET w_a 1 w_b 2 w_c 3", "PEXPIRE w_c 50000", "PEXPIRE w_b 200000"} {
		r.do(line)
	}
	r.lost(t.Fatalf)
	for _, line := range []string{"SORT q BY w_* DESC STORE by", "SORT q BY nosort GET w_* STORE get",
		"EVAL 'return redis.call([[SORT]],KEYS[1],[[BY]],[[nosort]],[[GET]],[[w_*]],[[STORE]],KEYS[2])' 2 q script"} {
		r.do(line)
	}
	r.replayed(t.Fatalf, t)
}
