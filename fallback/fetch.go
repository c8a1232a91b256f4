package fallback

import (
	"context"
	"slices"
	"strings"

	"holdfast/backend/resp"
	"holdfast/fallback/datadir"
	"holdfast/fallback/fetch"
	"holdfast/fallback/record"
)

// busyTries is how often a key that changes its type under its fetch, or is of a
// type that is not mirrored, is asked for again before the next invalidation.
const busyTries = 8

// fetchDue fetches what is due: dirty keys first, then a few of the wanted.
func (m *mirror) fetchDue(ctx context.Context, src *fetch.Fetcher) {
	if m.s.Mode() != Online {
		return
	}
	m.mu.Lock()
	if m.flush {
		m.flush = false
		m.dirty = map[record.KeyID]int{}
		m.mu.Unlock()
		_ = src.Close() // its connections may be of an earlier link
		m.reload(ctx, src)
		return
	}
	hot := m.dueExclusively() // first: a key that is hot no more is due as any other
	batch, large := m.due(), m.large
	m.large = 0
	m.mu.Unlock()
	resp.MakeRoom(large) // large values are fetched once more behind a write
	if len(hot) > 0 && m.fetchExclusively(ctx, src, hot) != nil {
		return
	}
	for db, keys := range batch {
		if m.fetchKeys(ctx, src, db, keys) != nil {
			return // the link failed: an outage begins, or the next tick tries again
		}
	}
}

// fetchAwaited fetches what writes wait for, at once.
func (m *mirror) fetchAwaited(ctx context.Context, src *fetch.Fetcher) {
	m.mu.Lock()
	awaited, flush := len(m.urgent) > 0, m.flush
	m.mu.Unlock()
	switch {
	case !awaited:
	case flush:
		m.fetchDue(ctx, src) // it fetches these in between
	default:
		_ = m.fetchUrgent(ctx, src) // the link failed: whoever waits learns it, too
	}
}

// fetchKeys fetches keys and takes over the values that no write of ours has
// overtaken.
func (m *mirror) fetchKeys(ctx context.Context, src *fetch.Fetcher, db int, keys []string) error {
	s := m.s
	slices.Sort(keys)
	keys = slices.Compact(keys) // dirty and wanted, or twice in SCAN: the first would end what is noted of both
	epoch, cleared := s.outage.epoch.Load(), s.res.cleared.Load()
	begun := make([]uint64, len(keys))
	for i, k := range keys {
		none, n := m.flight.quiet(db, k)
		if begun[i] = n; !none {
			begun[i] = ^n // never equal to what it will be
		}
	}
	src.Overtaken = func(key string) bool {
		_, n := m.flight.quiet(db, key)
		i, _ := slices.BinarySearch(keys, key)
		return n != begun[i] // and stays so: it only grows
	}
	values, err := src.Fetch(ctx, db, keys, m.longest, s.serverNow)
	s.mu.Lock()
	defer s.mu.Unlock()
	m.drainLocked() // so that every write acknowledged before now is noted in last
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, k := range keys {
		id := record.KeyID{DB: db, Key: k}
		_, now := m.flight.quiet(db, k)
		overtaken := m.last[id] != 0 || now != begun[i]
		// Not of an earlier link: local writes may have overtaken it. Nor from before a
		// FLUSHALL that was acknowledged meanwhile.
		if err == nil && s.Mode() == Online && s.outage.epoch.Load() == epoch && s.res.cleared.Load() == cleared {
			m.takeOver(id, &values[i], overtaken)
		}
		if err != nil {
			delete(m.wrote.keys, id) // its next write asks again
		}
		m.fetched(id)
	}
	if err == nil && s.outage.epoch.Load() == epoch {
		m.stats.fetches += uint64(len(keys))
		m.stats.refreshedAt = s.cfg.Now()
		s.res.trim()
	}
	return err
}

