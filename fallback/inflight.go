package fallback

import "sync/atomic"

// inflight counts the writes that are on their way to Redis, by hash of their
// key. A value fetched while one was on its way may or may not contain it, and
// executing it locally once it is acknowledged could apply it twice: such a
// fetch is thrown away. Keys that share a slot only cost each other a retry.
type inflight [1 << 14]struct {
	now   atomic.Int32  // sent and not yet told to the mirror
	shut  atomic.Int32  // fetches that have the keys for themselves: new writes wait
	begun atomic.Uint64 // ever
}

func slotOf(db int, key []byte) uint64 {
	h := uint64(14695981039346656037) ^ uint64(db)
	for _, b := range key {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return (h ^ h>>32) % uint64(len(inflight{}))
}

// Sending tells the mirror that a write to the key is about to be sent to Redis.
// Cheap, without a lock. Sent must follow.
func (s *Store) Sending(db int, key []byte) {
	slot := &s.mirror.flight[slotOf(db, key)]
	slot.now.Add(1)
	slot.begun.Add(1)
}

// Sent ends what Sending began: the write has its outcome, and Acked was called
// if it was acknowledged. Where the mirror has fallen behind, this client pays by
// following what waits, instead of the mirror losing writes. Acked does not: it may
// be called by who reads the replies for everybody.
func (s *Store) Sent(db int, key []byte) {
	s.mirror.flight[slotOf(db, key)].now.Add(-1)
	if s.mirror.behind.Load() {
		s.mu.Lock()
		s.mirror.drainLocked()
		s.mu.Unlock()
	}
}

// quiet looks at the writes on their way to a key. The same two answers, the
// first of them true, say that there was none in between.
func (f *inflight) quiet(db int, key string) (none bool, begun uint64) {
	slot := &f[slotOf(db, []byte(key))]
	begun = slot.begun.Load() // before now: a write that begins in between shows in one of them
	return slot.now.Load() == 0, begun
}
