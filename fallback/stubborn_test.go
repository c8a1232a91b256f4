package fallback

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/deadletter"
)

// connects tries again until the store is online, and returns how often it did not work.
func (r *rig) connects(most int) int {
	r.t.Helper()
	for n := range most {
		if r.connect() == nil {
			return n
		}
	}
	r.t.Fatalf("not online after %d tries", most)
	return most
}

// What the server's limits do not allow closes the connection instead of being
// answered with an error: it is filed, and the rest goes on.
func TestWriteBeyondTheServersLimits(t *testing.T) {
	for limit, cause := range map[string]func(r *rig){
		"proto-max-bulk-len": func(r *rig) { r.do("SET", "m:big", strings.Repeat("x", 2<<20)) },
		"client-query-buffer-limit": func(r *rig) {
			r.request(Request{Proto: 2, Unit: true, Commands: [][][]byte{words("SET", "m:a", strings.Repeat("x", 3<<20)), words("SET", "m:b", "x")}})
		},
	} {
		t.Run(limit, func(t *testing.T) {
			r := newRig(t)
			r.redis("CONFIG", "SET", limit, 1<<20)
			r.loaded()
			r.lost()
			r.do("SET", "m:small", "1")
			cause(r)
			r.do("INCR", "m:later")
			r.connects(3 * stubbornTries)
			require.Equal(t, []any{"1", "1"}, r.redis("MGET", "m:small", "m:later"))
			require.Zero(t, r.store.Status().QueuedWrites)
			letters, err := deadletter.Read(r.dir)
			require.NoError(t, err)
			require.Len(t, letters, 1)
			require.Contains(t, letters[0].Reason, "3 times on this write alone")
		})
	}
}

// A link that dies again and again files nothing, as long as the server cannot be
// reached right after it, or the write gets through in the end.
func TestFlappingLinkFilesNothing(t *testing.T) {
	for _, mode := range []string{"close", "reset", "hang"} {
		r := newRig(t)
		r.online()
		r.lost()
		r.do("SET", "big", strings.Repeat("x", 100<<10))
		for range 4 * stubbornTries {
			r.wire.limit(mode, 50<<10, -1)
			require.Error(t, r.connect())
			r.lost()
			r.wire.heal()
		}
		r.online()
		require.Zero(t, r.store.Status().DeadLetters, mode)
		require.EqualValues(t, 100<<10, r.direct.StrLen(context.Background(), "big").Val())
	}
}
