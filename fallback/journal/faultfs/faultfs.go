// Package faultfs is an in-memory file system that fails and crashes on demand,
// for tests of the journal. It models what a disk may do, not what it usually
// does: bytes are durable only after a successful Sync of the file, names only
// after a successful SyncDir, and a failed Sync loses its bytes for good although
// they can still be read (as the page cache of Linux does). It is imported from
// _test files only.
package faultfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"sync"

	"holdfast/fallback/journal"
)

// ErrInjected is the error of injected faults that name no other.
var ErrInjected = errors.New("injected fault")

// ErrCrashed is what file handles from before a crash return.
var ErrCrashed = errors.New("file system crashed")

// CrashNow, as a hook's error, cuts the power in the middle of the operation.
type CrashNow struct {
	Mode CrashMode
	Rnd  *rand.Rand
}

func (e *CrashNow) Error() string { return "power lost" }

// Kind is the operation that a fault hook is asked about.
type Kind string

// The operations.
const (
	Create   Kind = "create"
	Open     Kind = "open"
	Rename   Kind = "rename"
	Remove   Kind = "remove"
	SyncDir  Kind = "syncdir"
	Write    Kind = "write"
	Sync     Kind = "sync"
	Truncate Kind = "truncate"
)

// ShortWrite, as a hook's error for Write, lets the first N bytes pass.
type ShortWrite struct {
	N   int
	Err error
}

func (e *ShortWrite) Error() string { return fmt.Sprintf("short write of %d bytes: %v", e.N, e.Err) }

func (e *ShortWrite) Unwrap() error { return e.Err }

// FS is the file system. It is safe for concurrent use.
type FS struct {
	mu       sync.Mutex
	epoch    int
	live     map[string]*node // what the running process sees
	durable  map[string]*node // what a crash leaves
	pending  []nameOp         // done in live, not yet in durable
	locks    map[string]int   // path → epoch in which it was taken
	hook     func(Kind, string) error
	capacity int64
	syncs    int
}

type node struct {
	live    []byte
	durable []byte
	pending []dataOp
}

// dataOp is a write, or with data nil a truncation to offset.
type dataOp struct {
	offset int64
	data   []byte
}

// nameOp makes path name n; nil removes it. from is the old name of a rename.
type nameOp struct {
	path, from string
	n          *node
}

var _ journal.FS = (*FS)(nil)

// New returns an empty file system.
func New() *FS {
	return &FS{live: map[string]*node{}, durable: map[string]*node{}, locks: map[string]int{}}
}

// OnOp sets a hook that is asked before every operation; its error becomes the
// operation's. nil ends all faults. It is called with the file system locked.
func (m *FS) OnOp(hook func(kind Kind, path string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = hook
}

// FailNth fails the n-th (from 1) operation of a kind from now on, once, on
// paths whose base matches the pattern.
func (m *FS) FailNth(kind Kind, pattern string, n int, err error) {
	m.OnOp(func(k Kind, path string) error {
		if ok, _ := filepath.Match(pattern, filepath.Base(path)); k != kind || !ok {
			return nil
		}
		if n--; n == 0 {
			return err
		}
		return nil
	})
}

// SetCapacity bounds the bytes of all files: what does not fit gets ENOSPC after
// a short write. 0 is no bound.
func (m *FS) SetCapacity(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = n
}

// Syncs returns the number of file syncs so far.
func (m *FS) Syncs() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.syncs
}

// Kill ends the process only: all handles and locks are dead, the page cache stays.
func (m *FS) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch++
}

func (op dataOp) apply(b []byte) []byte {
	if op.data == nil {
		return resize(b, op.offset)
	}
	if end := op.offset + int64(len(op.data)); end > int64(len(b)) {
		b = resize(b, end)
	}
	copy(b[op.offset:], op.data)
	return b
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

func (op nameOp) apply(names map[string]*node) {
	if op.from != "" {
		delete(names, op.from)
	}
	if op.n == nil {
		delete(names, op.path)
		return
	}
	names[op.path] = op.n
}

func (m *FS) ask(kind Kind, path string) error {
	if m.hook == nil {
		return nil
	}
	err := m.hook(kind, path)
	if power := new(CrashNow); errors.As(err, &power) {
		m.crash(power.Mode, power.Rnd)
		return ErrCrashed
	}
	return err
}

func (m *FS) change(op nameOp) {
	op.apply(m.live)
	m.pending = append(m.pending, op)
}

// MkdirAll does nothing: directories are taken as given.
func (m *FS) MkdirAll(string) error { return nil }

type lock struct {
	m     *FS
	path  string
	epoch int
}

func (l lock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.locks[l.path] == l.epoch {
		delete(l.m.locks, l.path)
	}
	return nil
}

// Lock fails while a lock of this epoch is held: Kill and Crash free it.
func (m *FS) Lock(path string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if epoch, held := m.locks[path]; held && epoch == m.epoch {
		return nil, journal.ErrLocked
	}
	m.locks[path] = m.epoch
	return lock{m, path, m.epoch}, nil
}

// Create implements journal.FS.
func (m *FS) Create(path string) (journal.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ask(Create, path); err != nil {
		return nil, err
	}
	if m.live[path] != nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	n := &node{}
	m.change(nameOp{path: path, n: n})
	return &file{m: m, n: n, path: path, epoch: m.epoch}, nil
}

// Open implements journal.FS.
func (m *FS) Open(path string, _ bool) (journal.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ask(Open, path); err != nil {
		return nil, err
	}
	n := m.live[path]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return &file{m: m, n: n, path: path, epoch: m.epoch}, nil
}

// Rename implements journal.FS.
func (m *FS) Rename(oldPath, newPath string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ask(Rename, newPath); err != nil {
		return err
	}
	n := m.live[oldPath]
	if n == nil {
		return &fs.PathError{Op: "rename", Path: oldPath, Err: fs.ErrNotExist}
	}
	m.change(nameOp{path: newPath, from: oldPath, n: n})
	return nil
}

// Remove implements journal.FS.
func (m *FS) Remove(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live[path] == nil {
		return &fs.PathError{Op: "remove", Path: path, Err: fs.ErrNotExist}
	}
	if err := m.ask(Remove, path); err != nil {
		return err
	}
	m.change(nameOp{path: path})
	return nil
}

// List implements journal.FS.
func (m *FS) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for path := range m.live {
		if filepath.Dir(path) == dir {
			names = append(names, filepath.Base(path))
		}
	}
	return names, nil
}

// SyncDir makes all names durable.
func (m *FS) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ask(SyncDir, dir); err != nil {
		return err
	}
	for _, op := range m.pending {
		op.apply(m.durable)
	}
	m.pending = nil
	return nil
}

// Bytes returns the live content of a file; Damage changes it in place, in the
// cache and on the disk, as failing hardware does.
func (m *FS) Bytes(path string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.live[path]; n != nil {
		return append([]byte(nil), n.live...)
	}
	return nil
}

// Damage replaces a file's content, durably. nil content removes the file.
func (m *FS) Damage(path string, content []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if content == nil {
		delete(m.live, path)
		delete(m.durable, path)
		return
	}
	n := &node{live: append([]byte(nil), content...), durable: append([]byte(nil), content...)}
	m.live[path], m.durable[path] = n, n
}
