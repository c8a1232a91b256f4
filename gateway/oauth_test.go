package gateway

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"holdfast/backend/redistest"
)

// authority is a real provider with sign-in: an API that takes the last access
// token only, and a token endpoint that rotates refresh tokens and revokes them
// all when a spent one comes again. Every token of it begins with "secret-".
type authority struct {
	*httptest.Server
	mu      sync.Mutex
	n       int  // tokens given so far
	revoked bool // a refresh token was used twice
	asked   int  // requests to the token endpoint
	form    string
	used    string // the last bearer of the API
	life    int    // expires_in; 0: not said
	keep    bool   // does not rotate
	// handle answers a token request instead, if set; false hands it on.
	handle func(w http.ResponseWriter, r *http.Request) bool
}

func newAuthority(t *testing.T) *authority {
	a := &authority{life: 3600}
	mux := http.NewServeMux()
	mux.HandleFunc("/token", a.token)
	mux.HandleFunc("/v1/chat/completions", a.chat)
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

func (a *authority) set(handle func(http.ResponseWriter, *http.Request) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.handle = handle
}

func (a *authority) token(w http.ResponseWriter, r *http.Request) {
	refresh := r.FormValue("refresh_token")
	a.mu.Lock()
	a.asked++
	a.form = r.Form.Encode()
	handle := a.handle
	a.mu.Unlock()
	if handle != nil && handle(w, r) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain") // as some do
	if refresh != a.refresh() || a.revoked {
		a.revoked = true
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":"invalid_grant","error_description":"%s was used"}`, refresh)
		return
	}
	a.n++
	fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","refresh_token":%q,"id_token":"secret-id"`, a.access(), a.refresh())
	if a.life != 0 {
		fmt.Fprintf(w, `,"expires_in":%d`, a.life)
	}
	io.WriteString(w, "}")
}

func (a *authority) access() string { return "secret-access-" + strconv.Itoa(a.n) }

func (a *authority) refresh() string {
	if a.keep {
		return "secret-refresh-0"
	}
	return "secret-refresh-" + strconv.Itoa(a.n)
}

func (a *authority) chat(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.used = r.Header.Get("Authorization")
	good := a.used == "Bearer "+a.access() && !a.revoked
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if !good {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":{"message":"no: %s","type":"t","code":"expired"}}`, r.Header.Get("Authorization"))
		return
	}
	io.WriteString(w, `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}`)
}

// grants is how often the token endpoint was asked, and whether it had to revoke.
func (a *authority) grants() (asked int, revoked bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked, a.revoked
}

const qwen = "openai-qwen-oauth"

// signedIn stores an OAuth account of a and its token: snake_case, with the time
// of its end, and fields that must stay as they are.
func (f *fixture) signedIn(a *authority, uuid string, expiry time.Time) {
	f.entry(qwen, uuid, fmt.Sprintf(`"QWEN_BASE_URL":"%s/v1","QWEN_TOKEN_URL":"%s/token","QWEN_CLIENT_ID":"client-7"`, a.URL, a.URL))
	f.token(qwen, uuid, fmt.Sprintf(`{ "access_token":"secret-access-0", "refresh_token" : "secret-refresh-0","expiry_date":%d,"resource_url":"x/\u0041","big":12345678901234567890}`, expiry.UnixMilli()))
}

func (f *fixture) entry(typ, uuid, fields string) {
	f.t.Helper()
	require.NoError(f.t, f.client.HSet(f.t.Context(), "aiclient:pools:"+typ, uuid, fmt.Sprintf(`{"uuid":%q,%s}`, uuid, fields)).Err())
	require.NoError(f.t, f.client.SAdd(f.t.Context(), "aiclient:pool-types", typ).Err())
}

func (f *fixture) token(typ, uuid, raw string) {
	f.t.Helper()
	require.NoError(f.t, f.client.Set(f.t.Context(), "aiclient:tokens:"+typ+":"+uuid, raw, 0).Err())
}

func (f *fixture) stored(uuid string) string {
	return f.client.Get(f.t.Context(), "aiclient:tokens:"+qwen+":"+uuid).Val()
}

// noSecrets asserts that no token and no client key got into a log or a page.
func (f *fixture) noSecrets(g *started) {
	f.t.Helper()
	require.NotContains(f.t, f.logs.String(), "secret-")
	for _, path := range []string{"/metrics", "/api/redis/status", "/api/storage/status"} {
		_, out, _ := g.do(f.t, http.MethodGet, path, "")
		require.NotContains(f.t, out, "secret-", path)
	}
}

// asks sends a chat request to the OAuth pool.
func (s *started) asks(t *testing.T) (int, string, http.Header) {
	t.Helper()
	return s.chat(t, chat, "Model-Provider", qwen)
}

func past() time.Time   { return time.Now().Add(-time.Minute) }
func future() time.Time { return time.Now().Add(time.Hour) }

func TestAccessTokenIsTheBearer(t *testing.T) {
	f, a := newFixture(t), newAuthority(t)
	in := func(d time.Duration) time.Time { return time.Now().Add(d) }
	for typ, token := range map[string]string{
		qwen:                          `{"access_token":"secret-access-0"}`,
		"openai-qwen-oauth-camel":     `{"accessToken":"secret-access-0","refreshToken":"","expiresAt":"` + in(time.Hour).Format(time.RFC3339) + `"}`,
		"openai-iflow":                fmt.Sprintf(`{"access_token":"secret-access-0","expiry_date":"%d","apiKey":"k"}`, in(time.Hour).UnixMilli()),
		"openai-qwen-oauth-seconds":   fmt.Sprintf(`{"access_token":"secret-access-0","expires_at":%d}`, in(time.Hour).Unix()),
		"openai-custom":               `{"accessToken":"secret-access-0"}`,
		"openai-qwen-oauth-gone":      `{"accessToken":"secret-access-0","expiresAt":"` + in(-time.Hour).Format(time.RFC3339) + `"}`,
		"openai-qwen-oauth-unread":    `garbage`,
		"openai-qwen-oauth-nowhere":   `{"access_token":"secret-access-0"}`,
		"openai-qwen-oauth-no-url":    fmt.Sprintf(`{"access_token":"a","refresh_token":"r","expiry_date":%d}`, in(-time.Hour).UnixMilli()),
		"openai-qwen-oauth-templated": fmt.Sprintf(`{"access_token":"a","refresh_token":"r","expiry_date":%d}`, in(-time.Hour).UnixMilli()),
	} {
		fields := `"QWEN_BASE_URL":"` + a.URL + `/v1"`
		switch typ {
		case "openai-iflow":
			fields = `"IFLOW_BASE_URL":"` + a.URL + `/v1"`
		case "openai-custom":
			fields = `"OPENAI_BASE_URL":"` + a.URL + `/v1","ANY_CREDS_FILE_PATH":"./t.json"`
		case "openai-qwen-oauth-nowhere":
			fields = `"QWEN_OAUTH_CREDS_FILE_PATH":"./t.json"`
		case "openai-qwen-oauth-templated":
			fields += `,"KIRO_REFRESH_URL":"https://prod.{{region}}.example/refresh"`
		}
		f.entry(typ, "u", fields)
		f.token(typ, "u", token)
	}
	f.entry("openai-qwen-oauth-none", "u", `"QWEN_BASE_URL":"`+a.URL+`/v1"`)
	require.NoError(t, f.client.RPush(t.Context(), "aiclient:tokens:openai-qwen-oauth-none:u", "x").Err())
	g := f.start()
	for typ, want := range map[string]string{
		qwen: "", "openai-qwen-oauth-camel": "", "openai-iflow": "", "openai-qwen-oauth-seconds": "", "openai-custom": "",
		"openai-qwen-oauth-gone": "1 signed out", "openai-qwen-oauth-unread": "1 signed out", "openai-qwen-oauth-none": "1 signed out",
		"openai-qwen-oauth-nowhere": "1 with no endpoint configured", "openai-qwen-oauth-no-url": "1 signed out", "openai-qwen-oauth-templated": "token URL is not",
	} {
		status, out, head := g.chat(t, chat, "Model-Provider", typ)
		if want == "" {
			require.Equal(t, 200, status, "%s: %s", typ, out)
			continue
		}
		require.Equal(t, 503, status, typ)
		require.Contains(t, out, want, typ)
		require.NotEmpty(t, head.Get("Retry-After"))
	}
	asked, _ := a.grants()
	require.Zero(t, asked)
	f.counted(qwen, "u", usageCount, "1")
	f.noSecrets(g)
}

// Two gateways, fifty requests at once, a token that has ended: the provider is
// asked once, or it would revoke the account.
func TestOneRefreshForAllGateways(t *testing.T) {
	f, a := newFixture(t), newAuthority(t)
	f.signedIn(a, "u", past())
	a.set(func(http.ResponseWriter, *http.Request) bool { time.Sleep(200 * time.Millisecond); return false })
	gateways := []*started{f.start(), f.start()}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 50}}
	defer client.CloseIdleConnections()
	statuses := make(chan int, 50)
	for i := range 50 {
		go func() {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, gateways[i%2].url+"/"+qwen+"/v1/chat/completions?key="+clientKey, strings.NewReader(chat))
			resp, err := client.Do(req)
			if err != nil {
				statuses <- 0
				return
			}
			_ = resp.Body.Close()
			statuses <- resp.StatusCode
		}()
	}
	for range 50 {
		require.Equal(t, 200, <-statuses)
	}
	asked, revoked := a.grants()
	require.Equal(t, 1, asked)
	require.False(t, revoked)
	require.Equal(t, "client_id=client-7&grant_type=refresh_token&refresh_token=secret-refresh-0", a.form)
	redistest.Eventually(t, patience, "the new token is stored", func() bool { return strings.Contains(f.stored("u"), "access-1") })
	stored := f.stored("u")
	expiry := gjson.Get(stored, "expiry_date")
	require.WithinDuration(t, future(), time.UnixMilli(expiry.Int()), time.Minute)
	require.Equal(t, `{ "access_token":"secret-access-1", "refresh_token" : "secret-refresh-1","expiry_date":`+expiry.Raw+`,"resource_url":"x/\u0041","big":12345678901234567890}`, stored)
	require.EqualValues(t, -1, f.client.TTL(t.Context(), "aiclient:tokens:"+qwen+":u").Val())
	f.counted(qwen, "u", "refreshCount", "1")
	f.counted(qwen, "u", usageCount, "50")
	require.Equal(t, "0", f.counter(qwen, "u", errorCount))
	redistest.Eventually(t, patience, "the lease is given back", func() bool {
		return f.client.Exists(t.Context(), "aiclient:token-lock:"+qwen+":u").Val() == 0
	})
	f.noSecrets(gateways[0])
	f.noSecrets(gateways[1])
}

