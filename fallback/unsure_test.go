package fallback

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback/fetch"
	"holdfast/fallback/record"
)

// still ends the mirror's own work: what the outages that follow have is what the
// cut-over left.
func (r *rig) still() {
	r.stop()
	r.stop = nil
}

// A client learns late that nobody knows what became of its write: Redis has taken
// over meanwhile. What is held may lack the write, and is not built upon.
func TestUnknownOutcomeToldAfterRedisTookOver(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:k", "1")
	r.loaded()
	r.still()
	sent := r.store.Takeovers()
	r.redis("INCR", "m:k") // and the answer is lost
	r.lost()
	r.online()
	r.store.Unsure(0, []byte("m:k"), sent)
	r.via("INCR", "m:k")
	r.lost()
	refused(t, r.do("INCR", "m:k"))
}

// The same of a key that is not held: its absence is in doubt as well. Redis is
// asked at the cut-over.
func TestUnknownOutcomeOfANewKey(t *testing.T) {
	r := newRig(t)
	r.loaded()
	r.still()
	r.redis("INCR", "m:k")
	r.lost()
	r.store.Unsure(0, []byte("m:k"), r.store.Takeovers())
	r.online()
	r.via("INCR", "m:k")
	r.lost()
	require.Equal(t, ":3\r\n", r.do("INCR", "m:k"))
}

// A key that Redis changed in the outage and that cannot be fetched at the cut-over
// is unknown.
func TestWhatCannotBeLookedAtIsUnknown(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:k", "1")
	r.loaded()
	r.still()
	r.redis("INCR", "m:k")
	r.redis("ACL", "SETUSER", "default", "resetkeys", "%W~*", "%R~{holdfast}*")
	r.lost()
	r.store.Unsure(0, []byte("m:k"), r.store.Takeovers())
	r.online()
	r.lost()
	refused(t, r.do("GET", "m:k"))
}

// A write that was under way in an outage that is over is not executed locally in
// the next one: Redis may have it, and what is held with it.
func TestAWriteUnderWayIsOfItsOutage(t *testing.T) {
	r := newRig(t)
	r.loaded()
	r.still()
	sent := r.store.Takeovers()
	r.lost()
	r.online()
	r.lost()
	_, _, err := r.store.Do(Request{Proto: 2, Commands: [][][]byte{words("INCR", "m:k")},
		Origin: record.Origin{Key: "{holdfast}:fence:x:online:2:0", Number: 1}, Takeovers: sent})
	require.ErrorIs(t, err, ErrOnline)
}

// Neither are mirrored keys that a restart had no time to look at: their value is
// the snapshot's, and what Redis acknowledges next is not executed on top of it.
func TestMirroredKeysNotLookedAtAfterARestartAreUnknown(t *testing.T) {
	r := newRig(t)
	r.redis("MSET", "m:a", "1", "m:b", "1")
	r.loaded()
	require.NoError(t, r.store.saveSnapshot())
	r.crash()
	r.redis("INCR", "m:a")
	r.redis("ACL", "SETUSER", "default", "resetkeys", "%W~*", "%R~{holdfast}*", "%R~m:b") // as if time had run out at m:a
	r.online()
	r.via("INCR", "m:a")
	r.lost()
	refused(t, r.do("INCR", "m:a"))
	require.Equal(t, "$1\r\n1\r\n", r.do("GET", "m:b"))
}

// restartBlindTo restarts from a snapshot that has m:a and m:b; m:a is changed at
// Redis meanwhile, and cannot be looked at, as if there was no time for it.
func (r *rig) restartBlindTo(change ...any) {
	r.t.Helper()
	r.redis("MSET", "m:a", "1", "m:b", "1")
	r.loaded()
	require.NoError(r.t, r.store.saveSnapshot())
	r.crash()
	r.redis(change...)
	r.redis("ACL", "SETUSER", "default", "resetkeys", "~{holdfast}*", "~m:b")
}

// A mirrored key that a restart had no time to look at, and that the load does not
// come across, is not known by the load alone: what is held is the snapshot's value.
func TestMirroredKeysThatALoadDoesNotSeeAfterARestartAreUnknown(t *testing.T) {
	r := newRig(t)
	r.restartBlindTo("DEL", "m:a")
	r.loaded()
	r.lost()
	refused(t, r.do("GET", "m:a"))
	require.Equal(t, "$1\r\n1\r\n", r.do("GET", "m:b"))
}

// Nor are they known to a snapshot: the next restart does not take their value for
// what the mirror last saw.
func TestWhatARestartDidNotLookAtStaysUnknownInASnapshot(t *testing.T) {
	r := newRig(t)
	r.restartBlindTo("INCR", "m:a")
	r.online()
	r.lost()
	refused(t, r.do("GET", "m:a"))
	require.NoError(t, r.store.saveSnapshot())
	r.crash()
	refused(t, r.do("GET", "m:a"))
	require.Equal(t, "$1\r\n1\r\n", r.do("GET", "m:b"))
}

// They are in a snapshot as soon as the load has them: a restart without Redis need
// not wait for the next regular one.
func TestWhatALoadBringsIsSavedAtOnce(t *testing.T) {
	r := newRig(t)
	r.restartBlindTo("INCR", "m:a")
	r.online()
	r.redis("ACL", "SETUSER", "default", "allkeys")
	saved := func() (at time.Time) {
		r.store.mu.Lock()
		defer r.store.mu.Unlock()
		return r.store.snap.savedAt
	}
	before := saved()
	r.run()
	redistest.Eventually(t, bound, "a new snapshot", func() bool { return saved().After(before) })
	r.crash()
	require.Equal(t, "$1\r\n2\r\n", r.do("GET", "m:a"))
}

// Even if one was made between the last fetch and the end of the load, which changes
// no value any more.
func TestTheEndOfALoadIsSavedThoughNoValueChanges(t *testing.T) {
	r := newRig(t)
	r.restartBlindTo("INCR", "m:a")
	r.online()
	r.redis("ACL", "SETUSER", "default", "allkeys")
	src := fetch.New(r.cfg.NewClient)
	defer src.Close()
	m, seen := r.store.mirror, map[string]struct{}{}
	require.NoError(t, m.loadPrefix(context.Background(), src, "m:", seen))
	require.NoError(t, r.store.saveSnapshot())
	_, done := m.endLoad(context.Background(), r.store.outage.epoch.Load(), r.store.res.cleared.Load(), seen)
	require.True(t, done)
	require.NoError(t, r.store.saveSnapshot())
	r.crash()
	require.Equal(t, "*2\r\n", r.do("KEYS", "m:*")[:4])
}
