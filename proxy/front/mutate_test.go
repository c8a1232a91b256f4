package front

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// mutator makes damaged streams out of the good ones.
type mutator struct {
	rng   *rand.Rand
	seeds [][]byte
}

func newMutator(t testing.TB) *mutator {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	m := &mutator{rng: rand.New(rand.NewPCG(seed, 0))}
	for _, s := range streams {
		if len(s) < 3000 {
			m.seeds = append(m.seeds, []byte(s))
		}
	}
	slices.SortFunc(m.seeds, bytes.Compare) // so that the seed alone decides
	return m
}

// stream joins the front of one stream to the back of another and damages bytes.
func (m *mutator) stream() []byte {
	const bytesThatMatter = "\r\n*$0123456789-\x00\"'\\x aA\xff"
	a, b := m.seeds[m.rng.IntN(len(m.seeds))], m.seeds[m.rng.IntN(len(m.seeds))]
	s := slices.Concat(a[:m.rng.IntN(len(a)+1)], b[m.rng.IntN(len(b)):])
	for range m.rng.IntN(5) {
		s[m.rng.IntN(len(s))] = bytesThatMatter[m.rng.IntN(len(bytesThatMatter))]
	}
	return s
}

func (m *mutator) cuts() []byte {
	cuts := make([]byte, m.rng.IntN(6))
	for i := range cuts {
		cuts[i] = byte(m.rng.IntN(256))
	}
	return cuts
}

func TestDamagedStreamsInAnyChunking(t *testing.T) {
	m := newMutator(t)
	for i := range 3000 {
		limits := Limits{}
		if i%2 == 0 {
			limits = smallLimits
		}
		s, cuts := m.stream(), m.cuts()
		want, answer, _, _ := commands(t, limits, bytes.Clone(s))
		got, again, _, _ := commands(t, limits, split(s, cuts)...)
		require.Equal(t, want, got, "%q cut by %v", s, cuts)
		require.Equal(t, answer, again, "%q cut by %v", s, cuts)
	}
}

func TestDamagedStreamsGetTheRealServersReplies(t *testing.T) {
	m := newMutator(t)
	direct, behind := redistest.Start(t), redistest.Start(t)
	l := serve(t, Config{Limits: asServer}, forward(behind.Addr()))
	for range 400 {
		s, cuts := m.stream(), m.cuts()
		want := exchange(t, direct.Addr(), [][]byte{s})
		require.Equal(t, want, exchange(t, l.Addr().String(), split(s, cuts)), "%q cut by %v", s, cuts)
	}
}
