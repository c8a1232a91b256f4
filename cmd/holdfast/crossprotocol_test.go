package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/resp"
)

// talk sends bytes and gives all that comes until the connection closes.
func talk(t *testing.T, addr, bytes string) string {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer nc.Close()
	_, err = nc.Write([]byte(bytes))
	require.NoError(t, err)
	require.NoError(t, nc.SetReadDeadline(time.Now().Add(patience)))
	got, err := io.ReadAll(nc)
	if err != nil {
		require.ErrorContains(t, err, "reset", "the connection was not closed")
	}
	return string(got)
}

// A web page cannot write to a proxy on its reader's machine.
func TestHTTPIsNotExecuted(t *testing.T) {
	srv, p := online(t)
	embedded := startProxy(t, "")
	body := "\r\nSET pwned 1\r\n"
	for i, p := range []*running{p, embedded} {
		for name, c := range map[string]struct{ sent, want string }{
			"POST":                  {"POST / HTTP/1.1\r\nHost: 127.0.0.1:6380\r\nContent-Length: 16\r\n\r\n" + body, ""},
			"post":                  {"post / HTTP/1.1\r\n" + body, ""},
			"POST quoted":           {"\"POST\" x\r\n" + body, ""},
			"POST alone":            {"POST\r\n" + body, ""},
			"POST as an array":      {string(resp.AppendCommandStrings(nil, "PoSt", "x")) + body, ""},
			"Host:":                 {"hOst: 127.0.0.1\r\n" + body, ""},
			"Host: as an array":     {string(resp.AppendCommandStrings(nil, "Host:")) + body, ""},
			"GET":                   {"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\n" + body, ""},
			"PUT":                   {"PUT /x HTTP/1.0\r\nA: b\r\n" + body, ""},
			"OPTIONS":               {"OPTIONS * HTTP/1.1\r\n" + body, ""},
			"HTTP/2":                {"PRI * HTTP/2.0\r\n\r\nSM\r\n" + body, ""},
			"behind valid commands": {"PING\r\nPOST / HTTP/1.1\r\n" + body, "+PONG\r\n"},
			"inside MULTI":          {"MULTI\r\nSET pwned 1\r\nPOST / HTTP/1.1\r\nEXEC\r\n" + body, "+OK\r\n+QUEUED\r\n"},
			"without replies":       {"CLIENT REPLY OFF\r\nPOST / HTTP/1.1\r\n" + body, ""},
			"of a subscriber":       {"SUBSCRIBE c\r\nPOST / HTTP/1.1\r\n" + body, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"},
			"under WATCH":           {"WATCH k\r\nHost: x\r\n" + body, "+OK\r\n"},
		} {
			t.Run(fmt.Sprint(i, name), func(t *testing.T) {
				got := talk(t, p.addr(), c.sent)
				assert.True(t, strings.HasPrefix(c.want, got), "%q", got) // what was under way may be lost
				assert.Zero(t, p.client().Exists(bg, "pwned").Val())
			})
		}
		res, err := http.Post("http://"+p.addr()+"/", "text/plain", strings.NewReader(body))
		if err == nil {
			_ = res.Body.Close()
		}
		assert.Error(t, err)
		assert.Equal(t, 1, strings.Count(p.logs.String(), "possible attack"), "one line a minute")
	}
	assert.Zero(t, directClient(t, srv).Exists(bg, "pwned").Val())
	// Keys and values of that look are data.
	require.NoError(t, p.client().Set(bg, "POST", "Host: x", 0).Err())
	assert.Equal(t, "Host: x", p.client().Get(bg, "POST").Val())
	require.NoError(t, p.client().Set(bg, "GET", "HTTP/1.1", 0).Err())
}

// A page that has its own name resolve to this machine reads neither status nor memory.
func TestAdminIsNotReboundTo(t *testing.T) {
	p := startProxy(t, "", func(s *proxySettings) { s.adminHosts = []string{"box.internal"} })
	addr := p.st.admin.Addr().String()
	defer http.DefaultClient.CloseIdleConnections()
	get := func(path, host, origin string) (int, string) {
		req, err := http.NewRequest(http.MethodGet, "http://"+addr+path, nil)
		require.NoError(t, err)
		req.Host = host
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(text)
	}
	for _, path := range []string{"/", "/status", "/metrics", "/healthz", "/debug/pprof/heap", "/debug/pprof/cmdline"} {
		code, text := get(path, "evil.example:9380", "")
		assert.Equal(t, 421, code, path)
		assert.Contains(t, text, "--admin-hosts")
		code, _ = get(path, addr, "http://evil.example")
		assert.Equal(t, 403, code, path)
		for _, host := range []string{addr, "localhost:9380", "box.internal", "[::1]:9380"} {
			code, _ = get(path, host, "")
			assert.NotContains(t, []int{403, 421}, code, path+" "+host)
		}
	}
}
