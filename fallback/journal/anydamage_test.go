package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/journal"
	"holdfast/fallback/journal/faultfs"
)

// damages is how many random ones are tried; 20,000 were, once.
const damages = 4000

// disk is a journal as it lies on a disk, and what its user knows of it.
type disk struct {
	files map[string][]byte
	acked map[uint64]string // acknowledged and not truncated
	ever  map[uint64]string // all that was ever acknowledged
	last  uint64
}

// batch appends n records that become durable with one fsync, or few.
func (r *rig) batch(n int) {
	r.t.Helper()
	queued, tickets, sent := make(chan struct{}), []journal.Ticket{}, []string{}
	r.fs.OnOp(func(k faultfs.Kind, _ string) error {
		if k == faultfs.Sync {
			<-queued
		}
		return nil
	})
	for range n {
		payload := r.payload()
		ticket, err := r.j.Append([]byte(payload))
		require.NoError(r.t, err)
		tickets, sent = append(tickets, ticket), append(sent, payload)
	}
	close(queued)
	for i, ticket := range tickets {
		require.NoError(r.t, ticket.Wait())
		r.last = ticket.Seq()
		r.acked[r.last] = sent[i]
	}
	require.NoError(r.t, r.j.Sync())
	r.fs.OnOp(nil)
}

// disks makes journals of different shapes: records one by one and in batches, short
// and long segments, restarts, truncation, a gap in the numbers.
func disks(t *testing.T) (out []disk) {
	for shape := range 24 {
		r := newRig(t)
		rnd := rand.New(rand.NewPCG(uint64(shape), 7))
		r.cfg.SegmentBytes = []int64{1000, 4000, 1 << 20}[shape%3]
		r.open()
		for range 1 + rnd.IntN(4) {
			if rnd.IntN(2) == 0 {
				r.append(1 + rnd.IntN(30))
			} else {
				r.batch(1 + rnd.IntN(60))
			}
			if rnd.IntN(4) == 0 {
				require.NoError(t, r.j.Close())
				r.open()
			}
		}
		if shape%4 == 1 {
			require.NoError(t, r.j.Close())
			r.open()
			r.last += 1000
			require.NoError(t, r.j.Advance(r.last))
			r.append(1 + rnd.IntN(20))
		}
		d := disk{files: map[string][]byte{}, ever: maps.Clone(r.acked), last: r.last}
		if shape%5 == 2 {
			mark := uint64(1 + rnd.IntN(len(r.acked)))
			require.NoError(t, r.j.Truncate(mark))
			maps.DeleteFunc(r.acked, func(seq uint64, _ string) bool { return seq <= mark })
		}
		d.acked = r.acked
		require.NoError(t, r.j.Close())
		names, _ := r.fs.List(dir)
		for _, name := range names {
			d.files[name] = r.fs.Bytes(filepath.Join(dir, name))
		}
		out = append(out, d)
	}
	return out
}

func (d disk) put(fs *faultfs.FS) {
	for name, b := range d.files {
		fs.Damage(filepath.Join(dir, name), b)
	}
}

// harm is one random damage to a journal's files.
type harm struct {
	rnd   *rand.Rand
	files map[string][]byte
	segs  []string
	done  string // what was done, for the log
}

func newHarm(seed uint64, d disk) *harm {
	h := &harm{rnd: rand.New(rand.NewPCG(seed, 1)), files: maps.Clone(d.files)}
	for name := range d.files {
		if strings.HasSuffix(name, ".seg") {
			h.segs = append(h.segs, name)
		}
	}
	slices.Sort(h.segs)
	h.do()
	return h
}

func (h *harm) do() {
	if len(h.segs) > 1 && h.rnd.IntN(4) == 0 {
		h.shuffle()
		return
	}
	name := h.segs[h.rnd.IntN(len(h.segs))]
	switch h.rnd.IntN(12) {
	case 0, 1, 2:
		name = h.segs[len(h.segs)-1]
	case 3:
		name = []string{"meta", "mark", "acked"}[h.rnd.IntN(3)]
	}
	b := bytes.Clone(h.files[name])
	h.files[name] = h.bytes(b)
	h.done = name + ": " + h.done
}

