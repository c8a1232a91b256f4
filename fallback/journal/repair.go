package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"time"
)

// sequenceJump is skipped when it cannot be proved which sequence was the last:
// a number that was used once must never name another record, because the fence
// in Redis would take the new one for done.
const sequenceJump = 1 << 32

// Lock keeps every process from opening the journal of dir until it is closed. It
// returns ErrLocked while one has it open.
func Lock(dir string) (io.Closer, error) {
	lock, err := osFS{}.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("lock journal: %w", err)
	}
	return lock, nil
}

// part is a stretch of readable records and the file it is in.
type part struct {
	st *fileState
	run
}

// Repair makes a damaged journal usable again. Every record that can be read
// stays, under its sequence; every file that is changed is first copied aside as
// <name>.damaged, and nothing is deleted. The report lists what was mended and
// moved. It returns ErrLocked while a process has the journal open, and
// ErrNewerVersion without touching anything. An interrupted repair can be run again.
func Repair(dir string) (Report, error) { return repair(osFS{}, dir) }

func repair(fsys FS, dir string) (Report, error) {
	if _, err := fsys.List(dir); err != nil {
		return Report{Dir: dir}, fmt.Errorf("repair journal: %w", err)
	}
	lock, err := fsys.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return Report{Dir: dir}, fmt.Errorf("repair journal: %w", err)
	}
	defer lock.Close()
	in, err := inspect(fsys, dir)
	if err != nil {
		return Report{Dir: dir}, fmt.Errorf("repair journal: %w", err)
	}
	before := in.report()
	if len(in.problems) == 0 {
		return before, nil
	}
	m := mender{fs: fsys, in: in}
	if err := m.mend(); err != nil {
		return before, fmt.Errorf("repair journal: %w", err)
	}
	after, err := verify(fsys, dir)
	if err == nil {
		after.Problems = before.Problems
	}
	after.Moved, after.Lost, after.LostAfter = m.moved, m.lost, m.lostAfter
	return after, err
}

// mender holds the steps of one repair. Their order makes a crash between any two
// harmless: new files are complete before an old one is touched, and every old
// one is copied aside before it is replaced.
type mender struct {
	fs    FS
	in    *inspection
	known uint64
	kept  map[string]bool // files that stay as they are
	made  []string        // final paths of new files, in order
	moved []string

	lost      [][2]uint64
	lostAfter uint64
}

func (m *mender) mend() error {
	for _, err := range m.in.problems {
		if errors.Is(err, ErrNewerVersion) {
			return err
		}
	}
	if m.in.id == (streamID{}) {
		return fmt.Errorf("%w: the stream id is lost in every file; move %s away and start with an empty directory", ErrCorrupt, m.in.dir)
	}
	parts, err := m.collect()
	if err != nil {
		return err
	}
	if !m.in.haveMark && len(parts) > 0 {
		m.in.mark = parts[0].first - 1
	}
	if err := m.writeSegments(parts); err != nil {
		return err
	}
	if err := m.replace(); err != nil {
		return err
	}
	return m.mendSmall()
}

// collect finds what can be read, ordered by sequence.
func (m *mender) collect() ([]part, error) {
	var parts []part
	for _, st := range m.in.files {
		if st.header.stream != (streamID{}) && st.header.stream != m.in.id {
			continue // of another journal: it is moved aside whole
		}
		if st.problem == nil {
			if !st.aborted {
				parts = append(parts, part{st, run{offset: segmentHeaderSize, end: st.size, first: st.first, last: st.last}})
			}
			continue
		}
		runs, err := m.runs(st)
		if err != nil {
			return nil, err
		}
		for _, r := range runs {
			parts = append(parts, part{st, r})
		}
	}
	slices.SortStableFunc(parts, func(a, b part) int {
		if a.first < b.first {
			return -1
		}
		if a.first > b.first {
			return 1
		}
		return 0
	})
	return parts, nil
}

func (m *mender) runs(st *fileState) ([]run, error) {
	f, err := m.fs.Open(st.path, false)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	from := int64(0)
	if st.header.first > 0 {
		from = segmentHeaderSize
	}
	runs, err := salvage(f, from, st.fileSize, m.in.id.seed(), max(m.in.limit(), st.header.first+uint64(st.fileSize)/frameHeaderSize))
	if errors.Is(err, errBadFrame) {
		err = nil // the search was given up; the whole file is kept aside
	}
	return runs, err
}

// writeSegments writes each part that cannot stay as it is to a new file beside.
func (m *mender) writeSegments(parts []part) error {
	m.kept = map[string]bool{}
	m.known = m.in.mark
	seen := uint64(0) // last sequence in a kept or made file
	for _, p := range parts {
		empty := p.last < p.first
		if seen > 0 && (p.last <= seen || empty && p.first <= seen) {
			continue
		}
		first := max(p.first, seen+1)
		gap := first > m.known+1
		m.noteLost(p.st, first)
		told := p.st.afterGap() && p.st.header.before <= m.known // the file itself says what lacks before it
		if p.st.problem == nil && p.st.tornAt == 0 && first == p.first && (!gap || told) {
			m.kept[p.st.path] = true
		} else if err := m.writePart(p, first, seen, gap); err != nil {
			return err
		}
		m.known, seen = max(m.known, p.last), max(seen, p.last)
	}
	if n := len(m.in.files); n == 0 || m.in.files[n-1].problem != nil || m.in.files[n-1].aborted || seen < m.in.mark || m.known < m.in.acked {
		if m.known < m.in.acked {
			m.lost = append(m.lost, [2]uint64{m.known + 1, m.in.acked})
			m.known = m.in.acked
		}
		m.lostAfter = m.known
		return m.writePart(part{run: run{last: 0}}, m.known+1+sequenceJump, seen, true)
	}
	return nil
}

