package resp

import (
	"fmt"
	"io"
)

const (
	readerInitial = 4 << 10
	// readerKeep is the largest buffer kept after a big reply.
	readerKeep = 64 << 10
)

// Reader reads Values from a control connection. Not safe for concurrent use.
// The caller sets read deadlines on the connection itself; after any error,
// a timeout included, reading may go on only if no error other than the
// timeout was met: no byte is lost by it.
type Reader struct {
	// Limits are the caps; Limits.Bulk also bounds a whole reply to twice its
	// size plus 1 MiB, since the reply is held in memory.
	Limits Limits

	src        io.Reader
	buf        []byte
	start, end int // unread bytes
	scanned    int // bytes from start on that the splitter has seen
	split      Splitter
	err        error
}

// NewReader makes a Reader with the default limits.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// Next reads one Value: a reply, or a push (Kind == KindPush). It is valid until
// the next call.
func (r *Reader) Next() (Value, error) {
	if r.err != nil {
		return Value{}, r.err
	}
	r.shrink()
	r.split.Limits = r.Limits
	for {
		n, done, err := r.split.Feed(r.buf[r.start+r.scanned : r.end])
		r.scanned += n
		if err != nil {
			r.err = err
			return Value{}, err
		}
		if done {
			return r.take()
		}
		if err := r.fill(); err != nil {
			return Value{}, err
		}
	}
}

// ReadReply reads the next reply. Pushes on the way go to onPush, which may be
// nil.
func (r *Reader) ReadReply(onPush func(Value)) (Value, error) {
	for {
		v, err := r.Next()
		if err != nil || v.Kind != KindPush {
			return v, err
		}
		if onPush != nil {
			onPush(v)
		}
	}
}

// Buffered is a copy of the bytes read from the source and not yet returned.
func (r *Reader) Buffered() []byte { return append([]byte(nil), r.buf[r.start:r.end]...) }

func (r *Reader) take() (Value, error) {
	whole := r.buf[r.start : r.start+r.scanned]
	r.start, r.scanned = r.start+r.scanned, 0
	v, _, err := ParseLimits(whole, r.Limits)
	if err != nil {
		r.err = err
	}
	return v, err
}

// shrink drops the buffer of a big reply that has been handed out.
func (r *Reader) shrink() {
	if r.start == r.end && r.scanned == 0 {
		r.start, r.end = 0, 0
		if len(r.buf) > readerKeep {
			r.buf = nil
		}
	}
}

func (r *Reader) fill() error {
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	if r.end == len(r.buf) {
		if int64(r.end) > 2*r.Limits.withDefaults().Bulk+1<<20 {
			r.err = ErrReplyTooBig
			return r.err
		}
		// Doubling follows what has arrived, not what a length announces.
		grown := make([]byte, max(readerInitial, 2*len(r.buf)))
		copy(grown, r.buf[:r.end])
		r.buf = grown
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	if err == io.EOF && r.end > r.start {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read reply: %w", err)
}
