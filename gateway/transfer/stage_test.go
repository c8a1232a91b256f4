package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func content(text string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, text); return err }
}

// Until it is settled, nothing staged is under its name; and what was there
// stays, if it is not.
func TestStagedFilesArePlacedTogether(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), []byte("old"), 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, tempFile, "killed"), 0o700))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	never := func(err error) { t.Error(err) }

	s := newStage(root)
	require.NoError(t, s.add("a", content("new"), never))
	require.ErrorIs(t, s.add("b", func(w io.Writer) error { _ = content("half")(w); return io.ErrUnexpectedEOF }, never), io.ErrUnexpectedEOF)
	assert.NoDirExists(t, filepath.Join(dir, tempFile, "killed"))
	s.discard()
	assert.Equal(t, map[string]string{"a": "old"}, read(t, dir))
	assert.NoDirExists(t, filepath.Join(dir, tempFile))

	require.NoError(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
	s = newStage(root)
	var failed error
	want := map[string]string{"a": "new"}
	require.NoError(t, s.add("a", content("new"), never))
	require.NoError(t, s.add("d", content("x"), func(err error) { failed = err }))
	for i := range stageFiles { // more than a batch, and enough for syncfs
		name := fmt.Sprintf("deep/%d/%d", i%3, i)
		want[name] = name
		require.NoError(t, s.add(name, content(name), never))
	}
	require.NoError(t, s.finish())
	require.Error(t, failed, "a directory is in its place")
	assert.Equal(t, want, read(t, dir))
	assert.NoDirExists(t, filepath.Join(dir, tempFile))
	assert.Len(t, s.dirs, 5)
}

func TestTwoExportsAtOnceNeverMixFiles(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	first, second := newStage(root), newStage(root)
	var lost error
	require.NoError(t, first.add("mine", content("1"), func(err error) { lost = err }))
	require.NoError(t, second.add("theirs", content("2"), func(err error) { t.Error(err) }))
	require.Error(t, errors.Join(first.finish(), lost))
	require.NoError(t, second.finish())
	assert.Equal(t, map[string]string{"theirs": "2"}, read(t, dir))
}

func TestFilesAreFlushedOneByOneWhereTheyCannotBeTogether(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), nil, 0o600))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	require.NoError(t, flush(root, []string{"a", "."}))
	require.ErrorIs(t, flush(root, []string{"a", "gone"}), os.ErrNotExist)
}

func TestMigratePassesOverWhatAKilledExportLeft(t *testing.T) {
	e, dir := newEnv(t), t.TempDir()
	for name, text := range map[string]string{"config.json": "{}", "x/y": "y"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, tempFile, "r"), 0o700))
	for i := range 3 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, tempFile, "r", fmt.Sprint(i)), []byte("half"), 0o600))
	}
	rep := e.migrate(dir)
	assert.Equal(t, 1, rep.Files.New)
	keys, err := e.c.Keys(context.Background(), e.key("files:*")).Result()
	require.NoError(t, err)
	assert.Equal(t, []string{e.key("files:x/y")}, keys)
	assert.Contains(t, fmt.Sprint(reasons(rep, Skipped)), "interrupted")
	assert.Zero(t, rep.Troubles())
}
