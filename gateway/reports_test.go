package gateway

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// A client that gives up before the provider has sent anything ends the request
// there, and no other account or pool is asked.
func TestNobodyIsAskedForAClientThatLeft(t *testing.T) {
	f, silent, other, third := newFixture(t), newProvider(t), newProvider(t), newProvider(t)
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "MODEL_PROVIDER": "openai-custom", "providerFallbackChain": map[string]any{"openai-custom": []string{"atlascloud"}}})
	f.account("openai-custom", "a", silent.URL, "")
	f.account("openai-custom", "b", other.URL, "")
	f.account("atlascloud", "c", third.URL, "")
	gone := make(chan struct{}, 2)
	silent.set(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		<-r.Context().Done()
		gone <- struct{}{}
		return true
	})
	g := f.start(func(c *Config) { c.KeepAlive = 10 * time.Millisecond })
	for _, stream := range []string{"", `"stream":true,`} {
		hits := silent.count()
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/v1/chat/completions", strings.NewReader("{"+stream+chat[1:]))
		require.NoError(t, err)
		req.Header.Set("X-Api-Key", clientKey)
		go func() {
			redistest.Eventually(t, patience, "the provider has it", func() bool { return silent.count() > hits })
			cancel()
		}()
		resp, err := http.DefaultClient.Do(req)
		if err == nil { // signs of life came first
			<-ctx.Done()
			_ = resp.Body.Close()
		}
		select {
		case <-gone:
		case <-time.After(patience):
			t.Fatal("the request to the provider goes on")
		}
		status, _, _ := g.chat(t, chat) // b's turn; then a's again
		require.Equal(t, 200, status)
	}
	require.NoError(t, g.stop())
	require.Equal(t, 2, other.count(), "its own requests")
	require.Zero(t, third.count())
	require.Equal(t, "0", f.counter("openai-custom", "a", errorCount))
}

// Errors that look like the request's and are the account's or the server's.
func TestErrorsThatAreNotTheRequests(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
		blamed string
	}{
		"google's bad key":   {400, `{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}`, "1"},
		"a bad key, as 400":  {400, `{"error":{"message":"no","type":"invalid_request_error","code":"invalid_api_key"}}`, "1"},
		"no money, as 400":   {400, `{"error":{"message":"no","type":"invalid_request_error","code":"billing_hard_limit_reached"}}`, "1"},
		"no credit, as 400":  {400, `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}`, "1"},
		"request timeout":    {408, `{}`, "0"},
		"a page of an edge":  {520, `<html>`, "1"},
		"overloaded, by 529": {529, `{"type":"error","error":{"type":"overloaded_error","message":"no"}}`, "1"},
	} {
		f, bad, good := newFixture(t), newProvider(t), newProvider(t)
		f.account("openai-custom", "a", bad.URL, "")
		f.account("openai-custom", "b", good.URL, "")
		bad.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			sendJSON(w, tc.status, tc.body)
			return true
		})
		g := f.start()
		status, out, _ := g.chat(t, chat)
		require.Equal(t, 200, status, name+out)
		require.NoError(t, g.stop())
		require.Equal(t, tc.blamed, f.counter("openai-custom", "a", errorCount), name)
	}
}
