package gateway

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"holdfast/backend/redistest"
)

func sdk(s *started) openai.Client {
	return openai.NewClient(option.WithBaseURL(s.url+"/v1"), option.WithAPIKey(clientKey), option.WithMaxRetries(0))
}

func question() openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: "gpt-4o", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")}}
}

func TestSDKPlainAndStreaming(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL+"/v1", "")
	g := f.start()
	client := sdk(g)

	answer, err := client.Chat.Completions.New(t.Context(), question())
	require.NoError(t, err)
	require.Equal(t, "hello", answer.Choices[0].Message.Content)

	stream := client.Chat.Completions.NewStreaming(t.Context(), question())
	var got strings.Builder
	for stream.Next() {
		got.WriteString(stream.Current().Choices[0].Delta.Content)
	}
	require.NoError(t, stream.Err())
	require.NoError(t, stream.Close())
	require.Equal(t, "hello", got.String())

	models, err := client.Models.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, models.Data)
	f.counted("openai-custom", "a", usageCount, "2")
	_, _, head := p.seen()
	require.Equal(t, "Bearer sk-account-a", head.Get("Authorization"))
}

func TestBodyPassesByteForByte(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	f.account("openai-custom-team2", "b", p.URL+"/api/paas/v4/?tenant=7", "")
	g := f.start()
	const odd = "{ \"n\":9007199254740993, \"model\" :\t%s ,\"x\":[1.0,1e-7,\"\\u00e9\"],\"messages\":[] }\n"
	body := func(model string) string { return strings.Replace(odd, "%s", model, 1) }

	for _, tc := range []struct{ name, path, model, header, wantModel, wantPath string }{
		{"default", "/v1/chat/completions", `"m"`, "", `"m"`, "/v1/chat/completions"},
		{"prefix", "/v1/chat/completions", `"openai-custom-team2:m:1"`, "", `"m:1"`, "/api/paas/v4/chat/completions?tenant=7"},
		{"path", "/openai-custom-team2/v1/chat/completions/", `"m"`, "", `"m"`, "/api/paas/v4/chat/completions?tenant=7"},
		{"header", "/v1/chat/completions", `"m"`, "OpenAI-Custom-Team2", `"m"`, "/api/paas/v4/chat/completions?tenant=7"},
		{"prefix of no pool", "/v1/chat/completions", `"ft:m"`, "", `"ft:m"`, "/v1/chat/completions"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, out, _ := g.do(t, http.MethodPost, tc.path, body(tc.model), "Model-Provider", tc.header, "X-Echo", "has "+clientKey, "X-Kept", "yes", "Cookie", "a=b")
			require.Equal(t, 200, status, out)
			path, sent, head := p.seen()
			require.Equal(t, body(tc.wantModel), string(sent))
			require.Equal(t, tc.wantPath, path)
			require.Equal(t, "yes", head.Get("X-Kept"))
			require.Empty(t, head.Get("X-Echo"))
			require.Empty(t, head.Get("Cookie"))
		})
	}
	status, out, _ := g.do(t, http.MethodPost, "/v1/chat/completions?key="+clientKey+"&v=1", chat)
	require.Equal(t, 200, status, out)
	path, _, _ := p.seen()
	require.Equal(t, "/v1/chat/completions?v=1", path)
}

