package fallback

import (
	"context"
	"time"

	"holdfast/fallback/fetch"
	"holdfast/fallback/record"
)

// A fetch that a write of ours overlaps is worthless: nobody can say whether its
// value has that write. Of a key that is written all the time every fetch would
// be. So such a key is fetched exclusively: new writes to it wait at the proxy
// (Ready, AwaitReady), those under way get their outcome, and the fetch has the
// key for itself. From then on the key is followed, which is exact, and needs a
// fetch only for what others write: once in exclusiveEvery, or in a pause.
//
// A mirrored key that is not held is fetched like this before the first write to
// it is sent, so that it is held when that write is acknowledged.
const (
	exclusiveEvery = time.Second            // for a key that is held
	exclusiveShare = 64                     // and at most so much of its time: a large value takes long
	exclusiveAgain = 40 * time.Millisecond  // after one that writes under way did not let through
	exclusiveKeys  = 16                     // at once: all of them wait for the slowest
	urgentRounds   = 8                      // before something else has its turn
	exclusiveQuiet = 20 * time.Millisecond  // how long writes under way are waited for
	readyWait      = 100 * time.Millisecond // how long a write waits at most
	hotMax         = 1 << 12                // keys that are remembered as written all the time
)

// hotKey is a key whose last fetch was overtaken by a write of ours, or was
// exclusive because of that.
type hotKey struct {
	next  time.Time // not fetched exclusively before
	begun uint64    // writes to it that had begun at the last look
}

// Ready reports whether a write to keys may be sent to Redis now. If not, a key
// is not held yet, or is being fetched: AwaitReady before the write is noted by
// Sending. Cheap: no lock while all mirrored keys are held.
func (s *Store) Ready(db int, keys [][]byte) bool {
	for _, k := range keys {
		if s.mirror.flight[slotOf(db, k)].shut.Load() != 0 {
			return false
		}
		if db == s.cfg.BaseDB && !s.res.allKnown.Load() && s.cfg.mirroredKey(k) && !s.knows(record.KeyID{DB: db, Key: string(k)}) {
			return false
		}
	}
	return true
}

func (s *Store) knows(id record.KeyID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.res.known(id)
}

// AwaitReady waits until Ready, for a bounded time: then the write is sent all
// the same. Whoever waits must have no write of its own noted by Sending and not
// yet by Sent: the fetch would wait for that.
func (s *Store) AwaitReady(db int, keys [][]byte) {
	timer := time.NewTimer(readyWait)
	defer timer.Stop()
	for s.Mode() == Online {
		fetched, changed := s.mirror.askUrgently(db, keys), s.Changed()
		if s.Mode() != Online || s.Ready(db, keys) {
			return
		}
		select {
		case <-fetched:
		case <-changed:
		case <-timer.C:
			return
		}
	}
}

