package journal_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"holdfast/fallback/journal"
	"holdfast/fallback/journal/faultfs"
)

// model is what a careful user of the journal knows.
type model struct {
	t       *rapid.T
	fs      *faultfs.FS
	cfg     journal.Config
	j       *journal.Journal
	rnd     *rand.Rand
	acked   map[uint64]string
	tried   map[uint64]string // unknown: appended, and no error that excludes it
	mark    uint64            // acknowledged truncation
	maxMark uint64            // attempted truncation
	tickets []journal.Ticket
	sent    []string
}

func (m *model) appendSome() {
	for range rapid.IntRange(1, 20).Draw(m.t, "records") {
		payload := strings.Repeat(string(rune('a'+len(m.tried)%26)), rapid.SampledFrom([]int{0, 1, 30, 600, 1500}).Draw(m.t, "size"))
		ticket, err := m.j.Append([]byte(payload))
		if err != nil {
			return
		}
		m.tickets = append(m.tickets, ticket)
		m.sent = append(m.sent, payload)
		m.tried[ticket.Seq()] = payload
	}
}

func (m *model) wait() {
	for i, ticket := range m.tickets {
		err := ticket.Wait()
		if err == nil {
			m.acked[ticket.Seq()] = m.sent[i]
		} else if !strings.Contains(err.Error(), "may still be on the disk") {
			delete(m.tried, ticket.Seq()) // refused: it must not come back
		}
	}
	m.tickets, m.sent = nil, nil
}

func (m *model) truncate() {
	last := m.j.Stats().LastSeq
	upTo := rapid.Uint64Range(0, last).Draw(m.t, "upTo")
	m.maxMark = max(m.maxMark, upTo)
	if m.j.Truncate(upTo) == nil {
		m.mark = max(m.mark, upTo)
	}
}

func (m *model) fault() {
	kind := rapid.SampledFrom([]faultfs.Kind{faultfs.Write, faultfs.Sync, faultfs.Create, faultfs.SyncDir, faultfs.Rename, faultfs.Remove}).Draw(m.t, "kind")
	cause := rapid.SampledFrom([]error{faultfs.ErrInjected, syscall.ENOSPC, syscall.EMFILE}).Draw(m.t, "cause")
	var err error = &faultfs.ShortWrite{N: rapid.IntRange(0, 100).Draw(m.t, "short"), Err: cause}
	if rapid.Bool().Draw(m.t, "power") {
		err = &faultfs.CrashNow{Mode: m.mode(), Rnd: m.rnd}
	}
	m.fs.FailNth(kind, "*", rapid.IntRange(1, 6).Draw(m.t, "nth"), err)
}

// revive lets a failed journal go on, if it can: what was refused is gone for good then.
func (m *model) revive() {
	failed := m.j.Failed()
	if failed {
		m.wait()
	}
	if m.j.Revive() != nil || !failed {
		return
	}
	last := m.j.Stats().LastSeq
	maps.DeleteFunc(m.tried, func(seq uint64, _ string) bool { return seq > last })
	m.check()
}

func (m *model) mode() faultfs.CrashMode {
	return rapid.SampledFrom([]faultfs.CrashMode{faultfs.DropAll, faultfs.KeepPrefix, faultfs.KeepAll, faultfs.Holes}).Draw(m.t, "mode")
}

// restart ends the process in one of three ways, and opens and checks.
func (m *model) restart() {
	switch rapid.SampledFrom([]string{"close", "kill", "crash"}).Draw(m.t, "end") {
	case "kill":
		m.fs.Kill()
	case "crash":
		m.fs.Crash(m.mode(), m.rnd)
	}
	m.j.Close()
	m.wait()
	m.fs.OnOp(nil)
	var err error
	m.j, err = journal.Open(m.cfg)
	require.NoError(m.t, err)
	m.check()
	// What was found is durable from here on.
	m.acked = map[uint64]string{}
	for seq, payload := range readAll2(m.t, m.j) {
		m.acked[seq] = payload
	}
	m.mark = m.j.Stats().TruncatedTo
	m.tried = map[uint64]string{}
	for seq, payload := range m.acked {
		m.tried[seq] = payload
	}
}

func (m *model) check() {
	stats := m.j.Stats()
	require.GreaterOrEqual(m.t, stats.TruncatedTo, m.mark)
	require.LessOrEqual(m.t, stats.TruncatedTo, max(m.mark, m.maxMark))
	got := readAll2(m.t, m.j)
	require.Equal(m.t, stats.LastSeq-stats.TruncatedTo, uint64(len(got)), "contiguous")
	require.Equal(m.t, uint64(len(got)), stats.Records)
	for seq, payload := range m.acked {
		if seq > stats.TruncatedTo {
			require.Equal(m.t, payload, got[seq], "acknowledged record %d", seq)
		}
	}
	for seq, payload := range got {
		want, ok := m.tried[seq]
		require.True(m.t, ok, "record %d was never appended, or was refused", seq)
		require.Equal(m.t, want, payload, "record %d", seq)
	}
}

func readAll2(t *rapid.T, j *journal.Journal) map[uint64]string {
	got := map[uint64]string{}
	want := j.Stats().TruncatedTo + 1
	require.NoError(t, j.Read(t.Context(), 0, func(seq uint64, payload []byte) error {
		require.Equal(t, want, seq)
		want++
		got[seq] = string(bytes.Clone(payload))
		return nil
	}))
	return got
}

// Acknowledged records are in what is recovered, in order and without a hole,
// and nothing is there that was not appended, whatever fails and whenever power goes.
func TestAnyFaultsAndCrashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, fs: faultfs.New(), acked: map[uint64]string{}, tried: map[uint64]string{}}
		m.rnd = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		m.cfg = journal.Config{Dir: dir, SegmentBytes: 3000, MaxBytes: 60000, FS: m.fs}
		var err error
		m.j, err = journal.Open(m.cfg)
		require.NoError(t, err)
		defer func() { m.j.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"append":   func(*rapid.T) { m.appendSome() },
			"wait":     func(*rapid.T) { m.wait() },
			"truncate": func(*rapid.T) { m.truncate() },
			"fault":    func(*rapid.T) { m.fault() },
			"revive":   func(*rapid.T) { m.revive() },
			"restart":  func(*rapid.T) { m.restart() },
		})
		m.restart()
	})
}
