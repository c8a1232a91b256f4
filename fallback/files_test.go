package fallback

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever fails while a file is written anew, the old one is still there, whole,
// and nothing is left beside it.
func TestReplacedFileIsTheOldOneUntilItIsWhole(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no disk that is always full")
	}
	writeNew := func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		prepare func(path string) error
		write   func(w io.Writer) error
		want    error
	}{
		"the writer gives up": {func(string) error { return nil }, func(w io.Writer) error { return errors.Join(writeNew(w), broken) }, broken},
		"the disk is full":    {func(path string) error { return os.Symlink("/dev/full", path+".tmp") }, writeNew, syscall.ENOSPC},
		"the sync fails":      {func(path string) error { return os.Symlink("/dev/null", path+".tmp") }, writeNew, syscall.EINVAL},
		"the name is taken": {func(path string) error {
			return errors.Join(os.Rename(path, path+".was"), os.MkdirAll(filepath.Join(path, "dir"), 0o700))
		}, writeNew, syscall.EEXIST},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			require.NoError(t, replaceFile(path, func(w io.Writer) error { _, err := io.WriteString(w, "old"); return err }))
			require.NoError(t, c.prepare(path))
			err := replaceFile(path, c.write)
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, "write file: ")
			require.NoFileExists(t, path+".tmp")
			if name == "the name is taken" {
				path += ".was"
			}
			raw, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, "old", string(raw))
		})
	}
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path+".tmp", []byte("left by a crash, and longer"), 0o600))
	require.NoError(t, replaceFile(path, writeNew))
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "new", string(raw))
	require.NoFileExists(t, path+".tmp")
}
