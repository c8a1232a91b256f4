package gateway

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"holdfast/backend/redistest"
)

// relayProxy is a real proxy: it knows where provider.invalid is, which nobody else
// does.
type relayProxy struct {
	to   string // host:port of the provider
	mu   sync.Mutex
	hits int
	auth string
}

func (p *relayProxy) hit(auth string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hits++
	p.auth = auth
}

func (p *relayProxy) seen() (int, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits, p.auth
}

// ServeHTTP is an HTTP proxy, with CONNECT and without.
func (p *relayProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.hit(r.Header.Get("Proxy-Authorization"))
	if r.Method == http.MethodConnect {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 ok\r\n\r\n")
		p.join(conn, rw)
		return
	}
	out, _ := http.NewRequestWithContext(r.Context(), r.Method, "http://"+p.to+r.URL.RequestURI(), r.Body)
	out.Header = r.Header.Clone()
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// join connects a client with the provider.
func (p *relayProxy) join(client net.Conn, in io.Reader) {
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(server, in); _ = server.Close() })
	_, _ = io.Copy(client, server)
	_, _ = client.Close(), server.Close()
	wg.Wait()
}

// socks speaks SOCKS5 on a listener, with a user name or without.
func (p *relayProxy) socks(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				if in := bufio.NewReader(conn); p.greet(conn, in) {
					p.join(conn, in)
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

func (p *relayProxy) greet(conn net.Conn, in *bufio.Reader) bool {
	read := func(n int) []byte { b := make([]byte, n); _, _ = io.ReadFull(in, b); return b }
	head := read(2)
	if methods := read(int(head[1])); strings.Contains(string(methods), "\x02") {
		_, _ = conn.Write([]byte{5, 2})
		user := string(read(int(read(2)[1])))
		pass := string(read(int(read(1)[0])))
		p.hit(user + ":" + pass)
		_, _ = conn.Write([]byte{1, 0})
	} else {
		p.hit("")
		_, _ = conn.Write([]byte{5, 0})
	}
	switch read(4)[3] {
	case 3:
		read(int(read(1)[0]))
	case 1:
		read(4)
	}
	read(2) // the port
	_, err := conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	return err == nil
}

// Every kind of proxy is used, with its credentials, for the accounts that have it.
func TestProvidersAreReachedThroughTheirProxy(t *testing.T) {
	roots := x509.NewCertPool()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sendJSON(w, 200, `{"choices":[],"id":"secure"}`)
	}))
	t.Cleanup(secure.Close)
	roots.AddCert(secure.Certificate())
	plain := newProvider(t)
	for _, target := range []struct{ base, to string }{{"http://provider.invalid", plain.URL}, {"https://example.com", secure.URL}} {
		for _, kind := range []string{"http", "https", "socks5", "socks5h", ""} {
			p := &relayProxy{to: target.to[strings.Index(target.to, "//")+2:]}
			addr := ""
			switch kind {
			case "https":
				server := httptest.NewTLSServer(p)
				t.Cleanup(server.Close)
				roots.AddCert(server.Certificate())
				addr = "https://us%40er:p-ss@" + server.Listener.Addr().String()
			case "socks5", "socks5h":
				addr = kind + "://us%40er:p-ss@" + p.socks(t)
			default:
				server := httptest.NewServer(p)
				t.Cleanup(server.Close)
				addr = "http://us%40er:p-ss@" + server.Listener.Addr().String()
				if kind == "" {
					addr = server.Listener.Addr().String()
				}
			}
			f := newFixture(t)
			f.account("openai-custom", "a", target.base, fmt.Sprintf(`,"PROXY_URL":%q`, addr))
			g := f.start()
			g.forwarder.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
			status, out, _ := g.chat(t, chat)
			require.Equal(t, 200, status, "%s over %s: %s %s", target.base, kind, out, f.logs)
			hits, auth := p.seen()
			require.Equal(t, 1, hits, kind)
			if kind != "" {
				require.NotEmpty(t, auth)
			}
			require.NoError(t, g.stop())
			require.NotContains(t, f.logs.String(), "p-ss")
		}
	}
}

