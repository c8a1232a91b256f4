package fallback

import (
	"strconv"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/record"
)

// This file decides what a client gets, while Redis is away, that asks to be the
// first: for a lock, or to start a counter that has to expire. Who is first among
// all hosts only Redis can say, so
//
//   - a key that is held answers as Redis does: somebody was first;
//   - a counter starts at 0: whoever starts it, what is counted on it adds up at the
//     replay, so it is started here, with its expiry;
//   - anything else would be a lock, or may be one, and is not set. SET … NX with an
//     expiry, by itself, is answered nil, for that is how a lock is not granted
//     (clients take an error for leave to go on unlocked); the others get an error;
//   - a key that was not created with its expiry is not created without one by what
//     comes behind (INCR, HSET …).

// maxUnclaimed bounds the keys remembered that were not created; see noteUnclaimed.
const maxUnclaimed = 1 << 16

// unclaimedFor is how long, in ms, a refused claim without an expiry is remembered.
const unclaimedFor = 60_000

// claimRefusal judges a write of a client to known keys. It returns the text of the
// refusal, "" when it may run. The store's lock is held and the engine's clock
// stands still, so that a key that is there is there when the command runs.
func (s *Store) claimRefusal(sc *scope, db int, c *command.Command, argv [][]byte) string {
	if pairs := claimed(c, argv); pairs != nil && s.eng.Sets(argv) {
		return s.judgeClaim(sc, db, argv, pairs)
	}
	switch {
	case !sc.looked:
		return "" // its author cannot know whether the key was there
	case extends[c.Name]:
		if id := (record.KeyID{DB: db, Key: string(argv[1])}); sc.created.has(id) && s.namesOwner(id) {
			return replyNoLock
		}
	default:
		key, value := leased(c, argv)
		if key != nil && isToken(value) && !s.eng.Has(db, key) {
			return replyNoLock
		}
	}
	return ""
}

// judgeClaim judges a command that sets keys (key, value, key, value …) only where
// there are none.
func (s *Store) judgeClaim(sc *scope, db int, argv, pairs [][]byte) string {
	starts := true
	for i := 0; i+1 < len(pairs); i += 2 {
		id := record.KeyID{DB: db, Key: string(pairs[i])}
		starts = starts && string(pairs[i+1]) == "0"
		if !s.res.known(id) && !sc.blind.has(id) || s.surelyThere(sc, id) {
			return "" // refused as unknown, or answered as Redis does
		}
	}
	if starts {
		return ""
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		s.noteUnclaimed(record.KeyID{DB: db, Key: string(pairs[i])}, argv)
	}
	return replyNoLock
}

// surelyThere reports whether the key will exist when the command runs. The commands
// of a unit are judged before any of them runs: what one before has touched, or a
// script before it may have, is not sure.
func (s *Store) surelyThere(sc *scope, id record.KeyID) bool {
	if !s.eng.Has(id.DB, []byte(id.Key)) {
		return false
	}
	if sc.script {
		return true
	}
	if sc.scripts || sc.blind.has(id) {
		return false
	}
	for _, t := range sc.writes {
		if t.id == id {
			return false
		}
	}
	return true
}

// noteUnclaimed remembers that a key was not created by argv, which would have, for
// as long as that would have let it live.
func (s *Store) noteUnclaimed(id record.KeyID, argv [][]byte) {
	if s.cfg.Embedded || s.eng.Has(id.DB, []byte(id.Key)) {
		return
	}
	now := s.serverNow().UnixMilli()
	until := now + unclaimedFor
	if unit, ttl, ok := command.TakesLock(argv); ok {
		if at, err := deadlineOf(unit, ttl, now); err == nil {
			until = at
		}
	}
	if len(s.unclaimed) >= maxUnclaimed {
		for old, at := range s.unclaimed {
			if at <= now || len(s.unclaimed) >= maxUnclaimed {
				delete(s.unclaimed, old)
			}
		}
	}
	s.unclaimed[id] = until
}

// startsLate reports whether a write would create a key that was refused its expiry.
func (s *Store) startsLate(sc *scope, id record.KeyID, t trait) bool {
	if len(s.unclaimed) == 0 || t&whole != 0 || sc.blind.has(id) {
		return false
	}
	until, ok := s.unclaimed[id]
	if ok && until <= s.serverNow().UnixMilli() {
		delete(s.unclaimed, id)
		return false
	}
	return ok && !s.eng.Has(id.DB, []byte(id.Key))
}

// lockReply answers a lock while Redis is away: nil, it is not granted. nil: it is
// none, or part of a unit, and is judged like any other command.
func (s *Store) lockReply(req Request) []byte {
	if s.cfg.Embedded || req.Unit || s.cfg.Policy == Refuse {
		return nil
	}
	argv := req.Commands[0]
	if _, _, ok := command.TakesLock(argv); !ok || isNumber(argv[2]) || hasOption(argv, "GET") || !s.eng.Sets(argv) {
		return nil
	}
	s.noteUnclaimed(record.KeyID{DB: req.DB, Key: string(argv[1])}, argv)
	return resp.AppendNull(nil, req.Proto)
}

// noteCreated remembers that a script is about to create a key.
func (s *Store) noteCreated(sc *scope, id record.KeyID) {
	if sc.script && sc.serving && !s.cfg.Embedded && !s.eng.Has(id.DB, []byte(id.Key)) {
		sc.created.add(id)
	}
}

// namesOwner reports whether a key that a script has just created says whose it is: a
// token as the value, or as a field or the value of one. Counters of limiters are
// numbers under plain names.
func (s *Store) namesOwner(id record.KeyID) bool {
	for _, argv := range s.eng.DumpKey(id.DB, []byte(id.Key)) {
		switch c, _ := command.Lookup(argv); {
		case c == nil || len(argv) < 3:
		case c.Name == "set":
			return isToken(argv[2])
		case c.Name == "hset":
			for i := 2; i+1 < len(argv); i += 2 {
				if isOwner(argv[i]) || isToken(argv[i+1]) {
					return true
				}
			}
		}
	}
	return false
}

// maxToken is the length of what may say who holds a lock; longer values are data.
const maxToken = 256

// isToken reports whether a value may say who holds a lock: it is no number, as
// limiters have them, no JSON, and short.
func isToken(v []byte) bool {
	return len(v) <= maxToken && !isNumber(v) && (len(v) == 0 || v[0] != '{' && v[0] != '[')
}

// isOwner reports whether the field of a hash may say who holds it: an id has letters
// and digits and some length; names of fields and moments do not.
func isOwner(field []byte) bool {
	letters, digits := false, false
	for _, b := range field {
		digits = digits || b >= '0' && b <= '9'
		letters = letters || b|0x20 >= 'a' && b|0x20 <= 'z'
	}
	return letters && digits && len(field) >= 16
}

// isNumber reports whether the value is a decimal number.
func isNumber(v []byte) bool {
	const digits = 24 // of a float with sign and exponent
	if len(v) == 0 || len(v) > digits {
		return false
	}
	if first := v[0]; (first < '0' || first > '9') && first != '-' && first != '.' {
		return false
	}
	for _, b := range v {
		if b|0x20 == 'x' || b == '_' || b|0x20 == 'p' {
			return false
		}
	}
	_, err := strconv.ParseFloat(string(v), 64)
	return err == nil
}
