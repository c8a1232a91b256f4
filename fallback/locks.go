package fallback

import (
	"slices"
	"strconv"

	"holdfast/backend/command"
	"holdfast/fallback/engine"
	"holdfast/fallback/record"
)

// maxLocks bounds the locks remembered. One that is forgotten is released by a
// plain DEL.
const maxLocks = 1 << 16

// lock is one that a client took through Redis: SET key value NX with an expiry.
// Its key may hold something else by now: see holdsLock.
type lock struct {
	value    string
	expireMs int64 // server time
}

// releaseScript gives a lock back at replay time only if it is still the one
// that was taken: the lease has not run out and the value is the same. A plain
// DEL could free a lock that somebody else holds by now.
const releaseScript = `local t = redis.call('TIME') ` +
	`if t[1] * 1000 + math.floor(t[2] / 1000) < tonumber(ARGV[2]) and redis.call('GET', KEYS[1]) == ARGV[1] ` +
	`then return redis.call('DEL', KEYS[1]) end return 0`

// noteLock remembers an acknowledged command that took a lock, and forgets one
// that was given back or overwritten; ackedEffects lets only granted ones
// through. The store's lock is held.
func (s *Store) noteLock(db int, argv [][]byte) {
	unit, ttl, ok := command.TakesLock(argv)
	if !ok {
		s.dropLocks(db, argv)
		return
	}
	now := s.serverNow().UnixMilli()
	at, err := deadlineOf(unit, ttl, now)
	if err != nil {
		return
	}
	s.addLock(record.KeyID{DB: db, Key: string(argv[1])}, string(argv[2]), at)
}

// deadlineOf is the deadline, in Unix ms, that an option of SET sets at a time.
func deadlineOf(unit string, ttl []byte, now int64) (int64, error) {
	n, err := strconv.ParseInt(string(ttl), 10, 64)
	switch unit {
	case "EX":
		n = now + n*1000
	case "PX":
		n += now
	case "EXAT":
		n *= 1000
	}
	return n, err
}

// noteScriptLock remembers a lock that a script took through Redis, as clients do that
// set several at once.
func (s *Store) noteScriptLock(sc *scope, db int, c *command.Command, argv [][]byte) {
	if !sc.looked || !c.ArityOK(len(argv)) {
		return
	}
	key, value := leased(c, argv)
	if key == nil || !isToken(value) || s.eng.Has(db, key) || !s.eng.Sets(argv) {
		return
	}
	const atMost = 24 * 60 * 60 * 1000 // the lease itself is read from the key when it is needed
	s.addLock(record.KeyID{DB: db, Key: string(key)}, string(value), s.serverNow().UnixMilli()+atMost)
}

func (s *Store) addLock(id record.KeyID, value string, expireMs int64) {
	now := s.serverNow().UnixMilli()
	if len(s.locks) >= maxLocks && now >= s.lockScan {
		s.lockScan = now + 1000 // clients wait for it, and it may find none that is over
		for old, l := range s.locks {
			if l.expireMs <= now {
				delete(s.locks, old)
			}
		}
	}
	if len(s.locks) < maxLocks {
		s.locks[id] = lock{value: value, expireMs: expireMs}
	}
}

// dropLocks forgets locks whose keys an acknowledged command sets or deletes.
func (s *Store) dropLocks(db int, argv [][]byte) {
	if len(s.locks) == 0 {
		return
	}
	if c, ok := command.Lookup(argv); ok && traitsOf(c, argv)&whole != 0 {
		for _, k := range c.Keys(nil, argv) {
			delete(s.locks, record.KeyID{DB: db, Key: string(k)})
		}
	}
}

// holdsLock reports whether the key, about to be written, still is the lock that
// was taken: what became something else since (a value that was initialised with
// NX, a lease made permanent) is deleted like any other key. The lease is what it
// is now: holders renew it.
func (s *Store) holdsLock(id record.KeyID) bool {
	l, ok := s.locks[id]
	if !ok {
		return false
	}
	if string(s.eng.LongString(id.DB, []byte(id.Key), 1)) == l.value {
		if set := s.eng.DumpKey(id.DB, []byte(id.Key))[0]; len(set) == 5 { // SET key value PXAT deadline
			l.expireMs, _ = strconv.ParseInt(string(set[4]), 10, 64)
			s.locks[id] = l
			return true
		}
	}
	delete(s.locks, id)
	return false
}

// givesBack reports whether the command releases one of the locks that the scope
// is about to change. A script that does is journaled by its effects, so that
// the release in it can be made conditional and the rest of it stays.
func (sc *scope) givesBack(db int, c *command.Command, argv [][]byte) bool {
	if len(sc.locks) == 0 || !releases[c.Name] {
		return false
	}
	for _, k := range c.Keys(nil, argv) {
		if slices.Contains(sc.locks, record.KeyID{DB: db, Key: string(k)}) {
			return true
		}
	}
	return false
}

// guardReleases makes releases of locks that were taken before the outage
// conditional: see releaseScript. before are the request's keys that were such
// locks before it ran.
func (s *Store) guardReleases(db int, effects [][][]byte, before []record.KeyID) [][][]byte {
	if len(before) == 0 {
		return effects
	}
	gone := map[string]lock{}
	for _, id := range before {
		if l, ok := s.locks[id]; ok && id.DB == db && !s.eng.Has(id.DB, []byte(id.Key)) {
			gone[id.Key] = l
			delete(s.locks, id)
		}
	}
	if len(gone) == 0 {
		return effects
	}
	var out [][][]byte
	for _, argv := range effects {
		out = append(out, guardRelease(argv, gone)...)
	}
	return out
}

// guardRelease makes one effect conditional. What another effect has overwritten
// before it is no lock any more, and leaves gone.
func guardRelease(argv [][]byte, gone map[string]lock) [][][]byte {
	c, ok := command.Lookup(engine.Told(argv)) // a lease that is put off is a form
	if !ok || keepsLock[c.Name] {
		return [][][]byte{argv}
	}
	rest := [][]byte{argv[0]}
	var out [][][]byte
	for _, k := range c.Keys(nil, engine.Told(argv)) {
		l, is := gone[string(k)]
		delete(gone, string(k))
		if !is {
			rest = append(rest, k)
			continue
		}
		out = append(out, record.ArgvOf("EVAL", releaseScript, "1", string(k), l.value, strconv.FormatInt(l.expireMs, 10)))
	}
	switch {
	case len(out) == 0 || !releases[c.Name]:
		return [][][]byte{argv}
	case len(rest) > 1:
		out = append(out, rest)
	}
	return out
}
