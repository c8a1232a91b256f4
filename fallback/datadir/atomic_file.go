package datadir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Replace writes a file anew. Until it is on disk whole, the old one stays:
// whatever goes wrong in between leaves that, or none.
func Replace(path string, write func(w io.Writer) error) error {
	tmp, err := CreateTemp(path)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return Commit(tmp, path, write(tmp))
}

// Commit syncs and closes a temporary file and renames it to path, then
// syncs the directory so that the rename itself survives a crash.
func Commit(tmp *os.File, path string, err error) error {
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return SyncDir(filepath.Dir(path))
}

func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// CreateTemp makes the file that will replace path. What lies there under its name, a
// link too, is removed and never written through.
func CreateTemp(path string) (*os.File, error) {
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
}

// MoveAside renames a file that cannot be read, so that it keeps nobody from starting
// and is there to be looked at.
func MoveAside(path string, now time.Time) (string, error) {
	to := path + ".damaged-" + now.UTC().Format("20060102T150405.000Z")
	if err := os.Rename(path, to); err != nil {
		return "", fmt.Errorf("move %s aside: %w", path, err)
	}
	return to, SyncDir(filepath.Dir(path))
}

func Copy(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("put snapshot aside: %w", err)
	}
	defer in.Close()
	return Replace(to, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}