// takeOver stores one fetched value, unless a write of ours has overtaken it.
// Both locks are held; a value is gone from v once it is stored.
func (m *mirror) takeOver(id record.KeyID, v *fetch.Value, overtaken bool) {
	s := m.s
	if v.Later {
		m.postpone(id)
		return
	}
	m.charge(id, v.Size)
	if v.Size >= resp.Large {
		m.large += v.Size // it, or the one it replaces, is dead soon
	}
	switch known := s.res.known(id); {
	case known && overtaken: // it stays known: our writes are followed, and it is fetched again soon
	case overtaken, v.Busy && !(known && s.eng.Has(id.DB, []byte(id.Key))):
		s.res.forget(id) // there at Redis and not here: unknown, not absent
	}
	switch {
	case overtaken && !s.cfg.mirrored(id.Key) && !s.res.resident(id):
		delete(m.dirty, id) // written and not followed: it is among m.wrote, or the next read asks for it
		return
	case overtaken:
		m.dirty[id] = 0
		m.overtook(id)
		return
	}
	delete(m.wrote.keys, id)
	switch {
	case v.Busy:
		m.retry(id)
		return
	case v.Large:
		delete(m.dirty, id)
		s.eng.Delete(id.DB, []byte(id.Key))
		s.res.forget(id)
		return
	}
	if _, ok := m.again[id]; !ok {
		delete(m.dirty, id)
	}
	// The reader of invalidations and heartbeats waits for m.mu, and must not for
	// as long as a large value takes. What it names meanwhile is dirty again; a
	// write of ours that is acknowledged meanwhile began after the fetch, or it
	// would have overtaken it, and is followed once the store's lock is free.
	m.mu.Unlock()
	m.store(id, *v)
	m.mu.Lock()
	*v = fetch.Value{}
}

// fetching notes that a fetch of the key is about to be sent. m.mu is held.
func (m *mirror) fetching(id record.KeyID) {
	if _, ok := m.last[id]; !ok {
		m.s.res.interest.add(id.Key, 1)
	}
	m.last[id] = 0
	delete(m.again, id)
}

// fetched ends what fetching began. m.mu is held.
func (m *mirror) fetched(id record.KeyID) {
	if _, ok := m.last[id]; ok {
		delete(m.last, id)
		delete(m.again, id)
		m.s.res.interest.add(id.Key, -1)
	}
}

// longest is the largest value to be held of a key, 0 for any.
func (m *mirror) longest(key string) int64 {
	if m.s.cfg.mirrored(key) {
		return 0
	}
	return m.s.cfg.largest()
}

// retry keeps the key dirty, a bounded number of times.
func (m *mirror) retry(id record.KeyID) {
	if m.dirty[id]++; m.dirty[id] > busyTries {
		delete(m.dirty, id)
	}
}

// store replaces the local value by the fetched one. The store's lock is held.
func (m *mirror) store(id record.KeyID, v fetch.Value) {
	s := m.s
	s.eng.Delete(id.DB, []byte(id.Key))
	for _, argv := range v.Commands {
		if err := s.eng.ApplyKept(id.DB, argv); err != nil {
			s.eng.Delete(id.DB, []byte(id.Key))
			s.res.forget(id)
			s.log.Debug("value does not fit the local engine", "error", err)
			return
		}
	}
	s.res.learn(id, v.Size)
	s.noteChange(id)
	s.dirtyGen++
}

// reload loads the mirrored prefixes whole and fetches everything else that is
// resident again. Until it is done, what was held before stays (it may be
// stale, which an outage allows).
func (m *mirror) reload(ctx context.Context, src *fetch.Fetcher) {
	s := m.s
	epoch, cleared := s.outage.epoch.Load(), s.res.cleared.Load()
	m.beforeLoad()
	seen := map[string]struct{}{}
	for _, prefix := range s.cfg.MirrorPrefixes {
		if err := m.loadPrefix(ctx, src, prefix, seen); err != nil {
			if ctx.Err() == nil && m.interrupted != err.Error() { // it is tried again and again
				m.interrupted = err.Error()
				s.log.Warn("mirror load interrupted", "error", err)
			}
			m.mu.Lock()
			m.flush = true
			m.mu.Unlock()
			return
		}
	}
	m.interrupted = ""
	if gone, done := m.endLoad(ctx, epoch, cleared, seen); done {
		m.afterLoad(gone)
	}
}

