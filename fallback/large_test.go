package fallback

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/backend/resp"
)

// TestLargeValues: beside the mirrored prefixes they are unknown, never held and
// never stale; under them they are complete, in a snapshot, too.
func TestLargeValues(t *testing.T) {
	r := newRig(t)
	large := strings.Repeat("0123456789", resp.Large/2)
	r.redis("SET", "elsewhere", "small")
	r.redis("SET", "m:before", large)
	r.loaded()
	r.via("SET", "m:a", large)
	r.via("SET", "elsewhere", "x")
	r.via("SET", "elsewhere", large)
	r.lost()
	want := "$5242880\r\n" + large + "\r\n"
	require.True(t, want == r.do("GET", "m:before"))
	require.True(t, want == r.do("GET", "m:a"))
	refused(t, r.do("GET", "elsewhere"))
	require.NoError(t, r.store.saveSnapshot())
	r.crash()
	require.True(t, want == r.do("GET", "m:before"))
	require.True(t, want == r.do("GET", "m:a"))
}

// TestFetchTakesNoStringBeyondTheLimit and says so.
func TestFetchTakesNoStringBeyondTheLimit(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "fits", "12345")
	r.redis("SET", "large", "123456")
	r.redis("SET", "empty", "")
	f := newSource(r.cfg.NewClient)
	defer f.Close()
	got, err := f.fetch(context.Background(), 0, []string{"fits", "large", "empty", "none"}, func(string) int64 { return 5 }, r.store.serverNow)
	require.NoError(t, err)
	require.Equal(t, [][][]byte{words("SET", "fits", "12345")}, got[0].commands)
	require.Equal(t, value{large: true}, got[1])
	require.Equal(t, [][][]byte{words("SET", "empty", "")}, got[2].commands)
	require.Equal(t, value{}, got[3])
}