// span is a random piece of n bytes, as often at the boundary of a record as not.
func (h *harm) span(b []byte) (from, to int) {
	from = h.place(b)
	to = from + 1 + h.rnd.IntN(1+min(len(b)-from, []int{4, 60, 700, 1 << 20}[h.rnd.IntN(4)]))
	if h.rnd.IntN(2) == 0 {
		to = max(h.place(b), from)
	}
	return from, min(to, len(b))
}

func (h *harm) place(b []byte) int {
	if len(b) <= journal.SegmentHeaderSize || h.rnd.IntN(2) == 0 {
		return h.rnd.IntN(len(b) + 1)
	}
	var at []int
	for i := journal.SegmentHeaderSize; i <= len(b); { // b may have lost something already
		at = append(at, i)
		if i+journal.FrameHeaderSize > len(b) {
			break
		}
		i += journal.FrameHeaderSize + int(b[i+4]) + int(b[i+5])<<8
	}
	return at[h.rnd.IntN(len(at))]
}

func (h *harm) foreign() []byte {
	b := make([]byte, 1+h.rnd.IntN([]int{4, 100, 5000}[h.rnd.IntN(3)]))
	if h.rnd.IntN(5) == 0 {
		b = make([]byte, 60)
	}
	for i := range b {
		b[i] = byte(h.rnd.Uint32())
	}
	switch h.rnd.IntN(4) {
	case 0:
		clear(b)
	case 1: // records of this journal, of this or another file
		other := h.files[h.segs[h.rnd.IntN(len(h.segs))]]
		from, to := h.span(other)
		b = bytes.Clone(other[from:to])
	}
	return b
}

func (h *harm) bytes(b []byte) []byte {
	from, to := h.span(b)
	piece := bytes.Clone(b[from:to])
	say := func(what string) { h.done = fmt.Sprintf("%s %d to %d of %d", what, from, to, len(b)) }
	switch h.rnd.IntN(9) {
	case 0:
		say("inserted")
		return slices.Insert(b, from, h.foreign()...)
	case 1:
		say("removed")
		return slices.Delete(b, from, to)
	case 2:
		say("cut off")
		return b[:from]
	case 3:
		say("zeroed")
		clear(b[from:to])
	case 4:
		say("flipped")
		for i := range min(len(piece), 1+h.rnd.IntN(3)) {
			b[from+i] ^= 1 << h.rnd.IntN(8)
		}
	case 5:
		say("overwritten")
		copy(b[from:], h.foreign())
	case 6:
		say("repeated")
		return slices.Insert(b, h.place(b), piece...)
	case 7:
		say("moved")
		b = slices.Delete(b, from, to)
		return slices.Insert(b, h.place(b), piece...)
	default:
		say("appended behind")
		return append(b, h.foreign()...)
	}
	return b
}

func (h *harm) shuffle() {
	i, j := h.rnd.IntN(len(h.segs)), h.rnd.IntN(len(h.segs))
	a, b := h.segs[i], h.segs[j]
	kind := h.rnd.IntN(5)
	h.done = fmt.Sprintf("segments %s and %s, kind %d", a, b, kind)
	free := journal.SegmentName(uint64(1 + h.rnd.IntN(2000)))
	switch kind {
	case 0: // swapped
		h.files[a], h.files[b] = h.files[b], h.files[a]
	case 1: // missing
		delete(h.files, a)
	case 2: // copied over another, or to a free name
		h.files[b] = h.files[a]
	case 3:
		h.files[free] = h.files[a]
	case 4: // renamed
		content := h.files[a]
		delete(h.files, a)
		h.files[free] = content
	}
}

// Whatever happens to the files of a journal that was closed: either all that was
// acknowledged is there, or Open and Verify say that it is damaged; and Repair then
// keeps or names every record.
func TestAnyDamageIsTold(t *testing.T) {
	all := disks(t)
	told, harmless := 0, 0
	for seed := range uint64(damages) {
		d := all[seed%uint64(len(all))]
		h := newHarm(seed, d)
		if err := checkDamaged(t, d, h.files); err == nil {
			harmless++
		} else if told++; t.Failed() {
			t.Logf("last error: %v", err)
		}
		if t.Failed() {
			t.Fatalf("seed %d: %s", seed, h.done)
		}
	}
	t.Logf("seeds 0 to %d: %d told, %d without harm", damages-1, told, harmless)
	require.Greater(t, told, damages/2)
}

