package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// A journal that failed for a cause that passes goes on in the same process once
// everything acknowledged is proven to be on disk, as Open would prove it. See
// DESIGN.md, "Going on after a failure", for why that is enough.

// errLeftover: a file that must not be there could not be removed.
var errLeftover = errors.New("an unfinished file cannot be removed")

// passes reports whether a failure says nothing about the disk's health: no room, no
// descriptors, no memory, or a file system that is read-only at the moment. EIO does
// not pass: nobody knows what such a disk still does.
func passes(err error) bool {
	if errors.Is(err, errLeftover) {
		return false
	}
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EROFS} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// Failed reports whether the journal takes no records at the moment. Cheap.
func (j *Journal) Failed() bool { return j.failing.Load() }

// Durable is the last record on disk. Cheap.
func (j *Journal) Durable() uint64 { return j.durable.Load() }

// Refused returns, of a failed journal, the last record that it took: all later ones
// were refused. false: it works, or a batch is still under way.
func (j *Journal) Refused() (last uint64, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last, j.failed != nil && j.inflight == nil && j.pending == nil
}

// Revive lets a failed journal go on if the cause has passed: nil says that it takes
// records now. It cuts off what was refused, reads and checks every file, and writes the
// newest one's records again before the first new one. What was refused does not come
// back, and its numbers, which nobody ever read, are given again. Call it from time to
// time; it does nothing on a journal that works. A failure that does not pass is returned
// for ever.
func (j *Journal) Revive() error {
	j.truncMu.Lock() // no file goes meanwhile
	defer j.truncMu.Unlock()
	j.mu.Lock()
	failed, final, seg := j.failed, j.final, j.segments[len(j.segments)-1]
	closed := j.closed
	j.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case failed == nil:
		return nil
	case final:
		return failed
	}
	// The committer waits for records, and none can be appended: its file is ours.
	f, err := j.prove(seg)
	if err != nil {
		if !passes(err) {
			err = fmt.Errorf("%w: it cannot go on by itself: %w; restart holdfast", ErrFailed, err)
			j.log.Error("journal stays failed", "error", err)
			j.setFailed(err, true)
		}
		return err
	}
	j.mu.Lock()
	old := j.active
	j.active, j.nextSeq, j.revived = f, j.last+1, j.revived+1
	j.failed = nil
	j.failing.Store(false)
	j.mu.Unlock()
	_ = old.Close() // its bytes are written again already
	j.log.Info("journal goes on: everything acknowledged is on disk", "after", failed, "last", seg.last)
	return nil
}

// prove brings the files into the state that memory has of them, or says why not, and
// returns the newest one.
func (j *Journal) prove(seg *segment) (File, error) {
	if err := j.probe(); err != nil {
		return nil, err
	}
	f, err := j.fs.Open(seg.path, true)
	if err != nil {
		return nil, fmt.Errorf("open segment for appending: %w", err)
	}
	err = f.Truncate(seg.size) // what was refused
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("cut %s: %w", seg.path, err)
	}
	in, err := inspect(j.fs, j.cfg.Dir)
	if err != nil {
		return nil, err
	}
	if len(in.problems) > 0 {
		return nil, withRemedy(j.cfg.Dir, firstProblem(in.problems))
	}
	if err := j.asInMemory(in); err != nil {
		return nil, err
	}
	if f, err = settle(j.fs, seg); err != nil {
		return nil, err
	}
	if err := j.fs.SyncDir(j.cfg.Dir); err != nil {
		return nil, errors.Join(fmt.Errorf("sync journal directory: %w", err), f.Close())
	}
	return f, nil
}

// asInMemory compares what is on disk with what was acknowledged.
func (j *Journal) asInMemory(in *inspection) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(in.files)
	if in.id != j.id || in.mark != j.mark || in.last != j.last || n < len(j.segments) {
		return fmt.Errorf("%w: the files are not those of this process", ErrCorrupt)
	}
	for i, seg := range j.segments { // older ones were truncated, their deletion failed
		st := in.files[n-len(j.segments)+i]
		if st.path != seg.path || st.last != seg.last || st.fileSize != seg.size {
			return fmt.Errorf("%w: %s is not as it was written", ErrCorrupt, seg.path)
		}
	}
	return nil
}

// probeBytes is the room that has to be there before a journal goes on, or it would
// fail again with the next record.
const probeBytes = 128 << 10

// probe tries whether the directory takes a file at all.
func (j *Journal) probe() error {
	path := filepath.Join(j.cfg.Dir, "probe.tmp")
	if err := j.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	f, err := j.fs.Create(path)
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	err = writeAll(f, make([]byte, probeBytes), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close(), j.fs.Remove(path)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// setFailed ends appending; final: for good.
func (j *Journal) setFailed(err error, final bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed, j.final = err, j.final || final
	j.failing.Store(true)
}

// CheckDir looks whether the directory is still this process's own: its lock file is
// there, and its newest segment. A lock file that somebody removed is made again and
// locked, and told once. Where another process has locked it, or the journal's files were
// moved away or replaced, the journal fails for good: what it took would be in a file
// without a name, or between the records of another.
func (j *Journal) CheckDir() error {
	j.mu.Lock()
	if j.closed || j.final {
		defer j.mu.Unlock()
		return j.failed
	}
	path, same := j.segments[len(j.segments)-1].path, true
	if f, ok := j.active.(interface{ Stat() (os.FileInfo, error) }); ok {
		mine, err := f.Stat()
		there, terr := os.Lstat(path)
		same = err != nil || terr == nil && os.SameFile(mine, there) || terr != nil && !errors.Is(terr, fs.ErrNotExist)
	}
	j.mu.Unlock()
	var err error
	if !same {
		err = fmt.Errorf("%s was removed or replaced while holdfast ran", path)
	} else if l, ok := j.lock.(*osLock); ok {
		made, lerr := l.again()
		if made {
			j.log.Error("the lock file of the journal was removed while holdfast ran: it was made again; a second holdfast could have opened the directory", "file", l.path)
		}
		if errors.Is(lerr, ErrLocked) {
			err = lerr
		} else if lerr != nil {
			return fmt.Errorf("look at the lock file: %w", lerr)
		}
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%w: %w; stop it, see what became of the data directory, and start it again", ErrFailed, err)
	j.log.Error("journal failed", "error", err)
	j.setFailed(err, true)
	return err
}
