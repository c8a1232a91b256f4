package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/fallback"
	"holdfast/fallback/datadir"
)

// advised returns the commands that a text tells to run, as they would be typed.
func advised(t *testing.T, text string) (out [][]string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`'holdfast ([^']*)'`).FindAllStringSubmatch(text, -1) {
		var args []string
		for _, word := range strings.Fields(m[1]) {
			if unquoted, err := strconv.Unquote(word); err == nil {
				word = unquoted
			}
			args = append(args, word)
		}
		out = append(out, args)
	}
	return out
}

// refusesToStart returns what a proxy says that must not start on a data directory.
func refusesToStart(t *testing.T, dir string) string {
	t.Helper()
	_, err := fallback.Open(fallback.Config{Dir: dir, Embedded: true})
	require.Error(t, err)
	return err.Error()
}

// embeddedDir is the data directory of a stopped embedded store: five keys in its
// snapshot, and five in its journal alone.
func embeddedDir(t *testing.T) string {
	t.Helper()
	p := startProxy(t, "")
	dir := p.st.settings.dataDir
	set := func(from int) {
		for i := range 5 {
			require.NoError(t, p.client().Set(context.Background(), "aiclient:"+strconv.Itoa(from+i), "v", 0).Err())
		}
	}
	set(0)
	p.stop()
	p = startProxy(t, "", func(s *proxySettings) { s.dataDir = dir })
	set(5)
	next := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.CopyFS(next, os.DirFS(dir))) // as a kill leaves it
	require.NoError(t, os.Chmod(next, 0o700))
	return next
}

// What an error about a damaged directory tells to do is done, word for word, and the
// proxy starts. Damage is seen by verify, and gone after repair.
func TestAdviceWorks(t *testing.T) {
	edit := func(path string, fn func(b []byte) []byte) {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, fn(raw), 0o600))
	}
	newest := func(dir string) string {
		files, err := filepath.Glob(filepath.Join(datadir.Journal(dir), "*.seg"))
		require.NoError(t, err)
		return files[len(files)-1]
	}
	flip := func(at int) func(b []byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	for name, c := range map[string]struct {
		damage func(dir string)
		keys   int64 // that are left
	}{
		"a record flipped":    {func(dir string) { edit(newest(dir), flip(-10)) }, 9},
		"the last record cut": {func(dir string) { edit(newest(dir), func(b []byte) []byte { return b[:len(b)-1] }) }, 9},
		"foreign bytes": {func(dir string) {
			edit(newest(dir), func(b []byte) []byte { return append(b[:64:64], append(make([]byte, 60), b[64:]...)...) })
		}, 10},
		"segments gone":          {func(dir string) { require.NoError(t, os.Remove(newest(dir))) }, 5},
		"meta gone":              {func(dir string) { require.NoError(t, os.Remove(filepath.Join(datadir.Journal(dir), "meta"))) }, 10},
		"mark damaged":           {func(dir string) { edit(filepath.Join(datadir.Journal(dir), "mark"), flip(40)) }, 10},
		"snapshot flipped":       {func(dir string) { edit(filepath.Join(dir, "snapshot"), flip(20)) }, 5},
		"snapshot cut":           {func(dir string) { edit(filepath.Join(dir, "snapshot"), func(b []byte) []byte { return b[:len(b)/2] }) }, 5},
		"snapshot and a segment": {func(dir string) { edit(filepath.Join(dir, "snapshot"), flip(-1)); edit(newest(dir), flip(-10)) }, 4},
	} {
		t.Run(name, func(t *testing.T) {
			dir := embeddedDir(t)
			c.damage(dir)
			assert.NotEmpty(t, refused(t, 1, "journal", "verify", "--data-dir", dir))
			repaired := 0
			for _, args := range advised(t, refusesToStart(t, dir)) {
				if args[1] == "repair" {
					tool(t, 0, args...)
					repaired++
				} else {
					refused(t, 1, args...)
				}
			}
			require.Equal(t, 1, repaired)
			tool(t, 0, "journal", "verify", "--data-dir", dir)
			p := startProxy(t, "", func(s *proxySettings) { s.dataDir = dir })
			assert.Equal(t, c.keys, p.client().DBSize(context.Background()).Val())
			assert.NoError(t, p.client().Set(context.Background(), "aiclient:new", "v", 0).Err())
		})
	}
}

// The same for what tells to move a file away.
func TestAdviceToMoveFilesAwayWorks(t *testing.T) {
	dir := embeddedDir(t)
	require.NoError(t, os.Remove(filepath.Join(dir, "snapshot")))
	said := refusesToStart(t, dir)
	require.Contains(t, said, "move "+datadir.Journal(dir)+" away")
	require.NoError(t, os.Rename(datadir.Journal(dir), filepath.Join(t.TempDir(), "away")))
	startProxy(t, "", func(s *proxySettings) { s.dataDir = dir })
}
