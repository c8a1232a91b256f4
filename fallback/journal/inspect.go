package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
)

const (
	metaName  = "meta"
	markName  = "mark"
	lockName  = "lock"
	ackedName = "acked"
)

// fileState is what inspect found in one segment file.
type fileState struct {
	segment  // size and last are those of the valid part
	header   segmentHeader
	fileSize int64
	tornAt   int64   // > 0: from here an interrupted, never acknowledged write
	aborted  bool    // the file was being created when the process died: it never held a record
	problem  error   // the first that keeps its records from being read in order
	more     []error // what is damaged behind it
	seen     uint64  // the last record that was judged, readable or not
}

func (st *fileState) afterGap() bool { return st.header.flags&flagGap != 0 }

// inspection is the whole journal as found on disk. Nothing was changed.
type inspection struct {
	dir       string
	id        streamID
	haveMeta  bool
	haveMark  bool
	fresh     bool // never completely created: holds no record
	mark      uint64
	acked     uint64 // records up to here were on disk, see acked.go; 0: nothing is known
	ackedBad  error  // why the file cannot be read
	files     []*fileState
	last      uint64
	oldest    int64 // time of the first pending record, 0 when there is none
	leftovers []string
	problems  []error
}

// inspect reads and checks every byte of a journal directory. Damage is
// collected in problems; the returned error is for files that cannot be read at all.
func inspect(fsys FS, dir string) (*inspection, error) {
	in := &inspection{dir: dir}
	// Before the names: what it tells of was on disk when it was written, whatever a
	// running journal does meanwhile.
	ackedID, err := in.readAcked(fsys)
	if err != nil {
		return nil, err
	}
	names, err := fsys.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		if first, ok := parseSegmentName(name); ok {
			in.files = append(in.files, &fileState{segment: segment{path: filepath.Join(dir, name), first: first}})
		} else if filepath.Ext(name) == ".tmp" {
			in.leftovers = append(in.leftovers, filepath.Join(dir, name))
		}
	}
	if err := in.readSmallFiles(fsys); err != nil || in.fresh {
		return in, err
	}
	in.judgeAcked(ackedID)
	for i := range in.files {
		if err := in.checkFile(fsys, i); err != nil {
			return nil, err
		}
	}
	in.checkOrder()
	return in, nil
}

func (in *inspection) problem(err error) { in.problems = append(in.problems, err) }

func (in *inspection) readSmallFiles(fsys FS) error {
	meta, mark := filepath.Join(in.dir, metaName), filepath.Join(in.dir, markName)
	id, _, err := readSmall(fsys, meta, magicMeta)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// meta is the last file of a new journal: without it, and without records,
		// the creation was interrupted.
		if in.fresh, err = in.holdsNothing(fsys); err != nil || in.fresh {
			return err
		}
		in.problem(corruptf(meta, 0, "file is missing"))
	case errors.Is(err, ErrNewerVersion) || errors.Is(err, ErrCorrupt):
		in.problem(err)
	case err != nil:
		return err
	}
	markID, upTo, err := readSmall(fsys, mark, magicMark)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		in.problem(corruptf(mark, 0, "file is missing"))
	case errors.Is(err, ErrNewerVersion) || errors.Is(err, ErrCorrupt):
		in.problem(err)
	case err != nil:
		return err
	case id != streamID{} && markID != id:
		in.problem(corruptf(mark, 16, "belongs to another journal"))
	default:
		in.mark, in.haveMark = upTo, true
	}
	in.id, in.haveMeta = id, id != streamID{}
	if !in.haveMeta {
		in.id = markID
	}
	return nil
}

func (in *inspection) holdsNothing(fsys FS) (bool, error) {
	if in.acked > 0 {
		return false, nil
	}
	for _, st := range in.files {
		f, err := fsys.Open(st.path, false)
		if err != nil {
			return false, fmt.Errorf("open segment: %w", err)
		}
		size, err := f.Size()
		f.Close()
		if err != nil {
			return false, fmt.Errorf("read size of %s: %w", st.path, err)
		}
		if size > segmentHeaderSize {
			return false, nil
		}
	}
	return len(in.files) <= 1, nil
}

// checkFile reads one segment from start to end.
func (in *inspection) checkFile(fsys FS, i int) error {
	st := in.files[i]
	f, err := fsys.Open(st.path, false)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	if st.fileSize, err = f.Size(); err != nil {
		return fmt.Errorf("read size of %s: %w", st.path, err)
	}
	isLast := i == len(in.files)-1
	end := uint64(0) // the last record that has to be here
	if !isLast {
		end = in.files[i+1].first - 1
	}
	st.last, st.size = st.first-1, segmentHeaderSize
	ok, err := in.checkHeader(f, st, isLast && i > 0)
	if err == nil && ok {
		err = in.scan(f, st, end)
	}
	if err != nil {
		return fmt.Errorf("check %s: %w", st.path, err)
	}
	if st.problem != nil {
		in.problem(st.problem)
		in.problems = append(in.problems, st.more...)
	}
	return nil
}

