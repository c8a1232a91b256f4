package fallback

import (
	"errors"

	"holdfast/backend/command"
	"holdfast/fallback/record"
)

// scope is what one request, or one acknowledged write being followed, has been
// found to touch. The calls of a script add to it while the script runs.
type scope struct {
	db      int            // of the request; a script may select another
	serving bool           // a client waits: the offline policy applies
	again   bool           // Redis may have executed it already: chance and time gave something else there
	script  bool           // the calls come from a script
	scripts bool           // a unit: one of its commands runs a script
	looked  bool           // what comes next may depend on what is there: a script has looked, or keys are watched
	created fewKeys        // keys that a script made where there was none
	blind   fewKeys        // keys that got a whole new value in this scope
	writes  []touch        // keys that may change
	bases   []record.Base  // what they held, at their first write of the outage
	locks   []record.KeyID // those of them that are locks somebody holds
	images  []preimage
	called  func(db int, argv [][]byte) // see Request.Called
	who     func() (addr, name string)  // see Request.Who
}

// fewKeys is a set of keys, most often of one or none: those cost no map.
type fewKeys struct {
	first record.KeyID
	any   bool
	rest  map[record.KeyID]struct{}
}

func (f *fewKeys) has(id record.KeyID) bool {
	if !f.any || f.first == id {
		return f.any
	}
	_, ok := f.rest[id]
	return ok
}

func (f *fewKeys) add(id record.KeyID) {
	switch {
	case !f.any:
		f.first, f.any = id, true
	case f.has(id):
	default:
		if f.rest == nil {
			f.rest = map[record.KeyID]struct{}{}
		}
		f.rest[id] = struct{}{}
	}
}

type touch struct {
	id   record.KeyID
	size int64
}

// admit judges one command against what is held, and notes what it will change.
// It returns the refusal, "" when the command may run. Nothing has run when a
// unit's first command is admitted, so that a refusal refuses all of it.
func (s *Store) admit(sc *scope, db int, c *command.Command, argv [][]byte) string {
	if sc.serving {
		if text := s.policyRefusal(c, argv); text != "" {
			return text
		}
	}
	if c.Flags&(command.Read|command.Write) == 0 || c.Flags&command.Script != 0 {
		sc.scripts = sc.scripts || c.Flags&command.Script != 0
		return s.admitGlobal(sc, c) // a script's calls are asked about one by one
	}
	var buf [8][]byte
	keys := c.Keys(buf[:0], argv)
	if len(keys) == 0 {
		return s.admitRange(sc, db, c, argv)
	}
	t := traitsOf(c, argv)
	if t&blind != 0 && !s.eng.Sets(argv) {
		return "" // it fails by its arguments, whatever the keys hold: they are as unknown as before
	}
	if t&grouped != 0 && sc.serving && !s.cfg.Embedded {
		return replyNoGroups
	}
	if t&across != 0 {
		if sc.serving && !s.cfg.Embedded {
			return replyNotOffline // what the other database holds is not looked at
		}
		s.willWriteAny(sc)
	}
	away := sc.serving && !s.cfg.Embedded
	if away && c.Flags&command.Write != 0 && c.ArityOK(len(argv)) {
		if text := s.claimRefusal(sc, db, c, argv); text != "" {
			return text
		}
	}
	for _, k := range keys {
		id := record.KeyID{DB: db, Key: string(k)}
		known := sc.blind.has(id) || s.res.known(id)
		// What a script does next depends on the reply.
		may := known || t&blind != 0 || (!sc.serving && !sc.script && t&whole != 0)
		asks := sc.script || (t&blind == 0 && !sc.blind.has(id)) // its answer depends on old state
		switch {
		case asks && sc.serving && s.stale() && c.Flags&command.Write != 0:
			return replyStale
		case !may:
			return replyUnknownKey
		case c.Flags&command.Write == 0:
		case sc.serving && s.cfg.Policy == Strict && !s.cfg.Embedded && asks:
			return replyStrict
		case away && s.startsLate(sc, id, t):
			return replyNoExpiry
		default:
			s.noteCreated(sc, id)
			s.willWrite(sc, id, record.ArgvBytes(argv), known)
			if t&whole != 0 {
				sc.blind.add(id)
			}
		}
	}
	return ""
}

