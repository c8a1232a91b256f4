package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// issuer rotates refresh tokens, and revokes them all when a spent one comes
// again; its API takes the last access token only.
type issuer struct {
	*httptest.Server
	mu      sync.Mutex
	n       int
	revoked bool
	taken   func() // a refresh token was spent; the answer is not out yet
}

func newIssuer(t *testing.T) *issuer {
	s := &issuer{taken: func() {}}
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.FormValue("refresh_token") != fmt.Sprintf("refresh-%d", s.n) || s.revoked {
			s.revoked = true
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_grant"}`)
			return
		}
		s.n++
		s.taken()
		fmt.Fprintf(w, `{"access_token":"access-%d","refresh_token":"refresh-%d","expires_in":3600}`, s.n, s.n)
	})
	mux.HandleFunc("/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.Header.Get("Authorization") != fmt.Sprintf("Bearer access-%d", s.n) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"choices":[{"message":{"role":"assistant","content":"hello"}}]}`)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *issuer) state() (n int, revoked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n, s.revoked
}

// status asks a gateway and gives what it answers.
func status(t *testing.T, base string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, base+"/v1/chat/completions?key=client-key", bytes.NewBufferString(`{"model":"m","messages":[]}`))
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(raw), res.Header
}

// Two machines, each with a proxy and a gateway of its own, share an account. One
// renews its token, and Redis dies while it does.
func TestTokensThroughTwoProxiesOverAnOutage(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	d := directClient(t, srv)
	p := newIssuer(t)
	const pool, token, lock = "openai-qwen-oauth", "aiclient:tokens:openai-qwen-oauth:u1", "aiclient:token-lock:openai-qwen-oauth:u1"
	expired := func(n int) string {
		return fmt.Sprintf(`{ "accessToken":"access-%d","refreshToken":"refresh-%d","expiresAt":"2020-01-01T00:00:00Z","n":1.0}`, n, n)
	}
	require.NoError(t, d.Set(ctx, "aiclient:config", `{"REQUIRED_API_KEY":"client-key","MODEL_PROVIDER":"`+pool+`"}`, 0).Err())
	require.NoError(t, d.HSet(ctx, "aiclient:pools:"+pool, "u1", fmt.Sprintf(`{"uuid":"u1","QWEN_BASE_URL":%q,"QWEN_TOKEN_URL":%q}`, p.URL, p.URL+"/token")).Err())
	require.NoError(t, d.SAdd(ctx, "aiclient:pool-types", pool).Err())
	require.NoError(t, d.Set(ctx, token, expired(0), 0).Err())
	proxies := []*running{startProxy(t, srv.URL()), startProxy(t, srv.URL())}
	var gateways []string
	for _, proxy := range proxies {
		proxy.awaitMode(fallback.Online)
		proxy.awaitMirror()
		gateways = append(gateways, startGateway(t, "redis://"+proxy.addr()))
	}

	// Renewed once for both, with Redis there.
	var wg sync.WaitGroup
	codes := make([]int, 20)
	for i := range codes {
		wg.Go(func() { codes[i], _, _ = status(t, gateways[i%2]) })
	}
	wg.Wait()
	for _, code := range codes {
		require.Equal(t, 200, code)
	}
	n, revoked := p.state()
	require.Equal(t, []any{1, false}, []any{n, revoked})

	// The next renewal: Redis dies while the provider has the refresh token.
	require.NoError(t, d.Set(ctx, token, expired(1), 0).Err())
	for _, proxy := range proxies { // or its gateway would go on with the old one, which it may
		c := proxy.client()
		redistest.Eventually(t, patience, "the proxy has it", func() bool { return c.Get(ctx, token).Val() == expired(1) })
	}
	redistest.Eventually(t, patience, "both gateways see that it has ended, and one renews it", func() bool {
		p.mu.Lock()
		p.taken = srv.Kill
		p.mu.Unlock()
		code, _, _ := status(t, gateways[0])
		n, _ := p.state()
		return code == 200 && n == 2
	})
	proxies[0].awaitMode(fallback.Offline)
	proxies[1].awaitMode(fallback.Offline)
	code, out, _ := status(t, gateways[0])
	require.Equal(t, 200, code, "what was renewed is used: %s", out)
	redistest.Eventually(t, patience, "without Redis nobody renews", func() bool {
		code, out, head := status(t, gateways[1])
		var body struct{ Error struct{ Code string } }
		require.NoError(t, json.Unmarshal([]byte(out), &body))
		return code == 503 && body.Error.Code == "token_refresh_needs_redis" && head.Get("Retry-After") != ""
	})

	p.mu.Lock()
	p.taken = func() {}
	p.mu.Unlock()
	srv.Start()
	redistest.Eventually(t, patience, "the other machine has the new token", func() bool {
		code, _, _ := status(t, gateways[1])
		return code == 200
	})
	n, revoked = p.state()
	require.Equal(t, []any{2, false}, []any{n, revoked})
	stored := d.Get(ctx, token).Val()
	assert.Regexp(t, `^\{ "accessToken":"access-2","refreshToken":"refresh-2","expiresAt":"2[^"]*Z","n":1.0}$`, stored)
	assert.EqualValues(t, -1, d.TTL(ctx, token).Val())
	redistest.Eventually(t, patience, "lease given back, renewals counted", func() bool {
		return d.Exists(ctx, lock).Val() == 0 && d.Get(ctx, "aiclient:counters:"+pool+":u1:refreshCount").Val() == "2"
	})
}