// askUrgently asks for an exclusive fetch, now, of those keys that are not held.
// The result is closed when the next one is done.
func (m *mirror) askUrgently(db int, keys [][]byte) <-chan struct{} {
	s := m.s
	var missing []record.KeyID
	if db == s.cfg.BaseDB && !s.res.allKnown.Load() {
		for _, k := range keys {
			if id := (record.KeyID{DB: db, Key: string(k)}); s.cfg.mirrored(id.Key) && !s.knows(id) {
				missing = append(missing, id)
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range missing {
		if len(m.urgent) < dirtyMax {
			m.urgent[id] = struct{}{}
		}
	}
	if len(missing) > 0 {
		m.signal()
	}
	return m.fetchedOne
}

// askSoon asks for an exclusive fetch of a key that has become unknown by a write
// of ours: the next one would wait for it.
func (m *mirror) askSoon(id record.KeyID) {
	if m.s.Mode() != Online {
		return
	}
	m.mu.Lock()
	if len(m.urgent) < dirtyMax {
		m.urgent[id] = struct{}{}
	}
	m.mu.Unlock()
	m.signal()
}

// fetchUrgent fetches what writes wait for, a bounded number of times: there may
// always be more, and others wait for the load.
func (m *mirror) fetchUrgent(ctx context.Context, src *fetch.Fetcher) error {
	for range urgentRounds {
		m.mu.Lock()
		var ids []record.KeyID
		for id := range m.urgent {
			if len(ids) == exclusiveKeys {
				break
			}
			delete(m.urgent, id)
			ids = append(ids, id)
		}
		m.mu.Unlock()
		if len(ids) == 0 || m.s.Mode() != Online {
			return nil
		}
		if err := m.fetchExclusively(ctx, src, ids); err != nil {
			return err
		}
	}
	m.signal()
	return nil
}

// fetchExclusively fetches keys while no write of ours to them is sent.
func (m *mirror) fetchExclusively(ctx context.Context, src *fetch.Fetcher, ids []record.KeyID) error {
	m.shut(ids, 1)
	defer m.open(ids)
	start := time.Now()
	for ctx.Err() == nil && !m.quiet(ids) && time.Since(start) < exclusiveQuiet {
		time.Sleep(50 * time.Microsecond)
	}
	m.s.mu.Lock()
	m.drainLocked() // what was acknowledged before is no reason to throw the value away
	m.s.mu.Unlock()
	byDB := map[int][]string{}
	m.mu.Lock()
	for _, id := range ids {
		m.fetching(id)
		byDB[id.DB] = append(byDB[id.DB], id.Key)
	}
	m.mu.Unlock()
	start = time.Now()
	for db, keys := range byDB {
		if err := m.fetchKeys(ctx, src, db, keys); err != nil {
			return err
		}
	}
	m.pace(ids, time.Since(start))
	return nil
}

func (m *mirror) shut(ids []record.KeyID, delta int32) {
	for _, id := range ids {
		m.flight[slotOf(id.DB, []byte(id.Key))].shut.Add(delta)
	}
}

// open ends shut, and wakes those who wait.
func (m *mirror) open(ids []record.KeyID) {
	m.shut(ids, -1)
	m.mu.Lock()
	close(m.fetchedOne)
	m.fetchedOne = make(chan struct{})
	m.mu.Unlock()
}

func (m *mirror) quiet(ids []record.KeyID) bool {
	for _, id := range ids {
		if none, _ := m.flight.quiet(id.DB, id.Key); !none {
			return false
		}
	}
	return true
}

// overtook notes that a fetch of the key was overtaken. m.mu is held.
func (m *mirror) overtook(id record.KeyID) {
	h, ok := m.hot[id]
	switch {
	case ok:
		h.next = time.Now().Add(exclusiveAgain)
	case len(m.hot) >= hotMax:
		return // the next tick tries again as with any other
	}
	_, h.begun = m.flight.quiet(id.DB, id.Key)
	m.hot[id] = h
}

// pace notes when hot keys are fetched exclusively again, after one that took so long.
func (m *mirror) pace(ids []record.KeyID, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if h, ok := m.hot[id]; ok && h.next.Before(time.Now()) {
			h.next = time.Now().Add(max(exclusiveEvery, exclusiveShare*took))
			m.hot[id] = h
		}
	}
}

// dueExclusively are the hot keys to be fetched exclusively now. One that was not
// written since the last look is hot no more. m.mu is held.
func (m *mirror) dueExclusively() (ids []record.KeyID) {
	now := time.Now()
	for id, h := range m.hot {
		_, begun := m.flight.quiet(id.DB, id.Key)
		if _, dirty := m.dirty[id]; begun == h.begun && (dirty || now.After(h.next)) {
			delete(m.hot, id)
			continue
		}
		h.begun = begun
		m.hot[id] = h
		if _, dirty := m.dirty[id]; dirty && len(ids) < exclusiveKeys && !now.Before(h.next) {
			ids = append(ids, id)
		}
	}
	return ids
}
