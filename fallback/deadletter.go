package fallback

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"holdfast/fallback/journal"
)

// DeadLetter is an acknowledged write that Redis would not take. It is kept
// until somebody looks at it: nothing acknowledged is dropped silently.
type DeadLetter struct {
	Seq      uint64     `json:"seq"`
	Stream   string     `json:"stream,omitempty"` // of the journal that numbered it
	DB       int        `json:"db"`
	TimeMs   int64      `json:"timeMs"` // when it was acknowledged, server time
	FiledAt  time.Time  `json:"filedAt"`
	Reason   string     `json:"reason"`
	Commands [][][]byte `json:"commands"` // base64 in the file
}

// deadLetters is an append-only file of JSON lines, synced with each entry.
type deadLetters struct {
	path  string
	mu    sync.Mutex
	file  *os.File
	count int
	filed *filed
}

func openDeadLetters(dir string, filed *filed) (*deadLetters, error) {
	d := &deadLetters{path: filepath.Join(dir, "deadletters.jsonl"), filed: filed}
	letters, err := ReadDeadLetters(dir)
	if err != nil {
		return nil, err
	}
	d.count = len(letters)
	if err := cutTornLine(d.path); err != nil {
		return nil, fmt.Errorf("open dead letters: %w", err)
	}
	d.file, err = os.OpenFile(d.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open dead letters: %w", err)
	}
	return d, nil
}

// cutTornLine removes what a crash left of a last line, or the next entry would
// be glued to it.
func cutTornLine(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var whole int64
	if err := eachLine(f, func(line []byte) error { whole += int64(len(line)); return nil }); err != nil {
		return err
	}
	return f.Truncate(whole)
}

// add files one record, once: a replay that was interrupted after it filed comes
// by again. It returns when the entry is on disk.
func (d *deadLetters) add(rec Record, reason string, now time.Time) error {
	if d.filed.has(rec.Seq) {
		return nil
	}
	line, err := json.Marshal(DeadLetter{Seq: rec.Seq, Stream: d.filed.stream, DB: rec.DB, TimeMs: rec.TimeMs, FiledAt: now, Reason: reason, Commands: rec.Commands})
	if err != nil {
		return fmt.Errorf("encode dead letter: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write dead letter: %w", err)
	}
	if err := d.file.Sync(); err != nil {
		return fmt.Errorf("sync dead letters: %w", err)
	}
	d.count++
	d.filed.add(rec.Seq)
	return nil
}

func (d *deadLetters) Count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

func (d *deadLetters) Close() error { return d.file.Close() }

// ReadDeadLetters lists the dead letters of a data directory, oldest first. A
// torn last line (a crash while filing) is left out: its record is still in the
// journal then.
func ReadDeadLetters(dir string) ([]DeadLetter, error) {
	f, err := os.Open(filepath.Join(dir, "deadletters.jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open dead letters: %w", err)
	}
	defer f.Close()
	var out []DeadLetter
	err = eachLine(f, func(line []byte) error {
		var l DeadLetter
		if err := json.Unmarshal(line, &l); err != nil {
			return fmt.Errorf("line %d of %s is damaged: %w: mend it, or rename the file to %s.damaged: what it lists is then not shown and counted any more, and still never sent again",
				len(out)+1, f.Name(), err, f.Name())
		}
		out = append(out, l)
		return nil
	})
	return out, err
}

// eachLine calls fn for every whole line.
func eachLine(r io.Reader, fn func(line []byte) error) error {
	br := bufio.NewReader(r)
	for {
		line, err := br.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(line); err != nil {
			return err
		}
	}
}

// RetryDeadLetters queues the dead letters of a stopped proxy again and returns
// how many. The file is set aside only after they are durable in the journal: a
// crash in between queues them twice at worst, which the next listing shows.
func RetryDeadLetters(dir string) (int, error) {
	jr, err := journal.Open(journal.Config{Dir: JournalDir(dir)})
	if err != nil {
		return 0, fmt.Errorf("open journal: %w", err)
	}
	defer jr.Close()
	letters, err := ReadDeadLetters(dir) // nobody else files any from here on
	if err != nil || len(letters) == 0 {
		return 0, err
	}
	used, err := ReadReplayed(dir)
	if err != nil {
		return 0, err
	}
	for _, l := range letters {
		if l.Stream == jr.StreamID() {
			used = max(used, l.Seq)
		}
	}
	if used > jr.Stats().LastSeq { // new numbers would be taken for known ones, see passUsedNumbers
		return 0, fmt.Errorf("the journal is older than the rest of %s: start the proxy once, which sets that right, and retry then", dir)
	}
	for _, l := range letters {
		if _, err := jr.Append(appendRecord(nil, Record{DB: l.DB, TimeMs: l.TimeMs, Commands: l.Commands})); err != nil {
			return 0, fmt.Errorf("queue dead letter %d: %w", l.Seq, err)
		}
	}
	if err := jr.Sync(); err != nil {
		return 0, fmt.Errorf("sync journal: %w", err)
	}
	_, err = setAside(dir, "retried")
	return len(letters), err
}

// DropDeadLetters sets the file of a stopped proxy's dead letters aside; it is
// kept under the returned name. A proxy that runs would go on filing in it.
func DropDeadLetters(dir string) (path string, n int, err error) {
	lock, err := journal.Lock(JournalDir(dir))
	if err != nil {
		return "", 0, err
	}
	defer lock.Close()
	letters, err := ReadDeadLetters(dir)
	if err != nil || len(letters) == 0 {
		return "", 0, err
	}
	path, err = setAside(dir, "dropped")
	return path, len(letters), err
}

func setAside(dir, why string) (string, error) {
	from := filepath.Join(dir, "deadletters.jsonl")
	to := fmt.Sprintf("%s.%s-%s", from, why, time.Now().UTC().Format("20060102T150405.000"))
	if err := os.Rename(from, to); err != nil {
		return "", fmt.Errorf("set dead letters aside: %w", err)
	}
	return to, syncDir(dir)
}
