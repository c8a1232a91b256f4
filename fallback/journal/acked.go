package journal

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
)

// The file acked is a durable watermark: it holds the sequence of the last record
// that was on disk, and is overwritten in place after each batch's fsync and before
// anybody hears of it. It costs one write to the page cache and no fsync of its own,
// so after a loss of power it may be older than the truth; it is never newer. A
// journal that ends before it has lost acknowledged records, however much its end
// looks like that of an interrupted write. One that cannot be read says nothing, and
// is written anew at Open.

// noteAcked moves the watermark. The committer calls it, after fsync. A disk that
// does not take it leaves an older one, which is as true.
func (j *Journal) noteAcked(seq uint64) {
	if j.acked == nil {
		return
	}
	err := writeAll(j.acked, encodeSmall(magicAcked, j.id, seq), 0)
	if err != nil && !j.ackedFailed {
		j.log.Warn("journal cannot move its watermark: damage to its newest records may be taken for an interrupted write", "error", err)
	}
	j.ackedFailed = err != nil
}

// openAcked opens the watermark for writing, and makes it anew where it cannot be
// read. Where the disk does not take that, being full say, there is none until the
// next Open.
func openAcked(fsys FS, in *inspection, id streamID, last uint64, log *slog.Logger) File {
	path := filepath.Join(in.dir, ackedName)
	var err error
	content := encodeSmall(magicAcked, id, last)
	if in.acked == 0 {
		err = writeSmall(fsys, path, content)
	}
	var f File
	if err == nil {
		f, err = fsys.Open(path, true)
	}
	if err == nil && in.acked > 0 && in.acked < last { // they are on disk by now, see settle
		err = writeAll(f, content, 0)
	}
	if err != nil {
		if f != nil {
			_ = f.Close()
		}
		log.Warn("journal cannot keep its watermark: damage to its newest records may be taken for an interrupted write", "error", err)
		return nil
	}
	return f
}

// closeAcked makes the watermark durable. Failing that, an older one is true as well.
func (j *Journal) closeAcked() {
	if j.acked != nil {
		_ = errors.Join(j.acked.Sync(), j.acked.Close())
	}
}

// readAcked reads the watermark and returns the stream it belongs to.
func (in *inspection) readAcked(fsys FS) (streamID, error) {
	path := filepath.Join(in.dir, ackedName)
	id, seq, err := readSmall(fsys, path, magicAcked)
	switch {
	case err == nil:
		in.acked = seq
	case errors.Is(err, fs.ErrNotExist): // of a release that had none
	case errors.Is(err, ErrNewerVersion):
		in.problem(err)
	case errors.Is(err, ErrCorrupt):
		in.ackedBad = err
	default:
		return id, err
	}
	return id, nil
}

// judgeAcked leaves a watermark of another journal out.
func (in *inspection) judgeAcked(of streamID) {
	if in.acked > 0 && of != in.id && in.id != (streamID{}) {
		in.ackedBad = corruptf(filepath.Join(in.dir, ackedName), 16, "belongs to another journal")
		in.acked = 0
	}
}

// checkAcked finds acknowledged records that are missing at the end. known is the
// last one that was seen.
func (in *inspection) checkAcked(known uint64) {
	if in.acked <= known {
		return
	}
	path, at := in.dir, int64(0)
	if n := len(in.files); n > 0 {
		st := in.files[n-1]
		if st.aborted && in.acked < st.first && n > 1 {
			st = in.files[n-2]
		}
		path, at = st.path, st.size
		// What lies there is no rest of an interrupted write: repair keeps it.
		st.tornAt, st.aborted = 0, false
		if st.problem == nil {
			st.problem = corruptf(path, at, "%s not there", recordsAre(known+1, in.acked))
		}
	}
	in.problem(corruptf(path, at, "%s not there, but had been acknowledged", recordsAre(known+1, in.acked)))
}
