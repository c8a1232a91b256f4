package datadir

import (
	"bufio"
	"errors"
	"io"
	"os"
	"syscall"
)

// CutTornLine removes what a crash left of a last line, or the next entry would
// be glued to it.
func CutTornLine(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var whole int64
	if err := EachLine(f, func(line []byte) error { whole += int64(len(line)); return nil }); err != nil {
		return err
	}
	return f.Truncate(whole)
}

// EachLine calls fn for every whole line.
func EachLine(r io.Reader, fn func(line []byte) error) error {
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

// NoSpace reports whether an error says that the disk, or a quota, is full.
func NoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// RefusesWrites reports whether the disk is full, broken, or was remounted read-only.
func RefusesWrites(err error) bool {
	return NoSpace(err) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EIO)
}
