package backend

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

func TestLateTicksDoNotCount(t *testing.T) {
	now := time.Unix(1000, 0)
	p := newPulse(50 * time.Millisecond)
	defer p.stop()
	p.now, p.last = func() time.Time { return now }, now
	after := func(d time.Duration) bool { now = now.Add(d); return p.counts() }
	require.True(t, after(50*time.Millisecond))
	require.True(t, after(70*time.Millisecond))
	require.False(t, after(200*time.Millisecond), "nobody ran for that long")
	require.True(t, after(0), "the tick that was due meanwhile")
	for range maxSkipped {
		require.False(t, after(time.Second))
	}
	require.True(t, after(time.Second), "but a silence ends")
	for range maxSkipped {
		require.True(t, after(50*time.Millisecond))
	}
	require.False(t, after(time.Second))
}

// A process that hardly gets to run does not take its own delays for an outage.
func TestABusyProcessDoesNotBlameTheServer(t *testing.T) {
	srv := redistest.Start(t)
	rec := &recorder{}
	u := runUp(t, Config{URL: srv.URL(), CommandTimeout: 300 * time.Millisecond}, rec)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var stop atomic.Bool
	const spinners = 50 // of up to 10 ms each until another one's turn
	for range spinners {
		go func() {
			for !stop.Load() {
			}
		}()
	}
	for range 2 {
		c := &Call{Payload: []byte("*1\r\n$4\r\nPING\r\n"), N: 1}
		if err := u.Do(2, 0, c); err != nil {
			stop.Store(true)
			require.NoError(t, err)
		}
	}
	stop.Store(true)
	require.Zero(t, rec.losts.Load())
}
