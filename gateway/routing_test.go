package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// aliases stores the aliases of models.
func (f *fixture) aliases(list string) {
	f.t.Helper()
	require.NoError(f.t, f.client.Set(f.t.Context(), "aiclient:files:custom_models.json", list, 0).Err())
}

// listed is the ids that a client of OpenAI's protocol is shown, with their owners.
func (s *started) listed(t *testing.T, headers ...string) map[string]string {
	t.Helper()
	_, out, _ := s.do(t, http.MethodGet, "/v1/models", "", headers...)
	ids := map[string]string{}
	for _, m := range gjson.Get(out, "data").Array() {
		ids[m.Get("id").Str] = m.Get("owned_by").Str
	}
	return ids
}

// Every model of the list is served by its owner, to clients of every protocol, and
// can be asked for by itself.
func TestListedModelsAreServedByTheirOwners(t *testing.T) {
	f := newFixture(t)
	providers := map[string]*provider{}
	for _, fam := range families {
		p := fam.start(t)
		providers[fam.typ] = p
		f.addWith(fam, "a", p.URL, fmt.Sprintf(`,"supportedModels":["%s","common"],"checkModelName":"check-%s"`, fam.model, fam.model))
	}
	f.aliases(`[{"id":"fast","actualProvider":"gemini-custom","actualModel":"gemini-test"},{"id":"common","actualProvider":"claude-custom","actualModel":"claude-test"},
		{"id":"free","actualModel":"gpt-test"},{"id":"claude-*","actualProvider":"openai-custom","actualModel":"gpt-test"},{"id":"nobody","actualProvider":"openai-iflow","actualModel":"m"}]`)
	g := f.start()
	require.Equal(t, map[string]string{
		"gpt-test": "openai-custom", "claude-test": "claude-custom", "gemini-test": "gemini-custom", "check-gemini-test": "gemini-custom",
		"openai-custom:common": "openai-custom", "claude-custom:common": "claude-custom", "gemini-custom:common": "gemini-custom",
		"fast": "gemini-custom", "common": "claude-custom", "free": "openai-custom",
	}, g.listed(t))
	for id, owner := range g.listed(t) {
		for _, c := range sdkClients {
			before := providers[owner].count()
			got, err := c.ask(t.Context(), g.url, id, dialogue{user: "hi"}, false)
			require.NoError(t, err, "%s asks for %s", c.name, id)
			require.Equal(t, "hello", got.text)
			require.Equal(t, before+1, providers[owner].count(), "%s asks for %s", c.name, id)
		}
		for path, field := range map[string]string{"/v1/models/": "id", "/v1beta/models/": "displayName"} {
			status, out, _ := g.do(t, http.MethodGet, path+url.PathEscape(id), "")
			assert.Equal(t, 200, status, out)
			assert.Equal(t, id, gjson.Get(out, field).Str, out)
		}
	}
	status, out, _ := g.do(t, http.MethodGet, "/v1/models/gpt-test", "", "Anthropic-Version", "2023-06-01")
	require.Equal(t, 200, status)
	require.Equal(t, "model", gjson.Get(out, "type").Str, out)
	status, out, _ = g.do(t, http.MethodGet, "/v1beta/models/none", "")
	require.Equal(t, 404, status)
	require.Equal(t, "NOT_FOUND", gjson.Get(out, "error.status").Str, out)
	status, out, _ = g.do(t, http.MethodGet, "/v1/models/none", "")
	require.Equal(t, 404, status)
	require.Equal(t, "model_not_found", gjson.Get(out, "error.code").Str, out)
	status, _, _ = g.do(t, http.MethodGet, "/v1/models/claude-anything", "")
	require.Equal(t, 200, status, "an alias with wildcards has it")
}

