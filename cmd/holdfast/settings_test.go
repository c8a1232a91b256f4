package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"

	"holdfast/backend/redistest"
)

// settingsOf are those of a command line, read but not run.
func settingsOf(t *testing.T, args ...string) (*proxySettings, error) {
	t.Helper()
	var s *proxySettings
	app := newApp(&bytes.Buffer{}, &bytes.Buffer{})
	for _, c := range app.Commands {
		if c.Name == "proxy" || c.Name == "up" {
			c.Action = func(c *cli.Context) (err error) {
				s, err = readProxySettings(c)
				return err
			}
		}
	}
	return s, app.Run(append([]string{"holdfast"}, args...))
}

// noRedisEnv keeps the test's own environment out, but for the given variables.
func noRedisEnv(t *testing.T, set map[string]string) {
	for _, name := range []string{"REDIS_URL", "HOLDFAST_REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD", "REDIS_DB", "REDIS_ENABLED", "REDIS_KEY_PREFIX"} {
		t.Setenv(name, set[name])
	}
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// Every way in which the quickstart names a Redis.
func TestWaysToNameARedis(t *testing.T) {
	dir := filepath.Dir(writeFile(t, "config.json", `{"redis":{"enabled":true,"host":"c","port":7,"password":"p","db":2,"keyPrefix":"c:","commandTimeout":2500}}`))
	yaml := writeFile(t, "holdfast.yaml", "redis-url: redis://file\nkey-prefix: 'f:'\n")
	for _, tc := range []struct {
		env    map[string]string
		args   []string
		url    string
		prefix string
	}{
		{nil, nil, "", "aiclient:"},
		{map[string]string{"REDIS_URL": "redis://u"}, nil, "redis://u", "aiclient:"},
		{map[string]string{"HOLDFAST_REDIS_URL": "redis://u"}, nil, "redis://u", "aiclient:"},
		{map[string]string{"REDIS_ENABLED": "true"}, nil, "redis://localhost:6379/0", "aiclient:"},
		{map[string]string{"REDIS_HOST": "h", "REDIS_PASSWORD": "p", "REDIS_DB": "3", "REDIS_KEY_PREFIX": "e:"}, nil, "redis://:p@h:6379/3", "e:"},
		{map[string]string{"REDIS_PORT": "7"}, nil, "redis://localhost:7/0", "aiclient:"},
		{map[string]string{"REDIS_URL": "redis://u", "REDIS_ENABLED": "false"}, nil, "", "aiclient:"},
		{nil, []string{"--config-dir", dir}, "redis://:p@c:7/2", "c:"},
		{map[string]string{"REDIS_ENABLED": "false"}, []string{"--config-dir", dir}, "", "c:"},
		{map[string]string{"REDIS_URL": "redis://u"}, []string{"--config-dir", dir, "--redis-url", "redis://f/1", "--key-prefix", "k:"}, "redis://:p@f/1", "k:"},
		{nil, []string{"--config", yaml}, "redis://file", "f:"},
		{map[string]string{"REDIS_HOST": "h"}, []string{"--config", yaml}, "redis://h:6379/0", "f:"},
	} {
		noRedisEnv(t, tc.env)
		for _, command := range []string{"proxy", "up"} {
			s, err := settingsOf(t, append([]string{command}, tc.args...)...)
			require.NoError(t, err)
			assert.Equal(t, tc.url, s.redisURL, "%s %+v", command, tc)
			assert.Equal(t, tc.prefix, s.prefix, "%s %+v", command, tc)
			assert.Equal(t, []string{tc.prefix}, s.mirror, "%s %+v", command, tc)
		}
	}
	s, err := settingsOf(t, "up", "--mirror", "x:", "--key-prefix", "k:")
	require.NoError(t, err)
	assert.Equal(t, []string{"x:", "k:"}, s.mirror, "the gateway's keys are mirrored")
}

// All that is wrong is said at once, with a remedy, and before anything is made.
func TestWrongSettingsAreReportedAtOnce(t *testing.T) {
	noRedisEnv(t, nil)
	data := filepath.Join(t.TempDir(), "data")
	path := writeFile(t, "holdfast.yaml", "no-such: 1\ncommand-timeout: soon\nmaxclients: many\nadmin: [a, b]\ntls-cert: {a: b}\n")
	var errs bytes.Buffer
	code := run(context.Background(), []string{"holdfast", "proxy", "--config", path, "--data-dir", data, "--listen", "nonsense", "--max-age", "soon",
		"--idle-timeout", "-1s", "--journal-bytes", "0", "--mirror-bytes", "many", "--redis-url", "redis://h/x", "--config-dir", "/no/such", "--offline", "maybe"}, &bytes.Buffer{}, &errs)
	assert.Equal(t, exitUsage, code)
	for _, want := range []string{`unknown key "no-such"`, `--command-timeout "soon" is not a duration: write it like`, `--maxclients "many"`, "admin takes one value",
		"tls-cert: give a value", `--listen "nonsense" is not an address: write host:port`, `--max-age "soon"`, `--idle-timeout "-1s"`, "give at least 1.0 MB",
		`--mirror-bytes "many"`, "Redis URL", "--config-dir", "maybe"} {
		assert.Contains(t, errs.String(), want)
	}
	assert.NoFileExists(t, data)
	_, err := settingsOf(t, "up", "--gateway-listen", "x", "--drain-timeout", "-1s")
	assert.ErrorContains(t, err, "--gateway-listen")
	assert.ErrorContains(t, err, "--drain-timeout")
	code = run(context.Background(), []string{"holdfast", "gateway", "--listen", "x", "--config-dir", "/no/such", "--drain-timeout", "soon"}, &bytes.Buffer{}, &errs)
	assert.Equal(t, exitUsage, code)
}

// A file's values are the texts that were written; what is left empty is not given.
func TestConfigFileKeepsTexts(t *testing.T) {
	noRedisEnv(t, nil)
	for _, raw := range []string{
		"requirepass: 012345\nmirror:\nno-cache: [0x10, yes]\ngateway-listen: 127.0.0.1:1\nfence-writes: false\n",
		`{"requirepass":"012345","mirror":null,"no-cache":["0x10","yes"],"api-key":"x","fence-writes":false}`,
	} {
		s, err := settingsOf(t, "proxy", "--config", writeFile(t, "f.yaml", raw)) // one file serves up and proxy
		require.NoError(t, err)
		assert.Equal(t, "012345", s.password)
		assert.Equal(t, []string{"aiclient:"}, s.mirror)
		assert.Equal(t, []string{"0x10", "yes"}, s.noCache)
		assert.False(t, s.fenceWrites)
	}
}

// Without a Redis the directory is the first content, under the prefix that was
// asked for; the sample is for those who have none.
func TestEmbeddedStartsFromTheConfigurationDirectory(t *testing.T) {
	ctx := context.Background()
	noRedisEnv(t, map[string]string{"REDIS_ENABLED": "false", "REDIS_KEY_PREFIX": "own:"})
	data, gatewayAddr := t.TempDir(), fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	common := []string{"--listen", "127.0.0.1:0", "--admin", "off", "--config-dir", sampleConfigs, "--data-dir"}
	p := spawn(t, append([]string{"up", "--gateway-listen", gatewayAddr}, append(common, data)...)...)
	p.await("KEYS 'own:*'")
	c := p.client()
	assert.EqualValues(t, 3, c.HLen(ctx, "own:pools:claude-kiro-oauth").Val())
	require.NoError(t, c.Set(ctx, "own:config", "{}", 0).Err())
	assert.Equal(t, "embedded", redisStatus(t, "http://"+gatewayAddr)["mode"])
	http.DefaultClient.CloseIdleConnections()
	p.kill9()

	p = spawn(t, append([]string{"proxy"}, append(common, data)...)...)
	assert.Equal(t, "{}", p.client().Get(ctx, "own:config").Val(), "only an empty store is filled")
	p = spawn(t, append([]string{"proxy"}, append(common, t.TempDir())...)...)
	assert.EqualValues(t, 3, p.client().HLen(ctx, "own:pools:claude-kiro-oauth").Val())
}

// The hint of a first start works on the store that was started, and the process
// logs in at its own proxy as somebody who may.
func TestUpForAUserAndItsHint(t *testing.T) {
	noRedisEnv(t, nil)
	gatewayAddr := fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	p := spawn(t, "up", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", t.TempDir(), "--gateway-listen", gatewayAddr, "--user", "bob:pw")
	line := p.await("first start:")
	assert.Contains(t, line, "migrate --config-dir ./configs --redis-url redis://bob@"+p.addr+" --force'")
	assert.Contains(t, line, "init --redis-url redis://bob@"+p.addr+" --force'")
	p.await("export REDISCLI_AUTH=")
	p.await("redis-cli -p " + p.addr[strings.LastIndex(p.addr, ":")+1:] + " --user bob KEYS")
	t.Setenv("REDIS_PASSWORD", "pw")
	assert.Contains(t, tool(t, 0, "init", "--redis-url", "redis://bob@"+p.addr, "--force"), "API key (shown once)")
}

// The tools find the Redis of the quickstart's option B as well.
func TestToolsReadTheRedisBlock(t *testing.T) {
	srv := redistest.Start(t)
	noRedisEnv(t, nil)
	var port int
	_, err := fmt.Sscanf(srv.Addr(), "127.0.0.1:%d", &port)
	require.NoError(t, err)
	dir := filepath.Dir(writeFile(t, "config.json", fmt.Sprintf(`{"redis":{"enabled":true,"host":"127.0.0.1","port":%d,"keyPrefix":"b:"}}`, port)))
	tool(t, 0, "init", "--config-dir", dir)
	out := t.TempDir()
	tool(t, 0, "export", "--config-dir", dir, "--output-dir", out)
	assert.FileExists(t, filepath.Join(out, "config.json"))
	assert.NotEmpty(t, directClient(t, srv).Keys(context.Background(), "b:*").Val())
	tool(t, 2, "export", "--config-dir", "/no/such")
	tool(t, 1, "migrate", "--config-dir", "/no/such", "--redis-url", srv.URL())
}

// What a refused connection tells to do helps.
func TestPasswordFromTheEnvironment(t *testing.T) {
	srv := redistest.Start(t, "--requirepass", "s3cret")
	noRedisEnv(t, map[string]string{"REDIS_URL": srv.URL()})
	args := []string{"proxy", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir"}
	p := spawn(t, append(args, t.TempDir())...)
	status := func(p *process) string { return p.client().Do(context.Background(), "HOLDFAST", "STATUS").String() }
	redistest.Eventually(t, patience, "status tells the remedy", func() bool { return strings.Contains(status(p), "REDIS_PASSWORD") })
	t.Setenv("REDIS_PASSWORD", "s3cret")
	p = spawn(t, append(args, t.TempDir())...)
	redistest.Eventually(t, patience, "connected", func() bool { return strings.Contains(status(p), `"connected":true`) })
	assert.NotContains(t, status(p), "s3cret")
}
