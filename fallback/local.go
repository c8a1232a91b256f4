package fallback

import (
	"bytes"
	"context"
	"errors"
	"time"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/engine"
	"holdfast/fallback/journal"
)

// Request is one command, or the commands of one MULTI unit, to be executed on
// the local state.
type Request struct {
	DB       int
	Proto    int // 2 or 3: the protocol of the reply
	Commands [][][]byte
	Unit     bool          // answer as EXEC does
	Watch    *engine.Watch // the unit runs only if these keys did not change; nil = none
	Origin   Origin        // set for a write that Redis may have executed already
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
// ErrOnline: the store stopped serving, ask Redis. The reply may be sent when
// Pending.Wait has returned nil. A reply that is an error was not executed and
// is not in the journal.
func (s *Store) Do(req Request) ([]byte, Pending, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, Pending{}, ErrClosed
	}
	if !s.Serving() {
		return nil, Pending{}, ErrOnline
	}
	if refusal := s.refusal(req); refusal != nil {
		return refusal, Pending{}, nil
	}
	res := s.execute(req)
	if len(res.Effects) == 0 {
		return res.Reply, Pending{}, nil
	}
	s.dirtyGen++
	s.learnWrites(req)
	s.buf = appendRecord(s.buf[:0], Record{DB: req.DB, TimeMs: s.serverNow().UnixMilli(), Origin: req.Origin, Commands: res.Effects})
	ticket, err := s.jr.Append(s.buf)
	if cap(s.buf) > 1<<20 {
		s.buf = nil
	}
	if err != nil {
		// The room was checked before; what is left is a journal that just failed.
		s.log.Error("journal refused a write", "error", err)
		return resp.AppendError(nil, replyJournalFailed), Pending{}, nil
	}
	return res.Reply, Pending{ticket: ticket, journal: true}, nil
}

func (s *Store) execute(req Request) engine.Result {
	if req.Watch != nil && req.Watch.Changed() {
		return engine.Result{Reply: resp.AppendNullArray(nil, req.Proto)}
	}
	if req.Unit {
		return s.eng.DoUnit(req.DB, req.Proto, req.Commands)
	}
	if reply := s.lockReply(req); reply != nil {
		return engine.Result{Reply: reply}
	}
	return s.eng.Do(req.DB, req.Proto, req.Commands[0])
}

// Watch starts watching keys of the local state for a later unit.
func (s *Store) Watch(db int, keys [][]byte) (*engine.Watch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.Serving() {
		return nil, ErrOnline
	}
	return s.eng.Watch(db, keys), nil
}

// learnWrites notes that the keys of an executed write are known from now on.
func (s *Store) learnWrites(req Request) {
	if s.cfg.Embedded {
		return
	}
	var keys [8][]byte
	for _, argv := range req.Commands {
		c, ok := command.Lookup(argv)
		if !ok || c.Flags&command.Write == 0 {
			continue
		}
		for _, k := range c.Keys(keys[:0], argv) {
			s.res.learn(keyID{req.DB, string(k)}, argvBytes(argv))
		}
	}
}

func argvBytes(argv [][]byte) (n int64) {
	for _, a := range argv {
		n += int64(len(a))
	}
	return n
}

// refusal returns the error reply for a request that must not be executed, nil
// when it may be.
func (s *Store) refusal(req Request) []byte {
	if text := s.refusalText(req); text != "" {
		return resp.AppendError(nil, text)
	}
	return nil
}

func (s *Store) refusalText(req Request) string {
	writes := false
	blind := map[string]bool{} // keys that an earlier command of the unit sets whole
	for _, argv := range req.Commands {
		c, ok := command.Lookup(argv)
		if !ok || !s.eng.Supports(c.Name) {
			if s.cfg.Embedded && !ok {
				return command.UnknownError(argv)
			}
			return replyNotOffline
		}
		writes = writes || c.Flags&command.Write != 0
		if s.cfg.Embedded {
			continue
		}
		if text := s.policyRefusal(c); text != "" {
			return text
		}
		if text := s.unknownRefusal(req.DB, c, argv, blind); text != "" {
			return text
		}
	}
	if writes {
		return s.journalRefusal(req)
	}
	return ""
}

// policyRefusal applies what the operator configured and what never works
// without a Redis.
func (s *Store) policyRefusal(c *command.Command) string {
	switch {
	case s.cfg.Policy == Refuse:
		return replyRefuse
	case s.cfg.Policy == ReadOnly && c.Flags&command.Write != 0:
		return replyReadOnly
	case c.Flags&(command.Blocking|command.PubSub|command.Dangerous|command.Admin) != 0:
		return replyNotOffline
	case s.cfg.MaxStale > 0 && !s.staleAt.IsZero() && s.cfg.Now().Sub(s.staleAt) > s.cfg.MaxStale && c.Flags&command.Write == 0:
		return replyStale
	}
	return ""
}

