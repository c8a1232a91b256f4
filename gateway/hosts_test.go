package gateway

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A page that has its own name resolve to this machine sees neither the dashboard nor
// any status; whoever has the client key may call the API by any name.
func TestPagesAreNotReboundTo(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "aaaa-1111-bbbb", p.URL, "")
	g := f.start(func(c *Config) { c.Hosts, c.HostsFlag = []string{"ai.internal"}, "--hosts" })
	get := func(path, host, origin, key string) (int, string) {
		req, err := http.NewRequest(http.MethodGet, g.url+path, nil)
		require.NoError(t, err)
		req.Host = host
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		if key != "" {
			req.Header.Set("Authorization", "Bearer "+key)
		}
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := c.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(text)
	}
	for _, path := range []string{"/dashboard", "/health", "/healthz", "/readyz", "/api/redis/status", "/api/storage/status", "/provider_health", "/metrics"} {
		code, text := get(path, "evil.example", "", "")
		require.Equal(t, http.StatusMisdirectedRequest, code, path)
		require.Contains(t, text, "--hosts")
		code, _ = get(path, "127.0.0.1:3000", "http://evil.example", "")
		require.Equal(t, http.StatusForbidden, code, path)
		for _, host := range []string{"127.0.0.1:3000", "localhost", "ai.internal:3000"} {
			code, _ = get(path, host, "", "")
			require.Less(t, code, 400, path)
		}
	}
	code, _ := get("/v1/models", "evil.example", "http://evil.example", clientKey)
	require.Equal(t, http.StatusOK, code)
}
