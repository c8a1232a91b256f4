package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// manyTokens makes a configuration of n accounts of one type, each with a token
// file.
func manyTokens(t *testing.T, n int) string {
	dir := t.TempDir()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s\n {\"uuid\":\"u%d\",\"KIRO_OAUTH_CREDS_FILE_PATH\":\"./configs/t%d.json\"}", map[bool]string{true: "", false: ","}[i == 0], i, i)
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("t%d.json", i)), fmt.Appendf(nil, `{"refreshToken":"%0500d"}`, i), 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "provider_pools.json"), []byte(`{"claude-kiro-oauth":[`+b.String()+"]}"), 0o600))
	return dir
}

// killedRuns runs the binary a few times and kills it at random points of what a
// whole run takes.
func killedRuns(t *testing.T, rnd *rand.Rand, whole time.Duration, args []string, after func()) {
	path, err := binary()
	require.NoError(t, err)
	for range 4 {
		cmd := exec.Command(path, args...)
		require.NoError(t, cmd.Start())
		kill := time.AfterFunc(time.Duration(rnd.Int64N(int64(whole))), func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
		after()
	}
}

func TestKilledToolsAreCompletedByTheNextRun(t *testing.T) {
	const accounts = 400
	srv, ctx := redistest.Start(t), context.Background()
	direct, url := directClient(t, srv), "redis://"+srv.Addr()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	dir := manyTokens(t, accounts)
	path, err := binary()
	require.NoError(t, err)

	begin := time.Now()
	require.NoError(t, exec.Command(path, "migrate", "--config-dir", dir, "--redis-url", url, "--key-prefix", "x:").Run())
	whole := time.Since(begin)
	killedRuns(t, rnd, whole, []string{"migrate", "--config-dir", dir, "--redis-url", url}, func() {
		tokens := len(direct.Keys(ctx, "aiclient:tokens:*").Val())
		assert.Contains(t, []int{0, accounts}, tokens)
		assert.EqualValues(t, tokens, direct.HLen(ctx, "aiclient:pools:claude-kiro-oauth").Val(), "one unit, whole or not at all")
	})
	tool(t, 0, "migrate", "--config-dir", dir, "--redis-url", url, "--verify")

	out, want := t.TempDir(), tree(t, dir)
	killedRuns(t, rnd, 2*whole, []string{"export", "--output-dir", out, "--redis-url", url}, func() {
		for name, data := range tree(t, out) {
			if !strings.HasPrefix(name, ".holdfast-export.tmp/") {
				assert.Equal(t, want[name], data, name)
			}
		}
	})
	tool(t, 0, "export", "--output-dir", out, "--redis-url", url)
	assert.Equal(t, want, tree(t, out))
}

// The way a user of the quickstart changes one setting, through the proxy.
func TestConfigChangedByHandComesBackInTheExport(t *testing.T) {
	srv := redistest.Start(t)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	url := "redis://" + p.addr()
	tool(t, 0, "migrate", "--config-dir", sampleConfigs, "--redis-url", url)
	c, ctx := p.client(), context.Background()
	config := c.Get(ctx, "aiclient:config").Val()
	changed := strings.Replace(config, "{", `{"DEFAULT_MODEL_PROVIDERS": ["claude-kiro-oauth"], `, 1) + "\n"
	require.NoError(t, c.Set(ctx, "aiclient:config", changed, 0).Err())
	out := t.TempDir()
	tool(t, 0, "export", "--output-dir", out, "--redis-url", url)
	assert.Equal(t, changed, tree(t, out)["config.json"])
}

func TestInitOnEveryEndpoint(t *testing.T) {
	srv := redistest.Start(t)
	online, embedded := startProxy(t, srv.URL()), startProxy(t, "")
	online.awaitMode(fallback.Online)
	for name, p := range map[string]*running{"online": online, "embedded": embedded} {
		url, c, ctx := "redis://"+p.addr(), p.client(), context.Background()
		assert.NotContains(t, tool(t, 0, "init", "--redis-url", url, "--dry-run"), "sk-", name)
		assert.Empty(t, c.Keys(ctx, "aiclient:*").Val(), name)
		out := tool(t, 0, "init", "--redis-url", url)
		config, err := c.Get(ctx, "aiclient:config").Result()
		require.NoError(t, err)
		key := config[strings.Index(config, "sk-"):][:51]
		assert.Equal(t, 1, strings.Count(out, key), name)
		tool(t, 1, "init", "--redis-url", url)
		assert.Equal(t, config, c.Get(ctx, "aiclient:config").Val(), name)
		c.Set(ctx, "aiclient:tokens:a:b", "{}", 0)
		assert.Contains(t, tool(t, 0, "init", "--redis-url", url, "--force", "--dry-run"), "5 keys would be removed", name)
		tool(t, 0, "init", "--redis-url", url, "--force")
		assert.ErrorIs(t, c.Get(ctx, "aiclient:tokens:a:b").Err(), redis.Nil, name)
	}
}

// Without a terminal a long run says now and then how far it is; the plan says
// which keys it is about.
func TestProgressWithoutATerminalIsALineNowAndThen(t *testing.T) {
	var out bytes.Buffer
	app := cli.NewApp()
	app.Writer = &out
	d := newDisplay(cli.NewContext(app, flag.NewFlagSet("", flag.ContinueOnError), nil), "./configs", "redis://x", "own:")
	d.total, d.next = 100, time.Now().Add(-time.Second)
	d.progress(40)
	d.progress(50)
	assert.Equal(t, "40 of 100 items\n", out.String())

	srv := redistest.Start(t)
	text := tool(t, 0, "migrate", "--config-dir", sampleConfigs, "--redis-url", "redis://"+srv.Addr(), "--key-prefix", "own:", "--dry-run")
	assert.Contains(t, text, ", keys own:*\n")
}

// Whatever the end, stdout is one JSON document, and no password is shown.
func TestJSONIsAllThatIsPrinted(t *testing.T) {
	srv := redistest.Start(t)
	url := "redis://" + srv.Addr()
	empty := t.TempDir()
	for _, tc := range []struct {
		code int
		args []string
	}{
		{0, []string{"migrate", "--config-dir", sampleConfigs, "--redis-url", url}},
		{0, []string{"migrate", "--config-dir", sampleConfigs, "--redis-url", url, "--dry-run"}},
		{1, []string{"migrate", "--config-dir", empty, "--redis-url", url}},
		{1, []string{"migrate", "--config-dir", sampleConfigs, "--redis-url", "redis://:s3cr3t@127.0.0.1:1"}},
		{2, []string{"migrate", "--config-dir", sampleConfigs, "--redis-url", "http://:s3cr3t@x"}},
		{0, []string{"export", "--output-dir", filepath.Join(empty, "out"), "--redis-url", url}},
		{1, []string{"export", "--output-dir", empty, "--redis-url", url, "--key-prefix", "none:"}},
		{1, []string{"init", "--redis-url", url}},
		{0, []string{"init", "--redis-url", url, "--key-prefix", "new:"}},
	} {
		var out, errs bytes.Buffer
		code := run(context.Background(), append([]string{"holdfast"}, append(tc.args, "--json")...), &out, &errs)
		assert.Equal(t, tc.code, code, "%v: %s", tc.args, &errs)
		var doc map[string]any
		assert.NoError(t, json.Unmarshal(out.Bytes(), &doc), "%v: %q", tc.args, &out)
		assert.Equal(t, code != 0, doc["error"] != nil, "%v", tc.args)
		assert.NotContains(t, out.String()+errs.String(), "s3cr3t")
	}
}
