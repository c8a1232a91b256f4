package backend

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/backend/resp"
)

// handClock is set by hand.
type handClock struct{ now time.Time }

func (c *handClock) Now() time.Time                       { return c.now }
func (*handClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// The server is 10 s ahead. Answers that were held up on one way only, as by a
// busy server or a slow link, must not move the clock.
func TestClockOffsetComesFromTheFastestAnswer(t *testing.T) {
	clock := &handClock{now: time.Unix(1000, 0)}
	ways := [][2]time.Duration{ // there and back
		{time.Millisecond, 800 * time.Millisecond},
		{300 * time.Millisecond, 0},
		{time.Millisecond, time.Millisecond},
		{0, 90 * time.Millisecond},
		{40 * time.Millisecond, 2 * time.Millisecond},
	}
	asked := 0
	got, err := clockOffset(clock, func() (resp.Value, error) {
		clock.now = clock.now.Add(ways[asked][0])
		at := clock.now.Add(10 * time.Second)
		clock.now = clock.now.Add(ways[asked][1])
		asked++
		return resp.Value{Kind: resp.KindArray, Elems: []resp.Value{
			{Kind: resp.KindBulk, Str: strconv.AppendInt(nil, at.Unix(), 10)},
			{Kind: resp.KindBulk, Str: strconv.AppendInt(nil, int64(at.Nanosecond()/1000), 10)},
		}}, nil
	})
	require.NoError(t, err)
	require.Equal(t, clockSamples, asked)
	require.Equal(t, 10*time.Second, got)

	broken := errors.New("broken")
	_, err = clockOffset(clock, func() (resp.Value, error) { return resp.Value{}, broken })
	require.ErrorIs(t, err, broken)
}

// shifted is the system's clock, set wrong.
type shifted struct {
	systemClock
	by time.Duration
}

func (c shifted) Now() time.Time { return c.systemClock.Now().Add(c.by) }

func TestClockOffsetOfARealServer(t *testing.T) {
	srv := redistest.Start(t)
	u := runUp(t, Config{URL: srv.URL(), Clock: shifted{by: -time.Hour}}, &recorder{})
	require.InDelta(t, time.Hour, u.Status().Info.ServerTimeOffset, float64(5*time.Second))
}
