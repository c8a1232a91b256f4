package fallback

import (
	"errors"
	"slices"
	"time"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/engine"
	"holdfast/fallback/journal"
	"holdfast/fallback/record"
)

// Request is one command, or the commands of one MULTI unit, to be executed on
// the local state.
type Request struct {
	DB       int
	Proto    int // 2 or 3: the protocol of the reply
	Commands [][][]byte
	Unit     bool          // answer as EXEC does
	Client   int64         // who asks, for those who are told of writes
	Watch    []*Watch      // the unit runs only if none of these keys changed
	Origin   record.Origin // of a write that may have been executed by Redis already; see there
	// Until is when the client must have its answer: a script that takes longer is
	// ended and undone. The zero time: after scriptBound. Embedded: never.
	Until time.Time
	// Takeovers is, with an Origin, what Store.Takeovers was when the write was sent.
	Takeovers uint64
	// Arrived is when a blocking command came in, in nanoseconds of Unix time: those who
	// wait for the same key are served in this order. 0: in the order of the calls.
	Arrived int64
	// Called, if not nil, is told of each command that a script calls, before it is executed.
	// It is called with the store's lock held, and must not use the store.
	Called func(db int, argv [][]byte)
	// Who tells the client's address and name, for SLOWLOG; nil: nobody knows.
	Who func() (addr, name string)
}

// Pending is an answer that may only be sent once Wait has returned nil: the
// write behind it is on disk then. The zero value waits for nothing.
type Pending struct {
	ticket  journal.Ticket
	journal bool
}

// Needed reports whether there is anything to wait for.
func (p Pending) Needed() bool { return p.journal }

// Wait returns when the write is durable. An error means that the journal
// failed: the write must be answered with ReplyJournalFailed, not as done.
func (p Pending) Wait() error {
	if !p.journal {
		return nil
	}
	return p.ticket.Wait()
}

// ReplyJournalFailed is the reply for a write whose Pending failed.
func ReplyJournalFailed(dst []byte) []byte { return resp.AppendError(dst, replyJournalFailed) }

// ReplyUnknownOutcome is the reply for a write that was under way when Redis
// went away and that must not be executed again.
func ReplyUnknownOutcome(dst []byte) []byte { return resp.AppendError(dst, replyUnknownOutcome) }

// Do executes the request on the local state and returns its RESP reply.
// ErrOnline: the store stopped serving since, ask Redis. ErrWatchLost: Redis took over
// since keys were watched, so that nobody can say whether they changed. The reply
// may be sent when Pending.Wait has returned nil. A reply that is an error was not
// executed and is not in the journal.
func (s *Store) Do(req Request) ([]byte, Pending, error) {
	if reply := s.besides(req); reply != nil {
		return reply, Pending{}, nil
	}
	s.eng.Prepare(req.Commands)
	if s.cfg.Embedded {
		req.Until = time.Time{} // scripts run as in Redis
	}
	if r := s.mu.LockOrBusy(); r != nil {
		return resp.AppendError(nil, r.Busy()), Pending{}, nil
	}
	defer s.mu.Unlock()
	reply, p, err := s.do(req)
	s.serveReady()
	return reply, p, err
}

// do is Do with the lock held.
func (s *Store) do(req Request) ([]byte, Pending, error) {
	if s.closed {
		return nil, Pending{}, ErrClosed
	}
	if !s.Serving() {
		return nil, Pending{}, ErrOnline
	}
	for _, w := range req.Watch {
		if w.takeovers != s.outage.takeovers.Load() {
			return nil, Pending{}, ErrWatchLost
		}
	}
	if req.Origin.Key != "" && req.Takeovers != s.outage.takeovers.Load() {
		// The outage that it was under way in is over: if Redis executed it, what was
		// fetched since may have it, and writes that came later stand on that.
		return nil, Pending{}, ErrOnline
	}
	if s.jr.Failed() {
		s.undoRefused()
	}
	s.mirror.drainLocked() // an answer of Redis that came in late goes first
	s.eng.StopClock()
	defer s.eng.StartClock()
	if reply := s.lockReply(req); reply != nil {
		return reply, Pending{}, nil
	}
	sc := &scope{db: req.DB, serving: true, again: req.Origin.Key != "", looked: len(req.Watch) > 0, called: req.Called, who: req.Who}
	if text := s.refusal(sc, req); text != "" {
		return resp.AppendError(nil, text), Pending{}, nil
	}
	s.running = sc
	res, late := s.executeInTime(req)
	s.running = nil
	if late && req.Unit && req.Origin.Key != "" {
		// A script in it was ended, and Redis may have executed all of it: what the rest
		// did here is not what Redis did.
		for _, t := range sc.writes {
			s.res.forget(t.id)
		}
		s.dirtyGen++
		return resp.AppendError(nil, replyScriptTime), Pending{}, nil
	}
	if len(res.Effects) == 0 {
		return res.Reply, Pending{}, nil
	}
	s.notifyWrite(req)
	s.waiting.wrote(req.DB, res.Effects)
	if req.Origin.Key != "" {
		sc.bases = nil // Redis may have changed these keys by this very write
	}
	pending, err := s.journal(req, sc, res.TimeMs, s.guardReleases(req.DB, res.Effects, sc.locks))
	if err != nil {
		return resp.AppendError(nil, replyJournalFailed), Pending{}, nil
	}
	return res.Reply, pending, nil
}

