package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"holdfast/backend/redistest"
)

func (s *started) health(t *testing.T, query string) gjson.Result {
	t.Helper()
	code, out, _ := s.do(t, http.MethodGet, "/provider_health"+query, "")
	require.Equal(t, 200, code, out)
	return gjson.Parse(out)
}

func checking(types ...string) map[string]any {
	return map[string]any{"REQUIRED_API_KEY": clientKey, "MAX_ERROR_COUNT": 3,
		"SCHEDULED_HEALTH_CHECK": map[string]any{"enabled": true, "startupRun": true, "interval": 1, "providerTypes": types}}
}

func TestHealthChecksBringBackAndPutAside(t *testing.T) {
	f, good, bad, off := newFixture(t), newProvider(t), newProvider(t), newProvider(t)
	bad.fails(500)
	f.config(checking("OpenAI-Custom"))
	f.account("openai-custom", "aaaa-1111-good", good.URL, `,"isHealthy":false,"checkModelName":"m1","customName":"one"`)
	f.account("openai-custom", "bbbb-2222-bad", bad.URL, `,"supportedModels":["m2"]`)
	f.account("openai-custom", "cccc-3333-off", off.URL, `,"isDisabled":true,"checkModelName":"m"`)
	f.account("openai-custom", "dddd-4444-no-model", off.URL, "")
	f.account("atlascloud", "eeee-5555-asked", good.URL, `,"checkHealth":true,"checkModelName":"m3"`)
	f.account("atlascloud", "ffff-6666-not-asked", off.URL, `,"checkModelName":"m3"`)
	g := f.start()
	redistest.Eventually(t, patience, "the checks at the start are done", func() bool { return good.count() == 2 && bad.count() == 1 })
	redistest.Eventually(t, patience, "the result shows", func() bool {
		h := g.health(t, "?provider=openai-custom&unhealthRatioThreshold=0.4")
		return h.Get("items.0.isHealthy").Bool() && !h.Get("items.1.isHealthy").Bool() && h.Get("summaryHealth").Bool()
	})
	require.Zero(t, off.count())
	h := g.health(t, "")
	require.EqualValues(t, 5, h.Get("count").Int(), h.Raw)
	require.EqualValues(t, 1, h.Get("unhealthyCount").Int())
	require.InDelta(t, 0.2, h.Get("unhealthyRatio").Float(), 1e-9)
	require.False(t, h.Get("summaryHealth").Bool())
	require.Contains(t, h.Get("unhealthySummeryMessage").String(), "1 of 5 accounts are unhealthy: openai-custom bbbb****-bad: resting after: a health check (server_error)")
	require.NotContains(t, h.Raw, "sk-account")
	require.EqualValues(t, 1, g.health(t, "?customName=one").Get("count").Int())
	code, _, _ := g.do(t, http.MethodGet, "/provider_health?unhealthRatioThreshold=x", "")
	require.Equal(t, 400, code)

	status, out, _ := g.chat(t, `{"model":"m1","messages":[]}`, "Model-Provider", "openai-custom")
	require.Equal(t, 200, status, out)
	bad.set(nil)
	s := g.link.snapshot()
	g.checker.round(t.Context(), s)
	require.Zero(t, g.health(t, "").Get("unhealthyCount").Int(), "a check brings it back before its rest is over")
	require.Equal(t, 2, bad.count())
	good1 := good.count()
	g.checker.round(t.Context(), s)
	require.Equal(t, good1, good.count(), "who has just answered is not asked")

	// Marked again, by whoever wrote the entry anew: that counts.
	f.account("openai-custom", "aaaa-1111-good", good.URL, `,"isHealthy":false,"lastErrorMessage":"x","checkModelName":"m1"`)
	redistest.Eventually(t, patience, "the new mark counts", func() bool {
		return strings.Contains(g.health(t, "").Get("unhealthySummeryMessage").String(), "aaaa****good: marked unhealthy")
	})
	require.Equal(t, "0", f.counter("openai-custom", "bbbb-2222-bad", errorCount), "checks are no requests")
}

func TestHealthCheckLeavesWhoAskedForARest(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, `,"checkHealth":true,"checkModelName":"m"`)
	g := f.start()
	p.fails(429, "Retry-After", "60")
	status, _, _ := g.chat(t, chat)
	require.Equal(t, 429, status)
	p.set(nil)
	g.checker.round(t.Context(), g.link.snapshot())
	require.Equal(t, 1, p.count())
	require.Equal(t, "resting after: rate_limited", g.health(t, "").Get("items.0.reason").String())

	// The question itself may be wrong: that says nothing.
	f.account("openai-custom-two", "b", p.URL, `,"checkHealth":true,"checkModelName":"m"`)
	redistest.Eventually(t, patience, "the account is known", func() bool { return g.health(t, "?provider=openai-custom-two").Get("count").Int() == 1 })
	p.fails(404)
	g.checker.round(t.Context(), g.link.snapshot())
	require.True(t, g.health(t, "?provider=openai-custom-two").Get("items.0.isHealthy").Bool())
}

func TestPaymentRequiredRestsToTheEndOfTheMonth(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, `,"checkHealth":true,"checkModelName":"m"`)
	g := f.start()
	p.fails(402)
	status, _, head := g.chat(t, chat)
	require.Equal(t, 402, status)
	require.Empty(t, head.Get("Retry-After"))
	status, _, head = g.chat(t, chat)
	require.Equal(t, 503, status)
	require.NotEmpty(t, head.Get("Retry-After"))
	require.Less(t, len(head.Get("Retry-After")), 4)
	back, err := time.Parse(time.RFC3339, g.health(t, "").Get("items.0.recoversAt").String())
	require.NoError(t, err)
	require.Equal(t, 1, back.Add(time.Second).Day(), back)
	require.Equal(t, 1, p.count())
	p.set(nil)
	g.checker.round(t.Context(), g.link.snapshot()) // it was paid meanwhile
	status, _, _ = g.chat(t, chat)
	require.Equal(t, 200, status)
}

func TestProviderHealthTellsOfSignIns(t *testing.T) {
	f, a := newFixture(t), newAuthority(t)
	f.signedIn(a, "u-0123456789", past())
	a.n = 3
	f.entry("grok-web", "v", `"GROK_COOKIE_TOKEN":"secret-cookie"`)
	f.entry(qwen, "w", `"QWEN_OAUTH_CREDS_FILE_PATH":"./x.json"`)
	g := f.start()
	_, _, _ = g.asks(t)
	h := g.health(t, "")
	require.EqualValues(t, 3, h.Get("count").Int(), h.Raw)
	require.True(t, h.Get(`items.#(provider=="grok-web").isHealthy`).Bool(), "kept for others")
	require.Contains(t, h.Get(`items.#(uuid=="u-01****6789").reason`).String(), "invalid_grant")
	require.Equal(t, "no endpoint configured", h.Get(`items.#(uuid=="****")#|#(provider=="`+qwen+`").reason`).String())
	require.NotContains(t, h.Raw, "secret-")
}
