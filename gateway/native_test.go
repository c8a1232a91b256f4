package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	claudeoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	openairesponses "github.com/openai/openai-go/v3/responses"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"google.golang.org/genai"
)

// Every client is served by every family of providers: text, images, tools that
// are called one or two at a time and answered, plain and streamed.
func TestEverySDKWithEveryProvider(t *testing.T) {
	for _, c := range sdkClients {
		for _, fam := range families {
			t.Run(c.name+" client, "+fam.name+" provider", func(t *testing.T) {
				f, p := newFixture(t), fam.start(t)
				f.add(fam, "a", p.URL)
				talk(t, f.start(), c, fam)
				f.counted(fam.typ, "a", usageCount, "16")
			})
		}
	}
}

// echo answers with a body of its own and keeps what it was sent.
func echo(t *testing.T) *provider {
	p := newProvider(t)
	p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		sendJSON(w, 200, `{ "odd" :1.0}`)
		return true
	})
	return p
}

func TestNativeBodiesPassByteForByte(t *testing.T) {
	f, p := newFixture(t), echo(t)
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "MODEL_PROVIDER": "openai-custom,claude-custom,gemini-custom,openaiResponses-custom,openai-codex-oauth,forward-api"})
	for i, fam := range families[1:] {
		f.add(fam, "a", p.URL+[]string{"/v1/", ""}[i])
		team := fam
		team.typ += "-team2"
		f.add(team, "b", p.URL+"/sub/"+[]string{"", "v1beta"}[i]+"?tenant=7")
	}
	f.add(family{typ: "openaiResponses-custom", key: "OPENAI_API_KEY", url: "OPENAI_BASE_URL"}, "a", p.URL)
	f.add(family{typ: "openai-codex-oauth", key: "OPENAI_API_KEY", url: "CODEX_BASE_URL"}, "a", p.URL+"/backend-api/codex/v1")
	f.add(family{typ: "forward-api", key: "FORWARD_API_KEY", url: "FORWARD_BASE_URL"}, "a", p.URL+"/v1")
	require.NoError(t, f.client.HSet(t.Context(), "aiclient:pools:forward-api-own", "a", `{"FORWARD_API_KEY":"sk-account-a","FORWARD_BASE_URL":"`+p.URL+`","FORWARD_HEADER_NAME":"x-token","FORWARD_HEADER_VALUE_PREFIX":"Key "}`).Err())
	require.NoError(t, f.client.SAdd(t.Context(), "aiclient:pool-types", "forward-api-own").Err())
	require.NoError(t, f.client.Set(t.Context(), "aiclient:files:custom_models.json", `[{"id":"alias","actualProvider":"gemini-custom","actualModel":"real"}]`, 0).Err())
	g := f.start()
	const odd = "{ \"n\":9007199254740993, \"model\" :\t\"%s\" ,\"x\":[1.0,1e-7,\"\\u00e9\"] }\n"
	for _, tc := range []struct{ path, model, header, wantPath, wantModel, auth string }{
		{"/v1/messages", "m", "", "/v1/messages", "m", "X-Api-Key: sk-account-a"},
		{"/v1/messages?beta=true&key=" + clientKey, "claude-custom-team2:m", "", "/sub/v1/messages?beta=true&tenant=7", "m", "X-Api-Key: sk-account-b"},
		{"/claude-custom-team2/v1/messages", "m", "", "/sub/v1/messages?tenant=7", "m", "X-Api-Key: sk-account-b"},
		{"/v1/messages/count_tokens", "m", "", "/v1/messages/count_tokens", "m", "X-Api-Key: sk-account-a"},
		{"/v1beta/models/m:generateContent", "left", "", "/v1beta/models/m:generateContent", "left", "X-Goog-Api-Key: sk-account-a"},
		{"/v1/models/m:generateContent", "left", "", "/v1beta/models/m:generateContent", "left", "X-Goog-Api-Key: sk-account-a"},
		{"/v1beta/models/gemini-custom-team2:m:countTokens", "left", "", "/sub/v1beta/models/m:countTokens?tenant=7", "left", "X-Goog-Api-Key: sk-account-b"},
		{"/v1beta/models/m:streamGenerateContent?alt=sse", "left", "Gemini-Custom-Team2", "/sub/v1beta/models/m:streamGenerateContent?alt=sse&tenant=7", "left", "X-Goog-Api-Key: sk-account-b"},
		{"/v1beta/models/alias:generateContent", "left", "", "/v1beta/models/real:generateContent", "left", "X-Goog-Api-Key: sk-account-a"},
		{"/v1/responses", "m", "openaiResponses-custom", "/v1/responses", "m", "Authorization: Bearer sk-account-a"},
		{"/v1/responses", "openai-codex-oauth:m", "", "/backend-api/codex/v1/responses", "m", "Authorization: Bearer sk-account-a"},
		{"/forward-api/v1/messages", "m", "", "/v1/messages", "m", "Authorization: Bearer sk-account-a"},
		{"/forward-api/v1/embeddings?a=1", "m", "", "/v1/embeddings?a=1", "m", "Authorization: Bearer sk-account-a"},
		{"/v1/chat/completions", "m", "forward-api-own", "/v1/chat/completions", "m", "X-Token: Key sk-account-a"},
		{"/v1beta/models/forward-api-own:m:generateContent", "left", "", "/v1beta/models/m:generateContent", "left", "X-Token: Key sk-account-a"},
	} {
		t.Run(tc.path+" "+tc.header, func(t *testing.T) {
			status, out, _ := g.do(t, http.MethodPost, tc.path, fmt.Sprintf(odd, tc.model), "Model-Provider", tc.header, "Content-Type", "application/json")
			require.Equal(t, 200, status, out)
			require.Equal(t, `{ "odd" :1.0}`, out)
			path, sent, head := p.seen()
			require.Equal(t, fmt.Sprintf(odd, tc.wantModel), string(sent))
			require.Equal(t, tc.wantPath, path)
			name, value, _ := strings.Cut(tc.auth, ": ")
			require.Equal(t, value, head.Get(name))
			for _, other := range []string{"Authorization", "X-Api-Key", "X-Goog-Api-Key"} {
				require.True(t, other == name || head.Get(other) == "", "%s: %s", other, head.Get(other))
			}
			if strings.Contains(tc.path, "/v1/messages") && !strings.Contains(tc.path, "forward") {
				require.Equal(t, "2023-06-01", head.Get("Anthropic-Version"))
			}
		})
	}
	_, _, _ = g.do(t, http.MethodPost, "/v1/messages", fmt.Sprintf(odd, "m"), "Anthropic-Version", "2024-01-01", "Anthropic-Beta", "b-1")
	_, _, head := p.seen()
	require.Equal(t, "2024-01-01", head.Get("Anthropic-Version"))
	require.Equal(t, "b-1", head.Get("Anthropic-Beta"))
}