// Whoever has a proxy is never reached without it.
func TestNeverDirectBesideAProxy(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	dead := "127.0.0.1:" + fmt.Sprint(redistest.FreePort(t))
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(407) }))
	t.Cleanup(refuses.Close)
	for i, proxy := range []string{"http://" + dead, "socks5://u:s3cr@" + dead, "https://" + dead, refuses.URL} {
		typ := fmt.Sprint("openai-custom-", i)
		f.account(typ, "a", p.URL, fmt.Sprintf(`,"PROXY_URL":%q`, proxy))
	}
	f.account("openai-custom-bad", "a", p.URL, `,"PROXY_URL":"socks4://u:s3cr@`+dead+`"`)
	g := f.start()
	for i := range 4 {
		for _, stream := range []string{"", `"stream":true,`} {
			status, out, _ := g.chat(t, "{"+stream+chat[1:], "Model-Provider", fmt.Sprint("openai-custom-", i))
			assert.Equal(t, 502, status)
			assert.Contains(t, gjson.Get(out, "error.message").Str, "PROXY_URL", i)
			assert.NotContains(t, out, "s3cr")
		}
	}
	status, _, _ := g.chat(t, chat, "Model-Provider", "openai-custom-bad")
	assert.Equal(t, 503, status)
	_, health, _ := g.do(t, http.MethodGet, "/provider_health?provider=openai-custom-bad", "")
	assert.Contains(t, health, "PROXY_URL")
	assert.NotContains(t, health, "s3cr")
	assert.Zero(t, p.count())
	assert.NotContains(t, f.logs.String(), "s3cr")
}

// The table of who goes through which proxy.
func TestProxyFor(t *testing.T) {
	general := proxyChoice{"general", []string{"openai-custom", "gemini-cli-oauth"}}
	for _, tc := range []struct {
		typ, own string
		general  proxyChoice
		want     string
	}{
		{"openai-custom", `{}`, general, "general"}, {"openai-custom-team2", `{}`, general, "general"}, {"OpenAI-Custom", `{}`, general, "general"},
		{"claude-custom", `{}`, general, ""}, {"openai-customer", `{}`, general, ""}, {"openai-custom", `{}`, proxyChoice{url: "general"}, ""},
		{"claude-custom", `{"PROXY_URL":"own"}`, general, "own"}, {"openai-custom", `{"PROXY_URL":"own"}`, general, "own"}, {"openai-custom", `{"PROXY_URL":null}`, general, "general"},
		{"claude-custom", `{"PROXY_ENABLED_PROVIDERS":["claude-custom"]}`, general, "general"}, {"openai-custom", `{"PROXY_ENABLED_PROVIDERS":["claude-custom"]}`, general, ""},
		{"claude-custom", `{"PROXY_URL":"own","PROXY_ENABLED_PROVIDERS":["other"]}`, general, ""},
	} {
		assert.Equal(t, tc.want, proxyFor(tc.typ, parseProxyChoice(gjson.Parse(tc.own)), tc.general), "%s %s", tc.typ, tc.own)
	}
}

// A change of the proxy applies to the next request, and tokens are renewed through it.
func TestTokensAreRenewedThroughTheProxy(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sendJSON(w, 200, `{"access_token":"fresh","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(endpoint.Close)
	tokenProxy := &relayProxy{to: endpoint.Listener.Addr().String()}
	server := httptest.NewServer(tokenProxy)
	t.Cleanup(server.Close)
	p.set(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		sendJSON(w, 200, `{"id":"`+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")+`","choices":[]}`)
		return true
	})
	require.NoError(t, f.client.HSet(t.Context(), "aiclient:pools:openai-qwen-oauth", "q", `{"uuid":"q","QWEN_BASE_URL":"`+p.URL+`","QWEN_TOKEN_URL":"http://tokens.invalid/token"}`).Err())
	require.NoError(t, f.client.Set(t.Context(), "aiclient:tokens:openai-qwen-oauth:q", `{"access_token":"old","refresh_token":"r","expiry_date":1000}`, 0).Err())
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "PROXY_URL": server.URL, "PROXY_ENABLED_PROVIDERS": []string{"openai-qwen-oauth"}})
	g := f.start()
	status, _, _ := g.chat(t, chat, "Model-Provider", "openai-qwen-oauth") // the proxy leads all to the token endpoint
	hits, _ := tokenProxy.seen()
	require.Equal(t, 2, hits, "one renewal, one request: %d", status)
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "PROXY_URL": server.URL})
	redistest.Eventually(t, patience, "direct now", func() bool {
		status, out, _ := g.chat(t, chat, "Model-Provider", "openai-qwen-oauth")
		return status == 200 && gjson.Get(out, "id").Str == "fresh"
	})
}
