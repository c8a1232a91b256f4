package fallback

import "holdfast/fallback/record"

// unlearn makes keys unknown whose new value the local state cannot compute.
// Mirrored keys are fetched again.
func (m *mirror) unlearn(db int, keys [][]byte) {
	for _, k := range keys {
		id := record.KeyID{DB: db, Key: string(k)}
		m.s.res.forget(id)
		if m.s.cfg.mirrored(id.Key) {
			m.touched(id)
			m.askSoon(id)
			continue
		}
		m.mu.Lock()
		m.voidFetch(id)
		delete(m.dirty, id)
		m.mu.Unlock()
		m.s.eng.Delete(db, k)
	}
}

// Unlearn tells the mirror of keys that Redis changed for a client in a way that
// cannot be followed: unknown until they are fetched.
func (s *Store) Unlearn(db int, keys [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mirror.drainLocked()
	s.mirror.unlearn(db, keys)
}
