package journal_test

import (
	"context"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/journal"
	"holdfast/fallback/journal/faultfs"
)

func TestAdvanceLeavesAGapThatIsNoDamage(t *testing.T) {
	dir := t.TempDir()
	var j *journal.Journal
	open := func() {
		var err error
		j, err = journal.Open(journal.Config{Dir: dir})
		require.NoError(t, err)
	}
	add := func(want uint64) {
		t.Helper()
		ticket, err := j.Append([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, ticket.Wait())
		require.Equal(t, want, ticket.Seq())
	}
	open()
	add(1)
	require.NoError(t, j.Advance(1), "nothing to skip")
	add(2)
	require.NoError(t, j.Advance(1<<32))
	require.EqualValues(t, 2, j.Count(0))
	require.NoError(t, j.Close())
	open()
	add(1<<32 + 1)
	require.NoError(t, j.Advance(1<<33))
	require.NoError(t, j.Advance(1<<34), "twice without a record")
	require.NoError(t, j.Close())
	open()
	add(1<<34 + 1)
	require.EqualValues(t, 2, j.Count(2))
	var seqs []uint64
	require.NoError(t, j.Read(context.Background(), 0, func(seq uint64, _ []byte) error { seqs = append(seqs, seq); return nil }))
	require.Equal(t, []uint64{1, 2, 1<<32 + 1, 1<<34 + 1}, seqs)
	require.NoError(t, j.Truncate(1<<33), "a number that nobody had")
	require.EqualValues(t, 1, j.Stats().Records)
	require.NoError(t, j.Close())
	r, err := journal.Verify(dir)
	require.NoError(t, err)
	require.EqualValues(t, 1, r.Records)
}

// A lowered bound seals what is larger than segments are now, at Open. A disk that
// has no room for that keeps nobody from opening, nor from sealing it later.
func TestLoweredBoundSealsTheNewestSegment(t *testing.T) {
	r := newRig(t)
	r.cfg.SegmentBytes = 1 << 20
	r.open()
	r.append(60)
	require.NoError(t, r.j.Close())
	r.cfg.SegmentBytes, r.cfg.MaxBytes = 0, 4000
	r.fs.OnOp(func(kind faultfs.Kind, path string) error {
		if kind == faultfs.Sync && path == r.segment(61) {
			return syscall.ENOSPC
		}
		return nil
	})
	r.open()
	r.requireAll()
	require.NoError(t, r.j.Truncate(60))
	_, err := r.j.Append([]byte("x"))
	require.ErrorIs(t, err, journal.ErrFull)
	require.NoError(t, r.j.Close())
	r.fs.OnOp(nil)
	r.open()
	r.append(1)
	r.crash(faultfs.DropAll)
	r.open()
	r.requireAll()
}
