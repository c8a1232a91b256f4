package gateway

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// countPools are pools by the path at which their provider counts, and its answer.
var countPools = []struct{ typ, key, url, path, answer string }{
	{"openai-custom", "OPENAI_API_KEY", "OPENAI_BASE_URL", "", ""},
	{"openaiResponses-custom", "OPENAI_API_KEY", "OPENAI_BASE_URL", "/v1/responses/input_tokens", `{"object":"response.input_tokens","input_tokens":42}`},
	{"claude-custom", "CLAUDE_API_KEY", "CLAUDE_BASE_URL", "/v1/messages/count_tokens", `{"input_tokens":42}`},
	{"gemini-custom", "GEMINI_API_KEY", "GEMINI_BASE_URL", "/v1beta/models/m:countTokens", `{"totalTokens":42}`},
}

var countClients = []struct{ path, body, number string }{
	{"/v1/responses/input_tokens", `{"model":"m","input":"hello there, how are you"}`, "input_tokens"},
	{"/v1/messages/count_tokens", `{"model":"m","messages":[{"role":"user","content":"hello there, how are you"}]}`, "input_tokens"},
	{"/v1beta/models/m:countTokens", `{"contents":[{"role":"user","parts":[{"text":"hello there, how are you"}]}]}`, "totalTokens"},
}

// Every client gets a number of every pool: the provider's own where it counts, else
// an estimate that says so.
func TestCountTokensOfEveryPool(t *testing.T) {
	f := newFixture(t)
	for _, p := range countPools {
		up := newProvider(t)
		up.set(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
			if r.URL.Path != p.path {
				sendJSON(w, 404, `{"error":{"message":"no such path"}}`)
			} else {
				sendJSON(w, 200, p.answer)
			}
			return true
		})
		f.add(family{typ: p.typ, key: p.key, url: p.url}, "a", up.URL)
		f.add(family{typ: p.typ + "-old", key: p.key, url: p.url}, "b", up.URL+"/none")
	}
	g := f.start()
	for _, p := range countPools {
		for _, c := range countClients {
			status, body, h := g.do(t, http.MethodPost, "/"+p.typ+c.path, c.body)
			require.Equal(t, 200, status, "%s %s: %s", p.typ, c.path, body)
			if n := gjson.Get(body, c.number).Int(); p.path == "" {
				require.Equal(t, "estimate", h.Get(countHeader), "%s %s", p.typ, c.path)
				require.True(t, gjson.Get(body, "estimated").Bool())
				require.Greater(t, n, int64(5))
			} else {
				require.Equal(t, int64(42), n, "%s %s: %s", p.typ, c.path, body)
				require.Empty(t, h.Get(countHeader))
			}
			status, body, h = g.do(t, http.MethodPost, "/"+p.typ+"-old"+c.path, c.body)
			require.Equal(t, 200, status, "a provider without such a path: %s %s: %s", p.typ, c.path, body)
			require.Equal(t, "estimate", h.Get(countHeader))
			require.Greater(t, gjson.Get(body, c.number).Int(), int64(5), body)
		}
	}
	require.Equal(t, "0", f.counter("openai-custom", "a", usageCount), "an estimate is nobody's work")
}

// A refusal that another try may mend, or that is about the key, is no estimate.
func TestCountTokensFails(t *testing.T) {
	f := newFixture(t)
	up := newProvider(t)
	f.add(family{typ: "claude-custom", key: "CLAUDE_API_KEY", url: "CLAUDE_BASE_URL"}, "a", up.URL)
	g := f.start()
	for _, status := range []int{400, 401, 429, 500} {
		up.fails(status)
		got, body, _ := g.do(t, http.MethodPost, countClients[1].path, countClients[1].body)
		require.NotEqual(t, 200, got, fmt.Sprint(status, body))
	}
}