func TestA401Renews(t *testing.T) {
	f, a := newFixture(t), newAuthority(t)
	f.signedIn(a, "u", future())
	a.n = 0
	g := f.start()
	status, out, _ := g.asks(t)
	require.Equal(t, 200, status, out)
	a.mu.Lock()
	a.used, a.life = "", 0 // and the new one says nothing of its end
	a.n++                  // what was given before is no good any more …
	a.mu.Unlock()
	f.token(qwen, "u", strings.Replace(f.stored("u"), "secret-refresh-0", a.refresh(), 1)) // … but the refresh token is
	redistest.Eventually(t, patience, "the token is renewed at a 401", func() bool {
		status, _, _ := g.asks(t)
		return status == 200
	})
	asked, revoked := a.grants()
	require.Equal(t, []any{1, false}, []any{asked, revoked})
	redistest.Eventually(t, patience, "the new token is stored, with no end", func() bool {
		return gjson.Get(f.stored("u"), "expiry_date").Type == gjson.Null
	})

	// One that refuses what it has just given is believed.
	a.mu.Lock()
	a.n += 10
	a.mu.Unlock()
	for range 2 {
		status, out, _ = g.asks(t)
		require.Equal(t, 401, status, out)
		require.NotContains(t, out, "secret-")
	}
	asked, _ = a.grants()
	require.Equal(t, 1, asked)
}

