package gateway

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"github.com/tidwall/redcon"
)

func TestAuthorize(t *testing.T) {
	with, _ := parseSettings(`{"REQUIRED_API_KEY":"right"}`, "")
	overridden, _ := parseSettings(`{"REQUIRED_API_KEY":"right"}`, "other")
	for _, tc := range []struct {
		name, url string
		header    [2]string
		set       settings
		code      string
	}{
		{"bearer", "/", [2]string{"Authorization", "Bearer right"}, with, ""},
		{"bearer, any case", "/", [2]string{"Authorization", "bearer right"}, with, ""},
		{"x-api-key", "/", [2]string{"X-Api-Key", "right"}, with, ""},
		{"x-goog-api-key", "/", [2]string{"X-Goog-Api-Key", "right"}, with, ""},
		{"query", "/?key=right", [2]string{}, with, ""},
		{"one of two", "/?key=right", [2]string{"X-Api-Key", "wrong"}, with, ""},
		{"none", "/", [2]string{}, with, "invalid_api_key"},
		{"empty", "/?key=", [2]string{"Authorization", "Bearer "}, with, "invalid_api_key"},
		{"wrong", "/", [2]string{"Authorization", "Bearer righ"}, with, "invalid_api_key"},
		{"longer", "/", [2]string{"Authorization", "Bearer rightt"}, with, "invalid_api_key"},
		{"basic", "/", [2]string{"Authorization", "Basic right"}, with, "invalid_api_key"},
		{"override", "/?key=other", [2]string{}, overridden, ""},
		{"overridden", "/?key=right", [2]string{}, overridden, "invalid_api_key"},
		{"none configured", "/?key=", [2]string{}, settings{}, "api_key_not_configured"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, tc.url, nil)
			if tc.header[0] != "" {
				r.Header.Set(tc.header[0], tc.header[1])
			}
			e := authorize(r, tc.set)
			if tc.code == "" {
				require.Nil(t, e)
				return
			}
			require.Equal(t, http.StatusUnauthorized, e.status)
			require.Equal(t, tc.code, e.code)
			require.NotContains(t, e.message, "right")
		})
	}
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, f.client.Del(t.Context(), "aiclient:config").Err())
	_, err := Open(Config{Addr: "0.0.0.0:0", RedisURL: f.server.URL()})
	require.ErrorIs(t, err, ErrInsecureBind)
	_, err = Open(Config{Addr: "nonsense", RedisURL: f.server.URL()})
	require.ErrorContains(t, err, "host:port")
	_, err = Open(Config{RedisURL: "http://u:s3cret@h/%zz"})
	require.ErrorContains(t, err, "redis URL")
	require.NotContains(t, err.Error(), "s3cret")

	g, err := Open(Config{Addr: "0.0.0.0:0", RedisURL: f.server.URL(), APIKey: "k"})
	require.NoError(t, err)
	require.NoError(t, g.Close())
	require.NoError(t, g.Close())
	require.ErrorIs(t, g.Run(context.Background()), ErrClosed)
}

func TestOpenEndpointsAndSecrets(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	require.NoError(t, f.client.ConfigSet(t.Context(), "requirepass", "redis-pa55word").Err())
	g := f.start(func(c *Config) { c.RedisURL = "redis://:redis-pa55word@" + f.server.Addr() + "/0" })
	get := func(path string) string {
		resp, err := http.Get(g.url + path)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode, path)
		var body [1 << 16]byte
		n, _ := resp.Body.Read(body[:])
		return string(body[:n])
	}
	status, _, _ := g.chat(t, chat)
	require.Equal(t, 200, status)
	p.fails(401)
	_, out, _ := g.do(t, http.MethodPost, "/v1/chat/completions?key="+clientKey, chat)
	all := out
	for _, path := range []string{"/health", "/healthz", "/readyz", "/metrics", "/api/redis/status", "/api/storage/status"} {
		all += get(path)
	}
	require.Contains(t, all, `"status":"healthy"`)
	require.Contains(t, all, "holdfast_gateway_requests_total")
	require.NoError(t, g.stop())
	all += f.logs.String()
	for _, secret := range []string{clientKey, "sk-account", "redis-pa55word"} {
		require.NotContains(t, all, secret)
	}
}

