package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
)

// notAllowed says more of a directory that the process may not use: in a container
// it is most often a bind mount that belongs to somebody else.
func notAllowed(err error, what, dir string) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	who := fmt.Sprintf("user %d", os.Geteuid())
	if u, lerr := user.Current(); lerr == nil && u.Username != "" {
		who += " (" + u.Username + ")"
	}
	mode := ""
	if st, serr := os.Stat(dir); serr == nil {
		mode = fmt.Sprintf(" (%s%s)", st.Mode(), ownerOf(st))
	}
	return fmt.Errorf("%w: this process runs as %s, which may not use the %s %s%s: give it to that user, with chown %d, or name another",
		err, who, what, dir, mode, os.Geteuid())
}
