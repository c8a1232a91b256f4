package gateway

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"holdfast/backend/redistest"
)

// spoken is a protocol of a provider: its pools with a key and with a token, and
// what the provider is sent.
type spoken struct {
	keyed, signed  family
	path, question string // question is where "Hi" stands
	answer         func(http.ResponseWriter)
	// client is a request in the same protocol.
	client, clientBody string
}

func answerResponses(w http.ResponseWriter) {
	sendJSON(w, 200, `{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hello","annotations":[]}]}]}`)
}

// newResponses is strict about what a question in the Responses protocol may hold.
func newResponses(t *testing.T) *provider {
	return newFake(t, func(r *http.Request, b gjson.Result, no *objections) asked {
		no.check(r.URL.Path == "/v1/responses", "path %s", r.URL.Path)
		no.only(r, "", "X-Stainless-")
		no.known("body", b, "model", "input", "stream")
		no.check(b.Get("input").Type == gjson.String || b.Get("input").IsArray(), "input: required")
		return asked{model: b.Get("model").Str}
	}, func(w http.ResponseWriter, _ asked) { answerResponses(w) }, func(w http.ResponseWriter, why string) {
		sendJSON(w, 400, fmt.Sprintf(`{"error":{"message":%q,"type":"invalid_request_error","param":null,"code":null}}`, why))
	})
}

var protocolsSpoken = []spoken{
	{families[0], family{typ: qwen, url: "QWEN_BASE_URL"}, "/v1/chat/completions", "messages.0.content",
		func(w http.ResponseWriter) { answerChat(w, asked{model: "m"}) }, "/v1/chat/completions", `{"model":"m","messages":[]}`},
	{family{typ: "openaiResponses-custom", key: "OPENAI_API_KEY", url: "OPENAI_BASE_URL", start: newResponses},
		family{typ: "openai-codex-oauth", url: "CODEX_BASE_URL"}, "/v1/responses", "input.0.content",
		answerResponses, "/v1/responses", `{"model":"m","input":"hi"}`},
	{families[1], family{typ: "claude-kiro-oauth", url: "KIRO_BASE_URL"}, "/v1/messages", "messages.0.content",
		func(w http.ResponseWriter) { answerClaude(w, asked{model: "m"}) }, "/v1/messages", `{"model":"m","max_tokens":9,"messages":[]}`},
	{families[2], family{typ: "gemini-cli-oauth", url: "GEMINI_BASE_URL"}, "/v1beta/models/m:generateContent", "contents.0.parts.0.text",
		func(w http.ResponseWriter) { answerGemini(w, asked{model: "m"}) }, "/v1beta/models/m:generateContent", `{"contents":[]}`},
}

// Providers that refuse what is not their protocol answer the check, so accounts
// that are marked unhealthy come back.
func TestHealthChecksAskInTheProvidersProtocol(t *testing.T) {
	f := newFixture(t)
	started := map[string]*provider{}
	for _, sp := range protocolsSpoken {
		p := sp.keyed.start(t)
		started[sp.keyed.typ] = p
		f.entry(sp.keyed.typ, "a", fmt.Sprintf(`"%s":"sk-account-a","%s":%q,"isHealthy":false,"checkHealth":true,"checkModelName":"m"`, sp.keyed.key, sp.keyed.url, p.URL))
	}
	g := f.start()
	require.EqualValues(t, len(protocolsSpoken), g.health(t, "").Get("unhealthyCount").Int())
	g.checker.round(t.Context(), g.link.snapshot())
	require.Zero(t, g.health(t, "").Get("unhealthyCount").Int(), f.logs.String())
	for _, sp := range protocolsSpoken {
		path, body, _ := started[sp.keyed.typ].seen()
		require.Equal(t, sp.path, path)
		require.Contains(t, gjson.GetBytes(body, sp.question).String(), "Hi", string(body))
		require.Equal(t, 1, started[sp.keyed.typ].count(), sp.keyed.typ)
	}
}

// A forward-api account is asked in Chat Completions; that it does not know the
// path says nothing about it.
func TestHealthCheckOfAForwardAPI(t *testing.T) {
	f, chat, other := newFixture(t), newProvider(t), newProvider(t)
	other.fails(404)
	for uuid, p := range map[string]*provider{"a": chat, "b": other} {
		f.entry("forward-api-"+uuid, uuid, fmt.Sprintf(`"FORWARD_API_KEY":"k","FORWARD_BASE_URL":%q,"checkHealth":true,"checkModelName":"m"`, p.URL))
	}
	g := f.start()
	g.checker.round(t.Context(), g.link.snapshot())
	for _, p := range []*provider{chat, other} {
		path, _, _ := p.seen()
		require.Equal(t, "/v1/chat/completions", path)
	}
	h := g.health(t, "")
	require.EqualValues(t, 2, h.Get("count").Int(), h.Raw)
	require.Zero(t, h.Get("unhealthyCount").Int(), h.Raw)
}

// Whatever the protocol, an access token is a bearer, and nothing stands where a
// key or the client's own key would: in checks and in requests.
func TestTokensAreSentAsBearersInEveryProtocol(t *testing.T) {
	for _, sp := range protocolsSpoken {
		t.Run(sp.signed.typ, func(t *testing.T) {
			f, p := newFixture(t), newProvider(t)
			p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
				sp.answer(w)
				return true
			})
			f.entry(sp.signed.typ, "a", fmt.Sprintf(`"%s":%q,"isHealthy":false,"checkHealth":true,"checkModelName":"m"`, sp.signed.url, p.URL))
			f.token(sp.signed.typ, "a", fmt.Sprintf(`{"access_token":"secret-access-0","expiry_date":%d}`, future().UnixMilli()))
			g := f.start()
			signed := func() {
				path, _, head := p.seen()
				require.Equal(t, sp.path, path)
				require.Equal(t, "Bearer secret-access-0", head.Get("Authorization"))
				require.Empty(t, head.Get("X-Api-Key"))
				require.Empty(t, head.Get("X-Goog-Api-Key"))
			}
			g.checker.round(t.Context(), g.link.snapshot())
			require.Equal(t, 1, p.count())
			signed()
			redistest.Eventually(t, patience, "the check brings it back", func() bool {
				return g.health(t, "?provider="+sp.signed.typ).Get("items.0.isHealthy").Bool()
			})
			for _, header := range []string{"X-Api-Key", "X-Goog-Api-Key"} {
				status, out, _ := g.do(t, http.MethodPost, "/"+sp.signed.typ+sp.client, sp.clientBody, header, clientKey)
				require.Equal(t, 200, status, out)
				signed()
			}
			f.noSecrets(g)
		})
	}
}
