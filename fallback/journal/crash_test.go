package journal_test

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/journal"
	"holdfast/fallback/journal/faultfs"
)

// refused appends a record that must not be acknowledged, and later ones neither.
func (r *rig) refused() {
	r.t.Helper()
	ticket, err := r.j.Append([]byte("refused"))
	if err == nil {
		err = ticket.Wait()
	}
	require.ErrorIs(r.t, err, journal.ErrFailed)
	_, err = r.j.Append([]byte("refused too"))
	require.ErrorIs(r.t, err, journal.ErrFailed)
	require.ErrorIs(r.t, r.j.Sync(), journal.ErrFailed)
	require.True(r.t, r.j.Stats().Failed)
	require.NotEmpty(r.t, r.j.Stats().Error)
	r.requireAll()
	require.NoError(r.t, r.j.Truncate(r.j.Stats().TruncatedTo), "a failed journal can be drained")
}

// unsyncedBatch cuts the power in the fsync of a batch of many records.
func (r *rig) unsyncedBatch(rnd *rand.Rand) {
	r.t.Helper()
	queued, syncs := make(chan struct{}), 0
	r.fs.OnOp(func(k faultfs.Kind, _ string) error {
		if k != faultfs.Sync {
			return nil
		}
		if syncs++; syncs == 1 {
			<-queued // Append does no I/O: it goes on while the disk hangs
			return nil
		}
		return &faultfs.CrashNow{Mode: faultfs.Holes, Rnd: rnd}
	})
	tickets := map[uint64]journal.Ticket{}
	payloads := map[uint64]string{}
	for range 30 {
		payload := bytes.Repeat([]byte{'x'}, rnd.IntN(700))
		ticket, err := r.j.Append(payload)
		require.NoError(r.t, err)
		tickets[ticket.Seq()], payloads[ticket.Seq()] = ticket, string(payload)
	}
	close(queued)
	for seq, ticket := range tickets {
		if ticket.Wait() == nil {
			r.acked[seq], r.last = payloads[seq], max(r.last, seq)
		}
	}
	r.fs.Crash(faultfs.DropAll, rnd) // in case all went in one batch
	r.j.Close()
}

// revived lets the journal go on, and proves that it does.
func (r *rig) revived() {
	r.t.Helper()
	require.NoError(r.t, r.j.Revive())
	require.False(r.t, r.j.Stats().Failed)
	r.requireAll()
	r.append(5)
	r.requireAll()
}

var short = &faultfs.ShortWrite{N: 20, Err: faultfs.ErrInjected}