// Through the proxy, status is about the Redis behind it: its own words count.
func TestStatusThroughAProxy(t *testing.T) {
	answer := make(chan string, 1)
	answer <- `{"mode":"offline","connected":false,"lastConnectedAt":"2026-01-25T10:00:00Z","journal":{"queuedWrites":7}}`
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan struct{})
	server := redcon.NewServer(l.Addr().String(), func(conn redcon.Conn, cmd redcon.Command) {
		switch string(cmd.Args[0]) {
		case "HOLDFAST", "holdfast":
			text := <-answer
			answer <- text
			conn.WriteBulkString(text)
		case "smembers", "hgetall":
			conn.WriteArray(0)
		case "scan":
			conn.WriteArray(2)
			conn.WriteBulkString("0")
			conn.WriteArray(0)
		default:
			conn.WriteNull()
		}
	}, nil, nil)
	go func() { defer close(served); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = l.Close(); <-served })

	g := startGateway(t, Config{Addr: "127.0.0.1:0", RedisURL: "redis://" + l.Addr().String(), APIKey: clientKey, RefreshInterval: time.Hour})
	st := g.status(t)
	require.False(t, st.Get("connected").Bool())
	require.Equal(t, "offline", st.Get("mode").String())
	require.EqualValues(t, 7, st.Get("queuedWrites").Int())
	require.Equal(t, "2026-01-25T10:00:00.000Z", st.Get("lastConnectedAt").String())

	<-answer
	answer <- `{"mode":"embedded","connected":false,"journal":{"queuedWrites":0}}`
	h := g.link.probe(t.Context(), 0)
	body := g.redisStatus(h)
	require.True(t, body.Connected)
	require.Equal(t, "embedded", body.Mode)
	require.Equal(t, "embedded", body.Storage)
}

func TestTargetURL(t *testing.T) {
	chat := target{version: "/v1", ending: "/chat/completions", path: "/chat/completions"}
	for base, want := range map[string]string{
		"https://h":                          "https://h/v1/chat/completions",
		"https://h/":                         "https://h/v1/chat/completions",
		"https://h/v1":                       "https://h/v1/chat/completions",
		"https://h/v1/":                      "https://h/v1/chat/completions",
		"http://u:p@h:81/x?q=1":              "http://h:81/x/v1/chat/completions?q=1",
		"https://h/v1beta/openai":            "https://h/v1beta/openai/chat/completions",
		"https://h/api/v1/chat/completions/": "https://h/api/v1/chat/completions",
	} {
		got, err := chat.url(base, nil)
		require.NoError(t, err)
		require.Equal(t, want, got.String())
	}
	for _, base := range []string{"", "h", "ftp://h", "http://", "http://h/%zz", "://"} {
		_, err := chat.url(base, nil)
		require.ErrorIs(t, err, errNoEndpoint)
	}
}

func TestParseSettings(t *testing.T) {
	for _, tc := range []struct {
		raw    string
		wanted []string
		errors int
		ok     bool
	}{
		{"", nil, 10, false},
		{"[1]", nil, 10, false},
		{`{"MODEL_PROVIDER":"a, B ,c"}`, []string{"a", "B", "c"}, 10, true},
		{`{"MODEL_PROVIDER":"a","DEFAULT_MODEL_PROVIDERS":["x","y"],"MAX_ERROR_COUNT":"3"}`, []string{"x", "y"}, 3, true},
		{`{"MAX_ERROR_COUNT":0}`, nil, 0, true},
		{`{"MAX_ERROR_COUNT":-1,"CREDENTIAL_SWITCH_MAX_RETRIES":1e99}`, nil, 10, true},
	} {
		s, ok := parseSettings(tc.raw, "")
		require.Equal(t, tc.ok, ok, tc.raw)
		require.Equal(t, tc.wanted, s.wanted, tc.raw)
		require.Equal(t, tc.errors, s.maxErrors, tc.raw)
		require.LessOrEqual(t, s.switches, maxSwitches)
	}
	require.True(t, gjson.Valid(string(openAI{}.errorBody(&apiError{message: "\xff\""}))))
}
