package fallback

import "holdfast/backend/command"

// affords reports whether the write is to be followed. One to mirrored keys
// always is. The working set is followed within a budget for each tick, so that
// it costs a busy proxy little; beyond it the keys only become unknown.
func (m *mirror) affords(db int, argvs [][][]byte) bool {
	var buf [8][]byte
	for _, argv := range argvs {
		c, ok := command.Lookup(argv)
		if !ok {
			return true
		}
		keys := c.WriteKeys(buf[:0], argv)
		if len(keys) == 0 {
			return true // it may have changed anything
		}
		for _, k := range keys {
			if m.s.cfg.mirroredKey(k) {
				return true
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.budget > 0 {
		m.budget--
		return true
	}
	m.seq++ // a fetch under way for one of the keys is void
	for _, argv := range argvs {
		c, _ := command.Lookup(argv)
		for _, k := range c.WriteKeys(buf[:0], argv) {
			set := m.unknown[db]
			if set == nil {
				set = map[string]struct{}{}
				m.unknown[db] = set
			}
			if _, ok := set[string(k)]; !ok {
				set[string(k)] = struct{}{}
			}
		}
	}
	return false
}

// forgetUnknown makes the keys of writes that were not followed unknown. The
// store's lock is held.
func (m *mirror) forgetUnknown() {
	m.mu.Lock()
	unknown := m.unknown
	if len(unknown) > 0 {
		m.unknown = map[int]map[string]struct{}{}
	}
	m.mu.Unlock()
	for db, keys := range unknown {
		for k := range keys {
			if !m.s.written.holds(keyID{db, k}) { // a later local write is known
				m.unlearn(db, [][]byte{[]byte(k)})
			}
		}
	}
}

// refill gives the working set its budget for another tick.
func (m *mirror) refill() {
	m.mu.Lock()
	m.budget = followPerTick
	m.mu.Unlock()
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
