package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"holdfast/backend/redistest"
	"holdfast/gateway/store"
)

func TestSettingsWithoutEffectAreNamed(t *testing.T) {
	var fields []string
	for _, u := range UnusedSettings([]byte(`{"REQUIRED_API_KEY":"k","PROMPT_LOG_MODE":"file","TRUST_PROXY":true,"TRUST_PROXY":true,"PROXY_URL":null,"TLS_SIDECAR_ENABLED":false,
		"LOG_ENABLED":false,"providerFallbackChain":{},"WARMUP_TARGET":0,"mine":[1],"empty":[],"redis":{"url":"redis://h","tls":{"ca":"x"}}}`)) {
		require.NotEmpty(t, u.Instead)
		fields = append(fields, u.Field)
	}
	assert.Equal(t, []string{"PROMPT_LOG_MODE", "TRUST_PROXY", "LOG_ENABLED", "mine", "redis.tls"}, fields)
	assert.Equal(t, []Unused{{"queueLimit", accountFields["queueLimit"]}, {"weight", unknownInstead}},
		UnusedAccountFields([]byte(`{"uuid":"1","OWN_API_KEY":"k","X_TOKEN_URL":"u","lastUsed":"x","queueLimit":3,"concurrencyLimit":0,"weight":1}`)))
	assert.Empty(t, UnusedSettings([]byte("no JSON")))
	assert.Empty(t, UnusedSettings([]byte(`{"PROMPT_LOG_MODE":"none","PROXY_URL":"http://p","PROXY_ENABLED_PROVIDERS":["openai-custom"],"SYSTEM_PROMPT_MODE":"append","modelFallbackMapping":{"a":{}}}`)))
	assert.Equal(t, "PROXY_URL", UnusedSettings([]byte(`{"PROXY_URL":"http://p","PROXY_ENABLED_PROVIDERS":[]}`))[0].Field, "for nobody")
}

func TestVerdicts(t *testing.T) {
	for _, tc := range []struct {
		typ, entry     string
		token, enabled bool
		want           string
	}{
		{"openai-custom-x", `{"OPENAI_API_KEY":"k","OPENAI_BASE_URL":"http://h"}`, false, true, willServe},
		{"openai-custom", `{"OPENAI_API_KEY":"k"}`, false, true, "it has no OPENAI_BASE_URL"},
		{"openai-custom", `{"OPENAI_BASE_URL":"http://h"}`, false, true, "it has no OPENAI_API_KEY"},
		{"openai-custom", `{"OPENAI_API_KEY":"k","OPENAI_BASE_URL":"h:1"}`, false, true, "is not an http or https URL"},
		{"openai-custom", `{"OPENAI_API_KEY":"k","OPENAI_BASE_URL":"http://h","isDisabled":true}`, false, true, "isDisabled"},
		{"openai-custom", `{"OPENAI_API_KEY":"k","OPENAI_BASE_URL":"http://h"}`, false, false, "DEFAULT_MODEL_PROVIDERS"},
		{"claude-kiro-oauth", `{"KIRO_OAUTH_CREDS_FILE_PATH":"x"}`, true, true, "it has no KIRO_BASE_URL, and its provider's own protocol is not spoken here"},
		{"claude-kiro-oauth", `{"KIRO_BASE_URL":"http://h"}`, true, true, willServe},
		{"claude-kiro-oauth", `{"KIRO_BASE_URL":"http://h"}`, false, true, "there is no token for it"},
		{"grok-web", `{"GROK_COOKIE_TOKEN":"x"}`, false, true, "its provider speaks no public protocol"},
		{"nobody", `{}`, false, true, "none that is known here"},
		{"openai-custom", `[]`, false, true, "not a JSON object"},
	} {
		got := Verdict(tc.typ, []byte(tc.entry), tc.token, tc.enabled)
		assert.Contains(t, got, tc.want, tc.entry)
		assert.Equal(t, tc.want == willServe, got == willServe)
	}
}

