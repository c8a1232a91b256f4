package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// fileKey is the client key of testdata/configs.
const fileKey = "sk-fake-0123456789abcdef0123456789abcdef0123456789abcdef"

// service is 'holdfast up' in a process of its own.
type service struct {
	*process
	base string
}

// startService runs 'holdfast up' with a data directory and more flags.
func startService(t *testing.T, dataDir string, flags ...string) *service {
	t.Helper()
	return startServiceIn(t, "", dataDir, flags...)
}

func startServiceIn(t *testing.T, dir, dataDir string, flags ...string) *service {
	t.Helper()
	addr := fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	args := append([]string{"up", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", dataDir, "--gateway-listen", addr}, flags...)
	p := spawnIn(t, dir, nil, args...)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return &service{process: p, base: "http://" + addr}
}

// get asks the gateway with a client key; 0 while it does not answer.
func (s *service) get(path, key string) (int, string) { return httpGet(s.base+path, key) }

func httpGet(url, key string) (int, string) {
	req, _ := http.NewRequest(http.MethodGet, url, nil)
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, ""
	}
	return res.StatusCode, string(raw)
}

// ready waits for a status and a word of /readyz.
func (s *service) ready(status int, word string) {
	s.t.Helper()
	redistest.Eventually(s.t, patience, fmt.Sprintf("/readyz says %d %s", status, word), func() bool {
		got, text := s.get("/readyz", "")
		return got == status && strings.Contains(text, word)
	})
}

// serves waits until the models of a key's service are these.
func (s *service) serves(key string, models ...string) {
	s.t.Helper()
	redistest.Eventually(s.t, patience, fmt.Sprintf("models %v", models), func() bool {
		status, text := s.get("/v1/models", key)
		var list struct{ Data []struct{ ID string } }
		if status != 200 || json.Unmarshal([]byte(text), &list) != nil || len(list.Data) != len(models) {
			return false
		}
		for i, m := range models {
			if list.Data[i].ID != m {
				return false
			}
		}
		return true
	})
}

// accountsIn counts the accounts that a Redis or a proxy has.
func accountsIn(c *redis.Client) (n int) {
	ctx := context.Background()
	for _, key := range c.Keys(ctx, "aiclient:pools:*").Val() {
		n += int(c.HLen(ctx, key).Val())
	}
	return n
}

// ownConfiguration is what another Redis has: one account and a key of its own.
func ownConfiguration(t *testing.T, d *redis.Client) {
	ctx := context.Background()
	require.NoError(t, d.Set(ctx, "aiclient:config", `{"REQUIRED_API_KEY":"own-key","MODEL_PROVIDER":"openai-custom"}`, 0).Err())
	require.NoError(t, d.HSet(ctx, "aiclient:pools:openai-custom", "own", `{"uuid":"own","OPENAI_API_KEY":"k","OPENAI_BASE_URL":"http://127.0.0.1:1","supportedModels":["own-model"]}`).Err())
}

var fileModels = []string{"fa", "fake-alias", "fake-opus", "fake-sonnet"}

const newAccount = `{"uuid":"new","OPENAI_API_KEY":"k","OPENAI_BASE_URL":"http://127.0.0.1:1","supportedModels":["new-model"]}`

func kept(t *testing.T, dataDir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dataDir, "configuration.before-*.resp"))
	require.NoError(t, err)
	if len(names) == 0 {
		return ""
	}
	raw, err := os.ReadFile(names[0])
	require.NoError(t, err)
	return string(raw)
}

func TestNoFilesAndNoRedis(t *testing.T) {
	srv := redistest.Reserve(t)
	s := startService(t, t.TempDir(), "--redis-url", srv.URL())
	s.ready(503, "no_state_loaded")
	srv.Start()
	s.ready(503, "no_client_key")
	ownConfiguration(t, directClient(t, srv))
	s.ready(200, "ready")
	s.serves("own-key", "own-model")
}

func TestNoFilesAndAnEmptyRedis(t *testing.T) {
	srv := redistest.Start(t)
	s := startService(t, t.TempDir(), "--redis-url", srv.URL())
	s.ready(503, "no_client_key")
	assert.Empty(t, directClient(t, srv).Keys(context.Background(), "aiclient:*").Val(), "nobody asked for a configuration")
	tool(t, 0, "migrate", "--config-dir", sampleConfigs, "--redis-url", srv.URL())
	s.ready(200, "ready")
	s.serves(fileKey, fileModels...)
}

