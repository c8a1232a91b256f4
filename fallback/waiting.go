package fallback

import (
	"bytes"
	"slices"
	"sync/atomic"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/engine"
	"holdfast/fallback/record"
)

// Waiter is a client of an embedded store that waits in a blocking command. Those who
// wait for the same key are served in the order in which they came, right behind the
// command, unit or script that brought something, before anybody else can take it.
type Waiter struct {
	req    Request
	waits  []engine.Wait
	served chan Served
}

// Served is the answer to a blocking command; see Pending.
type Served struct {
	Reply   []byte
	Pending Pending
}

// Served gives the answer, once, if Unblock does not come first.
func (w *Waiter) Served() <-chan Served { return w.served }

// waiting is who waits for what. The store's lock is held.
type waiting struct {
	all   []*Waiter                  // in the order they came
	lines map[record.KeyID][]*Waiter // of each key, in the order they came
	count atomic.Int64               // how many they are; read without the lock
	ready []record.KeyID             // keys that were written, in order
	noted map[record.KeyID]struct{}  // those in ready
}

// Block executes a blocking command on an embedded store. If there is nothing for it
// yet, it waits: w is not nil then, and there is no answer.
func (s *Store) Block(req Request) (reply []byte, p Pending, w *Waiter, err error) {
	if r := s.mu.LockOrBusy(); r != nil {
		return resp.AppendError(nil, r.Busy()), Pending{}, nil, nil
	}
	defer s.mu.Unlock()
	reply, p, err = s.do(req)
	s.serveReady()
	if err != nil || !isNull(reply) || !s.cfg.Embedded {
		return reply, p, nil, err
	}
	w = &Waiter{req: req, waits: s.eng.Waits(req.DB, req.Commands[0]), served: make(chan Served, 1)}
	if len(w.waits) == 0 {
		return reply, p, nil, nil
	}
	wt := &s.waiting
	if wt.lines == nil {
		wt.lines, wt.noted = map[record.KeyID][]*Waiter{}, map[record.KeyID]struct{}{}
	}
	wt.all = inLine(wt.all, w)
	wt.count.Add(1)
	for _, on := range w.waits {
		id := record.KeyID{DB: req.DB, Key: on.Key}
		wt.lines[id] = inLine(wt.lines[id], w)
	}
	return nil, Pending{}, w, nil
}

// inLine puts a client behind those whose commands arrived before its own.
func inLine(line []*Waiter, w *Waiter) []*Waiter {
	at := len(line)
	for w.req.Arrived != 0 && at > 0 && line[at-1].req.Arrived > w.req.Arrived {
		at--
	}
	return slices.Insert(line, at, w)
}

// Unblock ends the waiting of a client. False: it was served, or unblocked before.
func (s *Store) Unblock(w *Waiter) bool {
	s.mu.LockAside()
	defer s.mu.Unlock()
	return s.waiting.remove(w)
}

// Blocked is how many clients wait in blocking commands.
func (s *Store) Blocked() int64 { return s.waiting.count.Load() }

func (wt *waiting) remove(w *Waiter) bool {
	at := slices.Index(wt.all, w)
	if at < 0 {
		return false
	}
	wt.all = slices.Delete(wt.all, at, at+1)
	wt.count.Add(-1)
	for _, on := range w.waits {
		id := record.KeyID{DB: w.req.DB, Key: on.Key}
		line := slices.DeleteFunc(wt.lines[id], func(o *Waiter) bool { return o == w })
		if wt.lines[id] = line; len(line) == 0 {
			delete(wt.lines, id)
		}
	}
	return true
}

// wrote notes the keys that effects have changed, if somebody waits for them.
func (wt *waiting) wrote(db int, effects [][][]byte) {
	if len(wt.all) == 0 {
		return
	}
	for _, argv := range effects {
		c, ok := command.Lookup(argv)
		if !ok {
			continue
		}
		keys := c.WriteKeys(nil, argv)
		if len(keys) == 0 || c.Flags&command.Script != 0 || traitsOf(c, argv)&across != 0 {
			for _, w := range wt.all { // whatever it was, it may be what they wait for
				for _, on := range w.waits {
					wt.note(record.KeyID{DB: w.req.DB, Key: on.Key})
				}
			}
			continue
		}
		for _, k := range keys {
			wt.note(record.KeyID{DB: db, Key: string(k)})
		}
	}
}

func (wt *waiting) note(id record.KeyID) {
	if _, ok := wt.noted[id]; ok || len(wt.lines[id]) == 0 {
		return
	}
	wt.noted[id] = struct{}{}
	wt.ready = append(wt.ready, id)
}

// serveReady serves those who wait for what was written. What they do may in turn be
// what others wait for.
func (s *Store) serveReady() {
	wt := &s.waiting
	for len(wt.ready) > 0 {
		id := wt.ready[0]
		wt.ready = wt.ready[1:]
		delete(wt.noted, id)
		for _, w := range slices.Clone(wt.lines[id]) {
			if slices.Contains(wt.lines[id], w) { // not served by now
				s.serve(w, id)
			}
		}
	}
	wt.ready = nil
}

// serve executes the command of one who waits, for one key.
func (s *Store) serve(w *Waiter, id record.KeyID) {
	at := slices.IndexFunc(w.waits, func(on engine.Wait) bool { return on.Key == id.Key })
	ready, failure := s.eng.Ready(id.DB, w.waits[at])
	var done Served
	switch {
	case failure != "":
		done.Reply = resp.AppendError(nil, failure)
	case !ready:
		return
	default:
		req := w.req
		req.Commands = [][][]byte{w.waits[at].Argv}
		var err error
		if done.Reply, done.Pending, err = s.do(req); err != nil {
			done.Reply = resp.AppendError(nil, "ERR "+err.Error())
		} else if isNull(done.Reply) {
			return
		}
	}
	s.waiting.remove(w)
	w.served <- done
}

// isNull reports whether a reply says that there was nothing.
func isNull(reply []byte) bool {
	return bytes.HasPrefix(reply, []byte("_")) || bytes.HasPrefix(reply, []byte("*-1")) || bytes.HasPrefix(reply, []byte("$-1"))
}
