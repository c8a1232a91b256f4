package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

const sampleConfigs = "../../testdata/configs"

// tool runs one command line in this process.
func tool(t *testing.T, wantCode int, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(context.Background(), append([]string{"holdfast"}, args...), &out, &errs)
	require.Equal(t, wantCode, code, "holdfast %v\nstdout: %s\nstderr: %s", args, &out, &errs)
	return out.String()
}

// tree reads a directory: relative path → content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		files[rel] = string(raw)
		return err
	}))
	return files
}

const migrated = "Migration complete:\n  - Providers imported: 12\n  - Tokens imported: 8\n  - Config imported: yes\n"

// The tools must give the same on every kind of endpoint.
func TestMigrateAndExportAreTheSameOnEveryEndpoint(t *testing.T) {
	srv := redistest.Start(t)
	plain := export(t, "redis://"+srv.Addr(), true)

	embedded := startProxy(t, "")
	assert.Equal(t, plain, export(t, "redis://"+embedded.addr(), true), "embedded")

	behind := redistest.Start(t)
	online := startProxy(t, behind.URL())
	online.awaitMode(fallback.Online)
	assert.Equal(t, plain, export(t, "redis://"+online.addr(), true), "online proxy")
	assert.Equal(t, plain, export(t, "redis://"+behind.Addr(), false), "the Redis behind the proxy")

	// export → migrate → export into an empty Redis: byte-identical.
	first, second := t.TempDir(), t.TempDir()
	tool(t, 0, "export", "--output-dir", first, "--redis-url", "redis://"+online.addr(), "--force")
	empty := redistest.Start(t)
	tool(t, 0, "migrate", "--config-dir", first, "--redis-url", "redis://"+empty.Addr(), "--verify")
	tool(t, 0, "export", "--output-dir", second, "--redis-url", "redis://"+empty.Addr(), "--force")
	assert.Equal(t, tree(t, first), tree(t, second))
}

func TestMigrateWhileRedisIsAwayArrivesWhenItReturns(t *testing.T) {
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	p.awaitMirror()
	srv.Kill()
	p.awaitMode(fallback.Offline)
	offline := export(t, "redis://"+p.addr(), true)
	srv.Start()
	p.awaitMode(fallback.Online)
	assert.Equal(t, offline, export(t, "redis://"+srv.Addr(), false), "what was replayed is what was migrated")
}

// export migrates the sample (if asked) and returns what export writes, the
// password hash left out: each migration salts it anew.
func export(t *testing.T, url string, migrate bool) map[string]string {
	t.Helper()
	if migrate {
		out := tool(t, 0, "migrate", "--config-dir", sampleConfigs, "--redis-url", url, "--verify")
		assert.Contains(t, out, migrated)
	}
	dir := t.TempDir()
	tool(t, 0, "export", "--output-dir", dir, "--redis-url", url, "--force")
	files := tree(t, dir)
	assert.Contains(t, files, "pwd")
	delete(files, "pwd")
	return files
}

func TestWrongUsageEndsWithCode2(t *testing.T) {
	for _, args := range [][]string{
		{"proxy", "--no-such-flag"}, {"migrate", "--bogus"}, {"no-such-command"},
		{"proxy", "--cache-bytes", "many"}, {"proxy", "--offline", "maybe"}, {"proxy", "stray"},
		{"proxy", "--redis-url", "http://x"}, {"status", "--what"},
		{"status", "stray"}, {"journal", "stray"}, {"journal", "ls", "stray"}, {"journal", "dump", "stray"}, {"journal", "verify", "stray"},
		{"journal", "repair", "stray"}, {"journal", "deadletters", "stray"}, {"journal", "retry", "stray"}, {"journal", "drop", "stray"},
	} {
		code := run(context.Background(), append([]string{"holdfast"}, args...), &bytes.Buffer{}, &bytes.Buffer{})
		assert.Equal(t, 2, code, "holdfast %v", args)
	}
}

func TestBindBeyondLoopbackNeedsAPassword(t *testing.T) {
	var errs bytes.Buffer
	code := run(context.Background(), []string{"holdfast", "proxy", "--listen", "0.0.0.0:0", "--admin", "off", "--data-dir", t.TempDir()}, &bytes.Buffer{}, &errs)
	assert.NotZero(t, code)
	assert.Contains(t, errs.String(), "--requirepass")
}