// A list for one type, or with the types in front, has what can be called there.
func TestListsOfOneTypeAndOfAll(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, `,"supportedModels":["m","org/with:colon","atlascloud:odd"]`)
	f.account("atlascloud", "b", p.URL, `,"supportedModels":["m"]`)
	g := f.start()
	require.Equal(t, map[string]string{"openai-custom:m": "openai-custom", "atlascloud:m": "atlascloud", "org/with:colon": "openai-custom", "openai-custom:atlascloud:odd": "openai-custom"}, g.listed(t))
	require.Equal(t, map[string]string{"m": "atlascloud"}, g.listed(t, "Model-Provider", "atlascloud"))
	require.Equal(t, map[string]string{
		"openai-custom:m": "openai-custom", "atlascloud:m": "atlascloud", "openai-custom:org/with:colon": "openai-custom", "openai-custom:atlascloud:odd": "openai-custom",
	}, g.listed(t, "Model-Provider", "auto"))
	for id, want := range map[string]string{"openai-custom:atlascloud:odd": "atlascloud:odd", "org/with:colon": "org/with:colon", "m": "m"} {
		status, out, _ := g.chat(t, fmt.Sprintf(`{"model":%q,"messages":[]}`, id), "Model-Provider", "auto")
		require.Equal(t, 200, status, out)
		require.Equal(t, want, gjson.Get(out, "model").Str)
	}
}

func TestWildcardsInAliases(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, `,"supportedModels":["big","small","same-x","claude-own"]`)
	f.account("atlascloud", "b", p.URL, "")
	f.aliases(`[{"id":"*","actualProvider":"openai-custom","actualModel":"big"},{"id":"claude-*haiku*","actualProvider":"openai-custom","actualModel":"small"},
		{"id":"claude-*","actualProvider":"openai-custom","actualModel":"big"},{"id":"atlas/*","actualProvider":"atlascloud","actualModel":"org/*-it"},
		{"id":"gone-*","actualProvider":"no such type","actualModel":"x"},{"id":"same-*","actualProvider":"openai-custom"}]`)
	g := f.start()
	for asked, want := range map[string]string{
		"claude-haiku-4-5-20251001": "small", "claude-3-5-haiku": "small", "claude-sonnet-4": "big", "claude-own": "claude-own", "same-x": "same-x",
		"atlas/gemma": "org/gemma-it", "gone-1": "big", "whatever": "big",
	} {
		status, out, _ := g.chat(t, fmt.Sprintf(`{"model":%q,"messages":[]}`, asked))
		assert.Equal(t, 200, status, out)
		assert.Equal(t, want, gjson.Get(out, "model").Str, asked)
	}
	status, out, _ := g.chat(t, `{"model":"claude-haiku","messages":[]}`, "Model-Provider", "atlascloud")
	assert.Equal(t, 200, status)
	assert.Equal(t, "claude-haiku", gjson.Get(out, "model").Str, "the type that the request names counts more than wildcards")
	assert.NotContains(t, g.listed(t), "claude-*")
}