// checkHeader returns false when the records cannot be read in order.
func (in *inspection) checkHeader(f File, st *fileState, newest bool) (bool, error) {
	b := make([]byte, min(segmentHeaderSize, st.fileSize))
	if err := readFull(f, b, 0); err != nil {
		return false, err
	}
	h, err := decodeSegmentHeader(b)
	switch {
	case errors.Is(err, ErrNewerVersion):
		st.problem = fmt.Errorf("open %s: %w", st.path, err)
	case err != nil && newest && st.fileSize <= segmentHeaderSize:
		// A record is appended only after the header is durable: this file has none.
		st.aborted = true
	case err != nil:
		st.problem = corruptf(st.path, 0, "segment header cannot be read")
	case h.first != st.first:
		st.header = h
		st.problem = corruptf(st.path, 32, "header says first record %d", h.first)
	}
	if st.problem != nil || st.aborted {
		return false, nil
	}
	st.header = h
	if in.id == (streamID{}) {
		in.id = h.stream // meta and mark are damaged; that was noted already
	}
	if h.stream != in.id {
		st.problem = corruptf(st.path, 16, "segment belongs to another journal")
		return false, nil
	}
	return true, nil
}

func (in *inspection) scan(f File, st *fileState, end uint64) error {
	seed := in.id.seed()
	sc := newScanner(f, segmentHeaderSize, st.fileSize, seed, scanBuffer)
	for {
		h, _, err := sc.next(false)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, errBadFrame) || (err == nil && h.seq != st.last+1) {
			return in.judge(f, st, end)
		}
		if err != nil {
			return err
		}
		st.note(h.seq, st.size)
		st.last, st.size = h.seq, sc.offset
		if h.seq > in.mark && in.oldest == 0 {
			in.oldest = h.unixNano
		}
	}
}

// checkOrder finds records that are missing between files.
func (in *inspection) checkOrder() {
	in.last = in.mark
	// Everything up to known is truncated or was seen. Files below the mark may be
	// missing in any pattern: their deletion is not synced.
	known := in.mark
	for i, st := range in.files {
		if st.aborted {
			continue
		}
		if n := len(in.files); i == n-1 && i > 0 && st.problem == nil && st.fileSize <= segmentHeaderSize && st.first <= in.files[i-1].last {
			st.aborted = true // begun and given up, and the records went to the one before: see keepSegment
			continue
		}
		missing := st.first - 1
		if st.afterGap() {
			missing = st.header.before // of the rest it was told when they got lost
		}
		if st.problem == nil && missing > known {
			in.problem(corruptf(st.path, 0, "%s missing", recordsAre(known+1, missing)))
		}
		if i > 0 && st.first <= in.files[i-1].last {
			in.problem(corruptf(st.path, 0, "record %d is here and in the segment before", st.first))
		}
		known = max(known, st.last, st.seen)
	}
	n := len(in.files)
	if n > 0 && in.files[n-1].aborted {
		n--
	}
	switch {
	case n == 0:
		in.problem(corruptf(in.dir, 0, "no segment file is left"))
	case len(in.problems) == 0 && in.files[n-1].last < in.mark:
		in.problem(corruptf(in.files[n-1].path, 0, "last record is %d, but records up to %d existed", in.files[n-1].last, in.mark))
	}
	in.checkAcked(known)
	in.last = max(known, in.acked)
}

func readSmall(fsys FS, path, magic string) (streamID, uint64, error) {
	f, err := fsys.Open(path, false)
	if err != nil {
		return streamID{}, 0, fmt.Errorf("open %s: %w", path, err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return streamID{}, 0, fmt.Errorf("read size of %s: %w", path, err)
	}
	b := make([]byte, min(size, smallFileSize+1))
	if err := readFull(f, b, 0); err != nil {
		return streamID{}, 0, fmt.Errorf("read %s: %w", path, err)
	}
	id, number, err := decodeSmall(b, magic)
	if errors.Is(err, errBadHeader) {
		err = corruptf(path, 0, "checksum or length is wrong")
	}
	if err != nil {
		return streamID{}, 0, fmt.Errorf("read %s: %w", path, err)
	}
	return id, number, nil
}

// writeSmall replaces a file so that a crash leaves the old or the new content.
func writeSmall(fsys FS, path string, content []byte) error {
	tmp := path + ".tmp"
	if err := fsys.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", tmp, err)
	}
	f, err := fsys.Create(tmp)
	if err != nil {
		return fmt.Errorf("create %s: %w", tmp, err)
	}
	err = writeAll(f, content, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fsys.Rename(tmp, path)
	}
	if err == nil {
		err = fsys.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
