package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// A conversation of the Responses API goes on over an outage: what was kept before it
// is there during it, and what was kept during it is there afterwards, at Redis itself.
func TestConversationOverAnOutage(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	c := p.client()
	var mu sync.Mutex
	var asked string
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		mu.Lock()
		asked = string(raw)
		mu.Unlock()
		fmt.Fprint(w, `{"id":"c","model":"m","choices":[{"message":{"role":"assistant","content":"answer"},"finish_reason":"stop"}]}`)
	}))
	t.Cleanup(up.Close)
	require.NoError(t, c.Set(ctx, "aiclient:config", `{"REQUIRED_API_KEY":"client-key","MODEL_PROVIDER":"openai-custom"}`, 0).Err())
	require.NoError(t, c.HSet(ctx, "aiclient:pools:openai-custom", "u1",
		fmt.Sprintf(`{"uuid":"u1","OPENAI_API_KEY":"provider-key","OPENAI_BASE_URL":%q}`, up.URL+"/v1")).Err())
	require.NoError(t, c.SAdd(ctx, "aiclient:pool-types", "openai-custom").Err())
	p.awaitMirror()
	base := startGateway(t, "redis://"+p.addr())

	say := func(text, former string) (id string) {
		body, err := json.Marshal(map[string]any{"model": "m", "input": text, "previous_response_id": former})
		require.NoError(t, err)
		req, err := http.NewRequest(http.MethodPost, base+"/v1/responses", bytes.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer client-key")
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		var out struct {
			ID    string
			Store bool
		}
		require.NoError(t, json.NewDecoder(res.Body).Decode(&out))
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.True(t, out.Store, "it is kept")
		return out.ID
	}
	first := say("one", "")
	srv.Kill()
	p.awaitMode(fallback.Offline)
	second := say("two", first)
	third := say("three", second)
	srv.Start()
	p.awaitMode(fallback.Online)
	say("four", third)
	mu.Lock()
	defer mu.Unlock()
	for _, text := range []string{`"one"`, `"two"`, `"three"`, `"four"`} {
		require.Contains(t, asked, text)
	}
	d := directClient(t, srv)
	redistest.Eventually(t, patience, "what was kept without Redis is there, and ends", func() bool {
		return d.TTL(ctx, "aiclient:responses:"+third).Val() > 0
	})
}
