package fallback

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback/fetch"
	"holdfast/fallback/record"
)

// What is in doubt when the link dies, and gone when it is back, is asked about:
// the SCAN of the load does not come across it.
func TestDoubtAboutAKeyThatIsGoneEnds(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:a", "1")
	r.loaded()
	r.wire.limit("hang", 0, 0) // no refetch any more
	r.via("EVAL", "redis.call('TIME') redis.call('SET', KEYS[1], 'x', 'PX', 200)", 1, "m:window")
	r.lost()
	r.wire.heal()
	require.Contains(t, r.do("KEYS", "m:*"), "UPSTREAMDOWN")
	redistest.Eventually(t, bound, "the key has expired at Redis", func() bool {
		return r.redis("EXISTS", "m:window") == int64(0)
	})
	r.online()
	redistest.Eventually(t, bound, "nothing is in doubt", func() bool { return r.store.Status().Complete })
	r.settle()
	r.lost()
	require.Equal(t, "$-1\r\n", r.do("GET", "m:window"))
	require.Equal(t, "*1\r\n$3\r\nm:a\r\n", r.do("KEYS", "m:*"))
}

// A key of the working set that was absent may have been set while the link was
// down, and nobody told the mirror.
func TestAbsentKeyIsAskedAboutAfterAnOutage(t *testing.T) {
	r := newRig(t)
	r.loaded()
	r.store.Read(0, []byte("other"))
	r.settle()
	r.lost()
	require.Equal(t, "$-1\r\n", r.do("GET", "other"))
	r.redis("SET", "other", "set meanwhile")
	r.loaded()
	redistest.Eventually(t, bound, "the mirror has it", func() bool {
		r.store.mu.Lock()
		defer r.store.mu.Unlock()
		return r.store.eng.Has(0, []byte("other"))
	})
}

// What was read before a FLUSHALL and arrives after its answer is void.
func TestAFlushVoidsAFetchUnderWay(t *testing.T) {
	r := newRig(t)
	r.redis("MSET", "m:a", "old", "other", "old")
	r.online()
	m := r.store.mirror
	m.mu.Lock()
	m.fetching(record.KeyID{DB: 0, Key: "m:a"})
	m.fetching(record.KeyID{DB: 0, Key: "other"})
	m.flush = false
	m.mu.Unlock()
	src := fetch.New(r.cfg.NewClient)
	defer src.Close()
	r.srv.Hang()
	done := make(chan error, 1)
	go func() { done <- m.fetchKeys(context.Background(), src, 0, []string{"m:a", "other"}) }()
	redistest.Eventually(t, bound, "the fetch is under way", func() bool {
		r.wire.mu.Lock()
		defer r.wire.mu.Unlock()
		return len(r.wire.open) > 0
	})
	r.store.Acked(0, [][][]byte{words("FLUSHALL")}, []byte("+OK\r\n"), false)
	r.srv.Resume()
	require.NoError(t, <-done)
	r.lost()
	require.NotContains(t, r.do("GET", "m:a"), "old")
	require.NotContains(t, r.do("GET", "other"), "old")
}

// After a restart more is held than can be looked at before Redis takes over, for
// it is too much, or because the link dies. An outage right behind that must not
// bring back what the snapshot had.
func TestWhatWasNotLookedAtAfterARestartIsUnknown(t *testing.T) {
	const n = refreshMax + 500
	old, now := []any{"MSET"}, []any{"MSET"}
	for i := range n {
		old, now = append(old, fmt.Sprint("x:", i), "old"), append(now, fmt.Sprint("x:", i), "new")
	}
	for _, dies := range []bool{false, true} {
		r := newRig(t)
		r.loaded()
		r.via(old...)
		r.settle()
		require.NoError(t, r.store.saveSnapshot())
		r.crash()
		r.redis(now...)
		if dies {
			r.wire.limit("close", -1, 32<<10)
		}
		r.online()
		r.lost()
		r.wire.heal()
		fresh := 0 // as many as there was time for
		for i := range n {
			switch reply := r.do("GET", fmt.Sprint("x:", i)); reply {
			case "$3\r\nnew\r\n":
				fresh++
			default:
				refused(t, reply)
			}
		}
		t.Log(fresh, "of", n)
		require.LessOrEqual(t, fresh, refreshMax+1)
	}
}
