package journal

import (
	"errors"
	"hash/crc32"
	"io"
)

// sectorSize is the smallest unit a disk writes; a sector that was never written
// reads as zeros.
const sectorSize = 512

// run is a stretch of whole valid frames with consecutive sequences.
type run struct {
	offset, end int64
	first, last uint64
	durable     uint64 // the greatest durable of its frames
}

// salvage finds every run of valid frames at or after from, in the order in which
// they lie there: of whatever sequence up to limit, so that a record that was
// copied or moved is seen for what it is. It returns errBadFrame when the bytes
// hold so many false starts that the search was given up.
func salvage(f io.ReaderAt, from, end int64, seed uint32, limit uint64) ([]run, error) {
	var runs []run
	s := search{f: f, end: end, seed: seed, limit: limit, budget: 64*(end-from) + scanBuffer}
	for from < end {
		at, err := s.find(from)
		if err != nil {
			return runs, err
		}
		if at < 0 {
			return runs, nil
		}
		r, err := readRun(f, at, end, seed)
		if err != nil {
			return runs, err
		}
		runs = append(runs, r)
		from = r.end
	}
	return runs, nil
}

func readRun(f io.ReaderAt, at, end int64, seed uint32) (run, error) {
	r := run{offset: at, end: at}
	sc := newScanner(f, at, end, seed, scanBuffer)
	for {
		h, _, err := sc.next(false)
		if errors.Is(err, io.EOF) || errors.Is(err, errBadFrame) || (err == nil && r.first > 0 && h.seq != r.last+1) {
			return r, nil
		}
		if err != nil {
			return r, err
		}
		if r.first == 0 {
			r.first = h.seq
		}
		r.last, r.end, r.durable = h.seq, sc.offset, max(r.durable, h.durable)
	}
}

// search looks for a frame at every byte offset. The budget bounds the bytes
// that are checksummed for headers that only look right.
type search struct {
	f      io.ReaderAt
	end    int64
	seed   uint32
	limit  uint64 // the highest sequence that is looked for
	budget int64
}

// find returns the offset of the first valid frame at or after from, or -1.
func (s *search) find(from int64) (int64, error) {
	buf := make([]byte, min(scanBuffer, s.end-from))
	for s.end-from >= frameHeaderSize {
		b := buf[:min(int64(len(buf)), s.end-from)]
		if err := readFull(s.f, b, from); err != nil {
			return -1, err
		}
		for i := 0; i+frameHeaderSize <= len(b); i++ {
			h := decodeFrameHeader(b[i:])
			at := from + int64(i)
			if h.seq > s.limit || !h.plausible(s.end-at) {
				continue
			}
			if s.budget -= h.size(); s.budget < 0 {
				return -1, errBadFrame
			}
			ok, err := s.valid(h, at)
			if ok || err != nil {
				return at, err
			}
		}
		from += int64(len(b) - frameHeaderSize + 1)
	}
	return -1, nil
}

func (s *search) valid(h frameHeader, at int64) (bool, error) {
	d := crc32.Update(s.seed, castagnoli, nil)
	buf := make([]byte, min(64<<10, h.size()-4))
	for pos, end := at+4, at+h.size(); pos < end; {
		b := buf[:min(int64(len(buf)), end-pos)]
		if err := readFull(s.f, b, pos); err != nil {
			return false, err
		}
		d = crc32.Update(d, castagnoli, b)
		pos += int64(len(b))
	}
	return d == h.sum, nil
}

func readFull(f io.ReaderAt, b []byte, at int64) error {
	n, err := f.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	return readError(err)
}

// hasUnwrittenSector reports whether a whole sector in [from, to), or all of the
// sector that from lies in, from there on, is zeros: so it is when power went
// before an unsynced sector reached the disk.
func hasUnwrittenSector(f io.ReaderAt, from, to int64) (bool, error) {
	buf := make([]byte, scanBuffer)
	if rest := -from & (sectorSize - 1); rest > 0 && from+rest <= to {
		if err := readFull(f, buf[:rest], from); err != nil {
			return false, err
		}
		if allZero(buf[:rest]) {
			return true, nil
		}
		from += rest
	}
	for to-from >= sectorSize {
		b := buf[:min(scanBuffer, (to-from)/sectorSize*sectorSize)]
		if err := readFull(f, b, from); err != nil {
			return false, err
		}
		for i := 0; i < len(b); i += sectorSize {
			if allZero(b[i : i+sectorSize]) {
				return true, nil
			}
		}
		from += int64(len(b))
	}
	return false, nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
