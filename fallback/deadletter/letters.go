// Package deadletter keeps the acknowledged writes that Redis would not take, and the
// values that gave way to ours or to which ours gave way. Nothing acknowledged disappears
// silently: it is on disk here until somebody looks at it.
package deadletter

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"holdfast/fallback/datadir"
	"holdfast/fallback/journal"
	"holdfast/fallback/record"
)

// Letter is an acknowledged write that Redis would not take. It is kept
// until somebody looks at it: nothing acknowledged is dropped silently.
type Letter struct {
	Seq      uint64     `json:"seq"`
	Stream   string     `json:"stream,omitempty"` // of the journal that numbered it
	DB       int        `json:"db"`
	TimeMs   int64      `json:"timeMs"` // when it was acknowledged, server time
	FiledAt  time.Time  `json:"filedAt"`
	Reason   string     `json:"reason"`
	UnitOf   int        `json:"unitOf,omitempty"` // Commands are those that failed of a unit of so many; the others were applied
	Commands [][][]byte `json:"commands"`         // base64 in the file
}

// Letters is an append-only file of JSON lines. Letters wait in memory until
// they are on disk: the fence at Redis may be past their records already, so a
// disk that is full must not lose them.
type Letters struct {
	Path    string
	mu      sync.Mutex
	File    *os.File
	size    int64 // of the whole lines; what is behind it is a failed write's
	count   int
	filed   *Filed
	waiting []Letter
}

// Open opens the letters of a data directory, and cuts off what a crash left of a last
// line. filed gets the numbers of those that are there.
func Open(dir string, filed *Filed, log *slog.Logger) (*Letters, error) {
	d := &Letters{Path: datadir.DeadLetters(dir), filed: filed}
	if err := datadir.CutTornLine(d.Path); err != nil {
		return nil, fmt.Errorf("open dead letters: %w", err)
	}
	damaged, err := setDamagedAside(dir, log)
	if err != nil {
		return nil, err
	}
	letters, _, err := scanDeadLetters(d.Path)
	if err != nil {
		return nil, err
	}
	d.count = len(letters) + damaged
	d.File, err = os.OpenFile(d.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open dead letters: %w", err)
	}
	info, err := d.File.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open dead letters: %w", err), d.File.Close())
	}
	d.size = info.Size()
	return d, nil
}

// Add puts one record among the letters, once: a replay that was interrupted
// after it filed comes by again. flush writes it.
func (d *Letters) Add(rec record.Record, reason string, now time.Time) {
	d.AddPart(rec, rec.Commands, reason, now)
}

// AddPart is add for those commands of a record that did not apply.
func (d *Letters) AddPart(rec record.Record, commands [][][]byte, reason string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.filed.Has(rec.Seq) || slices.ContainsFunc(d.waiting, func(l Letter) bool { return l.Seq == rec.Seq }) {
		return
	}
	l := Letter{Seq: rec.Seq, Stream: d.filed.Stream, DB: rec.DB, TimeMs: rec.TimeMs, FiledAt: now, Reason: reason, Commands: commands}
	if len(commands) < len(rec.Commands) {
		l.UnitOf = len(rec.Commands)
	}
	d.waiting = append(d.waiting, l)
}

// Flush writes the letters that wait, and returns when they are on disk: one
// write and one fsync for all. They go on waiting after an error.
func (d *Letters) Flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) == 0 {
		return nil
	}
	var lines []byte
	for _, l := range d.waiting {
		line, err := json.Marshal(l)
		if err != nil {
			return fmt.Errorf("encode dead letter: %w", err)
		}
		lines = append(append(lines, line...), '\n')
	}
	// An earlier write may have left a part of a line, to which this would be glued.
	if err := d.File.Truncate(d.size); err != nil {
		return fmt.Errorf("write dead letter: %w", err)
	}
	if _, err := d.File.Write(lines); err != nil {
		return fmt.Errorf("write dead letter: %w", err)
	}
	if err := d.File.Sync(); err != nil {
		return fmt.Errorf("sync dead letters: %w", err)
	}
	for _, l := range d.waiting {
		d.filed.Add(l.Seq)
	}
	d.size, d.count, d.waiting = d.size+int64(len(lines)), d.count+len(d.waiting), nil
	return nil
}

// Count includes the letters that are not on disk yet.
func (d *Letters) Count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count + len(d.waiting)
}

// Close writes what waits and closes the file.
func (d *Letters) Close() error { return errors.Join(d.Flush(), d.File.Close()) }

// Read lists the dead letters of a data directory, oldest first. A
// torn last line (a crash while filing) is left out: its record is still in the
// journal then. A damaged line is an error that comes with the other letters.
func Read(dir string) ([]Letter, error) {
	path := datadir.DeadLetters(dir)
	letters, damaged, err := scanDeadLetters(path)
	if err == nil && len(damaged) > 0 {
		err = fmt.Errorf("%s is damaged in line %d: start the proxy once, it moves what cannot be read to %s", path, damaged[0].line, damagedPath(dir))
	}
	return letters, err
}

// Drop sets the file of a stopped proxy's dead letters aside; it is
// kept under the returned name. A proxy that runs would go on filing in it.
func Drop(dir string) (path string, n int, err error) {
	lock, err := journal.Lock(datadir.Journal(dir))
	if err != nil {
		return "", 0, err
	}
	defer lock.Close()
	letters, err := Read(dir)
	if err != nil || len(letters) == 0 {
		return "", 0, err
	}
	path, err = setAside(dir, "dropped")
	return path, len(letters), err
}

func setAside(dir, why string) (string, error) {
	to := asideName(dir, why)
	if err := os.Rename(datadir.DeadLetters(dir), to); err != nil {
		return "", fmt.Errorf("set dead letters aside: %w", err)
	}
	return to, datadir.SyncDir(dir)
}

func asideName(dir, why string) string {
	return fmt.Sprintf("%s.%s-%s", datadir.DeadLetters(dir), why, time.Now().UTC().Format("20060102T150405.000"))
}