func TestRequestErrors(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, `,"supportedModels":["gpt-4o"],"checkModelName":"gpt-4o"`)
	f.account("openai-custom-off", "b", p.URL, `,"isDisabled":true`)
	f.account("openai-custom-sick", "c", p.URL, `,"isHealthy":false`)
	f.account("openai-iflow", "d", "", "")
	g := f.start()
	for _, tc := range []struct {
		name, path, body, header string
		status                   int
		code                     string
	}{
		{"no json", "/v1/chat/completions", "{", "", 400, "invalid_json"},
		{"deep", "/v1/chat/completions", strings.Repeat("[", 8<<20), "", 400, "invalid_json"},
		{"no model", "/v1/chat/completions", "{}", "", 400, "model_required"},
		{"too large", "/v1/chat/completions", strings.Repeat(" ", defaultBodyLimit+1), "", 413, "request_too_large"},
		{"unknown provider", "/v1/chat/completions", chat, "nobody", 400, "unknown_provider"},
		{"another protocol", "/grok-web/v1/chat/completions", chat, "", 400, "provider_not_supported"},
		{"auto", "/auto/v1/chat/completions", `{"model":"x"}`, "", 400, "provider_required"},
		{"no such model", "/v1/chat/completions", `{"model":"x"}`, "", 404, "model_not_found"},
		{"disabled", "/openai-custom-off/v1/chat/completions", chat, "", 503, "no_healthy_provider"},
		{"unhealthy", "/openai-custom-sick/v1/chat/completions", chat, "", 503, "no_healthy_provider"},
		{"no endpoint", "/openai-iflow/v1/chat/completions", chat, "", 503, "no_healthy_provider"},
		{"no pool", "/atlascloud/v1/chat/completions", chat, "", 503, "no_healthy_provider"},
		{"unknown path", "/v1/nothing", chat, "", 404, "unknown_path"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, out, head := g.do(t, http.MethodPost, tc.path, tc.body, "Model-Provider", tc.header)
			require.Equal(t, tc.status, status, out)
			require.Equal(t, tc.code, gjson.Get(out, "error.code").String(), out)
			require.NotEmpty(t, gjson.Get(out, "error.message").String())
			require.NotEmpty(t, head.Get("X-Request-Id"))
			require.Equal(t, tc.status == 503, head.Get("Retry-After") != "")
		})
	}
	require.Zero(t, p.count())
	status, _, _ := g.do(t, http.MethodGet, "/v1/chat/completions", "")
	require.Equal(t, 405, status)
	status, _, head := g.do(t, http.MethodOptions, "/v1/chat/completions", "")
	require.Equal(t, 204, status)
	require.Contains(t, head.Get("Access-Control-Allow-Headers"), "X-Api-Key")
	_, out, _ := g.do(t, http.MethodGet, "/v1/models", "")
	require.Equal(t, "gpt-4o", gjson.Get(out, "data.0.id").String())
	require.EqualValues(t, 1, gjson.Get(out, "data.#").Int())
}

func TestFailover(t *testing.T) {
	for _, tc := range []struct {
		name string
		bad  func(p *provider)
	}{
		{"server error", func(p *provider) { p.fails(500) }},
		{"rate limit", func(p *provider) { p.fails(429, "Retry-After", "7") }},
		{"bad key", func(p *provider) { p.fails(401) }},
		{"cut body", func(p *provider) {
			p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
				w.Header().Set("Content-Length", "100")
				_, _ = w.Write([]byte("{"))
				panic(http.ErrAbortHandler)
			})
		}},
		{"no answer", func(p *provider) {
			p.set(func(http.ResponseWriter, *http.Request, []byte) bool { panic(http.ErrAbortHandler) })
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, bad, good := newFixture(t), newProvider(t), newProvider(t)
			tc.bad(bad)
			f.account("openai-custom", "a", bad.URL, "")
			f.account("openai-custom", "b", good.URL, "")
			g := f.start()
			for _, stream := range []string{"", `"stream":true,`} {
				status, out, _ := g.chat(t, "{"+stream+chat[1:])
				require.Equal(t, 200, status, out)
			}
			f.counted("openai-custom", "b", usageCount, "2")
			require.Equal(t, "0", f.counter("openai-custom", "a", usageCount))
			require.NotEqual(t, "0", f.counter("openai-custom", "a", errorCount))
		})
	}
}

func TestUpstreamErrorKeepsItsStatus(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	f.account("openai-custom-refused", "b", refusing(t), "")
	f.account("openai-custom-garbage", "c", closedBy(t, func(c net.Conn) { _, _ = c.Write([]byte("garbage\r\n\r\n")) }), "")
	g := f.start()
	for _, stream := range []string{"", `"stream":true,`} {
		p.fails(429, "Retry-After", "9")
		status, out, head := g.chat(t, "{"+stream+chat[1:])
		require.Equal(t, 429, status)
		require.NotContains(t, out, "sk-account-a")
		if stream == "" {
			require.Equal(t, "told_to", gjson.Get(out, "error.code").String())
			require.Equal(t, "9", head.Get("Retry-After"))
		} else { // it rests now
			require.Equal(t, "rate_limited", gjson.Get(out, "error.code").String())
			require.NotEmpty(t, head.Get("Retry-After"))
		}
	}
	for _, pool := range []string{"openai-custom-refused", "openai-custom-garbage"} {
		status, out, _ := g.chat(t, chat, "Model-Provider", pool)
		require.Equal(t, 502, status)
		require.Equal(t, "upstream_unreachable", gjson.Get(out, "error.code").String())
	}
	f.counted("openai-custom", "a", errorCount, "1")
	require.NotContains(t, f.logs.String(), "sk-")
}

