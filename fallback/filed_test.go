package fallback

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/datadir"
	"holdfast/fallback/deadletter"
	"holdfast/fallback/journal"
	"holdfast/fallback/record"
)

// noLetters runs fn while no dead letter can be written.
func (r *rig) noLetters(fn func()) {
	r.t.Helper()
	file := r.store.dead.File
	full, err := os.Open(file.Name()) // for reading
	require.NoError(r.t, err)
	r.store.dead.File = full
	fn()
	r.store.dead.File = file
	require.NoError(r.t, full.Close())
}

// appendTo leaves what a write leaves that the disk had no room for.
func appendTo(t *testing.T, path, part string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(part)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// failing appends a write that redis refuses inside EXEC.
func failing(t *testing.T, r *rig) {
	t.Helper()
	_, err := r.store.jr.Append(record.Append(nil, record.Record{Commands: [][][]byte{words("SET", "k", strings.Repeat("v", 2000), "NOSUCHOPTION")}}))
	require.NoError(t, err)
	require.NoError(t, r.store.jr.Sync())
}

func TestLetterThatCannotBeWrittenIsNotLost(t *testing.T) {
	t.Run("written at the next connection", func(t *testing.T) {
		r := newRig(t)
		r.do("SET", "fine", "1")
		failing(t, r)
		r.noLetters(func() {
			require.ErrorContains(t, r.connect(), "dead letter")
			require.ErrorContains(t, r.connect(), "dead letter", "nothing goes on without it")
		})
		require.Equal(t, 1, r.store.Status().DeadLetters)
		r.online()
		letters, err := deadletter.Read(r.dir)
		require.NoError(t, err)
		require.Len(t, letters, 1)
		require.Equal(t, "NOSUCHOPTION", string(letters[0].Commands[0][3]))
	})
	t.Run("the process dies before", func(t *testing.T) {
		r := newRig(t)
		r.do("SET", "fine", "1")
		failing(t, r)
		r.noLetters(func() { require.Error(t, r.connect()) })
		r.crash()
		r.online()
		found := conflictsOf(t, r)
		require.Len(t, found, 1)
		require.True(t, found[0].NoReply)
		require.Equal(t, "NOSUCHOPTION", string(found[0].Commands[0][3]))
	})
}

func TestDamagedLettersAreKeptAside(t *testing.T) {
	r := newRig(t)
	rec := record.Record{Seq: 7, Commands: [][][]byte{words("SET", "a", strings.Repeat("x", 200))}}
	r.store.dead.Add(rec, "test", time.Now())
	appendTo(t, r.store.dead.Path, `{"seq":7,"stream":`)
	require.NoError(t, r.store.dead.Flush())
	letters, err := deadletter.Read(r.dir)
	require.NoError(t, err, "what was written of the first try is gone")
	require.Len(t, letters, 1)
	r.close()

	path := filepath.Join(r.dir, "deadletters.jsonl")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	eight, err := json.Marshal(deadletter.Letter{Seq: 8, Stream: letters[0].Stream})
	require.NoError(t, err)
	glued := append(append(whole[:len(whole)-20:len(whole)-20], eight...), '\n')
	rotten := []byte(`{"seq":9,"stream":"` + letters[0].Stream + "\",\x00\x00\n")
	require.NoError(t, os.WriteFile(path, append(glued, rotten...), 0o600))
	_, err = deadletter.Read(r.dir)
	require.ErrorContains(t, err, "deadletters.jsonl is damaged in line 1: start the proxy once")
	for range 2 {
		r.open()
		require.Equal(t, 3, r.store.Status().DeadLetters, "none is dropped silently")
		require.True(t, r.store.filed.Has(8))
		require.True(t, r.store.filed.Has(9))
		letters, err = deadletter.Read(r.dir)
		require.NoError(t, err)
		require.Len(t, letters, 1)
		require.EqualValues(t, 8, letters[0].Seq)
		r.close()
	}
}

func TestRetryOfAUnitDoesNotDoubleWhatWasApplied(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:a", "0")
	r.loaded()
	r.lost()
	r.unit("INCR m:a", "LPUSH m:b x", "INCR m:a")
	r.redis("SET", "m:b", "a string of somebody else")
	r.online()
	letters, err := deadletter.Read(r.dir)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	require.Equal(t, 3, letters[0].UnitOf)
	r.redis("DEL", "m:b")
	r.close()
	n, err := deadletter.RetryDeadLetters(r.dir)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	r.open()
	r.online()
	require.Equal(t, "2", r.redis("GET", "m:a"))
	require.Equal(t, []any{"x"}, r.redis("LRANGE", "m:b", 0, -1))
}

func TestRetryThatBreaksOffQueuesEachOnce(t *testing.T) {
	for _, between := range []bool{false, true} {
		r := newRig(t)
		const n = 40
		require.NoError(t, r.store.jr.Advance(2000))
		for i := range n {
			rec := record.Record{Seq: uint64(1000 + i), Commands: [][][]byte{words("INCR", "n"), words("SET", "pad", strings.Repeat("x", 200<<10))}}
			r.store.dead.Add(rec, "test", time.Now())
		}
		require.NoError(t, r.store.dead.Flush())
		r.close()
		jr, err := journal.Open(journal.Config{Dir: datadir.Journal(r.dir), MaxBytes: 4 << 20})
		require.NoError(t, err)
		_, err = deadletter.RetryInto(r.dir, jr)
		require.ErrorIs(t, err, journal.ErrFull)
		require.NoError(t, jr.Close())
		if between { // the proxy runs, and writes, before it is tried again
			r.open()
			r.do("INCR", "n")
			r.do("DECR", "n")
			r.online()
			r.close()
		}
		_, err = deadletter.RetryDeadLetters(r.dir)
		require.NoError(t, err)
		r.open()
		r.online()
		require.Equal(t, "40", r.redis("GET", "n"), between)
		require.Zero(t, r.store.Status().DeadLetters)
		r.close()
	}
}

// Letters that are more than the bound of the proxy's journal drain from it.
func TestRetryOfMoreThanTheJournalBound(t *testing.T) {
	r := newRig(t, func(c *Config) { c.JournalBytes = 2 << 20 })
	value := strings.Repeat("x", 1<<20)
	for i := range 4 {
		r.store.dead.Add(record.Record{Seq: uint64(100 + i), Commands: [][][]byte{words("RPUSH", "l", value)}}, "test", time.Now())
	}
	require.NoError(t, r.store.jr.Advance(200))
	require.NoError(t, r.store.dead.Flush())
	r.close()
	n, err := deadletter.RetryDeadLetters(r.dir)
	require.NoError(t, err)
	require.Equal(t, 4, n)
	r.open()
	r.online()
	require.EqualValues(t, 4, r.redis("LLEN", "l"))
	r.lost()
	require.Equal(t, "+OK\r\n", r.do("SET", "a", "1"))
}

// The numbers of letters that were set aside count as filed: a write that is queued
// again under one of them would never be sent.
func TestRetryDoesNotUseTheNumberOfADroppedLetter(t *testing.T) {
	r := newRig(t)
	for seq := range uint64(5) {
		r.store.dead.Add(record.Record{Seq: 1 + seq, Commands: [][][]byte{words("SET", "k", "1")}}, "test", time.Now())
	}
	require.NoError(t, r.store.dead.Flush())
	r.do("SET", "k", "1")
	r.do("SET", "k", "2")
	letters, err := deadletter.Read(r.dir)
	require.NoError(t, err)
	r.close()
	_, _, err = deadletter.Drop(r.dir)
	require.NoError(t, err)
	require.NoError(t, deadletter.WriteLetters(datadir.DeadLetters(r.dir), letters[:1])) // and the journal was set back: it ends at 2
	_, err = deadletter.RetryDeadLetters(r.dir)
	require.ErrorContains(t, err, "older than the rest")
	r.open()
	r.close()
	_, err = deadletter.RetryDeadLetters(r.dir)
	require.NoError(t, err, "as it says")
}
