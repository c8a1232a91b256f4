package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A provider that stops in the middle would hold its client for ever: our own
// keep-alives go on.
func TestAProviderThatFallsSilentIsGivenUp(t *testing.T) {
	stop := func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream") {
			w.Header().Set("Content-Type", "text/event-stream")
			writeChunk(w, "one")
		} else {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id":`)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
		return true
	}
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	p.set(stop)
	g := f.start(func(c *Config) {
		c.UpstreamHeaderTimeout, c.KeepAlive = 500*time.Millisecond, 50*time.Millisecond
	})
	status, body, _ := g.chat(t, `{"stream":true,`+chat[1:], "Accept", "text/event-stream")
	require.Equal(t, 200, status)
	require.Contains(t, body, "one")
	require.Contains(t, body, ": keep-alive")
	require.Contains(t, body, "broke off")
	status, body, _ = g.chat(t, chat)
	require.Equal(t, 502, status, body)
	claude := `{"model":"openai-custom:gpt-4o","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`
	status, body, _ = g.do(t, http.MethodPost, "/v1/messages", claude)
	require.Equal(t, 502, status, body)
	require.Equal(t, 3, p.count(), "who has waited that long is not made to wait again")
	require.Contains(t, f.logs.String(), errSilent.Error())
}

// A kept connection that the provider has closed meanwhile is neither an error for
// the client, whose only account this is, nor the account's fault.
func TestAKeptConnectionThatWasClosedIsReplaced(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for i := range 2 { // the second request is read, and the connection closed
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					if i == 0 {
						_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"id\":\"done\"}")
					}
				}
			}()
		}
	}()
	f := newFixture(t)
	f.account("openai-custom", "a", "http://"+listener.Addr().String(), "")
	g := f.start()
	for range 4 {
		status, body, _ := g.chat(t, chat)
		require.Equal(t, 200, status, body)
	}
	f.counted("openai-custom", "a", usageCount, "4")
	require.Equal(t, "0", f.counter("openai-custom", "a", errorCount))
}

// What is forwarded may create something: it is sent again only where the provider
// has not begun with it.
func TestForwardedRequestsAreNotCarriedOutTwice(t *testing.T) {
	broken := func(http.ResponseWriter, *http.Request, []byte) bool { panic(http.ErrAbortHandler) }
	answer := func(status int) func(http.ResponseWriter, *http.Request, []byte) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ []byte) bool { sendJSON(w, status, `{}`); return true }
	}
	for name, c := range map[string]struct {
		method string
		first  func(http.ResponseWriter, *http.Request, []byte) bool
		status int
		hits   int
	}{
		"POST, broken off":   {http.MethodPost, broken, 502, 1},
		"POST, 500":          {http.MethodPost, answer(500), 500, 1},
		"DELETE, 500":        {http.MethodDelete, answer(500), 500, 1},
		"POST, 503":          {http.MethodPost, answer(503), 200, 2},
		"POST, 429":          {http.MethodPost, answer(429), 200, 2},
		"POST, wrong key":    {http.MethodPost, answer(401), 200, 2},
		"GET, broken off":    {http.MethodGet, broken, 200, 2},
		"GET, 500":           {http.MethodGet, answer(500), 200, 2},
		"POST, nobody there": {http.MethodPost, nil, 200, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f, p := newFixture(t), newProvider(t)
			fam := family{typ: "forward-api", key: "FORWARD_API_KEY", url: "FORWARD_BASE_URL"}
			f.add(fam, "a", p.URL)
			f.add(fam, "b", p.URL)
			if c.first == nil {
				f.add(fam, "a", strings.TrimSuffix(refusing(t), "/v1"))
			}
			p.set(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if p.count() == 1 && c.first != nil {
					return c.first(w, r, body)
				}
				return answer(200)(w, r, body)
			})
			g := f.start()
			status, body, _ := g.do(t, c.method, "/forward-api/v1/batches", `{"input":1}`)
			require.Equal(t, c.status, status, body)
			require.Equal(t, c.hits, p.count())
		})
	}
}

// A client that takes nothing is let go; one that takes little at a time is not.
func TestAClientThatTakesNothingIsLetGo(t *testing.T) {
	const size, patience = 64 << 20, 2 * time.Second
	wrote := make(chan error, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		out := newPatientWriter(w, patience)
		defer out.end()
		_, err := out.Write(make([]byte, size))
		wrote <- err
	}))
	defer s.Close()
	ask := func() net.Conn {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		require.NoError(t, err)
		_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		require.NoError(t, err)
		return conn
	}
	idle := ask()
	defer idle.Close()
	require.Error(t, <-wrote)
	slow := ask()
	defer slow.Close()
	began, got := time.Now(), int64(0)
	for i := 0; ; i++ {
		n, err := io.CopyN(io.Discard, slow, 4<<20)
		got += n
		if err != nil {
			break
		}
		time.Sleep(patience / 10)
	}
	require.NoError(t, <-wrote)
	assert.Greater(t, got, int64(size))
	assert.Greater(t, time.Since(began), patience, "it took longer than one piece may")
}
