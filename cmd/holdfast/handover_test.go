package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// One start with a forgotten --redis-url says so, and the next one with it finds
// everything as it was: what others wrote to Redis meanwhile stays.
func TestAForgottenRedisURLIsRefused(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	d := directClient(t, srv)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	require.NoError(t, p.client().Set(ctx, "aiclient:k", "old", 0).Err())
	p.awaitMirror()
	p.stop()
	dir := p.st.settings.dataDir

	start := func(more ...string) (int, string) {
		var errs bytes.Buffer
		args := append([]string{"holdfast", "proxy", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", dir}, more...)
		code := run(ctx, args, &bytes.Buffer{}, &errs)
		return code, errs.String()
	}
	code, said := start()
	assert.Equal(t, 1, code)
	assert.Contains(t, said, dir)
	assert.Contains(t, said, "--redis-url")
	assert.Contains(t, said, "--detach")
	code, said = start("--redis-url", srv.URL(), "--detach")
	assert.Equal(t, 2, code)
	assert.Contains(t, said, "--detach")

	require.NoError(t, d.Set(ctx, "aiclient:k", "new", 0).Err())
	again := startProxy(t, srv.URL(), func(s *proxySettings) { s.dataDir = dir })
	again.awaitMode(fallback.Online)
	assert.Equal(t, "new", d.Get(ctx, "aiclient:k").Val())
	redistest.Eventually(t, patience, "mirror loaded", func() bool { return strings.Contains(again.logs.String(), "mirror loaded") })
	again.stop()

	alone := startProxy(t, "", func(s *proxySettings) { s.dataDir, s.detach = dir, true })
	assert.Equal(t, "new", alone.client().Get(ctx, "aiclient:k").Val())
}

// The sample configuration of a first look is not brought to the Redis that the
// same directory gets later, whatever is there; what was written beside it is.
func TestTheSampleIsNotBroughtToRedis(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	d := directClient(t, srv)
	require.NoError(t, d.Set(ctx, "aiclient:config", "production", 0).Err())
	gatewayAddr := fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	args := []string{"up", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", t.TempDir(), "--gateway-listen", gatewayAddr}
	p := spawn(t, args...)
	p.await("sample configuration loaded")
	p.await("ready gateway=" + gatewayAddr)
	require.NoError(t, p.client().MSet(ctx, "aiclient:mine", "1", "aiclient:theirs", "embedded").Err())
	require.NotZero(t, p.client().HLen(ctx, "aiclient:pools:openai-custom").Val())
	p.kill9()
	require.NoError(t, d.Set(ctx, "aiclient:theirs", "production", 0).Err())

	p = spawn(t, append(args, "--redis-url", srv.URL())...)
	redistest.Eventually(t, patience, "handed over", func() bool { return d.Get(ctx, "aiclient:mine").Val() == "1" })
	assert.Equal(t, "production", d.Get(ctx, "aiclient:config").Val())
	assert.Equal(t, "production", d.Get(ctx, "aiclient:theirs").Val())
	assert.Zero(t, d.Exists(ctx, "aiclient:pools:openai-custom").Val())
	assert.ElementsMatch(t, []string{"aiclient:config", "aiclient:mine", "aiclient:theirs"}, d.Keys(ctx, "aiclient:*").Val())
	assert.Contains(t, p.client().Do(ctx, "HOLDFAST", "STATUS").String(), `"conflicts":1`)
}
