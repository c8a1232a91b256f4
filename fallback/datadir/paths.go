// package datadir is the directory that a store keeps its files in: their names, who may
// write to it, and how a file is replaced so that a crash leaves the old one or the new.
package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Journal is where a data directory keeps its journal.
func Journal(dir string) string { return filepath.Join(dir, "journal") }

// Mark is the file that remembers how far Redis got.
func Mark(dir string) string { return filepath.Join(dir, "replay.json") }

// Snapshot is the last dump of the local state.
func Snapshot(dir string) string { return filepath.Join(dir, "snapshot") }

// DeadLetters are the writes that nobody could apply.
func DeadLetters(dir string) string { return filepath.Join(dir, "deadletters.jsonl") }

// Check tells a directory that no proxy ever used, most often a misspelt
// one, from one that has nothing to show.
func Check(dir string) error {
	info, err := os.Stat(Journal(dir))
	if err == nil && info.IsDir() {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look at the data directory: %w", err)
	}
	return fmt.Errorf("%s is not a data directory of a proxy: it has no journal; name the right one with --data-dir", dir)
}

// Conflicts are the values at Redis that differed from what the writes of an outage found.
func Conflicts(dir string) string { return filepath.Join(dir, "conflicts.jsonl") }

// SnapshotAside is where the snapshot from before a load lies until the load tells
// whether Redis lost its data.
func SnapshotAside(dir string) string { return filepath.Join(dir, "snapshot.aside") }
