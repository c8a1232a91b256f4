package faultfs

import (
	"errors"
	"io"
	"syscall"

	"holdfast/fallback/journal"
)

type file struct {
	m     *FS
	n     *node
	path  string
	epoch int
}

var _ journal.File = (*file)(nil)

// enter locks the file system and fails for handles from before a crash.
func (f *file) enter() error {
	f.m.mu.Lock()
	if f.epoch != f.m.epoch {
		f.m.mu.Unlock()
		return ErrCrashed
	}
	return nil
}

func (f *file) ReadAt(b []byte, offset int64) (int, error) {
	if err := f.enter(); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	if offset >= int64(len(f.n.live)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.live[offset:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, offset int64) (int, error) {
	if err := f.enter(); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	err := f.m.ask(Write, f.path)
	pass := len(b)
	if short := new(ShortWrite); errors.As(err, &short) {
		pass = min(short.N, len(b))
	} else if err != nil {
		return 0, err
	}
	if room := f.m.room(f.n, offset); err == nil && int64(pass) > room {
		pass, err = int(room), syscall.ENOSPC
	}
	if pass > 0 {
		op := dataOp{offset, append([]byte(nil), b[:pass]...)}
		f.n.live = op.apply(f.n.live)
		f.n.pending = append(f.n.pending, op)
	}
	return pass, err
}

// room is how many bytes may be written to n at offset.
func (m *FS) room(n *node, offset int64) int64 {
	if m.capacity == 0 {
		return 1 << 62
	}
	used := int64(0)
	for _, other := range m.live {
		used += int64(len(other.live))
	}
	return max(0, m.capacity-used+int64(len(n.live))-offset)
}

func (f *file) Truncate(size int64) error {
	if err := f.enter(); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	if err := f.m.ask(Truncate, f.path); err != nil {
		return err
	}
	op := dataOp{offset: size}
	f.n.live = op.apply(f.n.live)
	f.n.pending = append(f.n.pending, op)
	return nil
}

// Sync on failure forgets the pending writes: they can be read, but no later Sync
// brings them to the disk.
func (f *file) Sync() error {
	if err := f.enter(); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	f.m.syncs++
	err := f.m.ask(Sync, f.path)
	if err == nil {
		for _, op := range f.n.pending {
			f.n.durable = op.apply(f.n.durable)
		}
	}
	f.n.pending = nil
	return err
}

func (f *file) Size() (int64, error) {
	if err := f.enter(); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	return int64(len(f.n.live)), nil
}

// Close works on any handle, as a dead process's descriptors are closed too.
func (f *file) Close() error { return nil }
