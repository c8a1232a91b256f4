package journal_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/journal"
	"holdfast/fallback/journal/faultfs"
)

// Every story damages acknowledged bytes: Open must refuse with a text that
// helps, Verify must see it, Dump must show the rest, and Repair must keep every
// other record and never use a number again.
func TestDamageStories(t *testing.T) {
	for name, story := range map[string]struct {
		damage func(r *rig)
		lost   []uint64 // records that cannot be read any more
	}{
		"bit flip in a payload of the first segment": {func(r *rig) { r.flip(r.segment(1), journal.SegmentHeaderSize+journal.FrameHeaderSize+3) }, []uint64{1}},
		"bit flip in a sequence number":              {func(r *rig) { r.flip(r.segment(1), journal.SegmentHeaderSize+8) }, []uint64{1}},
		"bit flip in a time":                         {func(r *rig) { r.flip(r.segment(1), journal.SegmentHeaderSize+24) }, []uint64{1}},
		"bit flip makes a length absurd":             {func(r *rig) { r.flip(r.segment(1), journal.SegmentHeaderSize+7) }, []uint64{1}},
		"bit flip in the middle of the last segment": {func(r *rig) { r.flip(r.newest(), journal.SegmentHeaderSize+9) }, []uint64{57}},
		"bit flip in a segment header":               {func(r *rig) { r.flip(r.segment(1), 33) }, nil},
		"bit flip in a segment's magic":              {func(r *rig) { r.flip(r.newest(), 2) }, nil},
		"bit flip in a segment's version":            {func(r *rig) { r.flip(r.newest(), 9) }, nil},
		"last header lost, records behind it":        {func(r *rig) { r.edit(r.newest(), func(b []byte) []byte { clear(b[:64]); return b }) }, nil},
		"sealed segment cut short":                   {func(r *rig) { r.edit(r.segment(1), cutBytes(1)) }, []uint64{19}},
		"sealed segment with bytes behind":           {func(r *rig) { r.edit(r.segment(1), appendBytes(9)) }, nil},
		"sealed segment missing":                     {func(r *rig) { r.fs.Damage(r.segments()[1], nil) }, seqs(20, 33)},
		"first segment missing":                      {func(r *rig) { r.fs.Damage(r.segment(1), nil) }, seqs(1, 19)},
		"meta missing":                               {func(r *rig) { r.fs.Damage(filepath.Join(dir, "meta"), nil) }, nil},
		"meta damaged":                               {func(r *rig) { r.flip(filepath.Join(dir, "meta"), 20) }, nil},
		"mark damaged":                               {func(r *rig) { r.flip(filepath.Join(dir, "mark"), 35) }, nil},
		"mark missing":                               {func(r *rig) { r.fs.Damage(filepath.Join(dir, "mark"), nil) }, nil},
		"mark too long":                              {func(r *rig) { r.edit(filepath.Join(dir, "mark"), appendBytes(0)) }, nil},
		"foreign bytes between two records": {func(r *rig) {
			r.edit(r.newest(), func(b []byte) []byte { return slices.Insert(b, 64+32+int(b[68]), make([]byte, 60)...) })
		}, nil},
		"foreign bytes in a sealed segment": {func(r *rig) {
			r.edit(r.segment(1), func(b []byte) []byte { return slices.Insert(b, 64, b[64:124]...) })
		}, nil},
		"last record cut":                  {func(r *rig) { r.edit(r.newest(), cutBytes(1)) }, []uint64{58}},
		"last record cut whole":            {func(r *rig) { r.edit(r.newest(), func(b []byte) []byte { return b[:64+32+int(b[68])] }) }, []uint64{58}},
		"last record overwritten by zeros": {func(r *rig) { r.edit(r.newest(), func(b []byte) []byte { clear(b[64+32+int(b[68]):]); return b }) }, []uint64{58}},
		"newest segment missing":           {func(r *rig) { r.fs.Damage(r.newest(), nil) }, []uint64{57, 58}},
		"newest segment emptied":           {func(r *rig) { r.fs.Damage(r.newest(), []byte{}) }, []uint64{57, 58}},
		"all segments missing": {func(r *rig) {
			for _, p := range r.segments() {
				r.fs.Damage(p, nil)
			}
		}, seqs(1, 58)},
		"nothing left but the watermark": {func(r *rig) {
			for _, p := range append(r.segments(), filepath.Join(dir, "meta")) {
				r.fs.Damage(p, nil)
			}
		}, seqs(1, 58)},
		"segment renamed by hand": {func(r *rig) { r.fs.Damage(r.segment(2), r.fs.Bytes(r.segment(1))); r.fs.Damage(r.segment(1), nil) }, nil},
	} {
		t.Run(name, func(t *testing.T) { damageStory(t, story.damage, story.lost, false) })
		t.Run(name+", repair interrupted", func(t *testing.T) { damageStory(t, story.damage, story.lost, true) })
	}
}

