package fallback

import (
	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// ReadHeld appends the reply of Do to dst, if the command is a plain read of keys
// that are held: most of what clients ask in an outage, for a fraction of what Do
// costs. Not ok: nothing was done, dst is as it was, and Do has the answer.
func (s *Store) ReadHeld(dst []byte, db, proto int, c *command.Command, argv [][]byte) (out []byte, ok bool) {
	if c.Flags&command.Read == 0 {
		return dst, false
	}
	if s.mu.LockOrBusy() != nil {
		return dst, false // Do tells
	}
	defer s.mu.Unlock()
	if s.closed || !s.Serving() {
		return dst, false
	}
	s.mirror.drainLocked() // as in Do
	if s.policyRefusal(c, argv) != "" {
		return dst, false
	}
	return s.eng.ReadPlain(dst, db, proto, argv, s.held)
}

// heldLarge is the large string that is held of a key; nobody writes to it. One
// that is longer than is held beside the mirror is none: it is found too long.
func (s *Store) heldLarge(db int, key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.eng.LongString(db, []byte(key), resp.Large)
	if most := s.mirror.longest(key); most > 0 && int64(len(v)) > most {
		return nil
	}
	return v
}
