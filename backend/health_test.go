package backend

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStateTable(t *testing.T) {
	const (
		down, probing, syncing, up, suspect, closed = StateDown, StateProbing, StateSyncing, StateUp, StateSuspect, StateClosed
	)
	events := []event{evTry, evConnected, evSynced, evDoubt, evCleared, evLost, evClosed}
	for from, want := range map[State][]State{
		//        try      connected synced   doubt    cleared  lost    closed
		down:    {probing, down, down, down, down, down, closed},
		probing: {probing, syncing, probing, probing, probing, down, closed},
		syncing: {syncing, syncing, up, syncing, syncing, down, closed},
		up:      {up, up, up, suspect, up, down, closed},
		suspect: {suspect, suspect, suspect, suspect, up, down, closed},
		closed:  {closed, closed, closed, closed, closed, closed, closed},
	} {
		for i, e := range events {
			require.Equal(t, want[i], from.next(e), "%s on event %d", from, e)
		}
	}
}

func TestBackoffGrowsToItsBound(t *testing.T) {
	low := backoff{rand: func() float64 { return 0 }}
	high := backoff{rand: func() float64 { return 0.999999 }}
	last := time.Duration(0)
	for i := range 40 {
		lo, hi := low.next(), high.next()
		require.GreaterOrEqual(t, lo, backoffFirst/2)
		require.LessOrEqual(t, hi, backoffMax)
		require.Less(t, lo, hi)
		require.GreaterOrEqual(t, lo, last, "try %d", i)
		last = lo
	}
	require.Equal(t, backoffMax/2, last)
	low.reset()
	require.Equal(t, backoffFirst/2, low.next())
}

func TestVersionsWithReliableTracking(t *testing.T) {
	for v, want := range map[string]bool{
		"5.0.14": false, "6.0.16": false, "6.2.10": false, "6.2.11": true, "7.0.0": false, "7.0.8": false, "7.0.9": true,
		"7.0.15": true, "7.2.0": true, "8.0.1": true, "7.0.8-rc1": false, "": false,
	} {
		require.Equal(t, want, Info{Version: v, Flavor: "redis"}.tracksReliably(), v)
	}
	require.True(t, Info{Version: "7.0.0", Flavor: "valkey"}.tracksReliably())
	for v, want := range map[string]bool{"5.0.14": true, "6.0.16": true, "6.2.0": false, "7.0.15": false, "": false} {
		require.Equal(t, want, Info{Version: v, Flavor: "redis"}.NoPXAT(), v)
	}
}

func TestSilenceEndsBeforeTheCommandTimeoutDoes(t *testing.T) {
	cfg := Config{CommandTimeout: time.Second}
	require.GreaterOrEqual(t, timeoutTicks*cfg.tick(), 850*time.Millisecond, "a slow server is not a dead one")
	require.LessOrEqual(t, (timeoutTicks+1)*cfg.tick(), 950*time.Millisecond, "a call taken in right behind a tick is given up in time, too")
}

func TestWatchdogCountsTicksNotTime(t *testing.T) {
	tr := newTrunk(trunkKey{}, nil)
	for range 3 * timeoutTicks {
		require.False(t, tr.overdue(), "nothing waits")
	}
	tr.accepted.Add(1)
	for range timeoutTicks {
		require.False(t, tr.overdue())
	}
	require.True(t, tr.overdue())
	tr.moved.Add(progressBytes)
	for range timeoutTicks {
		require.False(t, tr.overdue(), "a transfer that moves is alive")
	}
	require.True(t, tr.overdue())
	tr.completed.Add(1)
	require.False(t, tr.overdue())
}
