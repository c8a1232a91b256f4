package journal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/journal"
	"holdfast/fallback/journal/faultfs"
)

func TestCloseReleasesAndRefusesEverything(t *testing.T) {
	r := newRig(t)
	r.open()
	var tickets []journal.Ticket
	for range 50 {
		ticket, err := r.j.Append([]byte("queued"))
		require.NoError(t, err)
		tickets = append(tickets, ticket)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { r.j.Close() })
	}
	wg.Wait()
	for _, ticket := range tickets {
		require.NoError(t, ticket.Wait(), "what was queued is made durable")
	}
	require.NoError(t, r.j.Close())
	_, err := r.j.Append(nil)
	require.ErrorIs(t, err, journal.ErrClosed)
	require.ErrorIs(t, r.j.Sync(), journal.ErrClosed)
	require.ErrorIs(t, r.j.Truncate(0), journal.ErrClosed)
	require.ErrorIs(t, r.j.Read(context.Background(), 0, nil), journal.ErrClosed)
	require.Error(t, journal.Ticket{}.Wait())
	require.Equal(t, uint64(50), r.j.Stats().LastSeq)
	r.open()
	require.Len(t, readAll(t, r.j), 50)
}

func TestCloseOnAFailingDiskReleasesWaiters(t *testing.T) {
	r := newRig(t)
	r.open()
	r.fs.OnOp(func(faultfs.Kind, string) error { return faultfs.ErrInjected })
	ticket, err := r.j.Append([]byte("x"))
	require.NoError(t, err)
	require.ErrorIs(t, r.j.Close(), journal.ErrFailed)
	require.ErrorIs(t, ticket.Wait(), journal.ErrFailed)
	require.ErrorIs(t, r.j.Close(), journal.ErrFailed)
	_, err = r.j.Append(nil)
	require.ErrorIs(t, err, journal.ErrClosed)
}

func TestFailedFsyncReleasesThoseWhoQueuedBehindIt(t *testing.T) {
	r := newRig(t)
	r.open()
	queued := make(chan struct{})
	r.fs.OnOp(func(k faultfs.Kind, _ string) error {
		if k == faultfs.Sync {
			<-queued
			return faultfs.ErrInjected
		}
		return nil
	})
	var tickets []journal.Ticket
	for range 100 {
		ticket, err := r.j.Append([]byte("x"))
		require.NoError(t, err)
		tickets = append(tickets, ticket)
	}
	close(queued)
	for _, ticket := range tickets {
		require.ErrorIs(t, ticket.Wait(), journal.ErrFailed)
		require.ErrorIs(t, ticket.Wait(), faultfs.ErrInjected)
	}
}

func TestCloseDuringRead(t *testing.T) {
	r := newRig(t)
	r.open()
	r.append(10)
	err := r.j.Read(context.Background(), 0, func(seq uint64, _ []byte) error {
		if seq == 4 {
			require.NoError(t, r.j.Close())
		}
		require.LessOrEqual(t, seq, uint64(4))
		return nil
	})
	require.ErrorIs(t, err, journal.ErrClosed)
}

func TestReadStopsOnItsCallersWish(t *testing.T) {
	r := newRig(t)
	r.open()
	r.append(40)
	stop := errors.New("stop")
	require.ErrorIs(t, r.j.Read(context.Background(), 7, func(seq uint64, _ []byte) error {
		require.Equal(t, uint64(8), seq)
		return stop
	}), stop)
	ctx, cancel := context.WithCancel(context.Background())
	require.ErrorIs(t, r.j.Read(ctx, 0, func(uint64, []byte) error { cancel(); return nil }), context.Canceled)
	require.NoError(t, r.j.Read(context.Background(), 99, nil))
}

func TestFullLeavesNothingBehindAndDrains(t *testing.T) {
	r := newRig(t)
	r.cfg.MaxBytes, r.cfg.SegmentBytes = 4000, 0
	r.open()
	for range 3 {
		var err error
		for err == nil {
			var ticket journal.Ticket
			payload := r.payload()
			if ticket, err = r.j.Append([]byte(payload)); err == nil {
				require.NoError(t, ticket.Wait())
				r.last = ticket.Seq()
				r.acked[r.last] = payload
			}
		}
		require.ErrorIs(t, err, journal.ErrFull)
		require.ErrorContains(t, err, "--journal-bytes")
		stats := r.j.Stats()
		require.True(t, stats.Full)
		require.False(t, stats.Failed)
		require.LessOrEqual(t, stats.Bytes, int64(4000))
		r.requireAll()
		r.truncateAll()
		require.False(t, r.j.Stats().Full)
	}
	_, err := r.j.Append(make([]byte, 5000))
	require.ErrorIs(t, err, journal.ErrFull)
	r.append(10)
	r.crash(faultfs.DropAll)
	r.open()
	r.requireAll()
}

