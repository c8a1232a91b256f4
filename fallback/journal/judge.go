package journal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// judge decides whether the bytes behind the valid part are the rest of an
// interrupted write, which nobody was told about, or damage. In doubt: damage. end
// is the last record that has to be in the file, 0 for the newest.
func (in *inspection) judge(f File, st *fileState, end uint64) error {
	runs, err := salvage(f, st.size, st.fileSize, in.id.seed(), in.limit())
	givenUp := errors.Is(err, errBadFrame)
	if err != nil && !givenUp {
		return err
	}
	if end == 0 && !givenUp {
		torn, err := st.torn(f, runs)
		if err != nil {
			return err
		}
		if torn {
			st.tornAt = st.size
			return nil
		}
	}
	st.listDamage(runs, givenUp, end)
	return nil
}

// limit is beyond every sequence that a record here can have.
func (in *inspection) limit() uint64 {
	high, bytes := max(in.mark, in.acked), int64(0)
	for _, st := range in.files {
		high, bytes = max(high, st.first), bytes+st.fileSize
	}
	return high + 1 + uint64(bytes)/frameHeaderSize
}

// torn reports whether an interrupted write explains all that lies behind the valid
// part of the newest file, given the valid records there. None: it does. Else power
// went while one batch was on its way to the disk, and its sectors arrived out of
// order: each gap has room for the records that lack, and in it a sector that was
// never written; no record was written after the batch was on disk; and none is
// there twice or out of its place, for nobody writes that.
func (st *fileState) torn(f File, runs []run) (bool, error) {
	last, at := st.last, st.size
	for _, r := range runs {
		if r.first <= last+1 || r.durable > st.last || uint64(r.offset-at)/frameHeaderSize < r.first-last-1 {
			return false, nil
		}
		if unwritten, err := hasUnwrittenSector(f, at, r.offset); err != nil || !unwritten {
			return false, err
		}
		last, at = r.last, r.end
	}
	return true, nil
}

// listDamage notes each stretch that cannot be read, between and behind the runs
// that can. It notes one problem at least: what is behind the valid part is not
// read, so a file without a problem would lose it silently.
func (st *fileState) listDamage(runs []run, givenUp bool, end uint64) {
	add := func(at int64, format string, args ...any) {
		if err := corruptf(st.path, at, format, args...); st.problem == nil {
			st.problem = err
		} else {
			st.more = append(st.more, err)
		}
	}
	at := st.size
	st.seen = st.last
	runs = slices.SortedFunc(slices.Values(runs), func(a, b run) int { return cmp.Compare(a.first, b.first) })
	for _, r := range runs {
		if r.first > st.seen+1 {
			add(at, "%s cannot be read", recordsText(st.seen+1, r.first-1))
		}
		if r.last > st.seen {
			at, st.seen = r.end, r.last
		}
	}
	switch {
	case end > st.seen:
		add(at, "%s cannot be read", recordsText(st.seen+1, end))
		st.seen = end
	case givenUp:
		add(at, "record %d and what follows cannot be read or judged", st.seen+1)
	case at < st.fileSize:
		add(at, "%d bytes are no records, or records in a wrong place", st.fileSize-at)
	case st.problem == nil:
		add(st.size, "foreign bytes, or records in a wrong place; all records can be read")
	}
}

func recordsAre(from, to uint64) string {
	if from == to {
		return recordsText(from, to) + " is"
	}
	return recordsText(from, to) + " are"
}

func recordsText(from, to uint64) string {
	if from == to {
		return fmt.Sprintf("record %d", from)
	}
	return fmt.Sprintf("records %d to %d", from, to)
}