func TestResponsesAPI(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.add(family{typ: "openaiResponses-custom", key: "OPENAI_API_KEY", url: "OPENAI_BASE_URL"}, "a", p.URL+"/v1")
	const done = `{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hello","annotations":[]}]}]}`
	p.set(func(w http.ResponseWriter, _ *http.Request, body []byte) bool {
		if !gjson.GetBytes(body, "stream").Bool() {
			sendJSON(w, 200, done)
			return true
		}
		sendEvents(w,
			"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"hello\",\"sequence_number\":1}\n\n",
			"event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":2,\"response\":"+done+"}\n\n")
		return true
	})
	g := f.start()
	client := sdk(g)
	question := openairesponses.ResponseNewParams{Model: "openaiResponses-custom:m", Input: openairesponses.ResponseNewParamsInputUnion{OfString: openai.String("hi")}}
	got, err := client.Responses.New(t.Context(), question)
	require.NoError(t, err)
	require.Equal(t, "hello", got.OutputText())

	stream := client.Responses.NewStreaming(t.Context(), question)
	var text string
	for stream.Next() {
		if stream.Current().Type == "response.completed" {
			text = stream.Current().Response.OutputText()
		}
	}
	require.NoError(t, stream.Err())
	require.NoError(t, stream.Close())
	require.Equal(t, "hello", text)

	p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool { // and no end
		sendEvents(w, "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"hel\",\"sequence_number\":1}\n\n")
		return true
	})
	stream = client.Responses.NewStreaming(t.Context(), question)
	last := ""
	for stream.Next() {
		last = stream.Current().Type
	}
	require.True(t, stream.Err() != nil || last == "error", "an answer that was cut must not look complete")
	require.NoError(t, stream.Close())
	f.counted("openaiResponses-custom", "a", errorCount, "1")
}