func TestOneBatchOfAllBytesStillDrains(t *testing.T) {
	r := newRig(t)
	r.cfg.MaxBytes = 4000
	r.open()
	ticket, err := r.j.Append(make([]byte, 3800))
	require.NoError(t, err)
	require.NoError(t, ticket.Wait())
	require.NoError(t, r.j.Truncate(1))
	require.Eventually(t, func() bool { // the segment is sealed just after the acknowledgement
		require.NoError(t, r.j.Truncate(1))
		_, err = r.j.Append(make([]byte, 3800))
		return err == nil
	}, 10*time.Second, time.Millisecond)
}

func TestTooLargeAndBadConfig(t *testing.T) {
	r := newRig(t)
	r.cfg.MaxRecordBytes = 10
	r.open()
	_, err := r.j.Append(make([]byte, 11))
	require.ErrorIs(t, err, journal.ErrTooLarge)
	r.append(0)
	r.requireAll()
	for field, cfg := range map[string]journal.Config{
		"Dir": {}, "MaxBytes": {Dir: dir, MaxBytes: -1}, "SegmentBytes": {Dir: dir, SegmentBytes: -1}, "MaxRecordBytes": {Dir: dir, MaxRecordBytes: 2 << 30},
	} {
		_, err := journal.Open(cfg)
		require.ErrorContains(t, err, field)
	}
}

func TestTruncateAndStats(t *testing.T) {
	r := newRig(t)
	r.open()
	require.Zero(t, r.j.Stats().FirstSeq)
	require.True(t, r.j.Stats().OldestAt.IsZero())
	start := time.Now()
	r.append(40)
	require.Error(t, r.j.Truncate(41), "not yet written")
	oldest := r.j.Stats().OldestAt
	require.WithinRange(t, oldest, start.Add(-time.Second), time.Now().Add(time.Second))
	require.NoError(t, r.j.Truncate(30))
	require.NoError(t, r.j.Truncate(12), "a lower mark is no error")
	stats := r.j.Stats()
	require.Equal(t, uint64(10), stats.Records)
	require.Equal(t, uint64(31), stats.FirstSeq)
	require.False(t, stats.OldestAt.Before(oldest))
	id := r.j.StreamID()
	r.j.Close()
	r.open()
	require.Equal(t, id, r.j.StreamID())
	again := r.j.Stats()
	require.Equal(t, stats.OldestAt.UnixNano(), again.OldestAt.UnixNano())
	require.Equal(t, stats.Records, again.Records)
	r.truncateAll()
	require.True(t, r.j.Stats().OldestAt.IsZero())
	r.append(1)
	require.False(t, r.j.Stats().OldestAt.IsZero())
}

// 50 writers share fsyncs; a reader follows and a truncater clears up behind it.
func TestManyWritersOneReader(t *testing.T) {
	j, err := journal.Open(journal.Config{Dir: t.TempDir(), SegmentBytes: 4096})
	require.NoError(t, err)
	defer j.Close()
	const writers, each = 50, 20
	var wg sync.WaitGroup
	var errs atomic.Int64
	for w := range writers {
		wg.Go(func() {
			prev := uint64(0)
			for i := range each {
				ticket, err := j.Append(fmt.Appendf(nil, "%d/%d", w, i))
				if err != nil || ticket.Wait() != nil || ticket.Seq() <= prev {
					errs.Add(1)
				}
				prev = ticket.Seq()
				j.Stats()
			}
		})
	}
	next := map[int]int{}
	for seen := uint64(0); seen < writers*each; {
		require.NoError(t, j.Read(context.Background(), seen, func(seq uint64, payload []byte) error {
			var w, i int
			_, err := fmt.Sscanf(string(payload), "%d/%d", &w, &i)
			if err != nil || seq != seen+1 || next[w] != i {
				return fmt.Errorf("seq %d after %d: %q, want number %d: %w", seq, seen, payload, next[w], err)
			}
			next[w]++
			seen = seq
			return nil
		}))
		require.NoError(t, j.Truncate(seen))
		runtime.Gosched()
		require.Zero(t, errs.Load())
	}
	wg.Wait()
	require.NoError(t, j.Sync())
	require.Zero(t, j.Stats().Records)
}

