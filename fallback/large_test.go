package fallback

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/backend/resp"
	"holdfast/fallback/fetch"
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
	f := fetch.New(r.cfg.NewClient)
	defer f.Close()
	got, err := f.Fetch(context.Background(), 0, []string{"fits", "large", "empty", "none"}, func(string) int64 { return 5 }, r.store.serverNow)
	require.NoError(t, err)
	require.Equal(t, [][][]byte{words("SET", "fits", "12345")}, got[0].Commands)
	require.Equal(t, fetch.Value{Large: true, Size: 5}, got[1])
	require.Equal(t, [][][]byte{words("SET", "empty", "")}, got[2].Commands)
	require.Equal(t, fetch.Value{}, got[3])
}

// TestLargeStringsAreComparedNotReadAgain: behind a write of ours, and whenever the
// key changes later, the value is only read whole if it is another one.
func TestLargeStringsAreComparedNotReadAgain(t *testing.T) {
	r := newRig(t)
	reads := func() string { return r.direct.Info(context.Background(), "commandstats").Val() }
	ours := strings.Repeat("0123456789", resp.Large/8)
	r.loaded()
	r.redis("CONFIG", "RESETSTAT") // the connect has read the fence
	r.via("SET", "m:a", ours)
	r.settle()
	require.Contains(t, reads(), "cmdstat_getrange:")
	r.redis("PEXPIRE", "m:a", 1_000_000)
	r.store.Invalidate(words("m:a"))
	r.settle()
	require.NotContains(t, reads(), "cmdstat_get:calls=")
	r.lost()
	require.NotEqual(t, ":-1\r\n", r.do("TTL", "m:a"), "the expiry is followed all the same")
	require.True(t, "$"+strconv.Itoa(len(ours))+"\r\n"+ours+"\r\n" == r.do("GET", "m:a"))
}

func TestLargeStringThatSomebodyElseChanged(t *testing.T) {
	ours, other := strings.Repeat("0123456789", resp.Large/8), strings.Repeat("0123456789", resp.Large/8-1)+"other-tail"
	for name, foreign := range map[string]string{"as long": other, "shorter": "short", "longer": other + other} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.loaded()
			r.via("SET", "m:a", ours)
			r.settle()
			r.redis("SET", "m:a", foreign)
			r.store.Invalidate(words("m:a"))
			r.settle()
			r.lost()
			require.True(t, "$"+strconv.Itoa(len(foreign))+"\r\n"+foreign+"\r\n" == r.do("GET", "m:a"))
		})
	}
}

// TestLargeStringThatChangesIsNotTakenForTheOneHeld: the change comes after the
// last piece was compared.
func TestLargeStringThatChangesIsNotTakenForTheOneHeld(t *testing.T) {
	r := newRig(t)
	held := []byte(strings.Repeat("0123456789", resp.Large/8))
	r.redis("SET", "m:a", held)
	now := func() time.Time {
		r.redis("SETRANGE", "m:a", 0, "x")
		return time.Now()
	}
	_, same, err := fetch.New(r.cfg.NewClient).CompareLarge(context.Background(), r.direct, "m:a", held, now)
	require.ErrorIs(t, err, redis.TxFailedErr)
	require.False(t, same)
}

// TestFetchThatAWriteOvertookIsNotMade: its value would be thrown away, and leaves
// the one that is held alone.
func TestFetchThatAWriteOvertookIsNotMade(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:a", "held")
	r.loaded()
	r.redis("SET", "m:a", "new")
	r.redis("CONFIG", "RESETSTAT")
	r.store.Sending(0, []byte("m:a"))
	r.store.Invalidate(words("m:a"))
	m := r.store.mirror
	fetches := func() uint64 { m.mu.Lock(); defer m.mu.Unlock(); return m.stats.fetches }
	before := fetches()
	redistest.Eventually(t, bound, "two looks at the key", func() bool { return fetches() > before+1 })
	require.NotContains(t, r.direct.Info(context.Background(), "commandstats").Val(), "cmdstat_get:")
	r.store.Sent(0, []byte("m:a"))
	r.settle()
	r.lost()
	require.Equal(t, "$3\r\nnew\r\n", r.do("GET", "m:a"))
}

// A key that expires while it is looked at is not there, and no reason to panic.
func TestALargeStringThatExpiresIsNotHeld(t *testing.T) {
	began := time.Now()
	var looks atomic.Int64 // each is a millisecond
	r := newRig(t, func(c *Config) {
		c.Elapsed = func() time.Duration { return time.Since(began) + time.Duration(looks.Add(1))*time.Millisecond }
	})
	r.loaded()
	r.lost()
	large := strings.Repeat("x", resp.Large)
	r.do("SET", "m:a", large, "PX", "10000")
	require.Len(t, r.store.heldLarge(0, "m:a"), resp.Large)
	looks.Add(9990)
	for range 50 {
		r.store.heldLarge(0, "m:a")
	}
	require.Nil(t, r.store.heldLarge(0, "m:a"))
}
