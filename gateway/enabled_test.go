package gateway

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"holdfast/backend/redistest"
)

// Which types a configuration enables.
func TestDefaultModelProviders(t *testing.T) {
	raw := rawState{pools: map[string]map[string]string{}}
	for _, typ := range []string{"openai-custom", "openai-custom-team2", "claude-custom", "Own-Type"} {
		raw.pools[typ] = map[string]string{"a": "{}"}
	}
	all := []string{"Own-Type", "claude-custom", "openai-custom", "openai-custom-team2"}
	for _, tc := range []struct {
		config   string
		types    []string
		default0 string
	}{
		{``, all, "Own-Type"},
		{`{}`, all, "Own-Type"},
		{`{"DEFAULT_MODEL_PROVIDERS":[]}`, all, "Own-Type"},
		{`{"DEFAULT_MODEL_PROVIDERS":["Claude-Custom","own-type"]}`, []string{"Own-Type", "claude-custom"}, "claude-custom"},
		{`{"DEFAULT_MODEL_PROVIDERS":["openai-custom"],"MODEL_PROVIDER":"claude-custom"}`, []string{"openai-custom"}, "openai-custom"},
		{`{"MODEL_PROVIDER":"claude-custom, openai-custom ,claude-custom"}`, all[1:], "claude-custom"},
		{`{"MODEL_PROVIDER":["OPENAI-CUSTOM-team2"]}`, all[3:], "openai-custom-team2"},
		{`{"DEFAULT_MODEL_PROVIDERS":["gemini-cli-oauth"]}`, nil, "gemini-cli-oauth"},
		{`{"MODEL_PROVIDER":"nobody knows"}`, all, "Own-Type"},
	} {
		raw.config = tc.config
		s := buildSnapshot(raw, sourceRedis, "", nil)
		assert.Equal(t, tc.types, s.types, tc.config)
		assert.Equal(t, tc.default0, s.defaults[0], tc.config)
		assert.Len(t, s.pools, len(tc.types), tc.config)
		assert.Len(t, s.skipped, 4-len(tc.types), tc.config)
	}
}

// Types that are not named are gone from every view, their keys are not, and the
// next change of the configuration applies by itself.
func TestTypesThatAreNotNamedAreSkipped(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, `,"supportedModels":["gpt-a"]`)
	f.account("atlascloud", "z", p.URL, `,"supportedModels":["atlas-a"]`)
	require.NoError(t, f.client.Set(t.Context(), "aiclient:files:custom_models.json", `[{"id":"alias","actualProvider":"atlascloud","actualModel":"atlas-a"}]`, 0).Err())
	g := f.start()
	models := func() string {
		_, out, _ := g.do(t, http.MethodGet, "/v1/models", "")
		return gjson.Get(out, "data.#.id").Raw
	}
	require.Equal(t, `["alias","atlas-a","gpt-a"]`, models())
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "DEFAULT_MODEL_PROVIDERS": []string{"openai-custom"}})
	redistest.Eventually(t, patience, "the type is gone", func() bool { return models() == `["gpt-a"]` })
	_, out, _ := g.do(t, http.MethodGet, "/provider_health", "")
	assert.NotContains(t, out, "atlascloud")
	for _, header := range []string{"Model-Provider", "X-None"} {
		model := map[string]string{"Model-Provider": "m", "X-None": "atlascloud:atlas-a"}[header]
		status, out, _ := g.chat(t, `{"model":"`+model+`","messages":[]}`, header, "atlascloud")
		assert.Equal(t, 400, status)
		assert.Equal(t, "provider_not_enabled", gjson.Get(out, "error.code").String(), out)
		assert.Contains(t, out, "DEFAULT_MODEL_PROVIDERS")
	}
	assert.EqualValues(t, 1, f.client.HLen(t.Context(), "aiclient:pools:atlascloud").Val())
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "DEFAULT_MODEL_PROVIDERS": []string{"openai-custom", "atlascloud"}})
	redistest.Eventually(t, patience, "and back", func() bool { return models() == `["alias","atlas-a","gpt-a"]` })
}

// A pool that nobody listed, beside one that is: found by the gateway's own time.
func TestAPoolMadeByHandIsServedWithinTwoSeconds(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	require.NoError(t, f.client.SAdd(t.Context(), "aiclient:pools:index", "openai-custom").Err(), "an earlier version was here")
	g := f.start(func(c *Config) { c.RefreshInterval = 0 })
	require.EqualValues(t, 0, f.client.Exists(t.Context(), "aiclient:pools:index").Val(), "brought over")
	require.NoError(t, f.client.HSet(t.Context(), "aiclient:pools:openai-custom-new", "n", `{"uuid":"n","OPENAI_API_KEY":"sk-account-n","OPENAI_BASE_URL":"`+p.URL+`"}`).Err())
	start := time.Now()
	redistest.Eventually(t, patience, "served", func() bool {
		status, _, _ := g.chat(t, chat, "Model-Provider", "openai-custom-new")
		return status == 200
	})
	t.Logf("served after %v", time.Since(start))
}
