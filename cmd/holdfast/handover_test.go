package main

import (
	"bytes"
	"context"
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
