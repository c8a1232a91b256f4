package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// FS is the file system as the journal needs it: exactly the places where a disk
// can fail. Missing files give an error that matches fs.ErrNotExist.
type FS interface {
	MkdirAll(dir string) error
	// Lock takes an exclusive lock that ends with Close or with the process, or
	// returns ErrLocked at once.
	Lock(path string) (io.Closer, error)
	// Create makes a new file for reading and writing; an existing one is an error.
	Create(path string) (File, error)
	// Open opens an existing file; for reading only unless write is set.
	Open(path string, write bool) (File, error)
	// Rename replaces newPath if it exists.
	Rename(oldPath, newPath string) error
	Remove(path string) error
	// List returns the names in dir in any order.
	List(dir string) ([]string, error)
	// SyncDir makes created, renamed and removed names in dir durable.
	SyncDir(dir string) error
}

// File is one open file of an FS. ReadAt may be called while others write.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
	Size() (int64, error)
}

// osFS is the real file system. Files are private to the owner: payloads may be secrets.
type osFS struct{}

var _ FS = osFS{}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// MkdirAll syncs the parent too: without it a power cut may take the whole new directory.
func (osFS) MkdirAll(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := (osFS{}).MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return osFS{}.SyncDir(parent)
}

func (osFS) Lock(path string) (io.Closer, error) {
	f, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	return &osLock{f, path}, nil
}

// osLock is a locked file. One goroutine at a time uses it.
type osLock struct {
	*os.File
	path string
}

// again takes the lock anew if the file was removed or replaced, for a process that
// opens the directory locks what lies there now.
func (l *osLock) again() (made bool, err error) {
	mine, err := l.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Lstat(l.path)
	if err == nil && os.SameFile(mine, there) || err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	f, err := lockFile(l.path)
	if err != nil {
		return false, err
	}
	old := l.File
	l.File = f
	return true, old.Close()
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%w: %s is locked; stop the other holdfast or give this one its own data directory", ErrLocked, path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (osFS) Create(path string) (File, error) {
	return openOS(path, os.O_CREATE|os.O_EXCL|os.O_RDWR)
}

func (osFS) Open(path string, write bool) (File, error) {
	if write {
		return openOS(path, os.O_RDWR)
	}
	return openOS(path, os.O_RDONLY)
}

func openOS(path string, flags int) (File, error) {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Rename(oldPath, newPath string) error { return os.Rename(oldPath, newPath) }

func (osFS) Remove(path string) error { return os.Remove(path) }

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
