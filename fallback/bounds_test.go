package fallback

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The first write of an outage to a large key makes no fingerprint of it; the
// write itself reaches Redis, and smaller keys are compared as ever.
func TestLargeKeysAreNotCompared(t *testing.T) {
	r := newRig(t)
	for _, k := range []string{"m:small", "m:large"} {
		n := baseElements
		if k == "m:large" {
			n++
		}
		for i := 0; i < n; i += 1000 {
			args := []any{"HSET", k}
			for j := i; j < min(i+1000, n); j++ {
				args = append(args, fmt.Sprint("field-", j), "v")
			}
			r.redis(args...)
		}
	}
	r.redis("SET", "m:string", strings.Repeat("x", baseLength))
	r.redis("SET", "m:long", strings.Repeat("x", baseLength+1))
	r.loaded()
	r.lost()
	compared := func(cmd ...string) bool {
		r.store.mu.Lock()
		defer r.store.mu.Unlock()
		sc := &scope{serving: true}
		require.Empty(t, r.store.refusal(sc, r0Of(cmd...)))
		return len(sc.bases) > 0
	}
	require.True(t, compared("HSET", "m:small", "f", "v"))
	require.False(t, compared("HSET", "m:large", "f", "v"))
	require.True(t, compared("APPEND", "m:string", "x"))
	require.False(t, compared("APPEND", "m:long", "x"))
	r.do("HSET", "m:small", "f", "v")
	r.do("HSET", "m:large", "f", "v")
	r.redis("HSET", "m:small", "by", "another")
	r.redis("HSET", "m:large", "by", "another")
	r.online()
	require.EqualValues(t, 1, r.store.Status().Conflicts)
	require.Equal(t, "v", r.redis("HGET", "m:large", "f"))
	require.Equal(t, "another", r.redis("HGET", "m:large", "by"))
}

func r0Of(args ...string) Request { return Request{Proto: 2, Commands: [][][]byte{words(args...)}} }

// A dump that MOVE comes in between of is begun again in slices: nobody waits for
// all of it.
func TestAnAbortedSnapshotIsBegunAgainInSlices(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Embedded, c.NewClient, c.CompactBytes = true, nil, 1<<40 })
	value := strings.Repeat("v", 200)
	for i := range 60 * dumpSlice {
		_, _, err := r.store.Do(r0Of("SET", fmt.Sprint("key", i), value))
		require.NoError(t, err)
	}
	require.NoError(t, r.store.jr.Sync())
	for try := 0; !r.sliceAfterMove(try); try++ { // who comes in between is chance
		require.Less(t, try, 50, "it was made in one go each time")
	}
	r.crash()
	require.Equal(t, ":0\r\n", r.do("EXISTS", "key0"))
	require.Equal(t, ":1\r\n", r.request(Request{DB: 5, Proto: 2, Commands: [][][]byte{words("EXISTS", "key0")}}))
}

// sliceAfterMove saves a snapshot, moves a key meanwhile, and reports whether
// the dump was seen half way after that.
func (r *rig) sliceAfterMove(n int) bool {
	s := r.store
	r.do("SET", "touch", fmt.Sprint(n))
	done := make(chan error, 1)
	go func() { done <- s.saveSnapshot() }()
	moved, seen := false, false
	for {
		s.mu.Lock()
		d := s.snap.dump
		seen = seen || d != nil && moved
		s.mu.Unlock()
		if d != nil && !moved {
			require.Equal(r.t, ":1\r\n", r.do("MOVE", fmt.Sprint("key", n), "5"))
			moved = true
		}
		select {
		case err := <-done:
			require.NoError(r.t, err)
			return seen
		case <-time.After(50 * time.Microsecond):
		}
	}
}

// A bound that was lowered below what is queued refuses writes until that is
// replayed, and no longer.
func TestLoweredJournalBoundDrains(t *testing.T) {
	r := newRig(t)
	for i := range 12 {
		require.Equal(t, "+OK\r\n", r.do("SET", fmt.Sprint("k", i), strings.Repeat("x", 1<<20)))
	}
	r.close()
	r.cfg.JournalBytes = 4 << 20
	r.open()
	require.Contains(t, r.do("SET", "a", "1"), "JOURNALFULL")
	r.online()
	r.lost()
	require.Equal(t, "+OK\r\n", r.do("SET", "a", "1"))
	require.False(t, r.store.Status().JournalFull)
	require.Less(t, r.store.Status().JournalBytes, int64(4<<20))
	r.online()
	require.Equal(t, "1", r.redis("GET", "a"))
}
