package transfer

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"
)

const (
	// flushTogether is from how many files on the whole file system is flushed in
	// one go. For a few it would wait for what other programs have written.
	flushTogether = 64
	// flushers run at the same time: file systems commit for all that wait.
	flushers = 16
)

// flush returns once the named files and directories are on disk.
func flush(root *os.Root, names []string) error {
	if len(names) >= flushTogether {
		err := syncFS(root)
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	var g errgroup.Group
	g.SetLimit(flushers)
	for _, name := range names {
		g.Go(func() error { return flushOne(root, name) })
	}
	return g.Wait()
}

func flushOne(root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.IsDir() && runtime.GOOS == "windows" {
		return nil // names are in its journal; a directory cannot be flushed
	}
	return f.Sync()
}