func TestErrorsInTheClientsDialect(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	for _, fam := range families {
		f.add(fam, "a", p.URL)
	}
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "MODEL_PROVIDER": "openai-custom,claude-custom,gemini-custom", "MAX_ERROR_COUNT": 0, "RATE_LIMIT_COOLDOWN_MAX_MS": 1})
	g := f.start()
	for _, tc := range []struct {
		path, body, typ, status, code string
	}{
		{"/v1/chat/completions", `{"model":"m","messages":[]}`, "error.type", "", "error.code"},
		{"/v1/messages", `{"model":"m"}`, "error.type", "type", "error.code"},
		{"/v1beta/models/m:generateContent", `{}`, "error.status", "error.code", "error.details.0.reason"},
		{"/v1/responses", `{"model":"m"}`, "error.type", "", "error.code"},
	} {
		t.Run(tc.path, func(t *testing.T) {
			status, out, _ := g.do(t, http.MethodPost, tc.path, "{")
			require.Equal(t, 400, status)
			require.True(t, strings.EqualFold("invalid_json", gjson.Get(out, tc.code).String()), out)
			status, out, _ = g.do(t, http.MethodGet, tc.path, "")
			require.Equal(t, 405, status, out)
			status, out, _ = g.do(t, http.MethodPost, "/grok-web"+tc.path, tc.body)
			require.Equal(t, 400, status)
			require.True(t, strings.EqualFold("provider_not_supported", gjson.Get(out, tc.code).String()), out)
			status, out, _ = g.do(t, http.MethodPost, tc.path, tc.body, "Authorization", "Bearer wrong")
			require.Equal(t, 401, status)
			require.Contains(t, []string{"authentication_error", "UNAUTHENTICATED"}, gjson.Get(out, tc.typ).String(), out)
			for _, text := range []string{"<html>", `{"error":{"message":"why ` + "sk-account-a" + `"}}`} { // in no dialect, or in another
				p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
					w.Header().Set("Retry-After", "3")
					w.WriteHeader(http.StatusTooManyRequests)
					_, _ = w.Write([]byte(text))
					return true
				})
				if tc.path == "/v1/responses" {
					continue // no account
				}
				time.Sleep(2 * time.Millisecond)
				status, out, head := g.do(t, http.MethodPost, tc.path, tc.body)
				require.Equal(t, 429, status, out)
				require.NotEmpty(t, head.Get("Retry-After"))
				require.NotContains(t, out, "sk-account")
				require.Contains(t, []string{"rate_limit_error", "RESOURCE_EXHAUSTED", ""}, gjson.Get(out, tc.typ).String(), out)
				if text[0] == '{' {
					require.Contains(t, out, "why ***")
				}
			}
		})
	}
	status, out, _ := g.do(t, http.MethodPost, "/v1beta/nothing", "")
	require.Equal(t, 404, status)
	require.Equal(t, "NOT_FOUND", gjson.Get(out, "error.status").String())
	for _, path := range []string{"/v1beta/models/gemini-custom:../x:generateContent", "/v1beta/models/../x:generateContent"} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url, strings.NewReader("{}"))
		req.URL.Path = path
		req.Header.Set("X-Goog-Api-Key", clientKey)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		_ = resp.Body.Close()
		require.Equal(t, 400, resp.StatusCode)
	}
}

func TestModelListsOfEveryDialect(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, f.client.HSet(t.Context(), "aiclient:pools:claude-custom", "a", `{"CLAUDE_API_KEY":"k","CLAUDE_BASE_URL":"http://x","supportedModels":["claude-a","claude-b"]}`).Err())
	f.account("openai-custom", "a", "http://x", `,"supportedModels":["gpt-a"]`)
	require.NoError(t, f.client.SAdd(t.Context(), "aiclient:pool-types", "claude-custom").Err())
	g := f.start()
	openAIModels, err := client(g).Models.List(t.Context())
	require.NoError(t, err)
	require.Len(t, openAIModels.Data, 3)
	claudeClient := anthropic.NewClient(claudeoption.WithBaseURL(g.url), claudeoption.WithAPIKey(clientKey), claudeoption.WithHTTPClient(http.DefaultClient))
	claudeModels, err := claudeClient.Models.List(t.Context(), anthropic.ModelListParams{})
	require.NoError(t, err)
	require.Equal(t, "claude-a", claudeModels.Data[0].ID)
	require.Equal(t, "model", string(claudeModels.Data[0].Type))
	geminiClient, err := genai.NewClient(t.Context(), &genai.ClientConfig{APIKey: clientKey, Backend: genai.BackendGeminiAPI, HTTPClient: http.DefaultClient, HTTPOptions: genai.HTTPOptions{BaseURL: g.url}})
	require.NoError(t, err)
	page, err := geminiClient.Models.List(t.Context(), &genai.ListModelsConfig{})
	require.NoError(t, err)
	require.Equal(t, "models/claude-a", page.Items[0].Name)
	_, out, _ := g.do(t, http.MethodGet, "/auto/v1/models", "")
	require.Equal(t, `["claude-custom:claude-a","claude-custom:claude-b","openai-custom:gpt-a"]`, gjson.Get(out, "data.#.id").Raw)
	_, out, _ = g.do(t, http.MethodGet, "/claude-custom/v1beta/models", "")
	require.EqualValues(t, 2, gjson.Get(out, "models.#").Int())
}

