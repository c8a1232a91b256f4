package journal

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// keepBuffer is the largest buffer that is kept for the next batch: one huge
// record must not hold its memory for ever.
const keepBuffer = 4 << 20

// commitLoop is the only writer of segment files. It takes all that is waiting,
// writes it with one write and one fsync, and then tells all who wait.
func (j *Journal) commitLoop() {
	defer close(j.committed)
	for {
		b := j.takeBatch()
		if b == nil {
			return
		}
		seg := j.activeSegment()
		if err := j.writeBatch(b, seg); err != nil {
			j.poison(err, seg)
			continue
		}
		j.noteAcked(b.last)
		j.publish(b, seg)
		// Sealed at once and not before the next batch, so that a journal whose
		// records are all truncated holds less than one segment.
		if seg.size >= j.cfg.SegmentBytes && time.Now().After(j.rotateAt) {
			if err := j.rotate(); passes(err) {
				j.keepSegment(err)
			} else if err != nil {
				j.poison(err, seg)
			}
		}
	}
}

// takeBatch waits for records. nil: closed, and nothing is left to write.
func (j *Journal) takeBatch() *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.pending == nil && !j.closed {
		j.wake.Wait()
	}
	j.inflight, j.pending = j.pending, nil
	return j.inflight
}

func (j *Journal) activeSegment() *segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.segments[len(j.segments)-1]
}

func (j *Journal) writeBatch(b *batch, seg *segment) error {
	sealFrames(b.buf, j.seed, b.first-1)
	if err := writeAll(j.active, b.buf, seg.size); err != nil {
		return fmt.Errorf("write %s: %w", seg.path, err)
	}
	if err := j.active.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", seg.path, err)
	}
	return nil
}

// publish moves the state in memory: only now, after success.
func (j *Journal) publish(b *batch, seg *segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for rest := b.buf; len(rest) > 0; {
		h := decodeFrameHeader(rest)
		seg.note(h.seq, seg.size)
		seg.size += h.size()
		rest = rest[h.size():]
	}
	if j.oldest.IsZero() {
		j.oldest = b.time
	}
	seg.last, j.last = b.last, b.last
	j.durable.Store(b.last)
	if j.inflight = nil; cap(b.buf) <= keepBuffer {
		j.spare = b.buf
	}
	b.buf = nil
	close(b.done)
}

// keepSegment goes on in a segment that is full, as there is no room or descriptor for
// the next one at the moment: nothing of the new one is left, and the old one is whole.
func (j *Journal) keepSegment(err error) {
	j.rotateAt = time.Now().Add(time.Second)
	if !j.rotateFailed {
		j.log.Warn("journal cannot begin a new segment: it goes on in the old one and tries again", "error", err)
	}
	j.rotateFailed = true
}

// rotate seals the active segment and starts the next one.
func (j *Journal) rotate() error {
	j.mu.Lock()
	first := j.last + 1
	j.mu.Unlock()
	f, seg, err := createSegment(j.fs, j.cfg.Dir, segmentHeader{stream: j.id, first: first, created: time.Now().UnixNano()})
	if err != nil {
		return err
	}
	j.rotateFailed = false
	old := j.active
	j.mu.Lock()
	j.active = f
	j.segments = append(j.segments, seg)
	j.bytes += seg.size
	j.mu.Unlock()
	if err := old.Close(); err != nil {
		// Its bytes were synced; only the descriptor is lost.
		j.log.Warn("journal close of a sealed segment", "error", err)
	}
	return nil
}

// sealLarge seals a newest segment that is larger than segments are now: the bound
// was lowered. Space comes back by sealed segments only, so the journal would be full
// for ever. Called by Open, which a full disk must not make fail.
func (j *Journal) sealLarge() {
	seg := j.segments[len(j.segments)-1]
	if seg.size < j.cfg.SegmentBytes || seg.last < seg.first {
		return
	}
	if err := j.rotate(); err != nil {
		j.log.Warn("journal cannot seal its newest segment", "error", err)
	}
}

// poison ends appending, until Revive: after a failed write or fsync nobody knows what
// is on the disk, and a later fsync may report success for pages the kernel gave
// up. All who wait get ErrFailed. Their records are cut off, so that what was
// refused does not come back after a restart; where the disk refuses that too, the
// text says so.
func (j *Journal) poison(cause error, seg *segment) {
	hint := "check the disk, then restart holdfast"
	switch {
	case errors.Is(cause, syscall.ENOSPC) || errors.Is(cause, syscall.EDQUOT):
		hint = "free disk space: holdfast goes on by itself then"
	case passes(cause):
		hint = "holdfast goes on by itself when the cause has passed"
	}
	cut := j.active.Truncate(seg.size)
	if cut == nil {
		cut = j.active.Sync()
	}
	if cut != nil {
		hint += "; refused records may still be on the disk and come back"
	}
	failed := fmt.Errorf("%w: %w; no acknowledged record is lost; %s", ErrFailed, cause, hint)
	j.log.Error("journal failed", "error", failed)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed, j.final = failed, j.final || !passes(cause)
	j.failing.Store(true)
	for _, b := range []*batch{j.inflight, j.pending} {
		if b != nil {
			j.bytes -= int64(len(b.buf))
			b.buf, b.err = nil, failed
			close(b.done)
		}
	}
	j.inflight, j.pending = nil, nil
}
