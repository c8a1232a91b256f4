package main

import (
	"bytes"
	"context"
	enc "encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
	"holdfast/fallback/datadir"
	"holdfast/fallback/deadletter"
)

var journalCommands = []string{"ls", "dump", "verify", "repair", "deadletters", "conflicts", "retry", "drop"}

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
	said := tool(t, 0, "journal", "deadletters", "--data-dir", dir, "--json")
	assert.Contains(t, said, `["lpush","aiclient:l","ünï","\"\\xff\\x00\""]`)
	letters, err := deadletter.Read(dir)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	p.stop()
	assert.Contains(t, tool(t, 0, "journal", "drop", "--data-dir", dir), "1 dead letters set aside")
	assert.Contains(t, tool(t, 0, "journal", "deadletters", "--data-dir", dir), "no dead letters")
}

// What Redis has already is not printed as queued, and the figures tell both.
func TestJournalTellsWhatWaits(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	p.awaitMirror()
	dir := p.st.settings.dataDir
	outage := func(values ...string) {
		srv.Kill()
		p.awaitMode(fallback.Offline)
		for _, v := range values {
			require.NoError(t, p.client().RPush(ctx, "aiclient:l", v).Err())
		}
	}
	outage("first", "second")
	srv.Start()
	p.awaitMode(fallback.Online)
	assert.Empty(t, tool(t, 0, "journal", "dump", "--data-dir", dir))
	outage("third")

	out := tool(t, 0, "journal", "dump", "--data-dir", dir)
	assert.Contains(t, out, "rpush aiclient:l third")
	assert.NotContains(t, out, "first")
	out = tool(t, 0, "journal", "dump", "--all", "--data-dir", dir)
	assert.Contains(t, out, "(replayed) rpush aiclient:l second")
	assert.NotContains(t, out, "(replayed) rpush aiclient:l third")
	assert.Contains(t, tool(t, 0, "journal", "dump", "--all", "--json", "--data-dir", dir), `"replayed":true`)
	for _, name := range []string{"ls", "verify"} {
		assert.Contains(t, tool(t, 0, "journal", name, "--data-dir", dir), "1 wait, 2 are replayed")
		assert.Contains(t, tool(t, 0, "journal", name, "--json", "--data-dir", dir), `"Waiting":1,"Replayed":2`)
	}
}

// What is queued again is replayed at the next start, once, however often one asks.
func TestJournalRetry(t *testing.T) {
	ctx := context.Background()
	p := withDeadLetter(t)
	dir, url := p.st.settings.dataDir, p.st.settings.redisURL
	p.stop()
	opts, err := redis.ParseURL(url)
	require.NoError(t, err)
	d := redis.NewClient(opts)
	defer d.Close()
	require.NoError(t, d.Del(ctx, "aiclient:l").Err())
	assert.Contains(t, tool(t, 0, "journal", "retry", "--data-dir", dir), "1 dead letters queued again")
	assert.Contains(t, tool(t, 0, "journal", "dump", "--data-dir", dir), "lpush aiclient:l ünï")
	assert.Equal(t, "no dead letters\n", tool(t, 0, "journal", "deadletters", "--data-dir", dir))
	assert.Contains(t, tool(t, 0, "journal", "retry", "--data-dir", dir), "no dead letters")
	again := startProxy(t, url, func(s *proxySettings) { s.dataDir = dir })
	again.awaitMode(fallback.Online)
	assert.Equal(t, []string{"\xff\x00", "ünï"}, d.LRange(ctx, "aiclient:l", 0, -1).Val())
	assert.Zero(t, again.st.store.Status().DeadLetters)
	assert.Contains(t, tool(t, 0, "journal", "retry", "--data-dir", dir), "no dead letters")
	again.stop()
	assert.Contains(t, tool(t, 0, "journal", "drop", "--data-dir", dir), "no dead letters")
}

func TestJournalConflicts(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	d := directClient(t, srv)
	require.NoError(t, d.Set(ctx, "aiclient:k", "theirs ü", 0).Err())
	p := startProxy(t, "")
	require.NoError(t, p.client().Set(ctx, "aiclient:k", "ours", 0).Err())
	p.stop()
	dir := p.st.settings.dataDir
	assert.Equal(t, "no conflicts\n", tool(t, 0, "journal", "conflicts", "--data-dir", dir))
	assert.Contains(t, tool(t, 0, "journal", "ls", "--data-dir", dir), "none waits for a Redis")
	again := startProxy(t, srv.URL(), func(s *proxySettings) { s.dataDir = dir })
	again.awaitMode(fallback.Online)
	out := tool(t, 0, "journal", "conflicts", "--data-dir", dir)
	assert.Contains(t, out, "aiclient:k (another value at redis than in the embedded store, policy theirs)\n  ours:   SET aiclient:k ours\n  theirs: SET aiclient:k theirs ü\n")
	assert.Contains(t, out, "(not applied, policy theirs) SET aiclient:k ours")
	out = tool(t, 0, "journal", "conflicts", "--json", "--data-dir", dir)
	assert.Contains(t, out, `"key":"aiclient:k"`)
	assert.Contains(t, out, `"theirs":[["SET","aiclient:k","theirs ü"]]`)
}

// A damaged file is named, with what can be done, and that works.
func TestDamagedDeadLettersAreNamed(t *testing.T) {
	p := withDeadLetter(t)
	dir := p.st.settings.dataDir
	p.stop()
	path := filepath.Join(dir, "deadletters.jsonl")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(raw, "{\"seq\": damaged}\n"...), 0o600))
	said := refused(t, 1, "journal", "deadletters", "--data-dir", dir)
	assert.Contains(t, said, path+" is damaged in line 2: start the proxy once")
	again := startProxy(t, p.st.settings.redisURL, func(s *proxySettings) { s.dataDir = dir })
	again.awaitMode(fallback.Online)
	assert.Equal(t, 2, again.st.store.Status().DeadLetters, "none is dropped silently")
	again.stop()
	assert.FileExists(t, path+".damaged")
	letters, err := deadletter.Read(dir)
	require.NoError(t, err)
	assert.Len(t, letters, 1)
}

// Repair names the acknowledged writes that are gone, but for those that Redis has.
func TestRepairNamesWhatIsLost(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	p.awaitMirror()
	outage := func(n int) {
		srv.Kill()
		p.awaitMode(fallback.Offline)
		for range n {
			require.NoError(t, p.client().RPush(ctx, "aiclient:l", "v").Err())
		}
	}
	outage(4)
	srv.Start()
	p.awaitMode(fallback.Online)
	outage(5)
	p.stop()
	dir := p.st.settings.dataDir
	files, err := filepath.Glob(filepath.Join(datadir.Journal(dir), "*.seg"))
	require.NoError(t, err)
	raw, err := os.ReadFile(files[0])
	require.NoError(t, err)
	at := 64 // behind the header
	for seq := 1; seq <= 9; seq++ {
		size := 32 + int(enc.LittleEndian.Uint32(raw[at+4:]))
		if seq == 2 || seq == 6 || seq == 7 {
			raw[at+size-1] ^= 1
		}
		at += size
	}
	require.NoError(t, os.WriteFile(files[0], raw, 0o600))
	assert.Contains(t, refused(t, 1, "journal", "verify", "--data-dir", dir), "2 problems")
	out := tool(t, 0, "journal", "repair", "--data-dir", dir)
	assert.Contains(t, out, "lost: acknowledged writes 6 to 7 (2)")
	assert.NotContains(t, out, "writes 2 to 2", "Redis has it")
	assert.Contains(t, out, "3 wait, 3 are replayed")
}
