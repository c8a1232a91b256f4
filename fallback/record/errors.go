package record

import (
	"errors"
)

// ErrNewerFormat says that a file was written by a newer release.
var ErrNewerFormat = errors.New("file was written by a newer version of holdfast")

// MaxRecordBytes bounds one journaled write: Redis's largest value and some room.
const MaxRecordBytes = 512<<20 + 64<<10
