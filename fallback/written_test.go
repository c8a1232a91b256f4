package fallback

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/record"
)

func TestKeySetHasWhatWasAdded(t *testing.T) {
	var set keySet
	id := func(i int) record.KeyID { return record.KeyID{DB: i % 3, Key: fmt.Sprint("k:", i/3)} }
	require.False(t, set.has(id(0)))
	const n = 20_000
	for i := range n {
		require.False(t, set.holds(id(i)))
		set.add(id(i))
		set.add(id(i / 2))
	}
	require.Equal(t, n, set.n)
	var again keySet // as a snapshot takes it along
	set.each(again.addHash)
	for i := range n {
		require.True(t, again.has(id(i)))
		require.False(t, again.holds(id(n+i)))
	}
}

// TestKeySetFindsItsEndWhenFull: beyond the bound nothing is added, every key
// counts as written, and looking for one ends.
func TestKeySetFindsItsEndWhenFull(t *testing.T) {
	var set keySet
	for h := uint64(1); set.n < maxWritten; h++ {
		set.addHash(h * 0x100000001b3)
	}
	set.add(record.KeyID{DB: 0, Key: "new"})
	require.Equal(t, maxWritten, set.n)
	require.True(t, set.has(record.KeyID{DB: 0, Key: "new"}))
	require.False(t, set.holds(record.KeyID{DB: 0, Key: "new"}))
}
