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
		f, _ := c.Begin(0, []byte(key), 2, command("GET", key))
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
		for _, hash := range s.lru.Keys() {
			slot, _ := s.lru.Peek(hash)
			for r := s.heads[slot]; r != 0; records++ {
				rec := s.arena.rec(r)
				chained += int64(len(rec))
				require.Equal(t, hash, uint32(c.hash(keyOf(identityOf(rec)))))
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
