package fallback

import "holdfast/fallback/record"

// Bounds of fetching keys because they were written. A busy proxy must not notice
// them: each key costs Redis five commands, and its value's bytes.
const (
	wroteMax     = 1 << 12           // keys waiting
	wroteLongest = followUnit        // of a key's name
	wrotePerTick = followPerTick / 2 // 400 keys a second: what is new has less claim than what is held
	fetchCredit  = 128 << 10         // bytes in a tick: 6.4 MB a second
	fetchSaved   = 8 * fetchCredit   // at most, after a pause
	fetchOwed    = 50 * fetchCredit  // at most: one second of waiting
)

// wrote are keys outside the mirrored prefixes whose values nobody here knows and
// that a write of this proxy changed: INCR of a key that is not held. They leave
// it when they were fetched, or that failed, not before: one that is written all the time is
// fetched in its first pause. Guarded by the mirror's lock.
//
// Values beside the mirrored prefixes are paid for by their bytes: a list of
// 1 MB with ten LPUSH a second would otherwise be read ten times a second for it.
type wrote struct {
	keys   map[record.KeyID]struct{}
	credit int64 // bytes that may be fetched of keys that were written; negative: wait
}

// wantWritten asks for the values of keys that were written and are not known.
// The newest are kept: those are most likely to be written again.
func (m *mirror) wantWritten(db int, keys [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		if len(k) > wroteLongest || m.s.cfg.mirroredKey(k) {
			continue
		}
		if len(m.wrote.keys) >= wroteMax {
			for old := range m.wrote.keys {
				delete(m.wrote.keys, old)
				break
			}
		}
		m.wrote.keys[record.KeyID{DB: db, Key: string(k)}] = struct{}{}
	}
}

// due are the keys to be fetched now, by database: dirty ones first, then a few
// of those wanted. m.mu is held.
func (m *mirror) due() map[int][]string {
	batch := map[int][]string{}
	add := func(id record.KeyID) {
		batch[id.DB] = append(batch[id.DB], id.Key)
		m.fetching(id)
	}
	m.wrote.credit = min(m.wrote.credit+fetchCredit, fetchSaved)
	paid := m.wrote.credit > 0
	n := 0
	for id := range m.dirty {
		if _, hot := m.hot[id]; hot || !paid && !m.s.cfg.mirrored(id.Key) {
			continue
		}
		if n++; n > fetchBatch {
			break
		}
		add(id)
	}
	n = 0
	for id := range m.want {
		if n++; n > wantPerTick {
			break
		}
		delete(m.want, id)
		add(id)
	}
	n = 0
	for id := range m.wrote.keys {
		if n++; n > wrotePerTick || !paid {
			break
		}
		add(id)
	}
	return batch
}

// postpone lets a key be fetched another time. m.mu is held.
func (m *mirror) postpone(id record.KeyID) {
	_, dirty := m.dirty[id]
	_, wrote := m.wrote.keys[id]
	if !dirty && !wrote {
		m.want[id] = struct{}{}
	}
}

// charge notes what the value of a key that was written cost to read. m.mu is held.
func (m *mirror) charge(id record.KeyID, size int64) {
	_, dirty := m.dirty[id]
	_, wrote := m.wrote.keys[id]
	if (dirty || wrote) && !m.s.cfg.mirrored(id.Key) {
		m.wrote.credit = max(m.wrote.credit-size, -fetchOwed)
	}
}
