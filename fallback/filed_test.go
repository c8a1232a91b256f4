package fallback

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shortOfDisk runs fn with no file allowed to grow beyond n bytes.
func shortOfDisk(t *testing.T, n uint64, fn func()) {
	var old syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old))
	lim := old
	lim.Cur = n
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &lim))
	defer func() { require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old)) }()
	fn()
}

// failing appends a write that redis refuses inside EXEC.
func failing(t *testing.T, r *rig) {
	t.Helper()
	_, err := r.store.jr.Append(appendRecord(nil, Record{Commands: [][][]byte{words("SET", "k", strings.Repeat("v", 2000), "NOSUCHOPTION")}}))
	require.NoError(t, err)
	require.NoError(t, r.store.jr.Sync())
}

func TestLetterThatCannotBeWrittenIsNotLost(t *testing.T) {
	t.Run("written at the next connection", func(t *testing.T) {
		r := newRig(t)
		r.do("SET", "fine", "1")
		failing(t, r)
		shortOfDisk(t, 600, func() {
			require.ErrorContains(t, r.connect(), "dead letter")
			require.ErrorContains(t, r.connect(), "dead letter", "nothing goes on without it")
		})
		require.Equal(t, 1, r.store.Status().DeadLetters)
		r.online()
		letters, err := ReadDeadLetters(r.dir)
		require.NoError(t, err)
		require.Len(t, letters, 1)
		require.Equal(t, "NOSUCHOPTION", string(letters[0].Commands[0][3]))
	})
	t.Run("the process dies before", func(t *testing.T) {
		r := newRig(t)
		r.do("SET", "fine", "1")
		failing(t, r)
		shortOfDisk(t, 600, func() { require.Error(t, r.connect()) })
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
	rec := Record{Seq: 7, Commands: [][][]byte{words("SET", "a", strings.Repeat("x", 200))}}
	r.store.dead.add(rec, "test", time.Now())
	shortOfDisk(t, 100, func() { require.Error(t, r.store.dead.flush()) })
	require.NoError(t, r.store.dead.flush())
	letters, err := ReadDeadLetters(r.dir)
	require.NoError(t, err, "what was written of the first try is gone")
	require.Len(t, letters, 1)
	r.close()

	path := filepath.Join(r.dir, "deadletters.jsonl")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	eight, err := json.Marshal(DeadLetter{Seq: 8, Stream: letters[0].Stream})
	require.NoError(t, err)
	glued := append(append(whole[:len(whole)-20:len(whole)-20], eight...), '\n')
	rotten := []byte(`{"seq":9,"stream":"` + letters[0].Stream + "\",\x00\x00\n")
	require.NoError(t, os.WriteFile(path, append(glued, rotten...), 0o600))
	_, err = ReadDeadLetters(r.dir)
	require.ErrorContains(t, err, "deadletters.jsonl is damaged in line 1: start the proxy once")
	for range 2 {
		r.open()
		require.Equal(t, 3, r.store.Status().DeadLetters, "none is dropped silently")
		require.True(t, r.store.filed.has(8))
		require.True(t, r.store.filed.has(9))
		letters, err = ReadDeadLetters(r.dir)
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
	letters, err := ReadDeadLetters(r.dir)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	require.Equal(t, 3, letters[0].UnitOf)
	r.redis("DEL", "m:b")
	r.close()
	n, err := RetryDeadLetters(r.dir)
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
		for i := range n {
			rec := Record{Seq: uint64(1000 + i), Commands: [][][]byte{words("INCR", "n"), words("SET", "pad", strings.Repeat("x", 200<<10))}}
			r.store.dead.add(rec, "test", time.Now())
		}
		require.NoError(t, r.store.dead.flush())
		r.close()
		shortOfDisk(t, 4<<20, func() { _, err := RetryDeadLetters(r.dir); require.Error(t, err) })
		if between { // the proxy runs, and writes, before it is tried again
			r.open()
			r.do("INCR", "n")
			r.do("DECR", "n")
			r.online()
			r.close()
		}
		_, err := RetryDeadLetters(r.dir)
		require.NoError(t, err)
		r.open()
		r.online()
		require.Equal(t, "40", r.redis("GET", "n"), between)
		require.Zero(t, r.store.Status().DeadLetters)
		r.close()
	}
}