func TestRequestFaultIsNotTheAccounts(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	f.account("openai-custom", "b", p.URL, "")
	g := f.start()
	p.fails(400)
	status, _, _ := g.chat(t, chat)
	require.Equal(t, 400, status)
	require.Equal(t, 1, p.count())
	p.set(nil)
	status, _, _ = g.chat(t, chat)
	require.Equal(t, 200, status)
	require.NoError(t, g.stop())
	require.Equal(t, "0", f.counter("openai-custom", "a", errorCount))
}

func TestErrorsInARowPutAsideAndRecover(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "MAX_ERROR_COUNT": 2, "RATE_LIMIT_COOLDOWN_MS": 50})
	f.account("openai-custom", "a", p.URL, "")
	g := f.start()
	p.fails(500)
	for range 2 {
		status, _, _ := g.chat(t, chat)
		require.Equal(t, 500, status)
	}
	require.Contains(t, f.logs.String(), "account put aside")
	p.set(nil)
	redistest.Eventually(t, patience, "the account is back", func() bool {
		status, _, _ := g.chat(t, chat)
		return status == 200
	})
}

func TestCountsAreExactUnderConcurrency(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	for _, id := range []string{"a", "b", "c", "d"} {
		f.account("openai-custom", id, p.URL, "")
	}
	g := f.start()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 20}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	statuses := make(chan int, 200)
	for range 20 {
		wg.Go(func() {
			for range 10 {
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+"/v1/chat/completions?key="+clientKey, strings.NewReader(chat))
				resp, err := client.Do(req)
				if err != nil {
					statuses <- 0
					continue
				}
				_ = resp.Body.Close()
				statuses <- resp.StatusCode
			}
		})
	}
	wg.Wait()
	close(statuses)
	for status := range statuses {
		require.Equal(t, 200, status)
	}
	require.NoError(t, g.stop())
	for _, id := range []string{"a", "b", "c", "d"} {
		require.Equal(t, "50", f.counter("openai-custom", id, usageCount), "accounts take turns and every use counts")
	}
}

func TestAccountsAndConfigurationApplyLive(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	g := f.start()
	status, _, _ := g.chat(t, chat)
	require.Equal(t, 503, status)
	f.account("openai-custom", "a", p.URL, "")
	redistest.Eventually(t, patience, "the new account is used", func() bool {
		status, _, _ := g.chat(t, chat)
		return status == 200
	})
	f.config(map[string]any{"REQUIRED_API_KEY": "another"})
	redistest.Eventually(t, patience, "the old key is refused", func() bool {
		status, _, _ := g.chat(t, chat)
		return status == 401
	})
	require.NoError(t, f.client.Del(t.Context(), "aiclient:pool-types").Err())
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey})
	require.NoError(t, f.client.HSet(t.Context(), "aiclient:pools:atlascloud", "z", `{"OPENAI_API_KEY":"sk-account-z","OPENAI_BASE_URL":"`+p.URL+`"}`).Err())
	redistest.Eventually(t, patience, "a pool that no index names is found", func() bool {
		status, _, _ := g.chat(t, chat, "Model-Provider", "atlascloud")
		return status == 200
	})
}

func TestHeaderTimeout(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	p.set(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool { <-r.Context().Done(); return true })
	g := f.start(func(c *Config) { c.UpstreamHeaderTimeout = 50 * time.Millisecond })
	status, out, _ := g.chat(t, chat)
	require.Equal(t, 504, status)
	require.Equal(t, "upstream_timeout", gjson.Get(out, "error.code").String())
}