func TestListenAddressOfTheConfiguration(t *testing.T) {
	for config, want := range map[string]string{
		``: "127.0.0.1:3000", `{}`: "127.0.0.1:3000", `{"SERVER_PORT":"3001"}`: "127.0.0.1:3001", `{"HOST":"0.0.0.0","SERVER_PORT":80}`: "0.0.0.0:80",
		`{"HOST":"::","SERVER_PORT":null}`: "[::]:3000", `{"HOST":"[::1]"}`: "[::1]:3000", `{"HOST":""}`: "127.0.0.1:3000",
	} {
		got, err := ListenAddress([]byte(config))
		require.NoError(t, err, config)
		assert.Equal(t, want, got, config)
	}
	for config, name := range map[string]string{
		`{"SERVER_PORT":0}`: "SERVER_PORT", `{"SERVER_PORT":"x"}`: "SERVER_PORT", `{"SERVER_PORT":70000}`: "SERVER_PORT", `{"SERVER_PORT":1.5}`: "SERVER_PORT",
		`{"SERVER_PORT":[1]}`: "SERVER_PORT", `{"HOST":7}`: "HOST", `{"HOST":"h:80"}`: "HOST", `{"HOST":"http://h"}`: "HOST",
	} {
		_, err := ListenAddress([]byte(config))
		require.ErrorContains(t, err, name, config)
	}
}

func TestTheConfiguredAddressIsListenedOn(t *testing.T) {
	f := newFixture(t)
	port := redistest.FreePort(t)
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "HOST": "localhost", "SERVER_PORT": port, "TRUST_PROXY": true})
	g := f.start(func(c *Config) { c.Addr = "" })
	require.Contains(t, g.url, ":"+gjson.Parse(f.client.Get(t.Context(), "aiclient:config").Val()).Get("SERVER_PORT").Raw)
	assert.Contains(t, f.logs.String(), "TRUST_PROXY")
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "SERVER_PORT": "none"})
	redistest.Eventually(t, patience, "told", func() bool { return strings.Contains(f.logs.String(), "take effect at the next start") })
	_, err := Open(Config{RedisURL: f.server.URL()})
	require.ErrorContains(t, err, "SERVER_PORT")
}

// Without a key every request would be refused: that is not ready. The root leads
// to the dashboard.
func TestNotReadyWithoutAKeyAndTheRoot(t *testing.T) {
	f := newFixture(t)
	f.config(map[string]any{"MODEL_PROVIDER": everyType})
	g := f.start()
	status, out, _ := g.do(t, http.MethodGet, "/readyz", "")
	assert.Equal(t, 503, status)
	assert.Equal(t, "no_client_key", gjson.Get(out, "status").String())
	assert.Contains(t, out, "HOLDFAST_API_KEY")
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey})
	redistest.Eventually(t, patience, "ready", func() bool { status, _, _ := g.do(t, http.MethodGet, "/readyz", ""); return status == 200 })
	once := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := once.Get(g.url + "/")
	require.NoError(t, err)
	_ = res.Body.Close()
	assert.Equal(t, 302, res.StatusCode)
	assert.Equal(t, "/dashboard", res.Header.Get("Location"))
	once.CloseIdleConnections()
}

// Status tells when the connection began, how long Redis takes, and which it is.
func TestStatusTellsOfTheConnection(t *testing.T) {
	f := newFixture(t)
	g := f.start()
	_, first, _ := g.do(t, http.MethodGet, "/api/redis/status", "")
	redistest.Eventually(t, patience, "another probe", func() bool {
		_, now, _ := g.do(t, http.MethodGet, "/api/redis/status", "")
		require.Equal(t, gjson.Get(first, "lastConnectedAt").String(), gjson.Get(now, "lastConnectedAt").String())
		return gjson.Get(now, "health.checkedAt").String() != gjson.Get(first, "health.checkedAt").String()
	})
	assert.Positive(t, gjson.Get(first, "latencyMs").Num)
	assert.Equal(t, f.server.URL(), gjson.Get(first, "url").String())
}

func TestAPlainPasswordIsWarnedAboutAndSignsIn(t *testing.T) {
	f := newFixture(t)
	for form, stored := range map[string]string{"plain": "s3cret\n", store.FormPBKDF2: "", store.FormBcrypt: ""} {
		if stored == "" {
			raw, err := store.StoredPassword("s3cret", form)
			require.NoError(t, err)
			stored = string(raw)
		}
		require.NoError(t, f.client.Set(t.Context(), "aiclient:pwd", stored, 0).Err())
		g := f.start(func(c *Config) { c.CommandTimeout = time.Minute }) // hashing is slow with the race detector
		res, err := http.PostForm(g.url+"/dashboard/login", map[string][]string{"password": {"s3cret"}})
		require.NoError(t, err)
		_ = res.Body.Close()
		assert.NotEqual(t, 401, res.StatusCode, form)
		sessions := f.client.Keys(t.Context(), "aiclient:sessions:*").Val()
		require.Len(t, sessions, 1, form)
		require.NoError(t, f.client.Del(t.Context(), sessions...).Err())
	}
	assert.Contains(t, f.logs.String(), "holdfast passwd")
}
