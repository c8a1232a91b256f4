package backend

import (
	"errors"
	"strconv"
	"sync/atomic"
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
func TestServerTimeComesFromTheFastestAnswer(t *testing.T) {
	clock := &handClock{now: time.Unix(1000, 0)}
	ways := [][2]time.Duration{ // there and back
		{time.Millisecond, 800 * time.Millisecond},
		{300 * time.Millisecond, 0},
		{time.Millisecond, time.Millisecond},
		{0, 90 * time.Millisecond},
		{40 * time.Millisecond, 2 * time.Millisecond},
	}
	asked := 0
	got, err := bestTime(clock, func() (resp.Value, error) {
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
	require.Equal(t, timeSamples, asked)
	require.Equal(t, got.At.Add(10*time.Second), got.Time)
	require.Equal(t, time.Millisecond, got.Off)

	broken := errors.New("broken")
	_, err = bestTime(clock, func() (resp.Value, error) { return resp.Value{}, broken })
	require.ErrorIs(t, err, broken)
}

// stepped is the system's clock, set wrong.
type stepped struct {
	systemClock
	by *atomic.Int64
}

func (c stepped) Now() time.Time {
	return c.systemClock.Now().Round(0).Add(time.Duration(c.by.Load()))
}

// What is told of a real server's clock is right though ours is an hour behind,
// and is told again only when it is not what it should be by ours any more.
func TestServerTimeOfARealServer(t *testing.T) {
	srv := redistest.Start(t)
	clock := stepped{by: &atomic.Int64{}}
	clock.by.Store(int64(-time.Hour))
	ev := &recorder{}
	u := runUp(t, Config{URL: srv.URL(), Clock: clock, CheckInterval: time.Millisecond, PingInterval: time.Millisecond}, ev)
	at := u.Status().Info.Time
	require.WithinDuration(t, at.At.Add(time.Hour), at.Time, at.Off+time.Second)

	told := func() int { ev.mu.Lock(); defer ev.mu.Unlock(); return len(ev.times) }
	before := told() // a clock that was slewed in between may have been told, too
	clock.by.Store(int64(2 * time.Hour))
	redistest.Eventually(t, bound, "the server's time is told", func() bool { return told() > before })
	ev.mu.Lock()
	now := ev.times[len(ev.times)-1]
	ev.mu.Unlock()
	require.WithinDuration(t, time.Now(), now, bound)
}