// The access token still lives: an outage is none for its requests, near its end
// or not.
func TestALiveTokenIsUsedWithoutRedis(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	d := directClient(t, srv)
	p := newIssuer(t)
	require.NoError(t, d.Set(ctx, "aiclient:config", `{"REQUIRED_API_KEY":"client-key","MODEL_PROVIDER":"openai-iflow"}`, 0).Err())
	require.NoError(t, d.HSet(ctx, "aiclient:pools:openai-iflow", "u1", fmt.Sprintf(`{"uuid":"u1","IFLOW_BASE_URL":%q}`, p.URL)).Err())
	require.NoError(t, d.SAdd(ctx, "aiclient:pool-types", "openai-iflow").Err())
	const token = "aiclient:tokens:openai-iflow:u1"
	require.NoError(t, d.Set(ctx, token, fmt.Sprintf(`{"access_token":"access-0","refresh_token":"refresh-0","token_uri":%q,"expiry_date":%d}`,
		p.URL+"/token", time.Now().Add(time.Hour).UnixMilli()), 0).Err())
	proxy := startProxy(t, srv.URL())
	proxy.awaitMode(fallback.Online)
	proxy.awaitMirror()
	srv.Kill()
	proxy.awaitMode(fallback.Offline)
	base := startGateway(t, "redis://"+proxy.addr())
	for range 5 {
		code, out, _ := status(t, base)
		require.Equal(t, 200, code, out)
	}
	// It ends soon: renewals are tried on the side, and cannot be.
	c := proxy.client()
	require.NoError(t, c.Set(ctx, token, fmt.Sprintf(`{"access_token":"access-0","refresh_token":"refresh-0","token_uri":%q,"expiry_date":%d}`,
		p.URL+"/token", time.Now().Add(time.Minute).UnixMilli()), 0).Err())
	redistest.Eventually(t, patience, "a renewal was tried", func() bool {
		code, out, _ := status(t, base)
		require.Equal(t, 200, code, out)
		res, err := http.Get(base + "/metrics")
		require.NoError(t, err)
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return bytes.Contains(raw, []byte(`holdfast_gateway_token_refreshes_total{outcome="redis_away",provider="openai-iflow"}`))
	})
	n, _ := p.state()
	require.Zero(t, n)
	srv.Start()
	redistest.Eventually(t, patience, "it is renewed when Redis is back", func() bool {
		code, _, _ := status(t, base)
		n, revoked := p.state()
		return code == 200 && n == 1 && !revoked && strings.Contains(d.Get(ctx, token).Val(), "refresh-1")
	})
}
