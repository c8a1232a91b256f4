package fallback

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestModes: each event in each mode, as a table.
func TestModes(t *testing.T) {
	for m, want := range map[Mode][4]Mode{ // by linkUp, linkLost, replayEnded, replayFailed
		Embedded:  {Embedded, Embedded, Embedded, Embedded},
		Offline:   {Replaying, Offline, Offline, Offline},
		Replaying: {Replaying, Offline, Online, Offline},
		Online:    {Replaying, Offline, Online, Online},
	} {
		for e, to := range want {
			assert.Equal(t, to, m.next(event(e)), "%v, event %d", m, e)
		}
	}
}

// TestOutageKeepsItsBeginning: however often a replay fails, an outage began when Redis
// was lost, and its data is as old as that; only one that ends counts as a take-over.
func TestOutageKeepsItsBeginning(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	var o outage
	o.begin(Offline, at(1))
	step := func(e event, s int) (quiet bool) {
		_, _, _, quiet = o.step(e, at(s), at(100+s))
		return quiet
	}
	step(linkUp, 2)
	step(replayEnded, 3)
	assert.Equal(t, Online, o.now())
	assert.True(t, o.staleAt.IsZero())
	assert.False(t, step(linkLost, 10))
	for i := range 3 {
		assert.Equal(t, i > 0, step(linkUp, 20+i), "told once")
		assert.True(t, step(replayFailed, 30+i))
		assert.Equal(t, at(10), o.since)
		assert.Equal(t, at(110), o.staleAt)
	}
	step(linkUp, 40)
	step(replayEnded, 50)
	assert.Equal(t, uint64(2), o.takeovers.Load())
	assert.Equal(t, at(50), o.since)
}
