package main

import (
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"time"

	"holdfast/scripts/internal/clients"
)

// answerBound is how long one pipeline may take while the proxy lives. The
// promise is the command time-out for each command; the rest is for a machine
// that does other things, too.
const answerBound = 10 * time.Second

// op is one command, or one MULTI unit, and what its answer means.
type op struct {
	cmds   [][]string
	read   bool
	own    bool // on a connection of its own at Redis, as WATCH is: Redis's refusals come through
	settle func(o outcome, val any)
}

// worker is one client with its own keys. Only it writes them.
type worker struct {
	w    *world
	all  []*worker
	id   int
	rand *rand.Rand
	conn clients.Conn
	keys *keys

	hot func(k *keys) op // all it does, without a pause; nil: random things

	db      int
	trusted int64    // life whose state was whole when the commands left
	recent  []string // what it did last, for the event log after a wrong answer

	sentAt, gotAt time.Time // of the last pipeline

	acked, unknown, refusedN, broken, reads int64
	notHeld                                 int64            // of the refused: of mirrored keys, which were not known
	texts                                   map[string]int64 // error texts, how often
	slowest                                 time.Duration
}

func newWorker(w *world, id int) *worker {
	db := 0
	if id%6 >= 4 {
		db = 1
	}
	return newWorkerIn(w, id, db)
}

func newWorkerIn(w *world, id, db int) *worker {
	wk := &worker{w: w, id: id, db: db, rand: rand.New(rand.NewSource(w.cfg.seed*1000 + int64(id))), texts: map[string]int64{}}
	proto := 2 + id/2%2
	cfg := clients.Config{Addr: w.holdfast.Addr(), Proto: proto, DB: wk.db, Life: w.lifeToDial}
	if id%2 == 0 {
		wk.conn = clients.GoRedis(cfg)
	} else {
		wk.conn = clients.Raw(cfg)
	}
	wk.keys = newKeys(wk)
	return wk
}

// run sends pipelines of random commands until the world stops.
func (wk *worker) run() {
	if wk.hot != nil {
		wk.runHot()
		return
	}
	defer wk.conn.Close()
	for !wk.w.stopping.Load() {
		if wk.rand.Intn(20) == 0 {
			wk.compareAndSet()
		}
		n := 1
		if wk.rand.Intn(3) == 0 {
			n = 2 + wk.rand.Intn(14)
		}
		ops := make([]op, n)
		for i := range ops {
			ops[i] = wk.keys.next()
		}
		wk.do(ops)
		time.Sleep(time.Duration(wk.rand.Intn(60)) * time.Millisecond)
	}
}

func (wk *worker) do(ops []op) {
	var cmds [][]string
	for _, o := range ops {
		cmds = append(cmds, o.cmds...)
	}
	replies, sent := wk.send(cmds)
	for _, o := range ops {
		last := replies[len(o.cmds)-1]
		wk.settle(o, last, sent)
		replies = replies[len(o.cmds):]
	}
}

// send gives the commands to the proxy as one pipeline, and judges the connection
// and the time. Commands without an answer may have left if sent.
func (wk *worker) send(cmds [][]string) (replies []clients.Reply, sent bool) {
	wk.trusted = wk.w.trusted()
	since := wk.w.since()
	wk.sentAt = time.Now()
	replies, err := wk.conn.Do(cmds)
	wk.gotAt = time.Now()
	took := wk.gotAt.Sub(wk.sentAt)
	for i, cmd := range cmds {
		wk.remember(fmt.Sprintf("%s to %s: %v -> %v", since, wk.w.since(), cmd, replies[i]))
	}
	if wk.w.trusted() != wk.trusted {
		wk.trusted = 0
	}
	sent = wk.judgeConnection(err)
	if err == nil {
		wk.slowest = max(wk.slowest, took)
		if took > answerBound {
			wk.w.violate("slow answer", "client %d waited %v for %d commands, first %v", wk.id, took, len(cmds), cmds[0])
		}
	} else if !sent {
		time.Sleep(20 * time.Millisecond)
	}
	return replies, sent
}

