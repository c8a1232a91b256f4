package gateway

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"holdfast/backend/redistest"
)

func (s *started) status(t *testing.T) gjson.Result {
	t.Helper()
	code, out, _ := s.do(t, http.MethodGet, "/api/redis/status", "")
	require.Equal(t, 200, code)
	return gjson.Parse(out)
}

func TestRedisDiesAndReturns(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	g := f.start()
	st := g.status(t)
	require.True(t, st.Get("connected").Bool(), st.Raw)
	require.Equal(t, "redis", st.Get("storage").String())
	require.NotEmpty(t, st.Get("lastConnectedAt").String())

	f.server.Kill()
	redistest.Eventually(t, patience, "status tells of the loss", func() bool { return !g.status(t).Get("connected").Bool() })
	for range 10 {
		code, out, _ := g.chat(t, chat)
		require.Equal(t, 200, code, out)
	}
	st = g.status(t)
	require.EqualValues(t, 10, st.Get("queuedWrites").Int(), st.Raw)
	require.True(t, st.Get("degradedMode").Bool())
	code, _, _ := g.do(t, http.MethodGet, "/readyz", "")
	require.Equal(t, 200, code)

	f.server.Start()
	f.counted("openai-custom", "a", usageCount, "10")
	redistest.Eventually(t, patience, "status tells of the return", func() bool {
		st := g.status(t)
		return st.Get("connected").Bool() && st.Get("queuedWrites").Int() == 0
	})
	require.Equal(t, gjson.Null, g.status(t).Get("lastError").Type, "the error is over")
	require.NoError(t, g.stop())
	require.Equal(t, "10", f.counter("openai-custom", "a", usageCount))
}

// Redis is killed in the middle of ten thousand requests, and comes back before their
// end: none of them fails, and every one is counted once.
func TestTenThousandRequestsWithRedisKilledInTheMiddle(t *testing.T) {
	f, good, bad := newFixture(t), newProvider(t), newProvider(t)
	bad.fails(500)
	f.account("openai-custom", "a", good.URL, "")
	f.account("openai-custom", "b", bad.URL, "")
	g := f.start(func(c *Config) { c.Logger = nil })
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 20}}
	defer client.CloseIdleConnections()
	const requests, clients = 10_000, 20
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for n := next.Add(1); n <= requests; n = next.Add(1) {
				switch n {
				case requests / 3:
					f.server.Kill()
				case requests * 2 / 3:
					f.server.Start()
				}
				body := chat
				if n%2 == 0 {
					body = `{"stream":true,` + chat[1:]
				}
				req, _ := http.NewRequest(http.MethodPost, g.url+"/v1/chat/completions", strings.NewReader(body))
				req.Header.Set("Authorization", "Bearer "+clientKey)
				resp, err := client.Do(req)
				if err != nil {
					failed.Add(1)
					continue
				}
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != 200 {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, failed.Load())
	f.counted("openai-custom", "a", usageCount, strconv.Itoa(requests))
	f.counted("openai-custom", "b", errorCount, strconv.Itoa(bad.count()))
	require.NoError(t, g.stop())
	require.Equal(t, strconv.Itoa(good.count()), f.counter("openai-custom", "a", usageCount))
	require.Equal(t, strconv.Itoa(bad.count()), f.counter("openai-custom", "b", errorCount))
}

// A delivery whose answer is lost is sent again; the server hung, so it may get
// both. It must count once.
func TestCountsOnceWhenRedisHangs(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	g := f.start(func(c *Config) { c.CommandTimeout = 100 * time.Millisecond; c.ConnectTimeout = 200 * time.Millisecond })
	for range 3 {
		f.server.Hang()
		for range 5 {
			code, _, _ := g.chat(t, chat)
			require.Equal(t, 200, code)
		}
		redistest.Eventually(t, patience, "a delivery failed", func() bool { return !g.status(t).Get("connected").Bool() })
		f.server.Resume()
		redistest.Eventually(t, patience, "all is delivered", func() bool { return g.counters.pending() == 0 })
	}
	require.NoError(t, g.stop())
	require.Equal(t, "15", f.counter("openai-custom", "a", usageCount))
}

func TestDeliveryIsIdempotent(t *testing.T) {
	f := newFixture(t)
	keyNames := []string{"aiclient:counters:delivered:x", "aiclient:n", "aiclient:config"}
	for range 2 { // config holds no number: refused, and only it
		require.NoError(t, f.client.Eval(t.Context(), deliverScript, keyNames, 1, 5, 5).Err())
		require.Equal(t, "5", f.client.Get(t.Context(), "aiclient:n").Val())
	}
}