// unknownRefusal refuses what depends on keys that are not held.
func (s *Store) unknownRefusal(db int, c *command.Command, argv [][]byte, blind map[string]bool) string {
	if c.Flags&(command.Read|command.Write|command.Script) == 0 {
		return ""
	}
	var buf [8][]byte
	keys := c.Keys(buf[:0], argv)
	if len(keys) == 0 {
		return s.keylessRefusal(db, c, argv)
	}
	sets := setsWhole(c.Name, argv)
	for _, k := range keys {
		switch {
		case blind[string(k)] || s.res.known(keyID{db, string(k)}):
			if s.cfg.Policy == Strict && c.Flags&command.Write != 0 && !sets {
				return replyStrict
			}
		case sets:
			blind[string(k)] = true
		default:
			return replyUnknownKey
		}
	}
	return ""
}

// keylessRefusal judges commands that range over the keyspace or name no key.
func (s *Store) keylessRefusal(db int, c *command.Command, argv [][]byte) string {
	switch c.Name {
	case "keys":
		if len(argv) == 2 && s.res.rangeKnown(db, literalPrefix(argv[1])) {
			return ""
		}
	case "scan":
		for i := 2; i+1 < len(argv); i += 2 {
			if bytes.EqualFold(argv[i], []byte("match")) && s.res.rangeKnown(db, literalPrefix(argv[i+1])) {
				return ""
			}
		}
	case "time", "script|load", "script|exists", "eval_ro", "evalsha_ro", "eval", "evalsha":
		// A script without keys cannot say what it touches: its nested calls are
		// executed on what is held, which is all there is under mirrored prefixes.
		return ""
	}
	return replyUnknownRange
}

// literalPrefix is the part of a glob pattern before its first special character.
func literalPrefix(pattern []byte) string {
	if i := bytes.IndexAny(pattern, `*?[\`); i >= 0 {
		pattern = pattern[:i]
	}
	return string(pattern)
}

// setsWhole reports whether the command gives its keys a whole new value and
// answers OK whatever was there: it needs no knowledge of the old state.
func setsWhole(name string, argv [][]byte) bool {
	switch name {
	case "mset", "setex", "psetex":
		return true
	case "set":
		for _, opt := range argv[min(3, len(argv)):] {
			for _, no := range []string{"nx", "xx", "get", "keepttl"} {
				if bytes.EqualFold(opt, []byte(no)) {
					return false
				}
			}
		}
		return true
	}
	return false
}

// journalRefusal checks for room before anything is executed, so that a full
// journal never leaves a change behind that is not journaled.
func (s *Store) journalRefusal(req Request) string {
	st := s.jr.Stats()
	if st.Failed {
		return replyJournalFailed
	}
	need := int64(256)
	for _, argv := range req.Commands {
		need += 2*argvBytes(argv) + 128
	}
	if st.Bytes+need > s.cfg.JournalBytes {
		return replyJournalFull
	}
	return ""
}

// lockReply answers SET … NX EX|PX while Redis is away: nil, somebody else has
// it. Granting would make two holders; an error makes some clients go on unlocked.
func (s *Store) lockReply(req Request) []byte {
	argv := req.Commands[0]
	if s.cfg.Embedded || len(argv) < 5 || !bytes.EqualFold(argv[0], []byte("set")) {
		return nil
	}
	var nx, expires bool
	for _, opt := range argv[3:] {
		nx = nx || bytes.EqualFold(opt, []byte("nx"))
		for _, e := range []string{"ex", "px", "exat", "pxat"} {
			expires = expires || bytes.EqualFold(opt, []byte(e))
		}
	}
	if !nx || !expires {
		return nil
	}
	return resp.AppendNull(nil, req.Proto)
}

// reapplyJournal executes the journaled writes after seq on the local state.
func (s *Store) reapplyJournal(after uint64) (n int, err error) {
	err = s.jr.Read(context.Background(), after, func(seq uint64, payload []byte) error {
		r, err := DecodeRecord(seq, payload)
		if err != nil {
			return err
		}
		for _, argv := range r.Commands {
			// The effect executed once before it was journaled; if it cannot now, the
			// base it ran on was lost with an older snapshot. Redis still gets it at replay.
			if err := s.eng.Apply(r.DB, argv); err != nil {
				s.log.Warn("journaled write does not apply locally", "seq", seq, "error", err)
			}
			s.learnArgv(r.DB, argv)
		}
		n++
		return nil
	})
	return n, err
}

func (s *Store) learnArgv(db int, argv [][]byte) {
	s.learnWrites(Request{DB: db, Commands: [][][]byte{argv}})
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