func damageStory(t *testing.T, damage func(*rig), lost []uint64, interrupted bool) {
	r := newRig(t)
	r.open()
	for r.last < 58 {
		r.append(1)
	}
	r.j.Close()
	require.Equal(t, []string{r.segment(1), r.segment(20), r.segment(34), r.segment(46), r.segment(57)}, r.segments())
	stream := r.j.StreamID()
	files, _ := r.fs.List(dir)
	damage(r)
	left, _ := r.fs.List(dir)
	damaged := len(left) == len(files) // and not a file missing
	var before []string
	for _, name := range left {
		before = append(before, string(r.fs.Bytes(filepath.Join(dir, name))))
	}
	_, err := journal.Open(r.cfg)
	require.ErrorIs(t, err, journal.ErrCorrupt)
	require.ErrorContains(t, err, "holdfast journal repair")
	require.ErrorContains(t, err, "offset")
	report, err := journal.VerifyFS(r.fs, dir)
	require.ErrorIs(t, err, journal.ErrCorrupt)
	require.NotEmpty(t, report.Problems)
	require.ErrorIs(t, journal.DumpFS(r.fs, dir, func(e journal.Entry) error {
		require.Equal(t, r.acked[e.Seq], string(e.Payload))
		return nil
	}), journal.ErrCorrupt)

	if interrupted {
		r.repairInterrupted()
	}
	report, err = journal.RepairFS(r.fs, dir)
	require.NoError(t, err)
	require.Equal(t, interrupted, len(report.Problems) == 0)
	if !interrupted {
		var told []uint64
		for _, l := range report.Lost {
			told = append(told, seqs(l[0], l[1])...)
		}
		require.Equal(t, lost, told, "what is lost is told by number")
	}
	if !interrupted && damaged {
		require.NotEmpty(t, report.Moved, "damaged bytes are kept")
	}
	for _, path := range report.Moved {
		require.Contains(t, before, string(r.fs.Bytes(path)), "kept as it was")
	}
	for _, seq := range lost {
		delete(r.acked, seq)
	}
	r.open()
	require.Equal(t, stream, r.j.StreamID())
	require.Equal(t, r.acked, readAll(t, r.j))
	require.Equal(t, uint64(len(r.acked)), r.j.Stats().Records)
	ticket, err := r.j.Append([]byte("after repair"))
	require.NoError(t, err)
	require.NoError(t, ticket.Wait())
	require.Greater(t, ticket.Seq(), r.last, "a number must never be used twice")
	r.acked[ticket.Seq()] = "after repair"
	r.crash(faultfs.DropAll)
	r.open()
	require.Equal(t, r.acked, readAll(t, r.j))
}

// repairInterrupted runs repairs that die at every one of their operations.
func (r *rig) repairInterrupted() {
	r.t.Helper()
	for n := 1; n < 40; n += 2 { // an operation more each time; every second is enough
		ops := 0
		r.fs.OnOp(func(k faultfs.Kind, _ string) error {
			if ops++; ops == n && k != faultfs.Open {
				return &faultfs.CrashNow{Mode: faultfs.DropAll}
			}
			return nil
		})
		_, err := journal.RepairFS(r.fs, dir)
		r.fs.OnOp(nil)
		r.fs.Kill()
		if err == nil && ops < n {
			return
		}
	}
}

func seqs(from, to uint64) (out []uint64) {
	for ; from <= to; from++ {
		out = append(out, from)
	}
	return out
}

// The last segment is gone without a trace but for the mark.
func TestRepairSkipsNumbersThatMayHaveBeenUsed(t *testing.T) {
	r := newRig(t)
	r.open()
	r.append(58)
	require.NoError(t, r.j.Truncate(57))
	r.j.Close()
	r.fs.Damage(r.newest(), nil)
	_, err := journal.Open(r.cfg)
	require.ErrorIs(t, err, journal.ErrCorrupt)
	_, err = journal.RepairFS(r.fs, dir)
	require.NoError(t, err)
	r.open()
	stats := r.j.Stats()
	require.Zero(t, stats.Records)
	require.Equal(t, uint64(57), stats.TruncatedTo)
	ticket, err := r.j.Append([]byte("x"))
	require.NoError(t, err)
	require.Greater(t, ticket.Seq(), uint64(journal.SequenceJump))
	require.NoError(t, ticket.Wait())
	require.False(t, r.j.Stats().OldestAt.IsZero())
	require.NoError(t, r.j.Truncate(ticket.Seq()))
	require.Zero(t, r.j.Stats().Records)
}