// Redis is empty, the files are there: it gets them, once.
func TestFilesAndAnEmptyRedis(t *testing.T) {
	ctx, data := context.Background(), t.TempDir()
	srv := redistest.Start(t)
	d := directClient(t, srv)
	require.NoError(t, d.Set(ctx, "other", 1, 0).Err())
	s := startService(t, data, "--redis-url", srv.URL(), "--config-dir", sampleConfigs)
	s.said("redis was empty: it has the configuration now")
	s.serves(fileKey, fileModels...)
	s.ready(200, "ready")
	assert.Equal(t, 12, accountsIn(d))
	clean := redistest.Start(t)
	tool(t, 0, "migrate", "--config-dir", sampleConfigs, "--redis-url", clean.URL())
	assert.ElementsMatch(t, directClient(t, clean).Keys(ctx, "aiclient:*").Val(), d.Keys(ctx, "aiclient:*").Val(), "as migrate would")
	require.NoError(t, d.HDel(ctx, "aiclient:pools:openai-custom", "11111111-1111-4111-8111-111111111111").Err())
	s.kill9()
	s = startService(t, data, "--redis-url", srv.URL(), "--config-dir", sampleConfigs)
	s.serves(fileKey, fileModels[2:]...) // the aliases were that account's
	assert.Equal(t, 11, accountsIn(d), "never again over something that is there")
	tool(t, 0, "migrate", "--config-dir", sampleConfigs, "--redis-url", srv.URL(), "--verify")
}

// Many that start at the same empty Redis: it gets the files once and whole.
func TestManyStartAtAnEmptyRedis(t *testing.T) {
	srv := redistest.Start(t)
	var all []*service
	for range 3 {
		all = append(all, startService(t, t.TempDir(), "--redis-url", srv.URL(), "--config-dir", sampleConfigs))
	}
	for _, s := range all {
		s.serves(fileKey, fileModels...)
	}
	assert.Equal(t, 12, accountsIn(directClient(t, srv)))
}

func TestFilesAndARedisWithItsOwn(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	d := directClient(t, srv)
	ownConfiguration(t, d)
	data := t.TempDir()
	s := startService(t, data, "--redis-url", srv.URL(), "--config-dir", sampleConfigs)
	line := s.said("redis has a configuration of its own")
	assert.Contains(t, line, "redis_accounts=1")
	assert.Contains(t, line, "files_accounts=12")
	s.serves("own-key", "own-model")
	assert.Len(t, d.Keys(ctx, "aiclient:*").Val(), 2)
	assert.Empty(t, kept(t, data), "the files are where they were")
}

// Started from files, changed, killed, and then there is an empty Redis: it has
// all of it.
func TestFilesThenAnEmptyRedis(t *testing.T) {
	ctx, data := context.Background(), t.TempDir()
	srv := redistest.Reserve(t)
	flags := []string{"--redis-url", srv.URL(), "--config-dir", sampleConfigs}
	s := startService(t, data, flags...)
	s.serves(fileKey, fileModels...)
	require.NoError(t, s.client().HSet(ctx, "aiclient:pools:openai-custom", "new", newAccount).Err())
	require.NoError(t, s.client().Incr(ctx, "aiclient:counters:openai-custom:new:usageCount").Err())
	s.serves(fileKey, append(slices.Clone(fileModels), "new-model")...)
	s.kill9()
	s = startService(t, data, flags...)
	require.NoError(t, s.client().Incr(ctx, "aiclient:counters:openai-custom:new:usageCount").Err())
	s.serves(fileKey, append(slices.Clone(fileModels), "new-model")...)
	srv.Start()
	d := directClient(t, srv)
	redistest.Eventually(t, patience, "13 accounts", func() bool { return accountsIn(d) == 13 })
	redistest.Eventually(t, patience, "counted", func() bool { return d.Get(ctx, "aiclient:counters:openai-custom:new:usageCount").Val() == "2" })
	s.serves(fileKey, append(slices.Clone(fileModels), "new-model")...)
	assert.Equal(t, fileKeyOf(t, d), fileKey)
	assert.Contains(t, s.client().Do(ctx, "HOLDFAST", "STATUS").String(), `"conflicts":0`)
	assert.Empty(t, kept(t, data))
	// Once only: what is removed then stays removed.
	require.NoError(t, d.Del(ctx, "aiclient:pools:openai-custom").Err())
	s.kill9()
	s = startService(t, data, flags...)
	s.serves(fileKey, fileModels[2:]...)
	assert.Equal(t, 11, accountsIn(d))
}

