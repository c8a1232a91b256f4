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

// A few seconds of ./scripts/chaos, always with the same choices.
func TestNoAcknowledgedWriteIsLostOrDoubled(t *testing.T) {
	binary, err := procs.Build(t.TempDir())
	require.NoError(t, err)
	rep, err := run(config{binary: binary, duration: 12 * time.Second, seed: 7, workers: 6, dir: t.TempDir(), progress: io.Discard})
	require.NoError(t, err)
	var out bytes.Buffer
	rep.print(&out)
	t.Log(out.String())
	require.False(t, rep.failed())
	require.NotZero(t, rep.acked)
	// Which faults fit into a few seconds depends on the machine; that some did
	// is what makes the verdict mean anything.
	require.NotZero(t, rep.faults)
}

// A connection that was refused before the proxy took clients may be judged after.
func TestADialBeforeTheProxyIsReadyIsExplained(t *testing.T) {
	w := &world{life: life{n: 3}}
	early := w.lifeToDial()
	w.life.ready = true
	require.True(t, w.explained(early))
	require.False(t, w.explained(w.lifeToDial()))
	w.life.ended = true
	require.True(t, w.explained(3))
}

// A judge that sees nothing proves nothing.
func TestJudgeSeesEveryKindOfBrokenPromise(t *testing.T) {
	c := &counter{key: "c", kind: "string", acked: 5, unknown: 2}
	for _, n := range []any{"5", int64(6), 7.0} {
		require.Empty(t, c.problem(n, true), "%v", n)
	}
	require.Contains(t, c.problem("4", true), "acknowledged")
	require.Empty(t, c.problem("4", false), "a snapshot may be older")
	require.Contains(t, c.problem("8", false), "only 5 was added")
	require.Contains(t, c.problem("x", false), "no number")

	g := &register{key: "r", kind: "string", issued: 3, possible: []int64{0}}
	g.settle(acked, 1)
	g.settle(unknown, 2)
	require.Empty(t, g.problem("v:1", true))
	require.Empty(t, g.problem("v:2", true))
	require.NotEmpty(t, g.problem(nil, true), "lost")
	require.NotEmpty(t, g.problem("v:3", true), "made up")
	g.settle(acked, 3)
	require.NotEmpty(t, g.problem("v:2", true), "an unknown one came late")
	require.NotEmpty(t, g.problem("v", true))

	b := newBag("b", "list")
	b.ids = map[string]outcome{"1.1": acked, "1.2": unknown, "1.3": refused, "1.4": acked, "2.1": acked}
	require.Empty(t, b.problems([]string{"1.1", "2.1", "1.4"}, true))
	require.Empty(t, b.problems([]string{"2.1", "1.1", "1.2", "1.4"}, true))
	for text, members := range map[string][]string{
		"1.4 was acknowledged":   {"1.1", "2.1"},
		"1.1 is there twice":     {"1.1", "1.1", "2.1", "1.4"},
		"1.1 comes after":        {"1.4", "1.1", "2.1"},
		"told that it is not":    {"1.1", "1.3", "2.1", "1.4"},
		"9.9 is there, but nobo": {"1.1", "9.9", "2.1", "1.4"},
	} {
		problems := b.problems(members, true)
		require.Len(t, problems, 1, text)
		require.Contains(t, problems[0], text)
	}
}

func TestJudgeSeesWhatIsWrongWithEntriesOfStreams(t *testing.T) {
	b := newBag("s", "stream")
	b.ids, b.told = map[string]outcome{"1.1": acked}, map[string]string{"1.1": "5-0"}
	entry := func(name string) []any { return []any{[]any{name, []any{"id", "1.1"}}} }
	ids, problem := b.members(entry("5-0"))
	require.Equal(t, []string{"1.1"}, ids)
	require.Empty(t, problem)
	_, problem = b.members(entry("6-0"))
	require.Empty(t, problem, "Redis had later entries")
	_, problem = b.members(entry("4-0"))
	require.Contains(t, problem, "the client was told 5-0")
}

func TestJudgeSeesWhatIsWrongWithQueues(t *testing.T) {
	fresh := func() *queue {
		return &queue{todo: "t", done: "d", ids: map[string]outcome{"1.1": acked, "1.2": acked, "1.3": unknown, "1.4": acked}}
	}
	q := fresh()
	require.Empty(t, q.settleMove(acked, "1.1", true))
	require.Empty(t, q.settleMove(acked, "1.2", true))
	require.Empty(t, q.settlePop(acked, "1.1", true))
	require.Empty(t, q.problems([]string{"1.3", "1.4"}, []string{"1.2"}))
	require.Empty(t, q.problems([]string{"1.4"}, []string{"1.2"}))
	require.NotEmpty(t, q.problems([]string{"1.4"}, []string{"1.2", "1.3"}), "moved twice")
	require.NotEmpty(t, q.problems([]string{"1.2", "1.4"}, nil), "the move is undone")
	require.NotEmpty(t, q.problems([]string{"1.4"}, []string{"1.1", "1.2"}), "the pop is undone")
	require.NotEmpty(t, q.problems([]string{"1.4"}, nil), "popped twice")
	require.NotEmpty(t, q.problems([]string{"1.4", "1.3"}, []string{"1.2"}), "out of order")
	require.NotEmpty(t, q.settleMove(acked, "1.2", true), "moved twice")
	require.NotEmpty(t, q.settlePop(acked, "7.7", true), "nobody pushed it")
	q = fresh()
	require.NotEmpty(t, q.settleMove(acked, nil, true), "it is not empty")
	require.Empty(t, q.settleMove(acked, nil, false), "a snapshot may be older")
}

func TestJudgeSeesTwoHoldersOfALock(t *testing.T) {
	at := func(ms int) time.Time { return time.Now().Add(time.Duration(ms) * time.Millisecond) }
	take := func(s *leases, token string, asked, from int) (*lease, string) {
		l := &lease{key: "k", token: token, asked: at(asked), from: at(from), until: at(asked + 1500)}
		return l, s.take(l)
	}
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		s := &leases{}
		times := [][2]int{{-500, -490}, {-400, -390}}
		_, problem := take(s, "a", times[order[0]][0], times[order[0]][1])
		require.Empty(t, problem)
		_, problem = take(s, "b", times[order[1]][0], times[order[1]][1])
		require.NotEmpty(t, problem)
	}
	s := &leases{}
	a, _ := take(s, "a", -500, -490)
	s.giveUp(a)
	_, problem := take(s, "b", 10, 20)
	require.Empty(t, problem, "it was released")
	s = &leases{}
	_, _ = take(s, "a", -500, -490)
	_, problem = take(s, "b", -600, -480)
	require.Empty(t, problem, "nobody knows who was first, and it may have run out")
}