var crashStories = map[string]func(r *rig){
	"power lost while idle":                     func(r *rig) { r.append(30); r.crash(faultfs.DropAll) },
	"power lost right after the first open":     func(r *rig) { r.crash(faultfs.DropAll) },
	"process killed while idle":                 func(r *rig) { r.append(30); r.fs.Kill(); r.j.Close() },
	"clean close":                               func(r *rig) { r.append(30); require.NoError(r.t, r.j.Close()) },
	"last frame cut in its header":              func(r *rig) { r.append(3); r.j.Close(); r.edit(r.newest(), appendBytes(1, 2, 3)) },
	"file extended with zeros, data never came": func(r *rig) { r.append(3); r.j.Close(); r.edit(r.newest(), appendBytes(make([]byte, 5000)...)) },
	"length field of a torn frame is absurd": func(r *rig) {
		r.append(3)
		r.j.Close()
		r.edit(r.newest(), appendBytes(bytes.Repeat([]byte{0xff}, 100)...))
	},
	"torn tail after everything was truncated": func(r *rig) { r.append(25); r.truncateAll(); r.j.Close(); r.edit(r.newest(), appendBytes(1, 2, 3)) },
	"everything truncated, then power lost":    func(r *rig) { r.append(25); r.truncateAll(); r.crash(faultfs.DropAll) },
	"deletion of segments half done in the directory": func(r *rig) {
		r.append(60)
		old := r.segments()
		require.Greater(r.t, len(old), 3)
		kept := r.fs.Bytes(old[0])
		r.truncateAll()
		r.j.Close()
		r.fs.Damage(old[0], kept) // the first is back, the second is not
	},
	"segment created, header not written": func(r *rig) {
		r.append(3)
		r.j.Close()
		r.fs.Damage(r.segment(r.last+1), []byte{})
	},
	"segment created, header torn": func(r *rig) {
		r.append(3)
		r.j.Close()
		r.fs.Damage(r.segment(r.last+1), r.fs.Bytes(r.newest())[:40])
	},
	"temporary file of the mark left behind": func(r *rig) {
		r.append(3)
		r.j.Close()
		r.fs.Damage(filepath.Join(dir, "mark.tmp"), []byte("half"))
	},
	"short write": func(r *rig) {
		r.append(3)
		r.fs.FailNth(faultfs.Write, "*.seg", 1, short)
		r.refused()
		r.crash(faultfs.KeepAll)
	},
	"short write, then killed": func(r *rig) {
		r.append(3)
		r.fs.FailNth(faultfs.Write, "*.seg", 1, short)
		r.refused()
		r.fs.Kill()
		r.j.Close()
	},
	"fsync failed": func(r *rig) {
		r.append(3)
		r.fs.FailNth(faultfs.Sync, "*.seg", 1, syscall.EIO)
		r.refused()
		r.crash(faultfs.KeepAll)
	},
	"fsync failed, then killed": func(r *rig) {
		r.append(3)
		r.fs.FailNth(faultfs.Sync, "*.seg", 1, syscall.EIO)
		r.refused()
		r.fs.Kill()
		r.j.Close()
	},
	"disk full": func(r *rig) { r.append(3); r.fs.SetCapacity(700); r.refusedFull(); r.fs.SetCapacity(0); r.j.Close() },
	"short write for a cause that passed": func(r *rig) {
		r.append(3)
		r.fs.FailNth(faultfs.Write, "*.seg", 1, &faultfs.ShortWrite{N: 20, Err: syscall.ENOSPC})
		r.refused()
		r.revived()
		r.crash(faultfs.KeepAll)
	},
	"fsync failed for a cause that passed, then power lost": func(r *rig) {
		r.append(3)
		r.fs.FailNth(faultfs.Sync, "*.seg", 1, syscall.EDQUOT)
		r.refused()
		r.revived()
		r.crash(faultfs.DropAll)
	},
	"fsync and the cut failed for a cause that passed": func(r *rig) {
		r.append(3)
		r.fs.OnOp(func(k faultfs.Kind, _ string) error {
			if k == faultfs.Sync || k == faultfs.Truncate {
				return syscall.EROFS
			}
			return nil
		})
		r.refused()
		require.ErrorIs(r.t, r.j.Revive(), syscall.EROFS)
		r.fs.OnOp(nil)
		r.revived()
		r.crash(faultfs.DropAll)
	},
	"power lost while it was about to go on": func(r *rig) {
		r.append(3)
		r.fs.FailNth(faultfs.Sync, "*.seg", 1, syscall.EDQUOT)
		r.refused()
		r.fs.FailNth(faultfs.Sync, "*.seg", 2, &faultfs.CrashNow{Mode: faultfs.DropAll})
		require.Error(r.t, r.j.Revive())
		r.j.Close()
	},
	"no descriptor for the next segment": func(r *rig) {
		r.fs.OnOp(func(k faultfs.Kind, path string) error {
			if k == faultfs.Create && filepath.Ext(path) == ".seg" {
				return syscall.EMFILE
			}
			return nil
		})
		r.append(60)
		require.Len(r.t, r.segments(), 1)
		r.fs.OnOp(nil)
		r.crash(faultfs.DropAll)
	},
	"no room for the next segment's header": func(r *rig) {
		r.fs.OnOp(func(k faultfs.Kind, path string) error {
			if k == faultfs.Sync && path != r.segment(1) {
				return syscall.ENOSPC
			}
			return nil
		})
		r.append(60)
		require.Len(r.t, r.segments(), 1)
		r.fs.OnOp(nil)
		r.crash(faultfs.KeepAll)
	},
	"new segment: create failed":      func(r *rig) { r.rotationFails(faultfs.Create, "*.seg") },
	"new segment: header write short": func(r *rig) { r.rotationFailsAt(faultfs.Write, "*.seg", 2, short) },
	"new segment: fsync failed":       func(r *rig) { r.rotationFailsAt(faultfs.Sync, "*.seg", 2, syscall.EIO) },
	"new segment: dir fsync failed":   func(r *rig) { r.rotationFails(faultfs.SyncDir, "*") },
	"mark: write failed":              func(r *rig) { r.markFails(faultfs.Write, "mark.tmp") },
	"mark: fsync failed":              func(r *rig) { r.markFails(faultfs.Sync, "mark.tmp") },
	"mark: rename failed":             func(r *rig) { r.markFails(faultfs.Rename, "mark") },
	"mark: disk full": func(r *rig) {
		r.append(20)
		r.fs.SetCapacity(1)
		require.ErrorIs(r.t, r.j.Truncate(10), syscall.ENOSPC)
		r.fs.SetCapacity(0)
		r.crash(faultfs.DropAll)
	},
	"delete of a segment failed": func(r *rig) {
		r.append(60)
		r.fs.FailNth(faultfs.Remove, "*.seg", 2, syscall.EIO)
		require.ErrorIs(r.t, r.j.Truncate(50), syscall.EIO)
		require.Equal(r.t, uint64(50), r.j.Stats().TruncatedTo, "the mark was durable before")
		require.NoError(r.t, r.j.Truncate(50))
		r.crash(faultfs.DropAll)
	},
}