func (s *Store) execute(req Request) engine.Result {
	for _, w := range req.Watch {
		if w.keys.Changed() {
			return engine.Result{Reply: resp.AppendNullArray(nil, req.Proto)}
		}
	}
	if req.Unit {
		return s.eng.DoUnit(req.DB, req.Proto, req.Commands)
	}
	return s.eng.Do(req.DB, req.Proto, req.Commands[0])
}

// journal appends what a request did at a time (Unix ms). The lock is held, so that the order of
// the journal is the order of execution.
func (s *Store) journal(req Request, sc *scope, at int64, effects [][][]byte) (Pending, error) {
	s.dirtyGen++
	s.learnScope(sc)
	s.buf = record.Append(s.buf[:0], record.Record{
		DB: req.DB, TimeMs: at, Commands: effects, Bases: sc.bases, Origin: req.Origin,
	})
	ticket, err := s.jr.Append(s.buf)
	if cap(s.buf) > 1<<20 {
		s.buf = nil
	}
	if err != nil {
		// Room was checked before, so this is a journal that just failed, or a script
		// that grew beyond all slack. What it changed was not acknowledged. Writes before
		// it that were refused as well are put back before the next request.
		s.log.Error("journal refused a write", "error", err)
		for i := range slices.Backward(sc.images) {
			s.putBack(&sc.images[i])
		}
		return Pending{}, err
	}
	s.keepImages(sc, ticket.Seq())
	if !s.cfg.Embedded {
		for _, t := range sc.writes {
			s.written.add(t.id)
		}
		if s.oldest.IsZero() {
			s.oldest = s.cfg.Now()
		}
	}
	return Pending{ticket: ticket, journal: true}, nil
}

// Watch starts watching keys of the local state for a later unit.
func (s *Store) Watch(db int, keys [][]byte) (*Watch, error) {
	if r := s.mu.LockOrBusy(); r != nil {
		return nil, BusyError{r.Busy()}
	}
	defer s.mu.Unlock()
	if !s.Serving() {
		return nil, ErrOnline
	}
	return &Watch{s.eng.Watch(db, keys), s.outage.takeovers.Load()}, nil
}

// refusal returns the error text for a request that must not be executed, ""
// when it may be. It is refused as a whole: nothing of it has run.
func (s *Store) refusal(sc *scope, req Request) string {
	writes := false
	for _, argv := range req.Commands {
		c, ok := command.Lookup(argv)
		if !ok || !s.eng.Supports(c.Name) {
			if s.cfg.Embedded && !ok {
				return command.UnknownError(argv)
			}
			return replyNotOffline
		}
		if !c.ArityOK(len(argv)) {
			continue // the engine has the error for it
		}
		writes = writes || c.Flags&(command.Write|command.Script) != 0
		if text := s.admit(sc, req.DB, c, argv); text != "" {
			return text
		}
	}
	if writes {
		return s.journalRefusal(req)
	}
	return ""
}

// errTimeout is what waiting for a change of mode ends with.
var errTimeout = errors.New("redis neither answered nor was declared down in time")

// AwaitServing waits until the store serves or d has passed.
func (s *Store) AwaitServing(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		ch := s.Changed()
		if s.Serving() {
			return nil
		}
		select {
		case <-ch:
		case <-timer.C:
			return errTimeout
		}
	}
}