func TestTokenIsRenewedBeforeItsEnd(t *testing.T) {
	f, a := newFixture(t), newAuthority(t)
	f.signedIn(a, "u", time.Now().Add(5*time.Minute))
	goOn := make(chan struct{})
	a.set(func(http.ResponseWriter, *http.Request) bool { <-goOn; return false })
	g := f.start()
	for range 3 {
		status, out, _ := g.asks(t) // nobody waits while the old one is good
		require.Equal(t, 200, status, out)
	}
	a.life = 60 // less than CRON_NEAR_MINUTES: it must not be renewed all the time
	close(goOn)
	redistest.Eventually(t, patience, "the new token is stored", func() bool {
		return strings.Contains(f.stored("u"), "secret-refresh-1") && strings.Contains(f.logs.String(), "token renewed")
	})
	for range 3 {
		status, out, _ := g.asks(t)
		require.Equal(t, 200, status, out)
	}
	require.NoError(t, g.stop()) // no renewal is under way any more
	require.Equal(t, "Bearer secret-access-1", a.used)
	asked, _ := a.grants()
	require.Equal(t, 1, asked)
}

// A poll that read before a renewal and comes to its end after it is old.
func TestASlowPollDoesNotUndoARenewal(t *testing.T) {
	f, a := newFixture(t), newAuthority(t)
	f.signedIn(a, "u", past())
	g := f.start()
	id, old, began := accountID{qwen, "u"}, f.stored("u"), g.tokens.renewals()
	status, out, _ := g.asks(t)
	require.Equal(t, 200, status, out)
	g.tokens.adopt(map[accountID]string{id: old}, began)
	status, out, _ = g.asks(t)
	require.Equal(t, 200, status, out)
	asked, revoked := a.grants()
	require.Equal(t, []any{1, false}, []any{asked, revoked})
}

