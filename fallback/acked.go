package fallback

import (
	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/record"
)

// Acked tells the mirror of a write, or a MULTI unit, that Redis acknowledged
// through this proxy, so that it is visible locally even if Redis dies now: every
// local answer comes behind what was told before.
// reply is the RESP reply to the command, or EXEC's for a unit. Call it before
// the client gets its answer and before Sent, in the order in which Redis executed. Arguments and reply
// are copied, but what is resp.Large: that must not change any more. Cheap: one
// lock and one copy.
func (s *Store) Acked(db int, argvs [][][]byte, reply []byte, unit bool) {
	if argvs = ackedEffects(argvs, reply, unit); len(argvs) == 0 {
		return // it changed nothing
	}
	m := s.mirror
	if !m.affords(argvs) {
		m.unfollowed(db, argvs)
		return
	}
	m.queue(db, argvs)
}

// AckedOne is Acked for one command whose row and keys are known already; keys
// are those it writes. It is the busy path: a write beside the mirror that is
// beyond the budget costs no lock and no allocation.
func (s *Store) AckedOne(db int, c *command.Command, argv, keys [][]byte, reply []byte) {
	m := s.mirror
	one := [1][][]byte{argv}
	if len(keys) == 0 || m.mirrorsAny(keys) || m.take(record.ArgvBytes(argv)) {
		if byReply[c] == nil {
			m.queue(db, one[:])
		} else if done := ackedEffects(one[:], reply, false); len(done) > 0 {
			m.queue(db, done)
		}
		return
	}
	for _, k := range keys {
		if s.res.interest.in(k) {
			m.unfollowed(db, one[:])
			return
		}
	}
}

// queue lets acknowledged writes be executed locally soon.
func (m *mirror) queue(db int, argvs [][][]byte) {
	w := ackedWrite{db: db, commands: copyCommands(argvs)}
	for _, argv := range argvs {
		w.size += int(record.ArgvBytes(argv)) + 64
	}
	m.awaited(w, 1)
	m.mu.Lock()
	m.seq++
	m.follow = append(m.follow, w)
	m.bytes += w.size
	if w.size >= resp.Large {
		m.large += int64(w.size)
	}
	if m.bytes > followBytes || m.s.Serving() { // Redis went away: it must be here before its client knows
		m.behind.Store(true)
	}
	m.mu.Unlock()
	m.signal()
}

// copyCommands copies argvs into one allocation of bytes. Large arguments are
// kept as they are.
func copyCommands(argvs [][][]byte) [][][]byte {
	n := 0
	for _, argv := range argvs {
		for _, a := range argv {
			if len(a) < resp.Large {
				n += len(a)
			}
		}
	}
	buf := make([]byte, 0, n)
	out := make([][][]byte, len(argvs))
	for i, argv := range argvs {
		out[i] = make([][]byte, len(argv))
		for j, a := range argv {
			if len(a) >= resp.Large {
				out[i][j] = a
				continue
			}
			start := len(buf)
			buf = append(buf, a...)
			out[i][j] = buf[start:len(buf):len(buf)]
		}
	}
	return out
}
