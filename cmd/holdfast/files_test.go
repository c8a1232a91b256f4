package main

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// A first start without Redis serves what migrate would have stored. Many times:
// the keys come in an order that is another one each time.
func TestColdStartFromFilesWhateverTheOrder(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	tool(t, 0, "migrate", "--config-dir", sampleConfigs, "--redis-url", srv.URL())
	want := directClient(t, srv).Keys(ctx, "aiclient:*").Val()
	require.NotEmpty(t, want)
	away := redistest.Reserve(t)
	for range 8 {
		p := startProxy(t, away.URL(), func(s *proxySettings) { s.configDir = sampleConfigs })
		p.awaitMode(fallback.Offline)
		c := p.client()
		assert.ElementsMatch(t, want, c.Keys(ctx, "aiclient:*").Val())
		assert.EqualValues(t, 3, c.HLen(ctx, "aiclient:pools:claude-kiro-oauth").Val())
		assert.ErrorContains(t, c.Get(ctx, "elsewhere").Err(), "UPSTREAMDOWN")
		p.stop()
	}
}

// What was started from files goes to the empty Redis that comes later, and what
// was changed meanwhile does, too.
func TestColdStartOfUpFromFilesAndTheReturnOfRedis(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Reserve(t)
	gatewayAddr := fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	p := spawn(t, "up", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", t.TempDir(),
		"--gateway-listen", gatewayAddr, "--redis-url", srv.URL(), "--config-dir", sampleConfigs)
	p.await("ready gateway=" + gatewayAddr)
	defer http.DefaultClient.CloseIdleConnections()
	st := redisStatus(t, "http://"+gatewayAddr)
	assert.Equal(t, "offline", st["mode"])
	assert.Equal(t, false, st["connected"])
	assert.Equal(t, []any{"file", "file"}, []any{st["storage"], st["storageType"]})
	assert.NotNil(t, st["lastError"])
	c := p.client()
	assert.NotEmpty(t, c.Get(ctx, "aiclient:config").Val())
	require.NoError(t, c.Set(ctx, "aiclient:changed", 1, 0).Err())
	srv.Start()
	d := directClient(t, srv)
	redistest.Eventually(t, patience, "replayed", func() bool { return d.Get(ctx, "aiclient:changed").Val() == "1" })
	assert.EqualValues(t, 1, d.Exists(ctx, "aiclient:config").Val())
	redistest.Eventually(t, patience, "status tells of the Redis, and of no error", func() bool {
		st := redisStatus(t, "http://"+gatewayAddr)
		return st["connected"] == true && st["storage"] == "redis" && st["lastError"] == nil
	})
}

// What is written on top of the files outlives kill -9, and so do they.
func TestColdStartFromFilesAndACrash(t *testing.T) {
	ctx := context.Background()
	args := []string{"proxy", "--listen", "127.0.0.1:0", "--admin", "off", "--data-dir", t.TempDir(),
		"--redis-url", fmt.Sprintf("redis://127.0.0.1:%d", redistest.FreePort(t)), "--config-dir", sampleConfigs}
	p := spawn(t, args...)
	pools := p.client().Keys(ctx, "aiclient:pools:*").Val()
	require.NotEmpty(t, pools)
	require.NoError(t, p.client().HSet(ctx, "aiclient:pools:openai-custom", "new-account", "{}").Err())
	for range 2 {
		p.kill9()
		p = spawn(t, args...)
		require.Equal(t, "{}", p.client().HGet(ctx, "aiclient:pools:openai-custom", "new-account").Val())
		require.ElementsMatch(t, pools, p.client().Keys(ctx, "aiclient:pools:*").Val())
		require.NoError(t, p.client().Set(ctx, "aiclient:x", "1", 0).Err())
	}
}
