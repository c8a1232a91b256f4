package fallback

import (
	"bytes"
	"strconv"

	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// maxLocks bounds the locks remembered. One that is forgotten is released by a
// plain DEL.
const maxLocks = 1 << 16

// lock is one that a client took through Redis: SET key value NX with an expiry.
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

// noteLock remembers an acknowledged command that took a lock; ackedEffects lets
// only granted ones through. The store's lock is held.
func (s *Store) noteLock(db int, argv [][]byte) {
	unit, ttl, ok := lockCall(argv)
	if !ok {
		return
	}
	n, err := strconv.ParseInt(string(ttl), 10, 64)
	if err != nil {
		return
	}
	now := s.serverNow().UnixMilli()
	switch unit {
	case "EX":
		n = now + n*1000
	case "PX":
		n += now
	case "EXAT":
		n *= 1000
	}
	if len(s.locks) >= maxLocks {
		for id, l := range s.locks {
			if l.expireMs <= now {
				delete(s.locks, id)
			}
		}
	}
	if len(s.locks) < maxLocks {
		s.locks[keyID{db, string(argv[1])}] = lock{value: string(argv[2]), expireMs: n}
	}
}

// lockReply answers SET … NX EX|PX while Redis is away: nil, somebody else has
// it. Granting would make two holders; an error makes some clients go on unlocked.
func (s *Store) lockReply(req Request) []byte {
	if s.cfg.Embedded || req.Unit || s.cfg.Policy == Refuse {
		return nil
	}
	if _, _, ok := lockCall(req.Commands[0]); !ok {
		return nil
	}
	for _, opt := range req.Commands[0][3:] {
		if bytes.EqualFold(opt, []byte("get")) {
			return nil // its answer is the old value: refused below
		}
	}
	return resp.AppendNull(nil, req.Proto)
}

// guardReleases makes releases of locks that were taken before the outage
// conditional: see releaseScript. before are those locks of the request's keys
// that existed before it ran.
func (s *Store) guardReleases(db int, effects [][][]byte, before []keyID) [][][]byte {
	if len(before) == 0 {
		return effects
	}
	gone := map[string]lock{}
	for _, id := range before {
		if !s.eng.Has(id.db, []byte(id.key)) {
			gone[id.key] = s.locks[id]
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

func guardRelease(argv [][]byte, gone map[string]lock) [][][]byte {
	c, ok := command.Lookup(argv)
	if !ok {
		return [][][]byte{argv}
	}
	var buf [8][]byte
	keys := c.Keys(buf[:0], argv)
	script := c.Flags&command.Script != 0 && len(keys) == 1
	if !releases[c.Name] && !script {
		return [][][]byte{argv}
	}
	rest := [][]byte{argv[0]}
	var out [][][]byte
	for _, k := range keys {
		l, is := gone[string(k)]
		if !is {
			rest = append(rest, k)
			continue
		}
		out = append(out, argvOf("EVAL", releaseScript, "1", string(k), l.value, strconv.FormatInt(l.expireMs, 10)))
	}
	switch {
	case len(out) == 0:
		return [][][]byte{argv}
	case len(rest) > 1 && !script:
		out = append(out, rest)
	}
	return out
}