// willWrite notes a key that is about to change.
func (s *Store) willWrite(sc *scope, id record.KeyID, size int64, known bool) {
	s.snap.preimage(s, id)
	sc.writes = append(sc.writes, touch{id, size})
	if sc.serving {
		s.keepImage(sc, id, known)
	}
	if s.cfg.Embedded || !sc.serving {
		return
	}
	if s.holdsLock(id) {
		sc.locks = append(sc.locks, id)
	}
	if id.DB == sc.db && known && !sc.blind.has(id) && s.firstWrite(id) && !s.unsure.has(id) && s.comparable(id) {
		d, expire := record.DigestOf(s.eng.DumpKey(id.DB, []byte(id.Key)))
		sc.bases = append(sc.bases, record.Base{Key: []byte(id.Key), Digest: d, ExpireMs: expire})
	}
}

// firstWrite reports that no write of this outage to the key is journaled yet.
func (s *Store) firstWrite(id record.KeyID) bool {
	_, undone := s.undo.rebase[id]
	return undone || !s.written.has(id)
}

// Bounds of what is compared with Redis at the replay: the fingerprint is made
// while everybody waits. A key that is larger is not looked at.
const (
	baseElements = 10_000  // of a collection
	baseLength   = 1 << 20 // of a string
)

// comparable reports whether the key's value is small enough for a fingerprint.
func (s *Store) comparable(id record.KeyID) bool {
	n := s.eng.Size(id.DB, []byte(id.Key))
	return n <= baseElements || n <= baseLength && s.eng.Type(id.DB, []byte(id.Key)) == "string"
}

// willWriteAny notes that keys may change that cannot be told beforehand.
func (s *Store) willWriteAny(sc *scope) {
	s.snap.abort()
	sc.images = append(sc.images, preimage{lost: true})
}

// admitGlobal judges commands that neither read nor write keys.
func (s *Store) admitGlobal(sc *scope, c *command.Command) string {
	if s.cfg.Embedded && c.Flags&command.Dangerous != 0 {
		s.willWriteAny(sc)
	}
	return ""
}

// admitRange judges commands that name no key.
func (s *Store) admitRange(sc *scope, db int, c *command.Command, argv [][]byte) string {
	if s.cfg.Embedded {
		if c.Flags&command.Write != 0 {
			s.willWriteAny(sc)
		}
		return ""
	}
	switch t := traitsOf(c, argv); {
	case t&global != 0, t&ranges != 0 && s.res.rangeKnown(db, literalPrefix(rangePattern(c, argv))):
		return ""
	}
	return replyUnknownRange
}

// policyRefusal applies what the operator configured and what never works
// without a Redis.
func (s *Store) policyRefusal(c *command.Command, argv [][]byte) string {
	if s.cfg.Embedded {
		return ""
	}
	write := c.Flags&command.Write != 0
	switch {
	case s.cfg.Policy == Refuse:
		return replyRefuse
	case s.cfg.Policy == ReadOnly && write:
		return replyReadOnly
	case c.Flags&(command.PubSub|command.Dangerous|command.Admin) != 0, command.Blocks(argv, c),
		write && c.Flags&command.QueueableOffline == 0:
		return replyNotOffline
	case s.stale() && !write: // of writes, those that look at old state: see admit
		return replyStale
	}
	return ""
}

// stale reports whether local data is older than what may be served.
func (s *Store) stale() bool {
	return s.cfg.MaxStale > 0 && !s.cfg.Embedded && !s.outage.staleAt.IsZero() && s.clock.Steady().Sub(s.outage.staleAt) > s.cfg.MaxStale
}

// access is asked by the engine before every call of a script, and for keys that
// SORT comes to by its patterns.
func (s *Store) access(db int, argv [][]byte) error {
	sc := s.running
	if sc == nil {
		return nil
	}
	c, ok := command.Lookup(argv)
	if !ok {
		return nil // the engine knows the error for it
	}
	sc.script = true
	if sc.called != nil {
		sc.called(db, argv)
	}
	if sc.again && (c.Flags&command.NonDeterministic != 0 || c.Name == "xadd") {
		return errors.New(replyNotOffline)
	}
	if !sc.serving && !s.cfg.Embedded {
		s.noteScriptLock(sc, db, c, argv)
	}
	if text := s.admit(sc, db, c, argv); text != "" {
		return errors.New(text)
	}
	sc.looked = sc.looked || c.Flags&(command.Read|command.Write) != 0 && traitsOf(c, argv)&blind == 0
	if sc.givesBack(db, c, argv) {
		s.eng.JournalEffects()
	}
	return nil
}

// learnScope notes what is known after the scope's commands ran.
func (s *Store) learnScope(sc *scope) {
	for _, t := range sc.writes {
		s.res.learn(t.id, t.size)
	}
}
