package journal_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"holdfast/fallback/journal"
	"holdfast/fallback/journal/faultfs"
)

func TestMain(m *testing.M) {
	// A default that keeps the package quick; -rapid.checks on the command line wins.
	if err := flag.Set("rapid.checks", "30"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

const dir = "j"

// rig is a journal on a faulty file system and what its user was told.
type rig struct {
	t     testing.TB
	fs    *faultfs.FS
	cfg   journal.Config
	j     *journal.Journal
	acked map[uint64]string
	last  uint64 // last acknowledged
	count int
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t, fs: faultfs.New(), acked: map[uint64]string{}}
	r.cfg = journal.Config{Dir: dir, SegmentBytes: 1000, FS: r.fs}
	t.Cleanup(func() {
		if r.j != nil {
			r.j.Close()
		}
	})
	return r
}

func (r *rig) open() {
	r.t.Helper()
	j, err := journal.Open(r.cfg)
	require.NoError(r.t, err)
	r.j = j
}

// append writes n records one by one; each must be acknowledged.
func (r *rig) append(n int) {
	r.t.Helper()
	for range n {
		payload := r.payload()
		ticket, err := r.j.Append([]byte(payload))
		require.NoError(r.t, err)
		require.NoError(r.t, ticket.Wait())
		require.Equal(r.t, r.last+1, ticket.Seq())
		r.last = ticket.Seq()
		r.acked[r.last] = payload
	}
}

func (r *rig) payload() string {
	r.count++
	return fmt.Sprintf("record %d %0*d", r.count, r.count%90, 7)
}

// crash cuts the power; the dead process's goroutines are ended afterwards.
func (r *rig) crash(mode faultfs.CrashMode) {
	r.fs.Crash(mode, rand.New(rand.NewPCG(1, 2)))
	r.j.Close()
	r.j = nil
}

// requireAll reads everything and wants exactly what was acknowledged.
func (r *rig) requireAll() {
	r.t.Helper()
	want := r.j.Stats().TruncatedTo + 1
	for seq, payload := range readAll(r.t, r.j) {
		require.Equal(r.t, r.acked[seq], payload, "record %d", seq)
		want++
	}
	require.Equal(r.t, r.last+1, want)
	require.Equal(r.t, r.last, r.j.Stats().LastSeq)
}

func readAll(t testing.TB, j *journal.Journal) map[uint64]string {
	t.Helper()
	got := map[uint64]string{}
	prev := uint64(0)
	err := j.Read(context.Background(), 0, func(seq uint64, payload []byte) error {
		require.Greater(t, seq, prev)
		prev = seq
		got[seq] = string(payload)
		return nil
	})
	require.NoError(t, err)
	return got
}

func (r *rig) segment(first uint64) string { return filepath.Join(dir, journal.SegmentName(first)) }

// segments returns the paths of all segment files in order.
func (r *rig) segments() []string {
	var paths []string
	for seq := uint64(1); seq <= r.last+1; seq++ {
		if r.fs.Bytes(r.segment(seq)) != nil {
			paths = append(paths, r.segment(seq))
		}
	}
	return paths
}

func (r *rig) newest() string { s := r.segments(); return s[len(s)-1] }

// edit changes a file on the disk.
func (r *rig) edit(path string, change func([]byte) []byte) {
	r.fs.Damage(path, change(r.fs.Bytes(path)))
}

func (r *rig) flip(path string, offset int) {
	r.edit(path, func(b []byte) []byte {
		if offset < 0 {
			offset += len(b)
		}
		b[offset] ^= 4
		return b
	})
}

func appendBytes(extra ...byte) func([]byte) []byte {
	return func(b []byte) []byte { return append(b, extra...) }
}

func cutBytes(n int) func([]byte) []byte {
	return func(b []byte) []byte { return b[:len(b)-n] }
}