// endLoad makes the local state agree with the keys that a load has seen, and
// tells how many mirrored ones are no longer there. Not done: the link is another
// one by now.
func (m *mirror) endLoad(ctx context.Context, epoch, cleared uint64, seen map[string]struct{}) (gone int, done bool) {
	s := m.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Mode() != Online || s.outage.epoch.Load() != epoch || ctx.Err() != nil {
		return 0, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.res.cleared.Load() != cleared {
		return 0, false // flushed or swapped under the SCAN: m.flush is set again
	}
	gone = m.askUnseen(seen)
	s.res.completed(s.cfg.BaseDB)
	m.stats.loaded = true
	m.stats.refreshedAt = s.cfg.Now()
	s.dirtyGen++     // what is known changed, though perhaps no value
	s.snap.request() // a restart without Redis has what was loaded; one made before may lack keys
	s.log.Info("mirror loaded", "keys", len(seen), "prefixes", s.cfg.MirrorPrefixes)
	return gone, true
}

// askUnseen asks for all that is held, or in doubt, and that the load did not
// come across: deleted at the server, or outside the prefixes. A reload begins
// with an empty list of dirty keys, so that a key in doubt which is gone would
// else stay in doubt for good. It returns how many mirrored keys are held of
// those. Both locks are held.
func (m *mirror) askUnseen(seen map[string]struct{}) (gone int) {
	s := m.s
	mirrored := func(id record.KeyID) bool { return id.DB == s.cfg.BaseDB && s.cfg.mirrored(id.Key) }
	var unseen []record.KeyID
	s.eng.ForEachKey(func(db int, key string) bool {
		id := record.KeyID{DB: db, Key: key}
		if _, ok := seen[key]; !ok || !mirrored(id) {
			unseen = append(unseen, id)
			if mirrored(id) {
				gone++
				if !s.res.known(id) {
					s.res.forget(id) // what is held is older than the load, which makes its prefix known
				}
			}
		}
		return true
	})
	s.res.eachResident(func(id record.KeyID) {
		if !s.eng.Has(id.DB, []byte(id.Key)) {
			unseen = append(unseen, id) // it was absent; somebody may have set it since
		}
	})
	for _, id := range unseen {
		if len(m.dirty) < m.room {
			m.markDirty(id)
			continue
		}
		// Too many to ask about: absent after a complete scan, or unknown.
		s.eng.Delete(id.DB, []byte(id.Key))
		s.res.forget(id)
		if mirrored(id) {
			s.res.learn(id, 0)
		}
	}
	for id := range s.res.doubt {
		// Beyond the room the next load asks: a write may have come behind the SCAN.
		if _, ok := seen[id.Key]; (!ok || id.DB != s.cfg.BaseDB) && len(m.dirty) < m.room {
			m.markDirty(id)
		}
	}
	return gone
}

func (m *mirror) loadPrefix(ctx context.Context, src *fetch.Fetcher, prefix string, seen map[string]struct{}) error {
	c := src.Client(m.s.cfg.BaseDB)
	pattern := datadir.EscapeGlob(prefix) + "*"
	var cursor uint64
	for {
		if err := m.fetchUrgent(ctx, src); err != nil {
			return err
		}
		keys, next, err := c.Scan(ctx, cursor, pattern, fetch.ScanCount).Result()
		if err != nil {
			return err
		}
		keys = slices.DeleteFunc(keys, func(k string) bool { return strings.HasPrefix(k, ownPrefix) })
		for len(keys) > 0 {
			n := min(len(keys), fetchBatch)
			part := append([]string(nil), keys[:n]...)
			m.mu.Lock()
			for _, k := range part {
				m.fetching(record.KeyID{DB: m.s.cfg.BaseDB, Key: k})
				seen[k] = struct{}{}
			}
			m.mu.Unlock()
			if err := m.fetchKeys(ctx, src, m.s.cfg.BaseDB, part); err != nil {
				return err
			}
			if err := m.fetchUrgent(ctx, src); err != nil {
				return err
			}
			keys = keys[n:]
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}
