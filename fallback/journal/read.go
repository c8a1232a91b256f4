package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"
)

const readBuffer = 256 << 10

// Read calls fn for every durable record with a sequence greater than after, in
// order, and returns at the tail that is durable when it gets there. Truncated
// records are left out. It streams from disk: memory is one buffer and the
// largest record. The payload is valid during fn only. fn may call the journal;
// its error ends Read and is returned as it is.
func (j *Journal) Read(ctx context.Context, after uint64, fn func(seq uint64, payload []byte) error) error {
	for {
		seg, cursor, err := j.view(after)
		if err != nil || seg == nil {
			return err
		}
		after, err = j.readSegment(ctx, seg, cursor, fn)
		if err != nil {
			return err
		}
	}
}

// view returns a copy of the segment that holds the first record after the given
// one, and the cursor moved over truncated records. nil at the tail.
func (j *Journal) view(after uint64) (*segment, uint64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, 0, ErrClosed
	}
	after = max(after, j.mark)
	if after >= j.last {
		return nil, after, nil
	}
	seg := j.holding(after + 1)
	if seg == nil {
		return nil, after, nil
	}
	// A copy: the committer goes on to change the fields. The index is only ever
	// appended to, behind this copy's length.
	view := *seg
	return &view, after, nil
}

// holding is called with mu held. It returns the first segment with a record of
// this sequence or later.
func (j *Journal) holding(seq uint64) *segment {
	for _, s := range j.segments {
		if s.last >= seq && s.last >= s.first {
			return s
		}
	}
	return nil
}

// readSegment returns the last sequence it came to.
func (j *Journal) readSegment(ctx context.Context, seg *segment, after uint64, fn func(uint64, []byte) error) (uint64, error) {
	f, err := j.fs.Open(seg.path, false)
	if errors.Is(err, fs.ErrNotExist) && j.truncatedTo() >= seg.last {
		return seg.last, nil // truncated since view; an open file stays readable
	}
	if err != nil {
		return after, fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	sc := newScanner(f, seg.seek(after+1), seg.size, j.seed, readBuffer)
	for {
		if err := ctx.Err(); err != nil {
			return after, err
		}
		h, payload, err := sc.next(true)
		if errors.Is(err, io.EOF) {
			return after, nil
		}
		if errors.Is(err, errBadFrame) {
			err = withRemedy(j.cfg.Dir, corruptf(seg.path, sc.offset, "a durable record cannot be read"))
		}
		if err != nil {
			return after, err
		}
		if h.seq <= after {
			continue
		}
		if j.isClosed() {
			return after, ErrClosed
		}
		if err := fn(h.seq, payload); err != nil {
			return after, err
		}
		after = h.seq
	}
}

func (j *Journal) truncatedTo() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mark
}

func (j *Journal) isClosed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.closed
}

// Truncate forgets the records up to upTo: once it returns nil they do not come
// back, crash or not. Space is freed by whole sealed segments. It is idempotent; a
// lower upTo than before does nothing. upTo beyond the last durable record is an
// error: such a record cannot have been read. It works on a failed journal too.
func (j *Journal) Truncate(upTo uint64) error {
	j.truncMu.Lock()
	defer j.truncMu.Unlock()
	j.mu.Lock()
	closed, last, mark := j.closed, j.last, j.mark
	j.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if upTo > last {
		return fmt.Errorf("truncate journal: sequence %d is beyond the last durable record %d", upTo, last)
	}
	if upTo <= mark {
		return j.dropTruncated() // finishes a truncation whose deletions failed
	}
	if err := j.writeMark(upTo); err != nil {
		return fmt.Errorf("truncate journal: %w", err)
	}
	j.setMark(upTo)
	if err := j.dropTruncated(); err != nil {
		return err
	}
	return nil
}

// writeMark makes a new mark durable. On a full disk it is overwritten in place: the
// truncation is what gives room back. It is within one sector, which is written at once
// or not at all.
func (j *Journal) writeMark(upTo uint64) error {
	path, content := filepath.Join(j.cfg.Dir, markName), encodeSmall(magicMark, j.id, upTo)
	err := writeSmall(j.fs, path, content)
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	f, oerr := j.fs.Open(path, true)
	if oerr != nil {
		return err
	}
	oerr = writeAll(f, content, 0)
	if oerr == nil {
		oerr = f.Sync()
	}
	if oerr = errors.Join(oerr, f.Close()); oerr != nil {
		return errors.Join(err, oerr)
	}
	return nil
}

func (j *Journal) setMark(upTo uint64) {
	oldest := j.timeOf(upTo + 1)
	j.mu.Lock()
	if j.last > upTo && oldest.IsZero() {
		// The first pending record became durable after timeOf looked.
		j.mu.Unlock()
		oldest = j.timeOf(upTo + 1)
		j.mu.Lock()
	}
	if j.mark, j.oldest = upTo, oldest; j.last == upTo {
		j.oldest = time.Time{}
	}
	j.mu.Unlock()
}

// timeOf returns when a durable record was appended; zero when it cannot be read,
// which Read will report to those who need the record.
func (j *Journal) timeOf(seq uint64) time.Time {
	j.mu.Lock()
	seg := j.holding(seq)
	if seg == nil {
		j.mu.Unlock()
		return time.Time{}
	}
	view := *seg
	j.mu.Unlock()
	f, err := j.fs.Open(view.path, false)
	if err != nil {
		return time.Time{}
	}
	defer f.Close()
	sc := newScanner(f, view.seek(seq), view.size, j.seed, readBuffer)
	for {
		h, _, err := sc.next(false)
		if err != nil {
			return time.Time{}
		}
		if h.seq >= seq {
			return time.Unix(0, h.unixNano)
		}
	}
}

// dropTruncated deletes the sealed segments that hold only truncated records. The
// newest always stays: it carries the sequence on.
func (j *Journal) dropTruncated() error {
	for {
		j.mu.Lock()
		if len(j.segments) < 2 || j.segments[0].last > j.mark {
			j.mu.Unlock()
			return nil
		}
		seg := j.segments[0]
		j.mu.Unlock()
		// The directory is not synced: a name that comes back after a crash holds
		// only truncated records and is deleted at the next Open.
		if err := j.fs.Remove(seg.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete truncated segment: %w", err)
		}
		j.mu.Lock()
		j.segments = j.segments[1:]
		j.bytes -= seg.size
		j.full = false
		j.mu.Unlock()
	}
}
