package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"holdfast/fallback/datadir"
	"holdfast/fallback/journal"
	"holdfast/fallback/record"
)

// retryNote says, while dead letters are being queued again, which record of the
// journal each of them becomes: so one that breaks off half way is known to have
// queued those whose records are there.
type retryNote struct {
	Stream  string      `json:"stream"`
	First   uint64      `json:"first"`   // the record of the first letter
	Letters []letterKey `json:"letters"` // in order
}

// letterKey names a dead letter.
type letterKey struct {
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq"`
}

func retryPath(dir string) string { return filepath.Join(dir, "retry.json") }

// RetryDeadLetters queues the dead letters of a stopped proxy again and returns
// how many. One that breaks off may be repeated: what it queued is not queued again.
func RetryDeadLetters(dir string) (int, error) {
	if letters, err := Read(dir); err != nil || len(letters) == 0 {
		return 0, err
	}
	jr, err := journal.Open(journal.Config{Dir: datadir.Journal(dir), MaxBytes: math.MaxInt64}) // the bound is the proxy's, which is not known here
	if err != nil {
		return 0, fmt.Errorf("open journal: %w", err)
	}
	defer jr.Close()
	return RetryInto(dir, jr)
}

// RetryInto appends the letters of a data directory to its journal once more, and returns
// how many they were.
func RetryInto(dir string, jr *journal.Journal) (int, error) {
	done, err := FinishRetry(dir, jr)
	if err != nil {
		return 0, err
	}
	letters, err := Read(dir)
	if err != nil || len(letters) == 0 {
		return done, err
	}
	used, err := datadir.ReadReplayed(dir)
	if err != nil {
		return done, err
	}
	filed, err := ReadFiled(dir, jr.StreamID())
	if err != nil {
		return done, err
	}
	if used = max(used, filed.Last()); used > jr.Stats().LastSeq { // new numbers would be taken for known ones, see passUsedNumbers
		return done, fmt.Errorf("the journal is older than the rest of %s: start the proxy once, which sets that right, and retry then", dir)
	}
	note := retryNote{Stream: jr.StreamID(), First: jr.Stats().LastSeq + 1}
	for _, l := range letters {
		note.Letters = append(note.Letters, letterKey{l.Stream, l.Seq})
	}
	if err := note.write(dir); err != nil {
		return done, err
	}
	for _, l := range letters {
		if _, err := jr.Append(record.Append(nil, record.Record{DB: l.DB, TimeMs: l.TimeMs, Commands: l.Commands})); err != nil {
			return done, fmt.Errorf("queue dead letter %d: %w", l.Seq, err)
		}
	}
	if err := jr.Sync(); err != nil {
		return done, fmt.Errorf("sync journal: %w", err)
	}
	if _, err = setAside(dir, "retried"); err != nil {
		return done, err
	}
	return done + len(letters), os.Remove(retryPath(dir))
}

func (n retryNote) write(dir string) error {
	return datadir.Replace(retryPath(dir), func(w io.Writer) error { return json.NewEncoder(w).Encode(n) })
}

// FinishRetry sets aside the letters that a retry queued before it broke off. It
// comes before anything else is appended, so a record at a letter's number is that letter.
func FinishRetry(dir string, jr *journal.Journal) (int, error) {
	raw, err := os.ReadFile(retryPath(dir))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the note of a retry: %w", err)
	}
	var note retryNote
	if err := json.Unmarshal(raw, &note); err != nil {
		return 0, fmt.Errorf("read %s: %w: it says which dead letters were queued again", retryPath(dir), err)
	}
	letters, _, err := scanDeadLetters(datadir.DeadLetters(dir))
	if err != nil {
		return 0, err
	}
	queued := map[letterKey]bool{}
	if note.Stream == jr.StreamID() {
		err = jr.Read(context.Background(), note.First-1, func(seq uint64, _ []byte) error {
			if i := seq - note.First; i < uint64(len(note.Letters)) {
				queued[note.Letters[i]] = true
			}
			return nil
		})
	}
	if err != nil {
		return 0, fmt.Errorf("read journal: %w", err)
	}
	var gone, left []Letter
	for _, l := range letters {
		if queued[letterKey{l.Stream, l.Seq}] {
			gone = append(gone, l)
		} else {
			left = append(left, l)
		}
	}
	if len(gone) > 0 {
		// Two files change: the whole one is kept under the other name first, its
		// numbers count as filed in either.
		if err := WriteLetters(asideName(dir, "retried"), gone); err != nil {
			return 0, err
		}
		if err := WriteLetters(datadir.DeadLetters(dir), left); err != nil {
			return 0, err
		}
	}
	return len(gone), os.Remove(retryPath(dir))
}