// judgeConnection reports whether unanswered commands may have left.
func (wk *worker) judgeConnection(err error) (sent bool) {
	if err == nil {
		return true
	}
	var broken *clients.BrokenError
	if !errors.As(err, &broken) {
		wk.w.violate("judge", "client %d: %v", wk.id, err)
		return true
	}
	if !wk.w.explained(broken.Life) {
		wk.w.violate("connection closed", "client %d, life %d: %v", wk.id, broken.Life, err)
	}
	return broken.Sent
}

func (wk *worker) settle(o op, reply clients.Reply, sent bool) {
	out := wk.judge(o, reply, sent)
	if o.read {
		wk.reads++
		if out == acked {
			o.settle(acked, reply.Val)
		}
		return
	}
	switch out {
	case acked:
		wk.acked++
		wk.w.acked.Add(1)
	case refused:
		wk.refusedN++
	case unknown:
		wk.unknown++
	}
	o.settle(out, reply.Val)
}

// judge reads one answer.
func (wk *worker) judge(o op, reply clients.Reply, sent bool) outcome {
	switch {
	case !reply.Answered && !sent:
		return refused
	case !reply.Answered:
		if !o.read {
			wk.broken++
		}
		return unknown
	case reply.Err == "":
		if nested := nestedError(reply.Val); nested != "" {
			wk.w.violate("unexplained error", "client %d, inside %v: %s", wk.id, o.cmds, nested)
			return unknown
		}
		return acked
	}
	wk.texts[o.cmds[0][0]+": "+reply.Err]++
	if wk.db == 0 && strings.Contains(reply.Err, "cannot be answered without it") {
		wk.w.violate("unexplained error", "client %d, %v: %s", wk.id, o.cmds, reply.Err) // all that is used here works offline
	}
	if strings.Contains(reply.Err, "not held locally") && wk.mirrored(o.cmds[0]) {
		wk.notHeld++
	}
	known := refusals
	if o.own {
		known = append([]string{"MASTERDOWN ", "READONLY ", "LOADING "}, refusals...)
	}
	for _, prefix := range known {
		if strings.HasPrefix(reply.Err, prefix) && !strings.Contains(reply.Err, "may or may not") {
			return refused
		}
	}
	if !strings.Contains(reply.Err, "may or may not have been applied") {
		wk.w.violate("unexplained error", "client %d, %v: %s", wk.id, o.cmds[0], reply.Err)
	}
	return unknown
}

// mirrored reports whether the command is about a mirrored key.
func (wk *worker) mirrored(argv []string) bool {
	return wk.db == 0 && slices.ContainsFunc(argv, func(arg string) bool { return strings.HasPrefix(arg, prefix) })
}

// refusals start the error texts that say: not applied. The first two are the
// proxy's, the others are what Redis says for a setting that a fault changed.
var refusals = []string{"UPSTREAMDOWN ", "JOURNALFULL ", "NOSCRIPT ", "OOM ", "NOREPLICAS ", "EXECABORT "}

// nestedError finds an error inside the answer of a unit.
func nestedError(val any) string {
	list, _ := val.([]any)
	for _, v := range list {
		if err, ok := v.(error); ok {
			return fmt.Sprint(err)
		}
	}
	return ""
}

// check notes a wrong answer, and once in a while what led to it.
func (wk *worker) check(problem string) {
	if problem == "" {
		return
	}
	wk.w.violate("wrong answer", "client %d: %s", wk.id, problem)
	for _, line := range wk.recent {
		wk.w.logf("  client %d before that: %s", wk.id, line)
	}
	wk.recent = nil
}

// remembered is how many commands of a client are shown after a wrong answer.
const remembered = 60

func (wk *worker) remember(line string) {
	wk.recent = append(wk.recent, line)
	if len(wk.recent) >= 2*remembered {
		wk.recent = append(wk.recent[:0], wk.recent[remembered:]...)
	}
}

// whole reports whether answers must contain everything that was acknowledged.
func (wk *worker) whole() bool { return wk.trusted != 0 }
