package fallback

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/record"
)

const spinIncr = `local n = redis.call('INCR', KEYS[1]) local x = 0 for i = 1, tonumber(ARGV[1]) do x = x + 1 end return n`

// A script that took long at Redis is not executed again for long here: its keys are
// fetched.
func TestASlowScriptIsFetchedInsteadOfFollowed(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:n", 1)
	r.loaded()
	for range 3 {
		r.via("EVAL", spinIncr, 1, "m:n", 20_000_000)
	}
	r.settle()
	s := r.store
	s.mu.Lock()
	require.True(t, s.scripts.slow(words("EVAL", spinIncr, "1", "m:n", "20000000"), followTwice))
	s.mu.Unlock()
	r.lost()
	require.Equal(t, "$1\r\n4\r\n", r.do("GET", "m:n"))
}

// A request is ended when its client must have an answer: nothing of its script is
// left, and of a unit that Redis may have executed nothing is claimed to be known.
func TestAScriptHasOnlyWhatIsLeftOfItsTime(t *testing.T) {
	r := newRig(t)
	r.redis("MSET", "m:n", 1, "m:o", 1)
	r.loaded()
	r.lost()
	slow := words("EVAL", spinIncr, "1", "m:n", "1000000000")
	ask := func(req Request) string {
		start := time.Now()
		reply := r.request(req)
		require.Less(t, time.Since(start), bound/2)
		return reply
	}
	soon := func() time.Time { return time.Now().Add(50 * time.Millisecond) }
	require.Contains(t, ask(Request{Proto: 2, Commands: [][][]byte{slow}, Until: soon()}), replyScriptTime)
	require.Contains(t, ask(Request{Proto: 2, Commands: [][][]byte{slow}, Until: time.Now()}), replyScriptTime)
	require.Equal(t, "$1\r\n1\r\n", r.do("GET", "m:n"))
	require.Zero(t, r.store.Status().QueuedWrites)

	// Another one, so that it is not refused at once.
	slow = words("EVAL", spinIncr, "1", "m:n", "1000000001")
	unit := Request{Proto: 2, Unit: true, Commands: [][][]byte{words("INCR", "m:o"), slow}, Until: soon(),
		Origin: record.Origin{Key: "fence", Number: 1}, Takeovers: r.store.Takeovers()}
	require.True(t, strings.HasPrefix(ask(unit), "-"+replyScriptTime))
	require.Zero(t, r.store.Status().QueuedWrites)
	refused(t, r.do("GET", "m:o"))
	r.online()
	r.settle()
	require.EqualValues(t, "1", r.redis("GET", "m:o"))
}