func TestGroupCommitSharesSyncs(t *testing.T) {
	r := newRig(t)
	r.cfg.SegmentBytes = 1 << 20
	r.open()
	before := r.fs.Syncs()
	queued := make(chan struct{})
	r.fs.OnOp(func(k faultfs.Kind, _ string) error {
		if k == faultfs.Sync {
			<-queued // the disk is busy while the writers come
		}
		return nil
	})
	var tickets []journal.Ticket
	for range 1000 {
		ticket, err := r.j.Append([]byte("x"))
		require.NoError(t, err)
		tickets = append(tickets, ticket)
	}
	close(queued)
	for _, ticket := range tickets {
		require.NoError(t, ticket.Wait())
	}
	require.LessOrEqual(t, r.fs.Syncs()-before, 2, "one for the first record, one for all that came meanwhile")
}

func TestAppendAllocatesNothingPerRecord(t *testing.T) {
	r := newRig(t)
	r.cfg.SegmentBytes, r.cfg.MaxBytes = 1<<30, 4<<30
	r.open()
	payload := make([]byte, 100)
	allocs := testing.AllocsPerRun(2000, func() {
		if _, err := r.j.Append(payload); err != nil {
			t.Error(err)
		}
	})
	require.Less(t, allocs, 20.0, "amortised: one batch serves many records")
}

func TestOnARealDisk(t *testing.T) {
	base := filepath.Join(t.TempDir(), "new", "dir")
	cfg := journal.Config{Dir: base, SegmentBytes: 2000}
	j, err := journal.Open(cfg)
	require.NoError(t, err)
	_, err = journal.Open(cfg)
	require.ErrorIs(t, err, journal.ErrLocked)
	require.ErrorContains(t, err, base)
	_, err = journal.Repair(base)
	require.ErrorIs(t, err, journal.ErrLocked)
	for range 100 {
		ticket, err := j.Append(make([]byte, 50))
		require.NoError(t, err)
		require.NoError(t, ticket.Wait())
	}
	require.NoError(t, j.Truncate(60))
	require.NoError(t, j.Close())
	files, err := os.ReadDir(base)
	require.NoError(t, err)
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), f.Name())
	}
	j, err = journal.Open(cfg)
	require.NoError(t, err)
	require.Len(t, readAll(t, j), 40)
	require.NoError(t, j.Close())
	report, err := journal.Verify(base)
	require.NoError(t, err)
	require.Equal(t, uint64(40), report.Records)
	n := 0
	require.NoError(t, journal.Dump(base, func(journal.Entry) error { n++; return nil }))
	require.GreaterOrEqual(t, n, 40)
	_, err = journal.Repair(filepath.Join(base, "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Many queued records: memory stays flat at Open and Read.
func TestManyRecordsUseLittleMemory(t *testing.T) {
	cfg := journal.Config{Dir: t.TempDir()}
	const n = 200_000
	fill(t, cfg, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	j, err := journal.Open(cfg)
	require.NoError(t, err)
	count := 0
	require.NoError(t, j.Read(context.Background(), 0, func(uint64, []byte) error { count++; return nil }))
	require.Equal(t, n, count)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(6<<20), "bytes allocated by Open and Read together")
	require.NoError(t, j.Close())
}

func fill(t testing.TB, cfg journal.Config, n int) {
	j, err := journal.Open(cfg)
	require.NoError(t, err)
	for i := range n {
		ticket, err := j.Append([]byte("SET aiclient:some:key some value of a usual size"))
		if err != nil {
			t.Fatal(err)
		}
		if i%10000 == 0 {
			require.NoError(t, ticket.Wait())
		}
	}
	require.NoError(t, j.Close())
}

func BenchmarkOpenMillion(b *testing.B) {
	cfg := journal.Config{Dir: b.TempDir()}
	fill(b, cfg, 1_000_000)
	b.ReportAllocs()
	for b.Loop() {
		j, err := journal.Open(cfg)
		require.NoError(b, err)
		require.NoError(b, j.Close())
	}
}

func BenchmarkAppendWait50(b *testing.B) {
	j, err := journal.Open(journal.Config{Dir: b.TempDir(), MaxBytes: 1 << 40})
	require.NoError(b, err)
	defer j.Close()
	payload := make([]byte, 100)
	b.SetParallelism(25)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ticket, err := j.Append(payload)
			if err != nil || ticket.Wait() != nil {
				b.Error(err)
			}
		}
	})
}
