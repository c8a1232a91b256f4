package journal

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	segmentSuffix = ".seg"
	scanBuffer    = 1 << 20
	// indexStep is the distance in bytes between remembered offsets: a reader that
	// starts in the middle of a segment skips at most this much.
	indexStep = 256 << 10
)

// segment is what is kept in memory of one file: a few words and a sparse index,
// whatever the number of records.
type segment struct {
	path  string
	first uint64
	last  uint64 // first-1 when it holds no record
	size  int64  // durable bytes, header included
	index []indexEntry
}

type indexEntry struct {
	seq    uint64
	offset int64
}

func (s *segment) note(seq uint64, offset int64) {
	if n := len(s.index); n == 0 || offset-s.index[n-1].offset >= indexStep {
		s.index = append(s.index, indexEntry{seq, offset})
	}
}

// seek returns the greatest remembered offset at or before seq.
func (s *segment) seek(seq uint64) int64 {
	offset := int64(segmentHeaderSize)
	for _, e := range s.index {
		if e.seq > seq {
			break
		}
		offset = e.offset
	}
	return offset
}

// segmentName orders by name as by sequence.
func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

func parseSegmentName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, err == nil && first > 0
}

// createSegment makes an empty segment durable, name included, before anything
// is appended to it: so a record never lies behind a header that can vanish.
func createSegment(fsys FS, dir string, h segmentHeader) (File, *segment, error) {
	path := filepath.Join(dir, segmentName(h.first))
	f, err := fsys.Create(path)
	if err != nil {
		return nil, nil, fmt.Errorf("create segment: %w", err)
	}
	err = writeAll(f, encodeSegmentHeader(h), 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = fsys.SyncDir(dir)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("create segment %s: %w", path, errors.Join(err, f.Close(), removeUnfinished(fsys, dir, path)))
	}
	return f, &segment{path: path, first: h.first, last: h.first - 1, size: segmentHeaderSize}, nil
}

// removeUnfinished removes, durably, a file that would be in the way of the next try and,
// should records go to the one before it, look like damage.
func removeUnfinished(fsys FS, dir, path string) error {
	err := fsys.Remove(path)
	if err == nil {
		err = fsys.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errLeftover, err)
	}
	return nil
}

func writeAll(f File, b []byte, offset int64) error {
	n, err := f.WriteAt(b, offset)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// scanner reads frames of one file in order, with one buffer of fixed size.
type scanner struct {
	r      *bufio.Reader
	offset int64 // of the next frame
	end    int64
	seed   uint32
	raw    [frameHeaderSize]byte // here and not on the stack, where it would be allocated for every frame
	buf    []byte
}

func newScanner(f io.ReaderAt, offset, end int64, seed uint32, bufSize int) *scanner {
	return &scanner{
		r:      bufio.NewReaderSize(io.NewSectionReader(f, offset, end-offset), int(min(int64(bufSize), end-offset))),
		offset: offset, end: end, seed: seed,
	}
}

// next returns the frame at offset and moves behind it; the payload is valid
// until the next call, and nil unless keep is set (nothing is allocated then).
// io.EOF: exactly at the end. errBadFrame: no whole valid frame here.
func (s *scanner) next(keep bool) (frameHeader, []byte, error) {
	room := s.end - s.offset
	if room == 0 {
		return frameHeader{}, nil, io.EOF
	}
	if room < frameHeaderSize {
		return frameHeader{}, nil, errBadFrame
	}
	raw := s.raw[:]
	if _, err := io.ReadFull(s.r, raw); err != nil {
		return frameHeader{}, nil, readError(err)
	}
	h := decodeFrameHeader(raw)
	if !h.plausible(room) {
		return h, nil, errBadFrame
	}
	sum := crc32.Update(s.seed, castagnoli, raw[4:])
	payload, sum, err := s.payload(int(h.length), sum, keep)
	if err != nil {
		return h, nil, readError(err)
	}
	if sum != h.sum {
		return h, nil, errBadFrame
	}
	s.offset += h.size()
	return h, payload, nil
}

func (s *scanner) payload(n int, sum uint32, keep bool) ([]byte, uint32, error) {
	if keep {
		if cap(s.buf) < n {
			s.buf = make([]byte, n)
		}
		b := s.buf[:n]
		_, err := io.ReadFull(s.r, b)
		return b, crc32.Update(sum, castagnoli, b), err
	}
	for n > 0 {
		b, err := s.r.Peek(min(n, s.r.Size()))
		if err != nil {
			return nil, 0, err
		}
		sum = crc32.Update(sum, castagnoli, b)
		n -= len(b)
		if _, err := s.r.Discard(len(b)); err != nil {
			return nil, 0, err
		}
	}
	return nil, sum, nil
}

// readError: a file that ends before its known size is damage, not the end.
func readError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errBadFrame
	}
	return fmt.Errorf("read segment: %w", err)
}
