package fallback

import (
	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/record"
)

// affords reports whether the writes are to be followed. One to mirrored keys
// always is. The working set is followed within a budget, so that it costs a
// busy proxy little; beyond it the keys only become unknown.
func (m *mirror) affords(argvs [][][]byte) bool {
	var buf [8][]byte
	for _, argv := range argvs {
		c, ok := command.Lookup(argv)
		if !ok {
			return true
		}
		keys := c.WriteKeys(buf[:0], argv)
		if len(keys) == 0 || m.mirrorsAny(keys) {
			return true // without keys it may have changed anything
		}
	}
	var size int64
	for _, argv := range argvs {
		size += record.ArgvBytes(argv)
	}
	return m.take(size)
}

func (m *mirror) mirrorsAny(keys [][]byte) bool {
	for _, k := range keys {
		if m.s.cfg.mirroredKey(k) {
			return true
		}
	}
	return false
}

// take takes one write of so many bytes out of the budget: a large one counts
// for more, and what it overdraws is paid for later.
func (m *mirror) take(size int64) bool {
	return size <= m.s.cfg.largest() && m.budget.Load() > 0 && m.budget.Add(-1-size/followUnit) > -1-size/followUnit
}

// largest is the size from which on a value outside the mirrored prefixes is not
// held: a few of them would drive out the whole working set, and passing one on
// must not cost its size in memory once more.
func (c *Config) largest() int64 { return max(c.MirrorBytes/64, resp.Large) }

// refill gives the working set its budget for another tick.
func (m *mirror) refill() {
	if m.budget.Add(followPerTick) > followBurst {
		m.budget.Store(followBurst) // a write in between gets one too many
	}
}

// unfollowed makes the keys of acknowledged writes unknown.
func (m *mirror) unfollowed(db int, argvs [][][]byte) {
	var buf [8][]byte
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq++ // a fetch under way for one of the keys is void
	for _, argv := range argvs {
		c, ok := command.Lookup(argv)
		if !ok {
			continue
		}
		for _, k := range c.WriteKeys(buf[:0], argv) {
			set := m.unknown[db]
			if set == nil {
				set = map[string]struct{}{}
				m.unknown[db] = set
			}
			if _, ok := set[string(k)]; !ok && m.s.res.interest.in(k) {
				set[string(k)] = struct{}{}
			}
		}
	}
}

// awaited counts the keys of a write that waits to be followed as of interest,
// or no longer: a later write to one of them, not followed, must undo this one.
func (m *mirror) awaited(w ackedWrite, delta int32) {
	var buf [8][]byte
	for _, argv := range w.commands {
		c, ok := command.Lookup(argv)
		if !ok {
			continue
		}
		for _, k := range c.WriteKeys(buf[:0], argv) {
			if !m.s.cfg.mirroredKey(k) {
				m.s.res.interest.add(string(k), delta)
			}
		}
	}
}

// forgetUnknown makes the keys of writes that were not followed unknown. The
// store's lock is held.
func (m *mirror) forgetUnknown() {
	m.mu.Lock()
	unknown := m.unknown
	if len(unknown) == 0 {
		m.mu.Unlock()
		return // it is still in use: nothing of it may be read without the lock
	}
	m.unknown = map[int]map[string]struct{}{}
	m.mu.Unlock()
	if len(unknown) > 0 {
		m.s.outdateSnapshots()
	}
	for db, keys := range unknown {
		for k := range keys {
			id := record.KeyID{DB: db, Key: k}
			if m.s.written.holds(id) {
				continue // a later local write is known
			}
			one := [][]byte{[]byte(k)}
			if m.s.res.resident(id) {
				m.wantWritten(db, one) // what was held is to be held again, once there is time
			}
			m.unlearn(db, one)
		}
	}
}

// forgetAll follows FLUSHALL, FLUSHDB and SWAPDB: nothing held is true any more,
// and everything is fetched again. The store's lock is held.
func (m *mirror) forgetAll() {
	if m.s.Mode() != Online {
		return // an answer of Redis that came in late, behind local writes
	}
	m.s.eng.Flush(-1)
	m.s.res.clear()
	m.s.dirtyGen++
	m.mu.Lock()
	m.flush = true
	m.mu.Unlock()
	m.signal()
}
