package main

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"holdfast/scripts/internal/procs"
)

func TestMain(m *testing.M) {
	// A network that was given up may hold on to connections for ever.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*Proxy).server"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*Proxy).freeBlocker"))
}

// A few seconds of ./scripts/staleness, always with the same choices.
func TestNothingIsStaleBeyondTheBound(t *testing.T) {
	binary, err := procs.Build(t.TempDir())
	require.NoError(t, err)
	rep, err := run(config{binary: binary, duration: 8 * time.Second, seed: 7, dir: t.TempDir(), progress: io.Discard})
	require.NoError(t, err)
	var out bytes.Buffer
	rep.print(&out)
	t.Log(out.String())
	require.Empty(t, rep.violations)
	require.NotEmpty(t, rep.all, "no read was judged")
	require.NotZero(t, rep.writes)
	require.NotZero(t, rep.histories)
}

// The model must find what it is there for.
func TestJudgeSeesStaleAnswers(t *testing.T) {
	now := time.Now()
	k := &foreignKey{key: "k", kind: "string", acked: []time.Time{now.Add(-3 * time.Second), now.Add(-2 * time.Second)}}
	require.Equal(t, 3*time.Second, k.age(0, now))
	require.Equal(t, 2*time.Second, k.age(1, now))
	require.Zero(t, k.age(2, now))

	second := func(n int) time.Time { return now.Add(time.Duration(n) * time.Second) }
	m := &modes{looks: []look{
		{second(0), second(1), "online", "a"}, {second(2), second(3), "online", "a"},
		{second(4), second(5), "online", "b"}, {second(6), second(7), "offline", "c"},
	}}
	for _, c := range []struct {
		start, end    int
		online, known bool
	}{{1, 2, true, true}, {1, 4, false, true}, {2, 5, false, true}, {6, 7, false, false}, {0, 1, false, true}} {
		online, known := m.steady(second(c.start).Add(time.Millisecond), second(c.end).Add(-time.Millisecond))
		require.Equal(t, c.known, known, "%+v", c)
		require.Equal(t, c.online, online, "%+v", c)
	}
}
