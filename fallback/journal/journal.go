// Package journal is a durable, ordered log of opaque records in checksummed
// segment files. A record is acknowledged only after fsync. See DESIGN.md for
// the guarantee, the format and the crash argument.
package journal

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultMaxBytes     = 1 << 30
	defaultSegmentBytes = 64 << 20
	// Redis takes values up to 512 MiB; the slack is for the rest of the command.
	defaultMaxRecordBytes = 512<<20 + 1<<20
)

// Config says where a journal lives and how large it may grow. Sizes are bytes; 0 means the default.
type Config struct {
	Dir            string // created if missing; one journal per directory
	MaxBytes       int64  // bound of all segment files together; 1 GiB
	SegmentBytes   int64  // a segment is sealed when it reaches this; 64 MiB, at most a quarter of MaxBytes
	MaxRecordBytes int64  // bound of one payload; 513 MiB, at most 1 GiB
	FS             FS     // nil is the operating system's
	Logger         *slog.Logger
}

// Journal is an open journal. All methods may be called at the same time.
//
// Lock order: truncMu before mu. Only the committer goroutine writes to the
// active segment; it publishes a record in mu only after fsync.
type Journal struct {
	cfg    Config
	fs     FS
	log    *slog.Logger
	id     streamID
	seed   uint32
	lock   io.Closer
	active File // written by the committer only, until it ends; replaced under mu
	acked  File // the watermark, see acked.go; the committer's as well

	ackedFailed  bool      // said that it cannot be written; the committer's
	rotateFailed bool      // said that there is no next segment; the committer's
	rotateAt     time.Time // no new segment is tried before; the committer's
	failing      atomic.Bool
	durable      atomic.Uint64 // last, to be read without mu

	truncMu sync.Mutex // one Truncate at a time

	mu        sync.Mutex
	wake      sync.Cond // pending has records, or closing
	segments  []*segment
	bytes     int64  // durable bytes of all segments, plus those queued
	nextSeq   uint64 // of the next Append
	last      uint64 // last durable
	mark      uint64 // last truncated
	oldest    time.Time
	full      bool
	failed    error
	final     bool // Revive does not try: the failure does not pass
	revived   int
	closed    bool
	pending   *batch
	inflight  *batch
	spare     []byte // buffer of the batch before, to be used again
	committed chan struct{}

	closeOnce sync.Once
	closeErr  error
}

// batch is what one write and one fsync will make durable.
type batch struct {
	buf   []byte // frames, without checksums yet
	first uint64
	last  uint64
	time  time.Time // of the first record
	done  chan struct{}
	err   error // set before done is closed
}

// Ticket stands for one appended record.
type Ticket struct {
	b   *batch
	seq uint64
}

// Seq is the sequence number of the record: it starts at 1 and rises by 1.
func (t Ticket) Seq() uint64 { return t.seq }

// Wait returns nil once the record is on disk (fsynced), or ErrFailed when it
// is not. It never hangs: Close finishes or fails every waiter. Any number of
// goroutines may wait.
func (t Ticket) Wait() error {
	if t.b == nil {
		return fmt.Errorf("wait for record: %w: the ticket is empty", ErrClosed)
	}
	<-t.b.done
	return t.b.err
}

// Stats is a snapshot for status and metrics.
type Stats struct {
	Bytes       int64     // of all segment files, and of records on their way there
	Records     uint64    // durable and not truncated
	FirstSeq    uint64    // oldest record that Read returns; 0 when there is none
	LastSeq     uint64    // last durable record ever
	TruncatedTo uint64    // records up to here are forgotten
	OldestAt    time.Time // when the oldest pending record was appended; zero when there is none
	Full        bool      // the last Append did not fit
	Failed      bool
	Error       string // why it failed
	Revived     int    // how often it went on after a failure
}

