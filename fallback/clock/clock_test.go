package clock

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// The time that the machine was asleep counts, once it is known.
func TestSleepIsTimeElapsed(t *testing.T) {
	var asleep atomic.Int64
	elapsed, _ := NewElapsed(func() time.Duration { return time.Duration(asleep.Load()) })
	require.Less(t, elapsed(), time.Hour)
	asleep.Store(int64(8 * time.Hour))
	redistest.Eventually(t, 10*time.Second, "sleep is seen", func() bool { return elapsed() >= 8*time.Hour })
	asleep.Store(int64(7 * time.Hour)) // a look that came out short
	began := elapsed()
	redistest.Eventually(t, 10*time.Second, "another look", func() bool { return elapsed() > began+2*lookEvery })
	require.GreaterOrEqual(t, elapsed(), began, "it never goes back")
	require.Less(t, SleepSinceNow()(), time.Minute, "nothing slept here")
}

// Redis tells its time behind a sleep that nobody has looked for yet: the sleep
// must not be added once more when it is found.
func TestSleepCountsOnceWhenTheServersTimeIsSet(t *testing.T) {
	var asleep atomic.Int64
	elapsed, look := NewElapsed(func() time.Duration { return time.Duration(asleep.Load()) })
	c := &Clock{}
	c.Start(time.Now, elapsed, look)
	server := c.Now().Add(8 * time.Hour)
	asleep.Store(int64(8 * time.Hour))
	c.Set(server)
	began := elapsed()
	redistest.Eventually(t, 10*time.Second, "another look", func() bool { return elapsed() > began+2*lookEvery })
	require.Less(t, c.Now().Sub(server), time.Hour)
}
