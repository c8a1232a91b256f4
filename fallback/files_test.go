package fallback

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/datadir"
)

// Whatever fails while a file is written anew, the old one is still there, whole,
// and nothing is left beside it.
func TestReplacedFileIsTheOldOneUntilItIsWhole(t *testing.T) {
	writeNew := func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		prepare func(path string) error
		write   func(w io.Writer) error
		want    error
	}{
		"the writer gives up": {func(string) error { return nil }, func(w io.Writer) error { return errors.Join(writeNew(w), broken) }, broken},
		"the name is taken": {func(path string) error {
			return errors.Join(os.Rename(path, path+".was"), os.MkdirAll(filepath.Join(path, "dir"), 0o700))
		}, writeNew, syscall.EEXIST},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			require.NoError(t, datadir.Replace(path, func(w io.Writer) error { _, err := io.WriteString(w, "old"); return err }))
			require.NoError(t, c.prepare(path))
			err := datadir.Replace(path, c.write)
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
	require.NoError(t, datadir.Replace(path, writeNew))
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "new", string(raw))
	require.NoFileExists(t, path+".tmp")
}

// What lies under the name of a temporary file is never written to: a link there, made
// by whoever may write to the directory, leads elsewhere.
func TestTemporaryFilesFollowNoLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("precious"), 0o600))
	path := filepath.Join(dir, "file")
	require.NoError(t, os.Symlink(victim, path+".tmp"))
	require.NoError(t, datadir.Replace(path, func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }))
	r := newRig(t)
	r.do("SET", "k", "v")
	require.NoError(t, os.Symlink(victim, datadir.Snapshot(r.dir)+".tmp"))
	require.NoError(t, os.Symlink(victim, filepath.Join(datadir.Journal(r.dir), "mark.tmp")))
	require.NoError(t, r.store.saveSnapshot())
	require.NoError(t, r.store.jr.Truncate(1))
	raw, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "precious", string(raw))
}

// smallDisk is the directory of a file system of so many bytes. It needs root.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d,mode=0700", bytes), "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, not tested: a small disk cannot be mounted here (it needs root): %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v %s", dir, err, out)
		}
	})
	return dir
}

// fillDisk leaves no byte in the file system of a directory, until free.
func fillDisk(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(filepath.Dir(dir), "filler")
	f, err := os.Create(path)
	require.NoError(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, f.Close())
	return func() { require.NoError(t, os.Remove(path)) }
}
