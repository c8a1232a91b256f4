package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
)

var (
	// ErrLocked: another process has this journal directory open.
	ErrLocked = errors.New("journal is in use by another process")
	// ErrCorrupt: bytes that were acknowledged as durable are damaged or missing.
	ErrCorrupt = errors.New("journal is damaged")
	// ErrNewerVersion: the files were written by a newer release.
	ErrNewerVersion = errors.New("journal has a newer format")
	// ErrFull: the byte bound is reached. Nothing was written.
	ErrFull = errors.New("journal is full")
	// ErrTooLarge: one payload is over MaxRecordBytes. Nothing was written.
	ErrTooLarge = errors.New("record is too large for the journal")
	// ErrFailed: a write or fsync failed; the journal takes no more records until
	// Revive lets it go on, or it is opened again. Reading and truncating still work.
	ErrFailed = errors.New("journal has failed")
	// ErrClosed: the journal was closed.
	ErrClosed = errors.New("journal is closed")
)

// corruptf reports damage at an offset of a file.
func corruptf(file string, offset int64, format string, args ...any) error {
	return fmt.Errorf("%w: %s at offset %d: %s", ErrCorrupt, file, offset, fmt.Sprintf(format, args...))
}

// withRemedy ends a text about damage with the next step, in words that can be typed as
// they are. A journal lies in the data directory that those commands ask for.
func withRemedy(dir string, err error) error {
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	data := strconv.Quote(filepath.Dir(dir))
	return fmt.Errorf("%w; stop holdfast, then 'holdfast journal verify --data-dir %s' shows all damage and 'holdfast journal repair --data-dir %s' mends it", err, data, data)
}
