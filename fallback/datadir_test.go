package fallback

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/datadir"
	"holdfast/fallback/journal"
)

// A directory that others may write to is made private if it is ours; else the start is
// refused, and what the error says works.
func TestDataDirectoryIsPrivate(t *testing.T) {
	mode := func(path string) os.FileMode {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return info.Mode().Perm()
	}
	r := newRig(t)
	require.Equal(t, os.FileMode(0o700), mode(r.dir))
	r.close()
	require.NoError(t, os.Chmod(r.dir, 0o777))
	require.NoError(t, os.Chmod(datadir.Journal(r.dir), 0o775))
	r.open()
	require.Equal(t, os.FileMode(0o755), mode(r.dir))
	require.Equal(t, os.FileMode(0o755), mode(datadir.Journal(r.dir)))
	r.close()

	shared := filepath.Join(t.TempDir(), "shared")
	require.NoError(t, os.Mkdir(shared, 0o700))
	require.NoError(t, os.Chmod(shared, 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(shared, "of-somebody"), nil, 0o600))
	r.dir = shared
	r.cfg.Dir = shared
	_, err := Open(r.cfg)
	require.ErrorContains(t, err, "writable for others (mode 0777)")
	require.Equal(t, os.FileMode(0o777), mode(shared), "not ours to change")
	_, inside, found := strings.Cut(err.Error(), "which is made private: ")
	require.True(t, found)
	r.dir = inside
	r.open()
	require.Equal(t, os.FileMode(0o700), mode(inside))
	r.close()
	require.NoError(t, os.Chmod(shared, 0o755)) // the other way
	r.dir = shared
	r.open()
}

// Somebody removes the lock file of a running proxy: it is made again, so that a second
// one is still kept out.
func TestRemovedLockFileIsNoticed(t *testing.T) {
	var log strings.Builder
	r := newRig(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	require.NoError(t, os.Remove(filepath.Join(datadir.Journal(r.dir), "lock")))
	r.store.watchDirectory()
	require.Contains(t, log.String(), "lock file of the journal was removed")
	_, err := Open(r.cfg)
	require.ErrorIs(t, err, journal.ErrLocked)
	require.Equal(t, "+OK\r\n", r.do("SET", "k", "v"))
	require.Empty(t, r.store.Status().Troubles)
}

// A second process has the directory by then: the first one takes no write any more.
func TestSecondProcessAfterARemovedLockFile(t *testing.T) {
	r := newRig(t)
	r.do("SET", "k", "v")
	require.NoError(t, os.Remove(filepath.Join(datadir.Journal(r.dir), "lock")))
	second, err := Open(r.cfg)
	require.NoError(t, err)
	defer second.Close()
	r.store.watchDirectory()
	require.Contains(t, r.store.Status().Troubles[0], "in use by another process")
	require.True(t, strings.HasPrefix(r.do("SET", "k", "2"), "-JOURNALFAILED "))
	r.store.reviveJournal()
	require.True(t, strings.HasPrefix(r.do("SET", "k", "2"), "-JOURNALFAILED "))
}

// What is written to a journal whose files were moved away is nowhere.
func TestMovedDirectoryIsNoticed(t *testing.T) {
	r := newRig(t)
	r.do("SET", "k", "v")
	require.NoError(t, os.Rename(r.dir, r.dir+".moved"))
	r.store.watchDirectory()
	require.Contains(t, r.store.Status().Troubles[0], "removed or replaced")
	require.True(t, strings.HasPrefix(r.do("SET", "k", "2"), "-JOURNALFAILED "))
	require.NoDirExists(t, r.dir)
}

// A damaged note of how far Redis got keeps nobody from starting, and nothing is applied
// twice: the fence tells.
func TestDamagedMarkIsSetAside(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:n", "0")
	r.loaded()
	r.lost()
	r.do("INCR", "m:n")
	r.online()
	r.lost()
	r.do("INCR", "m:n")
	r.crash()
	r.close()
	raw, err := os.ReadFile(datadir.Mark(r.dir))
	require.NoError(t, err)
	i := strings.Index(string(raw), `"settled":1`)
	require.Positive(t, i)
	for at, b := range map[int]byte{0: 'x', i + len(`"settled":`): '2'} {
		damaged := append([]byte(nil), raw...)
		damaged[at] = b
		require.NoError(t, os.WriteFile(datadir.Mark(r.dir), damaged, 0o600))
		_, err = datadir.ReadReplayed(r.dir)
		require.ErrorContains(t, err, "start the proxy once")
		r.open()
		require.Contains(t, r.store.Status().Troubles[0], "replay.json was damaged")
		r.close()
		_, err = datadir.ReadReplayed(r.dir)
		require.NoError(t, err)
	}
	r.open()
	r.online()
	require.Equal(t, "2", r.redis("GET", "m:n"))
	require.Zero(t, r.store.Status().DeadLetters)
	require.Zero(t, r.store.Status().Conflicts)
}