// Open takes the directory's lock, recovers what is there and returns when the
// journal is ready. It returns ErrLocked, ErrCorrupt or ErrNewerVersion, each
// with file, offset and remedy in the text, and then has changed nothing.
func Open(cfg Config) (*Journal, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if err := cfg.FS.MkdirAll(cfg.Dir); err != nil {
		return nil, fmt.Errorf("create journal directory: %w", err)
	}
	lock, err := cfg.FS.Lock(filepath.Join(cfg.Dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("lock journal: %w", err)
	}
	rec, err := recoverDir(cfg.FS, cfg.Dir, cfg.Logger)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	j := &Journal{
		cfg: cfg, fs: cfg.FS, log: cfg.Logger, lock: lock,
		id: rec.id, seed: rec.id.seed(), active: rec.active, acked: rec.acked, segments: rec.segments,
		nextSeq: rec.last + 1, last: rec.last, mark: rec.mark, oldest: rec.oldest,
		committed: make(chan struct{}),
	}
	j.wake.L = &j.mu
	j.durable.Store(j.last)
	for _, s := range j.segments {
		j.bytes += s.size
	}
	j.sealLarge()
	if err := j.dropTruncated(); err != nil {
		j.closeAcked()
		return nil, errors.Join(err, j.active.Close(), lock.Close())
	}
	j.log.Info("journal open", "dir", cfg.Dir, "stream", j.StreamID(), "last", j.last, "pending", j.count(j.mark), "bytes", j.bytes)
	go j.commitLoop()
	return j, nil
}

func (c *Config) complete() error {
	if c.Dir == "" {
		return errors.New("journal config: Dir is empty; name a directory for the journal")
	}
	for _, f := range []struct {
		name  string
		value *int64
		def   int64
	}{{"MaxBytes", &c.MaxBytes, defaultMaxBytes}, {"SegmentBytes", &c.SegmentBytes, defaultSegmentBytes}, {"MaxRecordBytes", &c.MaxRecordBytes, defaultMaxRecordBytes}} {
		if *f.value < 0 {
			return fmt.Errorf("journal config: %s is %d; use a positive number of bytes, or 0 for %d", f.name, *f.value, f.def)
		}
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	if c.MaxRecordBytes > maxPayload {
		return fmt.Errorf("journal config: MaxRecordBytes is %d; at most %d is possible", c.MaxRecordBytes, maxPayload)
	}
	// Space comes back only by whole sealed segments: without this, a journal
	// smaller than one segment would stay full for ever.
	c.SegmentBytes = min(c.SegmentBytes, max(c.MaxBytes/4, 1))
	if c.FS == nil {
		c.FS = osFS{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// StreamID is the random id, in hex, made with the journal directory.
func (j *Journal) StreamID() string { return hex.EncodeToString(j.id[:]) }

// Append fixes the record's place in the order and copies the payload. It does
// no I/O. The record is durable when the ticket's Wait returns nil. With ErrFull,
// ErrTooLarge, ErrFailed or ErrClosed nothing of it is or will be in the journal.
func (j *Journal) Append(payload []byte) (Ticket, error) {
	if int64(len(payload)) > j.cfg.MaxRecordBytes {
		return Ticket{}, fmt.Errorf("append %d bytes: %w: at most %d", len(payload), ErrTooLarge, j.cfg.MaxRecordBytes)
	}
	now := time.Now()
	size := frameHeaderSize + int64(len(payload))
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.unusable(); err != nil {
		return Ticket{}, err
	}
	if j.bytes+size > j.cfg.MaxBytes {
		if !j.full {
			j.full = true
			j.log.Warn("journal full", "bytes", j.bytes, "max", j.cfg.MaxBytes)
		}
		return Ticket{}, fmt.Errorf("append %d bytes: %w: %d of %d bytes used; bring Redis back so that it drains, or raise --journal-bytes", len(payload), ErrFull, j.bytes, j.cfg.MaxBytes)
	}
	b := j.pending
	if b == nil {
		b = &batch{buf: j.spare[:0], first: j.nextSeq, time: now, done: make(chan struct{})}
		j.pending, j.spare = b, nil
		j.wake.Signal()
	}
	b.buf = appendFrame(b.buf, j.nextSeq, now.UnixNano(), payload)
	b.last = j.nextSeq
	j.nextSeq++
	j.bytes += size
	j.full = false
	return Ticket{b: b, seq: b.last}, nil
}

// unusable is called with mu held.
func (j *Journal) unusable() error {
	if j.closed {
		return ErrClosed
	}
	return j.failed
}

// Sync returns when everything appended before the call is on disk.
func (j *Journal) Sync() error {
	j.mu.Lock()
	b := j.pending
	if b == nil {
		b = j.inflight
	}
	err := j.unusable()
	j.mu.Unlock()
	if err != nil || b == nil {
		return err
	}
	return Ticket{b: b}.Wait()
}

// Stats does no I/O.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := Stats{
		Bytes: j.bytes, LastSeq: j.last, TruncatedTo: j.mark,
		OldestAt: j.oldest, Full: j.full, Failed: j.failed != nil, Revived: j.revived,
	}
	s.Records = j.count(j.mark)
	if seg := j.holding(j.mark + 1); seg != nil {
		s.FirstSeq = max(j.mark+1, seg.first)
	}
	if j.failed != nil {
		s.Error = j.failed.Error()
	}
	return s
}

// Count is how many durable records Read returns after a sequence.
func (j *Journal) Count(after uint64) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.count(max(after, j.mark))
}

// count goes by file, as there may be gaps in the numbers. It is called with mu held.
func (j *Journal) count(after uint64) (n uint64) {
	for _, seg := range j.segments {
		if first := max(seg.first, after+1); seg.last >= first {
			n += seg.last - first + 1
		}
	}
	return n
}

// Close makes what was appended durable, releases every waiter and the lock.
// It is idempotent; every call returns the same. Afterwards all methods with an
// error return ErrClosed, and tickets tell what became of their record.
func (j *Journal) Close() error {
	j.closeOnce.Do(func() {
		j.mu.Lock()
		j.closed = true
		j.wake.Signal()
		j.mu.Unlock()
		<-j.committed
		j.truncMu.Lock() // a Truncate under way finishes before the lock file is given up
		defer j.truncMu.Unlock()
		j.closeAcked()
		j.closeErr = errors.Join(j.failed, j.active.Close(), j.lock.Close())
		j.log.Info("journal closed", "last", j.last)
	})
	return j.closeErr
}
