package backend

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/backend/resp"
)

func TestAllowanceIsForLargeCallsOnly(t *testing.T) {
	require.Zero(t, (&Call{N: ordinaryCommands, Payload: make([]byte, ordinaryBytes)}).allowance())
	require.Equal(t, time.Second, (&Call{N: ordinaryCommands + floorCommands}).allowance())
	require.Equal(t, time.Second, (&Call{N: 1, Payload: make([]byte, ordinaryBytes+floorBytes)}).allowance())
	require.Equal(t, maxAllowance, (&Call{N: 1 << 30}).allowance())
}

func TestPatienceEndsWithTheAllowanceOrTheAnswer(t *testing.T) {
	const tick = 100 * time.Millisecond
	c := &Call{N: ordinaryCommands + floorCommands/2} // half a second
	var p patience
	ticks := func() (n int) {
		for p.tick(tick) {
			n++
		}
		return n
	}
	require.Zero(t, ticks())
	p.sent(&Call{N: 1})
	require.Zero(t, ticks(), "an ordinary call earns none")
	p.sent(c)
	require.Equal(t, 5, ticks())
	require.Zero(t, ticks(), "used up")
	p.sent(c)
	p.answered(c)
	require.Equal(t, 5, ticks(), "an answer: the next one has all its time")
	p.answered(c)
	require.Zero(t, ticks())
}

// busyUnit makes EXEC take longer than any time-out here: a script in the unit
// spins, and Redis says nothing to anybody meanwhile.
func busyUnit(commands int) *Call {
	c := &Call{N: commands + 3}
	c.Payload = resp.AppendCommandStrings(c.Payload, "MULTI")
	for i := range commands {
		c.Payload = resp.AppendCommandStrings(c.Payload, "HSET", "h", fmt.Sprint("f", i), "v")
	}
	c.Payload = resp.AppendCommandStrings(c.Payload, "EVAL", "local t = redis.call('TIME') local e = t[1] * 1000000 + t[2] + 1500000 "+
		"repeat t = redis.call('TIME') until t[1] * 1000000 + t[2] > e return 1", "0")
	c.Payload = resp.AppendCommandStrings(c.Payload, "EXEC")
	return c
}

func TestLongUnitIsNoOutage(t *testing.T) {
	srv := redistest.Start(t)
	ev := &recorder{}
	u := runUp(t, Config{URL: srv.URL(), CommandTimeout: 500 * time.Millisecond}, ev)
	cls := clients(t, u, srv.Addr(), 5, func() {
		waitFor(t, "trunk in use", func() bool { g := u.live.Load(); return g != nil && len(*g.trunks.Load()) == 1 })
		c := busyUnit(100_000)
		require.NoError(t, u.Do(2, 0, c))
		require.Contains(t, string(c.Reply(c.N-1)), "*100001")
		require.NoError(t, u.Do(3, 1, call("PING")), "another trunk opens beside it")
	})
	require.Zero(t, ev.losts.Load())
	for _, cl := range cls {
		require.Zero(t, cl.unknown+cl.unsent)
	}
}

// A hang is noticed while a large unit is being sent as it is at any other
// time: what the server owes then is to take bytes.
func TestHangWhileALongUnitIsSent(t *testing.T) {
	srv := redistest.Start(t)
	ev := &recorder{}
	u := runUp(t, Config{URL: srv.URL(), CommandTimeout: 500 * time.Millisecond, PingInterval: bound}, ev)
	require.Equal(t, "+PONG\r\n", do(t, u, "PING"))
	srv.Hang()
	defer srv.Resume()
	c := call("SET", "big", strings.Repeat("v", 32<<20)) // more than buffers hold; an allowance of 2 s
	g := u.live.Load()
	err := u.Do(2, 0, c)
	require.ErrorIs(t, err, ErrTimeout)
	for _, tr := range *g.trunks.Load() {
		require.Zero(t, tr.patience.given.Load())
	}
}

func TestHangInALongUnitIsNoticed(t *testing.T) {
	srv := redistest.Start(t)
	ev := &recorder{}
	u := runUp(t, Config{URL: srv.URL(), CommandTimeout: 500 * time.Millisecond}, ev)
	require.Equal(t, "+PONG\r\n", do(t, u, "PING"))
	srv.Hang()
	defer srv.Resume()
	err := u.Do(2, 0, busyUnit(5_000)) // in the socket's buffers as a whole: 0.2 s more
	require.ErrorIs(t, err, ErrTimeout)
	waitFor(t, "loss", func() bool { return ev.losts.Load() == 1 })
}
