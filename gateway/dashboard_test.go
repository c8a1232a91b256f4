package gateway

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/gateway/store"
)

// browser is a client with a cookie jar.
type browser struct {
	t    *testing.T
	url  string
	http *http.Client
}

func (s *started) browser(t *testing.T) *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	c := &http.Client{Jar: jar, Transport: &http.Transport{}}
	t.Cleanup(c.CloseIdleConnections)
	return &browser{t, s.url, c}
}

func (b *browser) read(resp *http.Response, err error) (int, string, http.Header) {
	b.t.Helper()
	require.NoError(b.t, err)
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return resp.StatusCode, string(out), resp.Header
}

func (b *browser) look() (int, string, http.Header) {
	b.t.Helper()
	return b.read(b.http.Get(b.url + "/dashboard"))
}

func (b *browser) login(password string) (int, string, http.Header) {
	b.t.Helper()
	return b.read(b.http.PostForm(b.url+"/dashboard/login", url.Values{"password": {password}}))
}

func (f *fixture) password(plain string) {
	hash, err := store.HashPassword(plain, 4)
	require.NoError(f.t, err)
	require.NoError(f.t, f.client.Set(f.t.Context(), "aiclient:pwd", hash, 0).Err())
}

func TestDashboard(t *testing.T) {
	f, a, p := newFixture(t), newAuthority(t), newProvider(t)
	f.account("openai-custom", "aaaa-1111-bbbb", p.URL, `,"customName":"<b>one</b>","usageCount":9007199254740993,"isDisabled":true`)
	f.signedIn(a, "u-0123456789", past())
	a.n = 3
	f.password("pässword")
	g := f.start()
	_, _, _ = g.asks(t)
	f.counted(qwen, "u-0123456789", errorCount, "1")
	b := g.browser(t)
	code, page, head := b.look()
	require.Equal(t, 200, code)
	require.Contains(t, page, `type="password"`)
	require.NotContains(t, page, "openai-custom")
	require.Contains(t, head.Get("Content-Security-Policy"), "default-src 'none'")

	code, page, _ = b.login("pässword")
	require.Equal(t, 200, code, page)
	for _, want := range []string{"aaaa****bbbb", "&lt;b&gt;one&lt;/b&gt;", "9007199254740993", "disabled", "u-01****6789", "invalid_grant", `<td class="n">1</td>`, "connected"} {
		require.Contains(t, page, want)
	}
	for _, secret := range []string{"secret-", "sk-account", clientKey, "0123456789"} {
		require.NotContains(t, page, secret)
	}
	keys, err := f.client.Keys(t.Context(), "aiclient:sessions:*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 1)
	ttl := f.client.TTL(t.Context(), keys[0]).Val()
	require.InDelta(t, 3600, ttl.Seconds(), 60)
	at, err := url.Parse(b.url + "/dashboard")
	require.NoError(t, err)
	cookies := b.http.Jar.Cookies(at)
	require.Len(t, cookies, 1)
	require.NotContains(t, keys[0], cookies[0].Value)

	// Neither a made-up token nor the key's hash opens it.
	for _, forged := range []string{"x", strings.TrimPrefix(keys[0], "aiclient:sessions:")} {
		_, out, _ := g.do(t, http.MethodGet, "/dashboard", "", "Cookie", sessionCookie+"="+forged)
		require.Contains(t, out, `type="password"`)
	}
	_, page, _ = b.read(b.http.PostForm(b.url+"/dashboard/logout", nil))
	require.Contains(t, page, `type="password"`)
	require.Zero(t, f.client.Exists(t.Context(), keys[0]).Val())
	_, page, _ = g.do(t, http.MethodGet, "/dashboard", "", "Cookie", sessionCookie+"="+cookies[0].Value)
	require.Contains(t, page, "The session has ended")
	require.NotContains(t, f.logs.String(), "pässword")
	require.NotContains(t, f.logs.String(), cookies[0].Value)
}

func TestDashboardCookieAndOrigin(t *testing.T) {
	f := newFixture(t)
	f.password("pw")
	g := f.start()
	b := g.browser(t)
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	code, _, head := b.login("pw")
	require.Equal(t, 303, code)
	for _, want := range []string{"HttpOnly", "SameSite=Strict", "Path=/dashboard", "Max-Age=3600"} {
		require.Contains(t, head.Get("Set-Cookie"), want)
	}
	code, _, _ = g.do(t, http.MethodPost, "/dashboard/login", "password=pw", "Content-Type", "application/x-www-form-urlencoded", "Origin", "http://evil.example")
	require.Equal(t, 403, code)
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "UI_ENABLED": false})
	redistest.Eventually(t, patience, "it is switched off", func() bool { code, _, _ := b.look(); return code == 404 })
}

func TestDashboardLoginIsLimited(t *testing.T) {
	f := newFixture(t)
	g := f.start()
	b := g.browser(t)
	code, page, _ := b.login("pw")
	require.Equal(t, 503, code)
	require.Contains(t, page, "No password is set")

	f.password("pw")
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "LOGIN_MAX_ATTEMPTS": 3, "LOGIN_MIN_INTERVAL": 1})
	redistest.Eventually(t, patience, "configured", func() bool { return g.link.snapshot().settings.login.attempts == 3 })
	for range 2 {
		time.Sleep(2 * time.Millisecond) // the configured interval
		code, _, _ = b.login("wrong")
		require.Equal(t, 401, code)
	}
	code, page, head := b.login("pw")
	require.Equal(t, 429, code, page)
	require.NotEmpty(t, head.Get("Retry-After"))
}

func TestLoginAttempts(t *testing.T) {
	var l logins
	s := loginSettings{attempts: 2, lockout: time.Minute, interval: time.Second}
	now := time.Now()
	require.Zero(t, l.try("a", s, now))
	require.Equal(t, time.Second, l.try("a", s, now), "many at once are not more")
	require.Zero(t, l.try("b", s, now))
	require.Zero(t, l.try("a", s, now.Add(time.Second)))
	require.Equal(t, 58*time.Second, l.try("a", s, now.Add(3*time.Second)))
	require.Zero(t, l.try("a", s, now.Add(61*time.Second)), "locked out for so long")
	l.passed("a")
	require.Zero(t, l.try("a", s, now.Add(61*time.Second)))
	for remote, want := range map[string]string{
		"10.0.0.1:5": "10.0.0.1", "[::ffff:10.0.0.1]:5": "::ffff:10.0.0.1", "[2001:db8:1:2:3:4:5:6]:5": "2001:db8:1:2::/64", "[fe80::1%eth0]:5": "fe80::/64", "x": "x",
	} {
		require.Equal(t, want, loginSource(remote))
	}
}

func TestDashboardWithoutRedis(t *testing.T) {
	f := newFixture(t)
	f.password("pw")
	g := f.start(func(c *Config) { c.ConnectTimeout, c.CommandTimeout = 300*time.Millisecond, 200*time.Millisecond })
	b := g.browser(t)
	code, _, _ := b.login("pw")
	require.Equal(t, 200, code)
	f.server.Kill()
	code, page, _ := b.look()
	require.Equal(t, 503, code)
	require.Contains(t, page, "Redis does not answer")
	code, page, _ = b.login("pw")
	require.Equal(t, 503, code)
	require.Contains(t, page, "cannot be checked")
	f.server.Start()
	redistest.Eventually(t, patience, "the session is there again", func() bool {
		code, page, _ := b.look()
		return code == 200 && strings.Contains(page, "Log out")
	})
}