// checkDamaged returns what Open said.
func checkDamaged(t *testing.T, d disk, files map[string][]byte) error {
	fs := faultfs.New()
	disk{files: files}.put(fs)
	cfg := journal.Config{Dir: dir, SegmentBytes: 1000, FS: fs}
	_, verr := journal.VerifyFS(fs, dir)
	j, err := journal.Open(cfg)
	if !errors.Is(verr, journal.ErrCorrupt) && verr != nil || (verr == nil) != (err == nil) {
		t.Errorf("verify says %v, open says %v", verr, err)
	}
	if err == nil {
		defer j.Close()
		if got := readAll(t, j); !maps.Equal(got, d.acked) {
			t.Errorf("%d of %d acknowledged records are there, and nobody was told", len(got), len(d.acked))
		}
		return nil
	}
	report, rerr := journal.RepairFS(fs, dir)
	if rerr != nil {
		t.Errorf("repair: %v", rerr)
		return err
	}
	if j, rerr = journal.Open(cfg); rerr != nil {
		t.Errorf("open after repair: %v", rerr)
		return err
	}
	defer j.Close()
	got := readAll(t, j)
	for seq, payload := range got {
		if d.ever[seq] != payload {
			t.Errorf("record %d is not what it was", seq)
		}
	}
	for seq := range d.acked {
		_, there := got[seq]
		lost := slices.ContainsFunc(report.Lost, func(l [2]uint64) bool { return l[0] <= seq && seq <= l[1] })
		if there == lost && !(report.LostAfter > 0 && seq > report.LostAfter && !there) {
			t.Errorf("record %d: there %v, told to be lost %v; %v", seq, there, lost, report.Lost)
		}
	}
	ticket, aerr := j.Append([]byte("after repair"))
	if aerr != nil || ticket.Wait() != nil || ticket.Seq() <= d.last {
		t.Errorf("append after repair: number %d, last was %d: %v", ticket.Seq(), d.last, aerr)
	}
	return err
}

// An append that was not acknowledged may be cut off anywhere, by the end of the
// process or, by sectors, of the power: Open goes on by itself with all that was.
func TestAnyInterruptedWriteOpens(t *testing.T) {
	for seed := range uint64(40) {
		r := newRig(t)
		rnd := rand.New(rand.NewPCG(seed, 3))
		r.cfg.SegmentBytes = 1 << 20
		r.open()
		r.append(rnd.IntN(4))
		r.batch(1 + rnd.IntN(20))
		before, watermark := r.fs.Bytes(r.newest()), r.fs.Bytes(filepath.Join(dir, "acked"))
		d := disk{files: map[string][]byte{}, acked: maps.Clone(r.acked)}
		r.batch(1 + rnd.IntN(30))
		after := r.fs.Bytes(r.newest())
		require.NoError(t, r.j.Close())
		for _, name := range []string{"meta", "mark"} {
			d.files[name] = r.fs.Bytes(filepath.Join(dir, name))
		}
		for n := len(before); n < len(after); n += 1 + rnd.IntN(5) {
			for _, zeros := range []int{0, 1, 600, 5000} {
				d.files["acked"] = watermark
				d.files[filepath.Base(r.newest())] = append(bytes.Clone(after[:n]), make([]byte, zeros)...)
				fs := faultfs.New()
				d.put(fs)
				j, err := journal.Open(journal.Config{Dir: dir, FS: fs})
				require.NoError(t, err, "seed %d, cut at %d of %d, %d zeros behind", seed, n, len(after), zeros)
				got := readAll(t, j)
				for seq, payload := range d.acked {
					if got[seq] != payload {
						t.Fatalf("seed %d: record %d is lost", seed, seq)
					}
				}
				j.Close()
			}
		}
	}
}
