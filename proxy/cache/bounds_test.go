package cache

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBytesAreBounded(t *testing.T) {
	const limit = 2 << 20
	c := New(Config{MaxBytes: limit, Shards: 4})
	for i := range 15_000 {
		size := 1 << (i % 14)
		if i%500 == 0 {
			size = 100_000
		}
		key := fmt.Sprintf("k%d", i%2500)
		f, _ := c.Begin(0, []byte(key), 2, command("GET", key), false)
		f.Done(bulk(strings.Repeat("x", size)), -1, true)
		if i%3 == 0 {
			c.Invalidate([][]byte{fmt.Appendf(nil, "k%d", (i*7)%2500)})
		}
		require.LessOrEqual(t, c.Stats().Bytes, int64(limit))
	}
	st := c.Stats()
	require.NotZero(t, st.Evictions)
	require.Greater(t, st.Bytes, int64(limit/2), "evicts too much")
	checkArenas(t, c)
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	c := New(Config{MaxBytes: 256 << 10, Shards: 1})
	val := strings.Repeat("x", 500)
	fillGet(t, c, "hot", val, -1)
	for i := range 5000 {
		fillGet(t, c, fmt.Sprintf("cold%d", i), val, -1)
		require.True(t, has(c, "hot"), "after %d", i)
	}
	require.False(t, has(c, "cold0"))
	require.True(t, has(c, "cold4999"))
}

// TestColdKeysGoThoughTheirNeighboursAreHot: a group is as recent as its hottest
// member; the others must make room all the same.
func TestColdKeysGoThoughTheirNeighboursAreHot(t *testing.T) {
	c := New(Config{MaxBytes: 4 << 20, Shards: 2})
	const hot = 4000 // of 4096 groups, so that most have one
	for i := range hot {
		fillGet(t, c, fmt.Sprintf("hot%d", i), strings.Repeat("x", 64), -1)
	}
	var old, young, lost int
	for i := range 60_000 {
		fillGet(t, c, fmt.Sprintf("cold%d", i), strings.Repeat("x", 64), -1)
		if key := fmt.Sprintf("hot%d", i%hot); !has(c, key) {
			lost++
			fillGet(t, c, key, strings.Repeat("x", 64), -1)
		}
	}
	for i := range 10_000 {
		if has(c, fmt.Sprintf("cold%d", i)) {
			old++
		}
		if has(c, fmt.Sprintf("cold%d", 50_000+i)) {
			young++
		}
	}
	t.Logf("%d hot ones lost; of 10000 cold ones %d of the oldest and %d of the newest are held", lost, old, young)
	require.Less(t, lost, 60)
	require.Less(t, old, 500)
	require.Greater(t, young, 9_000)
	checkArenas(t, c)
}

// checkArenas recounts what the arenas and shards claim.
func checkArenas(t require.TestingT, c *Cache) {
	for _, s := range c.shards {
		var size, dead, live, records int64
		for i, seg := range s.arena.segs {
			if seg.buf == nil {
				continue
			}
			size += int64(len(seg.buf)) + segmentCost
			dead += int64(seg.used - seg.live)
			s.arena.each(i, func(_ ref, rec []byte) { live += int64(len(rec)) })
		}
		var chained int64
		for _, g := range s.lru.Keys() {
			slot, _ := s.lru.Peek(g)
			for r := s.heads[slot]; r != 0; records++ {
				rec := s.arena.rec(r)
				chained += int64(len(rec))
				require.Equal(t, g, s.group(c.hash(keyOf(identityOf(rec)))))
				r = next(rec)
			}
		}
		require.Equal(t, size, s.arena.size)
		require.Equal(t, dead, s.arena.dead)
		require.Equal(t, live, chained)
		require.Equal(t, records, s.entries)
		require.Equal(t, s.lru.Len()+len(s.vacant), len(s.heads))
	}
}
