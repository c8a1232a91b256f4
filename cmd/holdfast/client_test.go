package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/fallback"
)

// phases runs a client online, over an outage, online again and embedded.
func phases(t *testing.T, run func(t *testing.T, p *running, phase string)) {
	srv, p := online(t)
	p.awaitMirror()
	t.Run("online", func(t *testing.T) { run(t, p, "online") })
	srv.Kill()
	p.awaitMode(fallback.Offline)
	t.Run("outage", func(t *testing.T) { run(t, p, "outage") })
	srv.Start()
	p.awaitMode(fallback.Online)
	t.Run("again", func(t *testing.T) { run(t, p, "again") })
	t.Run("embedded", func(t *testing.T) { run(t, startProxy(t, ""), "embedded") })
}

// runTool runs a program that has to end well.
func runTool(t *testing.T, dir, stdin, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Run(), "%s %q: %s", name, args, &out)
	return out.String()
}

// require a program, or skip loudly where HOLDFAST_REQUIRE_CLIENTS is unset.
func needProgram(t *testing.T, name, remedy string) {
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("HOLDFAST_REQUIRE_CLIENTS") != "" {
		t.Fatalf("find %s: %s", name, remedy)
	}
	t.Skipf("SKIPPED, the client is NOT tested: %s is missing: %s", name, remedy)
}

func (r *running) port() string {
	return r.addr()[strings.LastIndexByte(r.addr(), ':')+1:]
}

func TestClientPython(t *testing.T) {
	needProgram(t, "/usr/bin/python3", "install python3 and python3-redis")
	script, err := filepath.Abs("../../testdata/clients/python/client.py")
	require.NoError(t, err)
	phases(t, func(t *testing.T, p *running, phase string) {
		assert.Equal(t, "ok\n", runTool(t, t.TempDir(), "", "/usr/bin/python3", script, p.port(), phase))
	})
}

func TestClientNode(t *testing.T) {
	needProgram(t, "npm", "install Node.js")
	dir := t.TempDir()
	for _, f := range []string{"package.json", "package-lock.json", "client.js"} {
		raw, err := os.ReadFile("../../testdata/clients/node/" + f)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, f), raw, 0o600))
	}
	runTool(t, dir, "", "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	phases(t, func(t *testing.T, p *running, phase string) {
		assert.Equal(t, "ok\n", runTool(t, dir, "", "node", "client.js", p.port(), phase))
	})
}

func TestClientRedisCLI(t *testing.T) {
	needProgram(t, "redis-cli", "install redis-tools")
	phases(t, func(t *testing.T, p *running, phase string) {
		cli := func(stdin string, args ...string) string {
			return runTool(t, t.TempDir(), stdin, "redis-cli", append([]string{"-p", p.port()}, args...)...)
		}
		assert.Equal(t, "OK\n", cli("", "SET", "aiclient:cli", "v"))
		assert.Equal(t, "\"v\"\n", cli("", "--no-raw", "GET", "aiclient:cli"))
		assert.Equal(t, "OK\n", cli("from stdin", "-x", "SET", "aiclient:x"))
		assert.Equal(t, "from stdin\n", cli("", "GET", "aiclient:x"))
		assert.Equal(t, "v\n", cli("", "-3", "GET", "aiclient:cli"))
		assert.Contains(t, cli("", "-3", "HELLO"), "proto")
		assert.Contains(t, cli("SET aiclient:p1 1\r\nSET aiclient:p2 2\r\n", "--pipe"), "errors: 0, replies: 2")
		assert.Contains(t, cli("", "--scan", "--pattern", "aiclient:p?"), "aiclient:p1")
		assert.Contains(t, cli("MULTI\nINCR aiclient:cn\nEXEC\n"), "QUEUED")
		assert.Contains(t, cli("", "COMMAND", "DOCS", "get"), "summary")
		if phase != "outage" {
			assert.Contains(t, cli("", "BLPOP", "none", "0.01"), "\n")
			biggest := cli("", "--bigkeys")
			assert.Contains(t, biggest, "Sampled ")
			assert.NotContains(t, biggest, "ERR")
		}
		if phase == "online" || phase == "again" { // there is a Redis to be a replica of
			file := filepath.Join(t.TempDir(), "dump.rdb")
			cli("", "--rdb", file)
			dump, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, "REDIS", string(dump[:min(5, len(dump))]), "a snapshot by SYNC")
		}
	})
}

func TestClientGoRedis(t *testing.T) {
	ctx := context.Background()
	phases(t, func(t *testing.T, p *running, phase string) {
		c := p.client()
		require.NoError(t, c.Set(ctx, "aiclient:go", phase, 0).Err())
		assert.Equal(t, phase, c.Get(ctx, "aiclient:go").Val())
		require.NoError(t, c.HSet(ctx, "aiclient:goh", "a", 1, "b", 2).Err())
		assert.Len(t, c.HGetAll(ctx, "aiclient:goh").Val(), 2)
		if phase == "outage" {
			return
		}
		sub := c.Subscribe(ctx, "gochan")
		defer sub.Close()
		_, err := sub.Receive(ctx)
		require.NoError(t, err)
		require.NoError(t, c.Publish(ctx, "gochan", "hi").Err())
		msg, err := sub.ReceiveMessage(ctx)
		require.NoError(t, err)
		assert.Equal(t, "hi", msg.Payload)
		require.NoError(t, c.RPush(ctx, "goq", "x").Err())
		assert.Equal(t, []string{"goq", "x"}, c.BLPop(ctx, time.Second, "goq").Val())
	})
}

func TestClientRueidisWithItsCache(t *testing.T) {
	ctx := context.Background()
	phases(t, func(t *testing.T, p *running, phase string) {
		if phase == "outage" {
			return // a connection made in the outage has no invalidations; one made before it goes on, below
		}
		c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{p.addr()}, ForceSingleClient: true})
		require.NoError(t, err)
		defer c.Close()
		w := p.client()
		for i := range 10 {
			require.NoError(t, w.Set(ctx, "aiclient:ru", i, 0).Err())
			deadline := time.Now().Add(patience)
			for {
				n, err := c.DoCache(ctx, c.B().Get().Key("aiclient:ru").Cache(), time.Minute).AsInt64()
				require.NoError(t, err)
				if n == int64(i) {
					break
				}
				require.True(t, time.Now().Before(deadline), "stale: %d, want %d", n, i)
			}
		}
	})
}

func TestRueidisConnectionGoesOnOverAnOutage(t *testing.T) {
	ctx := context.Background()
	srv, p := online(t)
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{p.addr()}, ForceSingleClient: true, DisableRetry: true})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Do(ctx, c.B().Set().Key("aiclient:ru").Value("1").Build()).Error())
	p.awaitMirror()
	get := func() string {
		s, err := c.DoCache(ctx, c.B().Get().Key("aiclient:ru").Cache(), time.Minute).ToString()
		require.NoError(t, err)
		return s
	}
	assert.Equal(t, "1", get())
	srv.Kill()
	p.awaitMode(fallback.Offline)
	require.NoError(t, p.client().Set(ctx, "aiclient:ru", "2", 0).Err())
	require.Eventually(t, func() bool { return get() == "2" }, patience, 5*time.Millisecond, "a write in the outage is announced")
	srv.Start()
	p.awaitMode(fallback.Online)
	require.NoError(t, directClient(t, srv).Set(ctx, "aiclient:ru", "3", 0).Err())
	require.Eventually(t, func() bool { return get() == "3" }, patience, 5*time.Millisecond, "a foreign write after it, too")
}
