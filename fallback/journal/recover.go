package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"
)

// recovered is a journal that is ready for appending.
type recovered struct {
	id       streamID
	segments []*segment
	active   File
	acked    File
	mark     uint64
	last     uint64
	oldest   time.Time
}

// recoverDir brings the directory into a state that can be appended to, or says
// why that needs an operator. It is called with the lock held.
func recoverDir(fsys FS, dir string, log *slog.Logger) (*recovered, error) {
	in, err := inspect(fsys, dir)
	if err != nil {
		return nil, err
	}
	if len(in.problems) > 0 {
		return nil, withRemedy(dir, fmt.Errorf("%d problems, the first: %w", len(in.problems), firstProblem(in.problems)))
	}
	for _, path := range in.leftovers {
		if err := fsys.Remove(path); err != nil {
			return nil, fmt.Errorf("remove %s: %w", path, err)
		}
	}
	if in.fresh {
		return create(fsys, in, log)
	}
	if in.ackedBad != nil {
		log.Warn("journal watermark cannot be read and is made anew: nothing else is damaged, but of the newest records nothing proved that they are all there", "error", in.ackedBad)
	}
	rec := &recovered{id: in.id, mark: in.mark, last: in.last}
	if in.oldest != 0 {
		rec.oldest = time.Unix(0, in.oldest)
	}
	for _, st := range in.files {
		if st.aborted {
			if err := fsys.Remove(st.path); err != nil {
				return nil, fmt.Errorf("remove half-created segment: %w", err)
			}
			log.Info("journal removed a segment whose creation was interrupted", "file", st.path)
			continue
		}
		rec.segments = append(rec.segments, &st.segment)
		if st.tornAt > 0 {
			log.Warn("journal cut off an interrupted write", "file", st.path, "offset", st.tornAt, "bytes", st.fileSize-st.tornAt)
		}
	}
	rec.active, err = settle(fsys, rec.segments[len(rec.segments)-1])
	if err != nil {
		return nil, err
	}
	// A name may be visible here and yet not durable (crash before the directory sync).
	if err := fsys.SyncDir(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("sync journal directory: %w", err), rec.active.Close())
	}
	rec.acked = openAcked(fsys, in, in.id, in.last, log)
	return rec, nil
}

// firstProblem prefers "newer version": its remedy is another release, not repair.
func firstProblem(problems []error) error {
	for _, err := range problems {
		if errors.Is(err, ErrNewerVersion) {
			return err
		}
	}
	return problems[0]
}

// settle makes the valid part of the newest segment really durable and cuts the
// rest. Its bytes may so far be only in the page cache: the process may have died
// before fsync, or fsync may have failed, after which the kernel takes the pages
// for clean and a second fsync would succeed without writing them. So they are
// written again, the same bytes in place, before anybody may see the records.
func settle(fsys FS, seg *segment) (File, error) {
	f, err := fsys.Open(seg.path, true)
	if err != nil {
		return nil, fmt.Errorf("open segment for appending: %w", err)
	}
	err = f.Truncate(seg.size)
	buf := make([]byte, min(scanBuffer, seg.size))
	for at := int64(0); err == nil && at < seg.size; at += int64(len(buf)) {
		b := buf[:min(int64(len(buf)), seg.size-at)]
		if err = readFull(f, b, at); err == nil {
			err = writeAll(f, b, at)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("settle %s: %w", seg.path, err), f.Close())
	}
	return f, nil
}

// create makes a new journal. The meta file comes last: it says that the rest is
// there, so a journal that later lacks a file is known to be damaged.
func create(fsys FS, in *inspection, log *slog.Logger) (*recovered, error) {
	rec := &recovered{}
	if _, err := rand.Read(rec.id[:]); err != nil {
		return nil, fmt.Errorf("make stream id: %w", err)
	}
	for _, st := range in.files {
		if err := fsys.Remove(st.path); err != nil {
			return nil, fmt.Errorf("remove half-created segment: %w", err)
		}
	}
	if err := writeSmall(fsys, filepath.Join(in.dir, markName), encodeSmall(magicMark, rec.id, 0)); err != nil {
		return nil, err
	}
	now := time.Now().UnixNano()
	f, seg, err := createSegment(fsys, in.dir, segmentHeader{stream: rec.id, first: 1, created: now})
	if err != nil {
		return nil, err
	}
	err = writeSmall(fsys, filepath.Join(in.dir, metaName), encodeSmall(magicMeta, rec.id, uint64(now)))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	rec.acked = openAcked(fsys, in, rec.id, 0, log)
	rec.active, rec.segments = f, []*segment{seg}
	return rec, nil
}