func TestIdleTokensAreRenewedWhereConfigured(t *testing.T) {
	f, a := newFixture(t), newAuthority(t)
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "CRON_REFRESH_TOKEN": true, "CRON_NEAR_MINUTES": 10})
	f.signedIn(a, "u", time.Now().Add(5*time.Minute))
	f.start()
	redistest.Eventually(t, patience, "the new token is stored", func() bool {
		return strings.Contains(f.stored("u"), "secret-refresh-1")
	})
}

func TestRefusedForGood(t *testing.T) {
	f, a, other := newFixture(t), newAuthority(t), newProvider(t)
	f.signedIn(a, "u", past())
	a.n = 7 // the stored refresh token is long spent
	g := f.start()
	status, out, head := g.asks(t)
	require.Equal(t, 503, status)
	require.Equal(t, "account_signed_out", gjson.Get(out, "error.code").String(), out)
	require.Contains(t, out, "invalid_grant")
	require.NotEmpty(t, head.Get("Retry-After"))
	for range 3 {
		status, out, _ = g.asks(t)
		require.Equal(t, 503, status)
		require.Contains(t, out, "1 signed out")
	}
	asked, _ := a.grants()
	require.Equal(t, 1, asked, "it is not asked again")
	f.counted(qwen, "u", errorCount, "1")

	f.entry(qwen, "v", `"OPENAI_API_KEY":"k","QWEN_BASE_URL":"`+other.URL+`"`)
	redistest.Eventually(t, patience, "the other account is used", func() bool {
		status, _, _ := g.asks(t)
		return status == 200
	})
	require.NoError(t, f.client.HDel(t.Context(), "aiclient:pools:"+qwen, "v").Err())
	a.mu.Lock()
	a.revoked = false
	a.mu.Unlock()
	f.token(qwen, "u", `{"accessToken":"old","refreshToken":"secret-refresh-7","expiresAt":"2020-01-01T00:00:00Z"}`) // signed in again
	redistest.Eventually(t, patience, "the account is back", func() bool {
		status, _, _ := g.asks(t)
		return status == 200 && strings.HasPrefix(f.stored("u"), `{"accessToken":"secret-access-8","refreshToken":"secret-refresh-8","expiresAt":"2`)
	})
	f.noSecrets(g)
}