// Every story ends with a journal that opens, holds exactly what was
// acknowledged, takes more and holds that after another crash.
func TestCrashStories(t *testing.T) {
	for name, story := range crashStories {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.open()
			story(r)
			r.fs.OnOp(nil)
			for _, mode := range []faultfs.CrashMode{faultfs.KeepPrefix, faultfs.DropAll} {
				r.open()
				r.requireAll()
				r.append(25)
				r.requireAll()
				r.crash(mode)
			}
			r.open()
			r.requireAll()
			require.NoError(t, r.j.Close())
			_, err := journal.VerifyFS(r.fs, dir)
			require.NoError(t, err)
		})
	}
}

func (r *rig) truncateAll() { require.NoError(r.t, r.j.Truncate(r.last)) }

func (r *rig) refusedFull() {
	r.t.Helper()
	for range 100 {
		ticket, err := r.j.Append(make([]byte, 50))
		if err == nil {
			err = ticket.Wait()
		}
		if err != nil {
			require.ErrorIs(r.t, err, journal.ErrFailed)
			require.ErrorIs(r.t, err, syscall.ENOSPC)
			require.ErrorContains(r.t, err, "free disk space")
			return
		}
		r.last = ticket.Seq()
		r.acked[r.last] = string(make([]byte, 50))
	}
	r.t.Fatal("the disk never became full")
}

func (r *rig) rotationFails(kind faultfs.Kind, pattern string) {
	r.rotationFailsAt(kind, pattern, 1, syscall.EIO)
}

// rotationFailsAt fails the n-th operation of the batch that fills a segment.
func (r *rig) rotationFailsAt(kind faultfs.Kind, pattern string, n int, err error) {
	r.t.Helper()
	r.append(2)
	r.fs.FailNth(kind, pattern, n, err)
	big := string(make([]byte, 2000))
	ticket, aerr := r.j.Append([]byte(big))
	require.NoError(r.t, aerr)
	require.NoError(r.t, ticket.Wait(), "the record itself was synced")
	r.last = ticket.Seq()
	r.acked[r.last] = big
	// The rotation comes after the acknowledgement.
	require.Eventually(r.t, func() bool { return r.j.Stats().Failed }, 10*time.Second, time.Millisecond)
	r.refused()
	r.crash(faultfs.DropAll)
}

func (r *rig) markFails(kind faultfs.Kind, pattern string) {
	r.t.Helper()
	r.append(20)
	r.fs.FailNth(kind, pattern, 1, syscall.EIO)
	require.ErrorIs(r.t, r.j.Truncate(15), syscall.EIO)
	require.Zero(r.t, r.j.Stats().TruncatedTo)
	r.requireAll()
	r.fs.OnOp(nil)
	require.NoError(r.t, r.j.Truncate(10), "a failed truncation can be tried again")
	r.crash(faultfs.DropAll)
}

// A failed fsync leaves the record readable but not on disk, and the kernel
// takes it for clean. If the cut fails too, the record comes back at the next
// open; it must then be really durable before anybody reads it.
func TestFailedFsyncThenReadableThenPowerLost(t *testing.T) {
	r := newRig(t)
	r.open()
	r.append(3)
	r.fs.OnOp(func(k faultfs.Kind, _ string) error {
		if k == faultfs.Sync || k == faultfs.Truncate {
			return syscall.EIO
		}
		return nil
	})
	ticket, err := r.j.Append([]byte("in the page cache only"))
	require.NoError(t, err)
	require.ErrorContains(t, ticket.Wait(), "may still be on the disk")
	r.fs.OnOp(nil)
	r.fs.Kill()
	r.j.Close()

	r.open()
	require.Equal(t, uint64(4), r.j.Stats().LastSeq)
	r.crash(faultfs.DropAll)
	r.open()
	require.Equal(t, "in the page cache only", readAll(t, r.j)[4], "a record that was read must not vanish: its number would be used again")
}

// Power lost while one batch was on its way: its sectors came in any order.
func TestSectorsOfLastBatchOutOfOrder(t *testing.T) {
	for seed := range uint64(60) {
		r := newRig(t)
		r.cfg.SegmentBytes = 1 << 20
		r.open()
		r.append(5)
		r.unsyncedBatch(rand.New(rand.NewPCG(seed, 0)))
		r.open()
		require.GreaterOrEqual(t, r.j.Stats().LastSeq, r.last)
		got := readAll(t, r.j)
		for seq, payload := range r.acked {
			require.Equal(t, payload, got[seq], "seed %d record %d", seed, seq)
		}
		r.j.Close()
	}
}
