//go:build !linux

package transfer

import (
	"errors"
	"os"
)

// syncFS is there on Linux only.
func syncFS(*os.Root) error { return errors.ErrUnsupported }