// noteLost notes the records that lack between those known and the record first of a
// file. A gap that an earlier repair left before that file is no loss of now.
func (m *mender) noteLost(st *fileState, first uint64) {
	add := func(from, to uint64) {
		if from <= to {
			m.lost = append(m.lost, [2]uint64{from, to})
		}
	}
	if h := st.header; st.afterGap() && h.first > m.known {
		add(m.known+1, h.before)
		add(h.first, first-1)
		return
	}
	add(m.known+1, first-1)
}

// writePart writes a new file of the records of p from first on. before is the last
// record in the files before it, for one that comes after a gap.
func (m *mender) writePart(p part, first, before uint64, gap bool) (err error) {
	path := filepath.Join(m.in.dir, segmentName(first))
	tmp := path + ".tmp"
	if err := m.fs.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", tmp, err)
	}
	h := segmentHeader{stream: m.in.id, first: first, created: time.Now().UnixNano()}
	if gap {
		h.flags |= flagGap
		h.before = before
	}
	out, err := m.fs.Create(tmp)
	if err != nil {
		return fmt.Errorf("create %s: %w", tmp, err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := writeAll(out, encodeSegmentHeader(h), 0); err != nil {
		return fmt.Errorf("write %s: %w", tmp, err)
	}
	if p.st != nil && p.last >= first {
		if err := m.copyRecords(out, p, first); err != nil {
			return fmt.Errorf("copy records to %s: %w", tmp, err)
		}
	}
	m.made = append(m.made, path)
	return out.Sync()
}

// copyRecords copies the frames of p from the sequence first on.
func (m *mender) copyRecords(out File, p part, first uint64) error {
	in, err := m.fs.Open(p.st.path, false)
	if err != nil {
		return err
	}
	defer in.Close()
	from := p.offset
	sc := newScanner(in, p.offset, p.end, m.in.id.seed(), scanBuffer)
	for seq := p.first; seq < first; seq++ {
		if _, _, err := sc.next(false); err != nil {
			return err
		}
		from = sc.offset
	}
	return copyBytes(out, segmentHeaderSize, in, from, p.end)
}

func copyBytes(out File, at int64, in File, from, to int64) error {
	buf := make([]byte, scanBuffer)
	for from < to {
		b := buf[:min(scanBuffer, to-from)]
		if err := readFull(in, b, from); err != nil {
			return err
		}
		if err := writeAll(out, b, at); err != nil {
			return err
		}
		from, at = from+int64(len(b)), at+int64(len(b))
	}
	return nil
}

// replace puts the new files in place of the old ones.
func (m *mender) replace() error {
	var old []string
	for _, st := range m.in.files {
		if m.kept[st.path] {
			continue
		}
		if err := m.keepAside(st.path); err != nil {
			return err
		}
		if !slices.Contains(m.made, st.path) {
			old = append(old, st.path)
		}
	}
	// The copies are durable before the first original goes.
	if err := m.fs.SyncDir(m.in.dir); err != nil {
		return fmt.Errorf("sync journal directory: %w", err)
	}
	for _, path := range slices.Backward(m.made) {
		if err := m.fs.Rename(path+".tmp", path); err != nil {
			return fmt.Errorf("rename to %s: %w", path, err)
		}
	}
	if err := m.fs.SyncDir(m.in.dir); err != nil {
		return fmt.Errorf("sync journal directory: %w", err)
	}
	for _, path := range old {
		if err := m.fs.Remove(path); err != nil {
			return fmt.Errorf("remove %s: %w", path, err)
		}
	}
	return m.fs.SyncDir(m.in.dir)
}

// keepAside copies a file to the first free name ending in .damaged.
func (m *mender) keepAside(path string) error {
	in, err := m.fs.Open(path, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer in.Close()
	size, err := in.Size()
	if err != nil {
		return fmt.Errorf("read size of %s: %w", path, err)
	}
	aside := path + ".damaged"
	out, err := m.fs.Create(aside)
	for n := 2; errors.Is(err, fs.ErrExist); n++ {
		aside = fmt.Sprintf("%s.%d.damaged", path, n)
		out, err = m.fs.Create(aside)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", aside, err)
	}
	err = copyBytes(out, 0, in, 0, size)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("keep %s aside: %w", path, err)
	}
	m.moved = append(m.moved, aside)
	return nil
}

// mendSmall writes meta and mark anew where they are damaged.
func (m *mender) mendSmall() error {
	for _, s := range []struct {
		good   bool
		name   string
		magic  string
		number uint64
	}{
		{m.in.haveMark, markName, magicMark, m.in.mark},
		{m.in.haveMeta, metaName, magicMeta, uint64(time.Now().UnixNano())},
	} {
		if s.good {
			continue
		}
		path := filepath.Join(m.in.dir, s.name)
		if err := m.keepAside(path); err != nil {
			return err
		}
		if err := writeSmall(m.fs, path, encodeSmall(s.magic, m.in.id, s.number)); err != nil {
			return err
		}
	}
	return nil
}