func fileKeyOf(t *testing.T, d *redis.Client) string {
	var c struct {
		Key string `json:"REQUIRED_API_KEY"`
	}
	require.NoError(t, json.Unmarshal([]byte(d.Get(context.Background(), "aiclient:config").Val()), &c))
	return c.Key
}

// Started from files, changed, and then there is a Redis with a configuration of
// its own: that one counts, loudly; what was acknowledged is replayed, and what
// was served is kept.
func TestFilesThenARedisWithItsOwn(t *testing.T) {
	ctx, data := context.Background(), t.TempDir()
	srv := redistest.Start(t, durable...)
	d := directClient(t, srv)
	ownConfiguration(t, d)
	srv.Kill()
	s := startService(t, data, "--redis-url", srv.URL(), "--config-dir", sampleConfigs)
	s.serves(fileKey, fileModels...)
	require.NoError(t, s.client().HSet(ctx, "aiclient:pools:openai-custom", "new", newAccount).Err())
	srv.Start()
	line := s.said("redis came with a configuration of its own")
	assert.Contains(t, line, "level=WARN")
	assert.Contains(t, line, "redis_accounts=1")
	assert.Contains(t, line, "kept_accounts=12")
	s.serves("own-key", "new-model", "own-model")
	assert.Equal(t, 2, accountsIn(d))
	s.ready(200, "ready")
	raw := kept(t, data)
	assert.Contains(t, raw, fileKey)

	// What was kept can be put into another Redis, whole.
	other := redistest.Start(t)
	c := directClient(t, other)
	name, _ := filepath.Glob(filepath.Join(data, "configuration.before-*.resp"))
	code, _, errs := cliTool(t, "", "cli", "--redis-url", other.URL(), "--pipe", name[0])
	require.Zero(t, code, errs)
	assert.Equal(t, 13, accountsIn(c))
	st, err := os.Stat(name[0])
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), st.Mode().Perm())
}

// Redis goes away and comes back, with its data, and without.
func TestFilesAndARedisThatDisappears(t *testing.T) {
	ctx, data := context.Background(), t.TempDir()
	srv := redistest.Start(t, durable...)
	d := directClient(t, srv)
	s := startService(t, data, "--redis-url", srv.URL(), "--config-dir", sampleConfigs)
	s.serves(fileKey, fileModels...)
	require.NoError(t, s.client().HSet(ctx, "aiclient:pools:openai-custom", "new", newAccount).Err())
	s.serves(fileKey, append(slices.Clone(fileModels), "new-model")...)
	redistest.Eventually(t, patience, "mirror complete", func() bool {
		return strings.Contains(s.client().Do(ctx, "HOLDFAST", "STATUS").String(), `"complete":true`)
	})
	offline := func() {
		srv.Kill()
		redistest.Eventually(t, patience, "offline", func() bool {
			return strings.Contains(s.client().Do(ctx, "HOLDFAST", "STATUS").String(), `"mode":"offline"`)
		})
		s.serves(fileKey, append(slices.Clone(fileModels), "new-model")...)
	}
	wipe := func() {
		require.NoError(t, os.RemoveAll(filepath.Join(srv.Dir(), "appendonlydir")))
		_ = os.Remove(filepath.Join(srv.Dir(), "dump.rdb"))
	}
	offline()
	srv.Start()
	redistest.Eventually(t, patience, "13 accounts", func() bool { return accountsIn(d) == 13 })
	s.serves(fileKey, append(slices.Clone(fileModels), "new-model")...)

	offline()
	wipe()
	srv.Start()
	s.said("from=\"what was served before")
	redistest.Eventually(t, patience, "13 accounts again", func() bool { return accountsIn(d) == 13 })
	s.serves(fileKey, append(slices.Clone(fileModels), "new-model")...)
	redistest.Eventually(t, patience, "online", func() bool {
		return strings.Contains(s.client().Do(ctx, "HOLDFAST", "STATUS").String(), `"complete":true`)
	})

	offline()
	require.NoError(t, s.client().HSet(ctx, "aiclient:pools:openai-custom", "newer", strings.ReplaceAll(newAccount, "new", "newer")).Err())
	wipe()
	srv.Start()
	line := s.said("redis lost its configuration")
	assert.Contains(t, line, "level=WARN")
	assert.Contains(t, line, "redis_accounts=12")
	assert.Contains(t, line, "kept_accounts=14")
	redistest.Eventually(t, patience, "the files and what was queued", func() bool { return accountsIn(d) == 13 })
	s.ready(200, "ready")
	s.serves(fileKey, append(slices.Clone(fileModels), "newer-model")...)
	assert.Contains(t, kept(t, data), "new-model")
}
