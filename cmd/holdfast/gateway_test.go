package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
	"holdfast/gateway"
)

// provider is an OpenAI-speaking upstream.
func provider(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer provider-key" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if strings.Contains(string(raw), `"stream":true`) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\"hel\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
			return
		}
		fmt.Fprint(w, `{"choices":[{"message":{"role":"assistant","content":"hello"}}]}`)
	}))
	t.Cleanup(s.Close)
	return s
}

// The gateway runs on the proxy over an outage: requests are served, counted
// once, and status tells of the real Redis behind the proxy.
func TestGatewayOnTheProxyOverAnOutage(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	c := p.client()
	up := provider(t)
	require.NoError(t, c.Set(ctx, "aiclient:config", `{"REQUIRED_API_KEY":"client-key","MODEL_PROVIDER":"openai-custom"}`, 0).Err())
	require.NoError(t, c.HSet(ctx, "aiclient:pools:openai-custom", "u1",
		fmt.Sprintf(`{"uuid":"u1","OPENAI_API_KEY":"provider-key","OPENAI_BASE_URL":%q,"isHealthy":true,"supportedModels":["m"]}`, up.URL+"/v1")).Err())
	require.NoError(t, c.SAdd(ctx, "aiclient:pool-types", "openai-custom").Err())
	p.awaitMirror()
	base := startGateway(t, "redis://"+p.addr())

	assert.Equal(t, "online", redisStatus(t, base)["mode"])
	ask(t, base)
	srv.Kill()
	p.awaitMode(fallback.Offline)
	for range 20 {
		ask(t, base)
	}
	redistest.Eventually(t, patience, "status tells of the outage", func() bool {
		st := redisStatus(t, base)
		return st["connected"] == false && st["mode"] == "offline"
	})
	srv.Start()
	p.awaitMode(fallback.Online)
	d := directClient(t, srv)
	redistest.Eventually(t, patience, "every request counted once", func() bool {
		return d.Get(ctx, "aiclient:counters:openai-custom:u1:usageCount").Val() == "21"
	})
	redistest.Eventually(t, patience, "status tells of the return", func() bool {
		st := redisStatus(t, base)
		return st["connected"] == true && st["queuedWrites"] == float64(0)
	})
	stream := request(t, base, `{"model":"m","stream":true,"messages":[]}`)
	assert.Contains(t, stream, "hel")
	assert.True(t, strings.HasSuffix(strings.TrimSpace(stream), "data: [DONE]"), "%s", stream)
	assert.NotContains(t, p.logs.String(), "provider-key")
}

func startGateway(t *testing.T, url string) string {
	t.Helper()
	g, err := newGateway(gateway.Config{Addr: "127.0.0.1:0", RedisURL: url, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
		assert.NoError(t, g.Close())
		http.DefaultClient.CloseIdleConnections()
	})
	<-g.Ready()
	return "http://" + g.Addr().String()
}

func ask(t *testing.T, base string) {
	t.Helper()
	require.Contains(t, request(t, base, `{"model":"m","messages":[]}`), `"hello"`)
}

func request(t *testing.T, base, body string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, base+"/v1/chat/completions", bytes.NewBufferString(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer client-key")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, "%s", raw)
	return string(raw)
}

func redisStatus(t *testing.T, base string) map[string]any {
	t.Helper()
	res, err := http.Get(base + "/api/redis/status")
	require.NoError(t, err)
	defer res.Body.Close()
	out := map[string]any{}
	require.NoError(t, json.NewDecoder(res.Body).Decode(&out))
	return out
}