func TestStartsFromFilesAndMovesToRedis(t *testing.T) {
	p := newProvider(t)
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("config.json", "\ufeff"+`{"REQUIRED_API_KEY":"`+clientKey+`"}`)
	write("provider_pools.json", `{"_comment":"x","openai-custom":[{"uuid":"a","OPENAI_API_KEY":"k","OPENAI_BASE_URL":"`+p.URL+`"},{"no":"uuid"}]}`)
	server := redistest.Reserve(t)
	f := &fixture{t: t, server: server, logs: &syncBuffer{}}
	g := f.start(func(c *Config) { c.ConfigDir = dir; c.ConnectTimeout = 200 * time.Millisecond })
	require.Contains(t, f.logs.String(), "started from files")
	code, out, _ := g.chat(t, chat)
	require.Equal(t, 200, code, out)
	st := g.status(t)
	require.False(t, st.Get("connected").Bool())
	require.Equal(t, "file", st.Get("storage").String())

	server.Start() // empty: the files' state goes on, counts arrive
	redistest.Eventually(t, patience, "counts arrive", func() bool { return g.counters.pending() == 0 })
	code, _, _ = g.chat(t, chat)
	require.Equal(t, 200, code)
}

func TestDrainLetsAStreamEnd(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	goOn := make(chan struct{})
	p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.Header().Set("Content-Type", "text/event-stream")
		writeChunk(w, "one")
		<-goOn
		writeChunk(w, "two")
		return true // and no [DONE]
	})
	g := f.start()
	body := streamFrom(t, g)
	lines := bufio.NewScanner(body)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "one")

	done := make(chan error, 1)
	go func() { done <- g.stop() }()
	redistest.Eventually(t, patience, "not ready while draining", func() bool {
		code, _, _ := g.do(t, http.MethodGet, "/readyz", "")
		return code == 503
	})
	code, _, head := g.chat(t, chat)
	require.Equal(t, 503, code)
	require.NotEmpty(t, head.Get("Retry-After"))
	close(goOn)
	var rest strings.Builder
	for lines.Scan() {
		rest.WriteString(lines.Text() + "\n")
	}
	require.Contains(t, rest.String(), "two")
	require.Contains(t, rest.String(), "data: [DONE]")
	require.NoError(t, <-done)
	require.Equal(t, "1", f.counter("openai-custom", "a", usageCount))
}

func TestDrainCutsWhatDoesNotEnd(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	p.set(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		w.Header().Set("Content-Type", "text/event-stream")
		writeChunk(w, "one")
		<-r.Context().Done()
		return true
	})
	g := f.start(func(c *Config) { c.DrainTimeout = 100 * time.Millisecond })
	lines := bufio.NewScanner(streamFrom(t, g))
	require.True(t, lines.Scan())
	done := make(chan error, 1)
	go func() { done <- g.stop() }()
	var rest strings.Builder
	for lines.Scan() {
		rest.WriteString(lines.Text() + "\n")
	}
	require.Contains(t, rest.String(), "shutting_down")
	require.Contains(t, rest.String(), "data: [DONE]")
	require.ErrorContains(t, <-done, "were cut")
}

// streamFrom begins a stream and gives its body, which the test's end closes.
func streamFrom(t *testing.T, g *started) interface {
	Read([]byte) (int, error)
	Close() error
} {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, g.url+"/v1/chat/completions", strings.NewReader(`{"stream":true,`+chat[1:]))
	require.NoError(t, err)
	req.Header.Set("X-Api-Key", clientKey)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp.Body
}

func TestStreamBreaksInTheMiddle(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.Header().Set("Content-Type", "text/event-stream")
		writeChunk(w, "one")
		panic(http.ErrAbortHandler)
	})
	g := f.start()
	client := sdk(g)
	stream := client.Chat.Completions.NewStreaming(t.Context(), question())
	require.True(t, stream.Next())
	require.False(t, stream.Next())
	require.ErrorContains(t, stream.Err(), "broke off")
	_ = stream.Close()
	f.counted("openai-custom", "a", errorCount, "1")
	require.Equal(t, "0", f.counter("openai-custom", "a", usageCount))
}

func TestSilentStreamIsKeptAlive(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	goOn := make(chan struct{})
	p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		<-goOn
		writeChunk(w, "late")
		return true
	})
	g := f.start(func(c *Config) { c.KeepAlive = 20 * time.Millisecond })
	lines := bufio.NewScanner(streamFrom(t, g))
	require.True(t, lines.Scan())
	require.Equal(t, ": keep-alive", lines.Text())
	close(goOn)
	var rest strings.Builder
	for lines.Scan() {
		rest.WriteString(lines.Text())
	}
	require.Contains(t, rest.String(), "late")
	require.True(t, strings.HasSuffix(rest.String(), "data: [DONE]"))
}

func TestClientLeavingCancelsTheUpstream(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	gone := make(chan struct{})
	var once sync.Once
	p.set(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		w.Header().Set("Content-Type", "text/event-stream")
		writeChunk(w, "one")
		<-r.Context().Done()
		once.Do(func() { close(gone) })
		return true
	})
	g := f.start()
	body := streamFrom(t, g)
	require.True(t, bufio.NewScanner(body).Scan())
	require.NoError(t, body.Close())
	select {
	case <-gone:
	case <-time.After(patience):
		t.Fatal("the upstream request went on")
	}
	f.counted("openai-custom", "a", usageCount, "1")
}