func TestNewerVersionIsNotDamage(t *testing.T) {
	for _, name := range []string{"meta", "mark", journal.SegmentName(1)} {
		r := newRig(t)
		r.open()
		r.append(3)
		r.j.Close()
		path := filepath.Join(dir, name)
		r.edit(path, func(b []byte) []byte {
			journal.PutPreamble(b, string(b[:8]), 2)
			return append(b, "and a layout of its own"...)
		})
		before := r.fs.Bytes(path)
		_, err := journal.Open(r.cfg)
		require.ErrorIs(t, err, journal.ErrNewerVersion)
		require.NotErrorIs(t, err, journal.ErrCorrupt)
		require.ErrorContains(t, err, path)
		_, err = journal.RepairFS(r.fs, dir)
		require.ErrorIs(t, err, journal.ErrNewerVersion)
		require.Equal(t, before, r.fs.Bytes(path), "repair must leave newer files alone")
	}
}

func TestVerifyAndDumpOfAWholeJournal(t *testing.T) {
	r := newRig(t)
	r.open()
	r.append(58)
	require.NoError(t, r.j.Truncate(20))
	report, err := journal.VerifyFS(r.fs, dir)
	require.NoError(t, err)
	require.Equal(t, r.j.StreamID(), report.StreamID)
	require.Equal(t, uint64(38), report.Records)
	require.Equal(t, uint64(21), report.FirstSeq)
	require.Equal(t, uint64(58), report.LastSeq)
	stop := errors.New("stop")
	require.ErrorIs(t, journal.DumpFS(r.fs, dir, func(e journal.Entry) error {
		require.Equal(t, e.Seq <= 20, e.Truncated)
		if e.Seq == 30 {
			return stop
		}
		return nil
	}), stop)
	_, err = journal.RepairFS(r.fs, dir)
	require.ErrorIs(t, err, journal.ErrLocked)
}

// A client may store anything, a journal's own bytes too.
func TestTornTailInsideARecordThatHoldsAJournal(t *testing.T) {
	r := newRig(t)
	r.cfg.SegmentBytes = 1 << 20
	r.open()
	r.append(5)
	r.j.Close()
	other := newRig(t)
	other.cfg.SegmentBytes = 1 << 20
	other.open()
	other.append(20)
	other.j.Close()
	r.edit(r.newest(), appendBytes(other.fs.Bytes(other.newest())...))
	r.open()
	r.requireAll()
}

// One batch, acknowledged as a whole, then damaged in its middle: no later batch
// proves that it was acknowledged, yet it must not be taken for an interrupted write.
func TestBitFlipInsideTheLastBatch(t *testing.T) {
	r := newRig(t)
	r.cfg.SegmentBytes = 1 << 20
	r.open()
	queued := make(chan struct{})
	r.fs.OnOp(func(k faultfs.Kind, _ string) error {
		if k == faultfs.Sync {
			<-queued
		}
		return nil
	})
	for range 30 {
		_, err := r.j.Append([]byte("a record of the one batch"))
		require.NoError(t, err)
	}
	close(queued)
	require.NoError(t, r.j.Close())
	r.flip(r.segment(1), -20*(journal.FrameHeaderSize+25)+40)
	_, err := journal.Open(r.cfg)
	require.ErrorIs(t, err, journal.ErrCorrupt)
}

// Each damaged stretch is listed, in sealed files and in the newest, and nothing
// that can be read is called missing.
func TestVerifyListsEveryDamage(t *testing.T) {
	r := newRig(t)
	r.open()
	for r.last < 58 {
		r.append(1)
	}
	r.j.Close()
	step := func(path string, n int) int { // where the nth record of a file is
		b := r.fs.Bytes(path)
		at := journal.SegmentHeaderSize
		for ; n > 0; n-- {
			at += journal.FrameHeaderSize + int(b[at+4]) + int(b[at+5])<<8
		}
		return at
	}
	for _, n := range []int{2, 3, 7} {
		r.flip(r.segment(1), step(r.segment(1), n)+9)
	}
	r.flip(r.segment(46), step(r.segment(46), 10)+9) // the last of a sealed file
	report, err := journal.VerifyFS(r.fs, dir)
	require.ErrorIs(t, err, journal.ErrCorrupt)
	require.Len(t, report.Problems, 3, "%v", report.Problems)
	for i, text := range []string{"records 3 to 4 cannot be read", "record 8 cannot be read", "record 56 cannot be read"} {
		require.Contains(t, report.Problems[i], text)
	}
	report, err = journal.RepairFS(r.fs, dir)
	require.NoError(t, err)
	require.Equal(t, [][2]uint64{{3, 4}, {8, 8}, {56, 56}}, report.Lost)
	require.Zero(t, report.LostAfter)
	require.EqualValues(t, 58-4, report.After(0))
	require.EqualValues(t, 2, report.After(55))
}