func TestFallbackChain(t *testing.T) {
	chain := map[string]any{
		"REQUIRED_API_KEY": clientKey, "MODEL_PROVIDER": "openai-custom", "MAX_ERROR_COUNT": 1, "CREDENTIAL_SWITCH_MAX_RETRIES": 1,
		"providerFallbackChain": map[string]any{"openai-custom": []string{"nobody", "atlascloud", "claude-custom"}},
		"modelFallbackMapping":  map[string]any{"gpt-4o": map[string]string{"targetProviderType": "claude-custom", "targetModel": "claude-test"}},
	}
	for name, tc := range map[string]struct {
		first, second func(*provider) // what is wrong with them; nil: nothing
		want          string          // the provider that answers
		status        int
	}{
		"the first pool answers":                {nil, nil, "first", 200},
		"its account fails":                     {func(p *provider) { p.fails(500) }, nil, "second", 200},
		"it is limited":                         {func(p *provider) { p.fails(429, "Retry-After", "7") }, nil, "second", 200},
		"it does not know the model":            {func(p *provider) { p.fails(404) }, nil, "second", 200},
		"a request that is wrong":               {func(p *provider) { p.fails(400) }, nil, "first", 400},
		"another protocol, with its model":      {func(p *provider) { p.fails(500) }, func(p *provider) { p.fails(503) }, "third", 200},
		"an error as the first event or answer": {func(p *provider) { p.fails(500) }, func(p *provider) { p.fails(429) }, "third", 200},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stream %v", name, stream), func(t *testing.T) {
				f := newFixture(t)
				first, second, third := newProvider(t), newProvider(t), newClaude(t)
				f.config(chain)
				f.account("openai-custom", "a", first.URL, "")
				f.account("atlascloud", "b", second.URL, "")
				f.add(families[1], "c", third.URL)
				if tc.first != nil {
					tc.first(first)
				}
				if tc.second != nil {
					tc.second(second)
				}
				g := f.start()
				status, out, _ := g.chat(t, fmt.Sprintf(`{"model":"gpt-4o","stream":%v,"messages":[{"role":"user","content":"hi"}]}`, stream))
				require.Equal(t, tc.status, status, out)
				answered := map[string]*provider{"first": first, "second": second, "third": third}[tc.want]
				require.Equal(t, 1, answered.count())
				if tc.want == "third" {
					_, body, _ := third.seen()
					require.Equal(t, "claude-test", gjson.GetBytes(body, "model").Str)
				}
				require.LessOrEqual(t, first.count()+second.count()+third.count(), 3)
			})
		}
	}
}

// Attempts are bounded over all pools, and what the first pool said counts where
// nobody else could be asked.
func TestFallbacksEnd(t *testing.T) {
	f := newFixture(t)
	types := []string{"openai-custom", "openai-custom-2", "openai-custom-3", "openai-custom-4", "openai-custom-5"}
	chain := map[string]any{}
	var all []*provider
	for i, typ := range types {
		next := append(append([]string{}, types[i+1:]...), types[:i]...)
		chain[typ] = next // in a circle
		for n := range 9 {
			p := newProvider(t)
			p.fails(500)
			all = append(all, p)
			f.account(typ, fmt.Sprint(n), p.URL, "")
		}
	}
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "MODEL_PROVIDER": "openai-custom", "MAX_ERROR_COUNT": 0, "CREDENTIAL_SWITCH_MAX_RETRIES": 6, "providerFallbackChain": chain})
	g := f.start()
	status, _, _ := g.chat(t, chat)
	require.Equal(t, 500, status)
	hits := 0
	for _, p := range all {
		hits += p.count()
	}
	require.Equal(t, maxAttempts, hits)

	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "providerFallbackChain": map[string]any{"openai-custom": []string{"atlascloud"}}, "CREDENTIAL_SWITCH_MAX_RETRIES": 0})
	for n := range 9 {
		f.account("openai-custom", fmt.Sprint(n), refusing(t), `,"isDisabled":true`)
	}
	f.account("atlascloud", "z", refusing(t), `,"isDisabled":true`)
	f.account("openai-custom", "0", all[0].URL, "")
	all[0].fails(429, "Retry-After", "7")
	g = f.start()
	status, out, head := g.chat(t, chat)
	require.Equal(t, 429, status, out)
	require.Equal(t, "7", head.Get("Retry-After"))
}

// A stream that has begun goes nowhere else.
func TestNoFallbackAfterTheFirstByte(t *testing.T) {
	f, first, second := newFixture(t), newProvider(t), newProvider(t)
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "MODEL_PROVIDER": "openai-custom", "providerFallbackChain": map[string]any{"openai-custom": []string{"atlascloud"}}})
	f.account("openai-custom", "a", first.URL, "")
	f.account("atlascloud", "b", second.URL, "")
	first.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.Header().Set("Content-Type", "text/event-stream")
		writeChunk(w, "one")
		panic(http.ErrAbortHandler)
	})
	g := f.start()
	status, out, _ := g.chat(t, `{"stream":true,`+chat[1:])
	require.Equal(t, 200, status)
	require.Contains(t, out, "broke off")
	require.Zero(t, second.count())
}
