package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// cliTool runs a command in this process with something on its standard input.
func cliTool(t *testing.T, stdin string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	app := newApp(&stdout, &stderr)
	app.Reader = strings.NewReader(stdin)
	code = runApp(context.Background(), app, append([]string{"holdfast"}, args...), &stderr)
	return code, stdout.String(), stderr.String()
}

// startEmbedded switches Redis off: the files name one.
func startEmbedded(t *testing.T, dataDir string, flags ...string) *service {
	t.Helper()
	t.Setenv("REDIS_ENABLED", "false")
	s := startService(t, dataDir, flags...)
	require.NoError(t, os.Unsetenv("REDIS_ENABLED"))
	return s
}

func TestFilesAndAnEmbeddedStore(t *testing.T) {
	ctx, data := context.Background(), t.TempDir()
	s := startEmbedded(t, data, "--config-dir", sampleConfigs)
	s.serves(fileKey, fileModels...)
	assert.Equal(t, 12, accountsIn(s.client()))
	require.NoError(t, s.client().HSet(ctx, "aiclient:pools:openai-custom", "new", newAccount).Err())
	s.kill9()
	s = startEmbedded(t, data, "--config-dir", sampleConfigs)
	assert.Contains(t, s.said("the store has a configuration of its own"), "accounts=13")
	s.serves(fileKey, append(slices.Clone(fileModels), "new-model")...)
	s.kill9()

	// With an empty Redis after that: the store's data, not the files.
	srv := redistest.Start(t)
	d := directClient(t, srv)
	s = startService(t, data, "--config-dir", sampleConfigs, "--redis-url", srv.URL())
	redistest.Eventually(t, patience, "13 accounts", func() bool { return accountsIn(d) == 13 })
	s.serves(fileKey, append(slices.Clone(fileModels), "new-model")...)
	assert.Contains(t, s.client().Do(ctx, "HOLDFAST", "STATUS").String(), `"conflicts":0`)
}

func TestFilesInsteadOfTheSample(t *testing.T) {
	data := t.TempDir()
	s := startEmbedded(t, data)
	s.said("sample configuration loaded")
	s.ready(200, "ready")
	assert.Equal(t, 2, accountsIn(s.client()))
	url := "redis://" + s.addr
	code, _, errs := cliTool(t, "", "passwd", "--redis-url", url, "--password", "mine")
	require.Zero(t, code, errs)
	s.kill9()
	s = startEmbedded(t, data, "--config-dir", sampleConfigs)
	assert.Contains(t, s.said("configuration files loaded"), "instead_of_the_sample=true")
	s.serves(fileKey, fileModels...)
	assert.Equal(t, 12, accountsIn(s.client()))
	assert.NotEqual(t, "s3cret-示例\n", s.client().Get(context.Background(), "aiclient:pwd").Val(), "the password that was set stays")
	s.kill9()

	// Files that name a Redis which is away are served in the sample's place, too.
	data = t.TempDir()
	s = startEmbedded(t, data)
	s.said("sample configuration loaded")
	code, _, errs = cliTool(t, "", "passwd", "--redis-url", "redis://"+s.addr, "--password", "mine")
	require.Zero(t, code, errs)
	s.kill9()
	srv := redistest.Reserve(t)
	s = startService(t, data, "--config-dir", sampleConfigs, "--redis-url", srv.URL())
	s.serves(fileKey, fileModels...)
	mine := s.client().Get(context.Background(), "aiclient:pwd").Val()
	srv.Start()
	d := directClient(t, srv)
	redistest.Eventually(t, patience, "12 accounts", func() bool { return accountsIn(d) == 12 })
	redistest.Eventually(t, patience, "the password", func() bool { return d.Get(context.Background(), "aiclient:pwd").Val() == mine })
	s.kill9()

	// A sample with an account of one's own is data.
	data = t.TempDir()
	s = startEmbedded(t, data)
	s.said("sample configuration loaded")
	require.NoError(t, s.client().HSet(context.Background(), "aiclient:pools:openai-custom", "new", newAccount).Err())
	s.kill9()
	s = startEmbedded(t, data, "--config-dir", sampleConfigs)
	s.said("the store has a configuration of its own")
	assert.Equal(t, 3, accountsIn(s.client()))
}

// The sample gets a Redis and files: the files are served.
func TestTheSampleGetsARedisAndFiles(t *testing.T) {
	data := t.TempDir()
	s := startEmbedded(t, data)
	s.said("sample configuration loaded")
	s.kill9()
	srv := redistest.Start(t)
	s = startService(t, data, "--config-dir", sampleConfigs, "--redis-url", srv.URL())
	s.serves(fileKey, fileModels...)
	assert.Equal(t, 12, accountsIn(directClient(t, srv)))
}

// ./configs is where the original application has its files. A stranger's of that
// name are left alone, and an empty one is none.
func TestTheUsualDirectoryIsFound(t *testing.T) {
	srv := redistest.Start(t)
	base := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(base, "configs"), os.DirFS(sampleConfigs)))
	s := startServiceIn(t, base, t.TempDir(), "--redis-url", srv.URL())
	s.serves(fileKey, fileModels...)
	s.said("configuration directory found")
	s.kill9()

	for _, files := range []map[string]string{{"configs/config.json": `{"name":"webpack","port":8080}`}, {"configs/readme": "x"}} {
		empty := redistest.Start(t)
		base := t.TempDir()
		for name, text := range files {
			require.NoError(t, os.MkdirAll(filepath.Join(base, "configs"), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(base, name), []byte(text), 0o600))
		}
		s := startServiceIn(t, base, t.TempDir(), "--redis-url", empty.URL())
		s.ready(503, "no_client_key")
		assert.Empty(t, directClient(t, empty).Keys(context.Background(), "aiclient:*").Val())
		s.kill9()
		if files["configs/readme"] != "" {
			s = startServiceIn(t, base, t.TempDir(), "--redis-url", empty.URL(), "--config-dir", "configs")
			s.said("it is not used")
			s.ready(503, "no_client_key")
		}
	}
}

// The gateway alone: the same rules, without a store of its own.
func TestTheGatewayAloneWithFiles(t *testing.T) {
	start := func(url string) *service {
		addr := "127.0.0.1:" + strings.Split(redistest.Reserve(t).Addr(), ":")[1]
		p := startProcess(t, "", nil, "gateway", "--redis-url", url, "--config-dir", sampleConfigs, "--listen", addr)
		return &service{process: p, base: "http://" + addr}
	}
	empty := redistest.Start(t)
	s := start(empty.URL())
	s.serves(fileKey, fileModels...)
	assert.Equal(t, 12, accountsIn(directClient(t, empty)))

	late := redistest.Reserve(t)
	s = start(late.URL())
	s.serves(fileKey, fileModels...)
	late.Start()
	d := directClient(t, late)
	redistest.Eventually(t, patience, "12 accounts", func() bool { return accountsIn(d) == 12 })
	s.serves(fileKey, fileModels...)

	own := redistest.Start(t, durable...)
	ownConfiguration(t, directClient(t, own))
	own.Kill()
	s = start(own.URL())
	s.serves(fileKey, fileModels...)
	own.Start()
	line := s.said("redis has a configuration of its own")
	assert.Contains(t, line, "redis_accounts=1")
	assert.Contains(t, line, "files_accounts=12")
	s.serves("own-key", "own-model")
}
