package datadir

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

// openToOthers are the permissions by which others could replace what lies in a
// directory, whatever the permissions of its files are.
const openToOthers = 0o022

// MakePrivate sees to it that nobody else can write to a data directory: whoever can
// swaps journal and snapshot, or removes the lock file under a running process. One
// that is new or was a data directory before is mended, as a umask or a volume made it
// so; any other is not ours to change.
func MakePrivate(dir string, log *slog.Logger) error {
	for _, path := range []string{dir, Journal(dir)} {
		info, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // the journal makes it, for its owner alone
		}
		if err != nil {
			return fmt.Errorf("look at the data directory: %w", err)
		}
		if info.Mode().Perm()&openToOthers == 0 {
			continue
		}
		if err = ours(dir); err == nil {
			err = os.Chmod(path, info.Mode().Perm()&^openToOthers)
		}
		if err != nil {
			return openDirError(path, info.Mode(), err)
		}
		log.Warn("the data directory was writable for others: it is not any more", "dir", path, "mode", info.Mode().Perm())
	}
	return nil
}

func openDirError(path string, mode os.FileMode, cause error) error {
	return fmt.Errorf("data directory %s is writable for others (mode %04o), and cannot be made private (%w): run 'chmod go-w %s', or let --data-dir name a new directory in it, which is made private: %s",
		path, mode.Perm(), cause, path, filepath.Join(path, "holdfast"))
}

var errOtherFiles = errors.New("other files are in it")

// ours tells a directory that is empty or has a journal.
func ours(dir string) error {
	if Check(dir) == nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = errOtherFiles
	}
	return err
}
