package transfer

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// syncFS flushes the file system of root. errors.ErrUnsupported: it cannot, or
// would not tell of failed writes.
func syncFS(root *os.Root) error {
	if !syncfsTells() {
		return errors.ErrUnsupported
	}
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	err = unix.Syncfs(int(dir.Fd()))
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // a sandbox
		return errors.ErrUnsupported
	}
	return err
}

// syncfsTells reports whether syncfs returns an error for data that could not be
// written: from Linux 5.8 on.
func syncfsTells() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return err == nil && (major > 5 || major == 5 && minor >= 8)
}
