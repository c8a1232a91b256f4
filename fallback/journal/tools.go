package journal

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Report is what Verify and Repair found, for people and for JSON.
type Report struct {
	Dir         string
	StreamID    string
	Segments    int
	Records     uint64 // readable in order and not truncated
	FirstSeq    uint64 // oldest of them; 0 when there is none
	LastSeq     uint64
	TruncatedTo uint64
	Bytes       int64
	TornBytes   int64    // rest of an interrupted write, never acknowledged; Open cuts it
	Problems    []string // damage, each with file and offset; after Repair: what was mended
	Moved       []string // files that Repair kept aside
	Notes       []string // what is no loss and is set right by the next Open

	Lost      [][2]uint64 // first and last number of records that Repair found no more
	LostAfter uint64      // records after this one, if there were any, are lost too; 0: there were none

	spans [][2]uint64 // of the records kept
}

// After is how many of the records kept come after a sequence.
func (r Report) After(seq uint64) (n uint64) {
	for _, s := range r.spans {
		if first := max(s[0], seq+1); s[1] >= first {
			n += s[1] - first + 1
		}
	}
	return n
}

// Entry is one record on disk.
type Entry struct {
	Seq       uint64
	Time      time.Time // when it was appended
	Truncated bool      // already forgotten, its segment only not yet deleted
	File      string
	Offset    int64
	Payload   []byte // valid during the call only
}

// Verify reads and checks every byte of a journal directory and changes nothing.
// The report lists all damage; the error then matches ErrCorrupt or
// ErrNewerVersion. It takes no lock: on a running journal the newest records may
// count as torn bytes.
func Verify(dir string) (Report, error) { return verify(osFS{}, dir) }

func verify(fsys FS, dir string) (Report, error) {
	in, err := inspectRunning(fsys, dir)
	if err != nil {
		return Report{Dir: dir}, fmt.Errorf("verify journal: %w", err)
	}
	r := in.report()
	if len(in.problems) > 0 {
		return r, withRemedy(dir, fmt.Errorf("verify journal: %d problems, the first: %w", len(in.problems), firstProblem(in.problems)))
	}
	return r, nil
}

// inspectRunning tries again when a running journal deleted a file under it.
func inspectRunning(fsys FS, dir string) (in *inspection, err error) {
	for range 3 {
		in, err = inspect(fsys, dir)
		if !errors.Is(err, fs.ErrNotExist) {
			return in, err
		}
	}
	return in, err
}

func (in *inspection) report() Report {
	r := Report{Dir: in.dir, LastSeq: in.last, TruncatedTo: in.mark}
	if in.id != (streamID{}) {
		r.StreamID = hex.EncodeToString(in.id[:])
	}
	for _, p := range in.problems {
		r.Problems = append(r.Problems, p.Error())
	}
	if in.ackedBad != nil {
		r.Notes = append(r.Notes, in.ackedBad.Error())
	}
	for _, st := range in.files {
		r.Segments++
		r.Bytes += st.fileSize
		if st.tornAt > 0 {
			r.TornBytes += st.fileSize - st.tornAt
		}
		if first := max(st.first, in.mark+1); st.last >= first {
			r.Records += st.last - first + 1
			r.spans = append(r.spans, [2]uint64{first, st.last})
			if r.FirstSeq == 0 {
				r.FirstSeq = first
			}
		}
	}
	return r
}

// Dump calls fn for every record that can be read in order, damage or not, and
// changes nothing. It takes no lock. It returns fn's error, or one matching
// ErrCorrupt at the end when there is damage.
func Dump(dir string, fn func(Entry) error) error { return dump(osFS{}, dir, fn) }

func dump(fsys FS, dir string, fn func(Entry) error) error {
	in, err := inspectRunning(fsys, dir)
	if err != nil {
		return fmt.Errorf("dump journal: %w", err)
	}
	for _, st := range in.files {
		if err := in.dumpFile(fsys, st, fn); err != nil {
			return err
		}
	}
	if len(in.problems) > 0 {
		return withRemedy(dir, fmt.Errorf("dump journal: %d problems, the first: %w", len(in.problems), firstProblem(in.problems)))
	}
	return nil
}

func (in *inspection) dumpFile(fsys FS, st *fileState, fn func(Entry) error) error {
	if st.last < st.first {
		return nil
	}
	f, err := fsys.Open(st.path, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // truncated meanwhile by the running journal
	}
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	sc := newScanner(f, segmentHeaderSize, st.size, in.id.seed(), readBuffer)
	for {
		at := sc.offset
		h, payload, err := sc.next(true)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("dump %s at offset %d: %w", st.path, at, err)
		}
		e := Entry{Seq: h.seq, Time: time.Unix(0, h.unixNano), Truncated: h.seq <= in.mark, File: st.path, Offset: at, Payload: payload}
		if err := fn(e); err != nil {
			return err
		}
	}
}
