package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

var journalCommands = []string{"ls", "dump", "verify", "repair", "deadletters", "retry", "drop"}

// refused runs a command that has to fail and returns what it said.
func refused(t *testing.T, code int, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	require.Equal(t, code, run(context.Background(), append([]string{"holdfast"}, args...), &out, &errs), "holdfast %v\n%s%s", args, &out, &errs)
	return errs.String()
}

func TestJournalCommandsNeedADataDirectory(t *testing.T) {
	for _, dir := range []string{filepath.Join(t.TempDir(), "nodir"), t.TempDir()} {
		for _, name := range journalCommands {
			said := refused(t, 1, "journal", name, "--data-dir", dir)
			assert.Contains(t, said, dir, name)
			assert.Contains(t, said, "--data-dir", name)
		}
		left, _ := os.ReadDir(dir)
		assert.Empty(t, left, "nothing is made")
	}
}

// withDeadLetter runs a proxy until a write of its outage has failed at Redis.
func withDeadLetter(t *testing.T) *running {
	t.Helper()
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	d := directClient(t, srv)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	p.awaitMirror()
	srv.Kill()
	p.awaitMode(fallback.Offline)
	require.NoError(t, p.client().LPush(ctx, "aiclient:l", "ünï", "\xff\x00").Err())
	p.stop() // so that the list can be made a string first
	srv.Start()
	require.NoError(t, d.Set(ctx, "aiclient:l", "a string", 0).Err())
	again := startProxy(t, srv.URL(), func(s *proxySettings) { s.dataDir = p.st.settings.dataDir })
	again.awaitMode(fallback.Online)
	require.Equal(t, 1, again.st.store.Status().DeadLetters)
	return again
}

// What changes files is refused while the proxy runs: later dead letters would
// vanish into a file that was set aside.
func TestJournalIsNotChangedUnderARunningProxy(t *testing.T) {
	p := withDeadLetter(t)
	dir := p.st.settings.dataDir
	for _, name := range []string{"drop", "retry", "repair"} {
		assert.Contains(t, refused(t, 1, "journal", name, "--data-dir", dir), "in use by another process", name)
	}
	letters, err := fallback.ReadDeadLetters(dir)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	p.stop()
	assert.Contains(t, tool(t, 0, "journal", "drop", "--data-dir", dir), "1 dead letters set aside")
	assert.Contains(t, tool(t, 0, "journal", "deadletters", "--data-dir", dir), "no dead letters")
}