func TestTokenEndpointTroubles(t *testing.T) {
	for _, tc := range []struct {
		name, code, reason string
		handle             func(w http.ResponseWriter, r *http.Request) bool
	}{
		{"500", "token_refresh_failed", "answered 500", func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(500)
			io.WriteString(w, "secret-x")
			return true
		}},
		{"429", "token_refresh_failed", "answered 429", func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
			return true
		}},
		{"garbage", "token_refresh_failed", "holds no token", func(w http.ResponseWriter, _ *http.Request) bool {
			io.WriteString(w, "<html>secret-x</html>")
			return true
		}},
		{"empty", "token_refresh_failed", "holds no token", func(w http.ResponseWriter, _ *http.Request) bool {
			io.WriteString(w, "{}")
			return true
		}},
		{"redirect", "token_refresh_failed", "answered 302", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://127.0.0.1:1/secret-x", http.StatusFound)
			return true
		}},
		{"the connection is cut after the request was taken", "token_refresh_failed", "broke off", func(http.ResponseWriter, *http.Request) bool {
			panic(http.ErrAbortHandler)
		}},
		{"the client is refused", "token_refresh_failed", "CLIENT_ID", func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(401)
			io.WriteString(w, `{"error":"invalid_client"}`)
			return true
		}},
		{"the answer breaks off", "token_refresh_failed", "broke off", func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"access_token":"secret-`)
			return true
		}},
		{"slow", "token_refresh_pending", "takes long", func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f, a := newFixture(t), newAuthority(t)
			f.signedIn(a, "u", past())
			a.set(tc.handle)
			g := f.start(func(c *Config) { c.TokenWait = 400 * time.Millisecond; c.TokenTimeout = time.Second })
			began := time.Now()
			status, out, head := g.asks(t)
			require.Less(t, time.Since(began), 5*time.Second)
			require.Equal(t, 503, status)
			require.Equal(t, tc.code, gjson.Get(out, "error.code").String(), out)
			require.Contains(t, out, tc.reason)
			require.NotEmpty(t, head.Get("Retry-After"))
			a.set(nil)
			if tc.name == "the client is refused" { // a mended entry is tried at once, or when the token endpoint has had time
				f.token(qwen, "u", strings.Replace(f.stored("u"), "resource_url", "resource", 1))
			}
			redistest.Eventually(t, patience, "the account is back", func() bool {
				status, _, _ := g.asks(t)
				return status == 200
			})
			_, revoked := a.grants()
			require.False(t, revoked)
			f.noSecrets(g)
		})
	}
}

// An operator signs in again while a renewal is under way: the newer token stays.
func TestANewerTokenIsNotOverwritten(t *testing.T) {
	f, a := newFixture(t), newAuthority(t)
	f.signedIn(a, "u", past())
	const fresh = `{"access_token":"secret-access-1","refresh_token":"other","n":1.0}`
	a.set(func(http.ResponseWriter, *http.Request) bool { f.token(qwen, "u", fresh); return false })
	g := f.start()
	status, out, _ := g.asks(t)
	require.Equal(t, 200, status, out)
	redistest.Eventually(t, patience, "the stored one is found", func() bool {
		return strings.Contains(f.logs.String(), "another token was stored meanwhile")
	})
	require.Equal(t, fresh, f.stored("u"))
	g.tokens.mu.Lock()
	defer g.tokens.mu.Unlock()
	require.Equal(t, fresh, g.tokens.byID[accountID{qwen, "u"}].raw)
}