func client(g *started) *openai.Client {
	c := openai.NewClient(option.WithBaseURL(g.url+"/v1"), option.WithAPIKey(clientKey), option.WithMaxRetries(0))
	return &c
}

// A stream that does not ask for events is one JSON array, as Google has it, and
// comes as it is made.
func TestGeminiStreamAsAnArray(t *testing.T) {
	f, p := newFixture(t), newGemini(t)
	f.add(families[2], "a", p.URL)
	g := f.start(func(c *Config) { c.KeepAlive = 20 * time.Millisecond })
	const path, body = "/gemini-custom/v1beta/models/gemini-test:streamGenerateContent", `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`
	status, out, head := g.do(t, http.MethodPost, path, body)
	require.Equal(t, 200, status)
	require.Contains(t, head.Get("Content-Type"), "application/json")
	require.True(t, json.Valid([]byte(out)), out)
	require.Equal(t, "hello", gjson.Get(out, "0.candidates.0.content.parts.0.text").Str+gjson.Get(out, "1.candidates.0.content.parts.0.text").Str)

	p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		sendEvents(w, "data: {\"candidates\":[]}\r\n\r\n")
		time.Sleep(60 * time.Millisecond)
		panic(http.ErrAbortHandler)
	})
	_, out, _ = g.do(t, http.MethodPost, path, body)
	require.True(t, json.Valid([]byte(out)), out)
	require.Equal(t, "INTERNAL", gjson.Get(out, "1.error.status").String())
}

// What ends a Claude stream too early shows as an error in Claude's own form;
// silence is bridged.
func TestClaudeStreamThatBreaksOrIsSilent(t *testing.T) {
	f, p := newFixture(t), newClaude(t)
	fam := families[1]
	f.add(fam, "a", p.URL)
	g := f.start(func(c *Config) { c.KeepAlive = 20 * time.Millisecond })
	const start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n"
	const delta = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":7}}\n\n"
	for _, tc := range []struct {
		name   string
		events []string
		abort  bool
		fails  string
	}{
		{"cut", []string{start}, true, "broke off"},
		{"ended without its end", []string{start}, false, "broke off"},
		{"without message_stop", []string{start, delta}, false, ""},
		{"error of its own", []string{start, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"}, false, "Overloaded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
				w.Header().Set("Content-Type", "text/event-stream")
				w.(http.Flusher).Flush()
				time.Sleep(50 * time.Millisecond)
				sendEvents(w, tc.events...)
				if tc.abort {
					panic(http.ErrAbortHandler)
				}
				return true
			})
			_, err := askClaude(t.Context(), g.url, fam.typ+":m", dialogue{user: "hi"}, true)
			if tc.fails == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.fails)
		})
	}
	f.counted(fam.typ, "a", errorCount, "3")

	p.set(nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/v1/messages", strings.NewReader(`{"model":"claude-custom:m","max_tokens":1,"stream":true,"messages":[{"role":"user","content":"hi"}]}`))
	req.Header.Set("X-Api-Key", clientKey)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var lines []string
	for scan := bufio.NewScanner(resp.Body); scan.Scan(); {
		if line := scan.Text(); strings.HasPrefix(line, "event: ") || strings.HasPrefix(line, ": ") {
			lines = append(lines, line)
		}
	}
	require.Equal(t, "event: message_start event: ping event: content_block_start event: content_block_delta event: content_block_delta event: content_block_stop event: message_delta event: message_stop", strings.Join(lines, " "))
}
