package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"holdfast/backend/redistest"
)

func TestMain(m *testing.M) {
	// Google's SDK starts this one when it is loaded.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

const (
	clientKey = "sk-client-5ecret"
	patience  = 20 * time.Second
)

// provider is a real HTTP server that speaks Chat Completions and fails when told to.
type provider struct {
	*httptest.Server
	mu    sync.Mutex
	hits  int
	last  []byte
	heads http.Header
	path  string
	// handle answers instead, if set; false hands the request on.
	handle func(w http.ResponseWriter, r *http.Request, body []byte) bool
	// speak answers in another protocol than lenient Chat Completions.
	speak func(w http.ResponseWriter, r *http.Request, body []byte)
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) set(handle func(http.ResponseWriter, *http.Request, []byte) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handle = handle
}

// fails answers every request with an OpenAI error.
func (p *provider) fails(status int, headers ...string) {
	p.set(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		fmt.Fprintf(w, `{"error":{"message":"no: %s","type":"upstream_says","param":null,"code":"told_to"}}`, key)
		return true
	})
}

func (p *provider) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits
}

func (p *provider) seen() (path string, body []byte, h http.Header) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.path, p.last, p.heads
}

func (p *provider) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	p.hits++
	p.last, p.heads, p.path = body, r.Header.Clone(), r.URL.RequestURI()
	handle := p.handle
	p.mu.Unlock()
	if handle != nil && handle(w, r, body) {
		return
	}
	if p.speak != nil {
		p.speak(w, r, body)
		return
	}
	model := gjson.GetBytes(body, "model").String()
	if !gjson.GetBytes(body, "stream").Bool() {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"c1","object":"chat.completion","created":1,"model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`, model)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, part := range []string{"he", "llo"} {
		writeChunk(w, part)
	}
	io.WriteString(w, "data: [DONE]\n\n")
}

func writeChunk(w http.ResponseWriter, part string) {
	fmt.Fprintf(w, "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"finish_reason\":null}]}\n\n", part)
	w.(http.Flusher).Flush()
}

// fixture is a redis-server, its direct client and what to seed it with.
type fixture struct {
	t      *testing.T
	server *redistest.Server
	client *redis.Client
	logs   *syncBuffer
}

// everyType enables all provider types, with openai-custom for the default.
const everyType = "openai-custom,openaiResponses-custom,openai-qwen-oauth,openai-iflow,openai-codex-oauth,atlascloud,claude-custom,claude-kiro-oauth," +
	"gemini-custom,gemini-cli-oauth,gemini-antigravity,forward-api,grok-web"

func newFixture(t *testing.T) *fixture {
	t.Helper()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	f := &fixture{t: t, server: server, client: redis.NewClient(&redis.Options{Addr: server.Addr()}), logs: &syncBuffer{}}
	t.Cleanup(func() { _ = f.client.Close() })
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "MODEL_PROVIDER": everyType, "MAX_ERROR_COUNT": 3, "unknown": []int{1}})
	return f
}

func (f *fixture) config(fields map[string]any) {
	f.t.Helper()
	raw, err := json.Marshal(fields)
	require.NoError(f.t, err)
	require.NoError(f.t, f.client.Set(f.t.Context(), "aiclient:config", raw, 0).Err())
}

// account stores one entry; extra is more JSON fields, each with a comma in front.
func (f *fixture) account(typ, uuid, baseURL, extra string) {
	f.t.Helper()
	entry := fmt.Sprintf(`{"uuid":%q,"OPENAI_API_KEY":"sk-account-%s","OPENAI_BASE_URL":%q%s}`, uuid, uuid, baseURL, extra)
	require.NoError(f.t, f.client.HSet(f.t.Context(), "aiclient:pools:"+typ, uuid, entry).Err())
	require.NoError(f.t, f.client.SAdd(f.t.Context(), "aiclient:pool-types", typ).Err())
}

func (f *fixture) counter(typ, uuid, name string) string {
	v, err := f.client.Get(context.Background(), "aiclient:counters:"+typ+":"+uuid+":"+name).Result()
	if err == redis.Nil {
		return "0"
	}
	return v
}

// eventually waits until a counter has a value.
func (f *fixture) counted(typ, uuid, name, want string) {
	f.t.Helper()
	var got string
	redistest.Eventually(f.t, patience, name+" of "+uuid+" is "+want, func() bool {
		got = f.counter(typ, uuid, name)
		return got == want
	})
}

// started is a running gateway; stop drains it and returns Run's error.
type started struct {
	*Gateway
	url  string
	stop func() error
}

func (f *fixture) start(change ...func(*Config)) *started {
	f.t.Helper()
	cfg := Config{
		Addr: "127.0.0.1:0", RedisURL: f.server.URL(), RefreshInterval: 20 * time.Millisecond, ConnectTimeout: 2 * time.Second,
		Logger: slog.New(slog.NewJSONHandler(f.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&cfg)
	}
	return startGateway(f.t, cfg)
}

func startGateway(t *testing.T, cfg Config) *started {
	t.Helper()
	g, err := Open(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	select {
	case <-g.Ready():
	case err := <-done:
		t.Fatalf("gateway did not start: %v", err)
	}
	var once sync.Once
	var result error
	s := &started{Gateway: g, url: "http://" + g.Addr().String()}
	s.stop = func() error {
		once.Do(func() {
			cancel()
			result = <-done
			_ = g.Close()
		})
		return result
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		_ = s.stop()
	})
	return s
}

// do sends a request with the client's key and returns status, body and headers.
func (s *started) do(t *testing.T, method, path, body string, headers ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+clientKey)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(out), resp.Header
}

const chat = `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`

func (s *started) chat(t *testing.T, body string, headers ...string) (int, string, http.Header) {
	t.Helper()
	return s.do(t, http.MethodPost, "/v1/chat/completions", body, headers...)
}

// refusing is a base URL that nobody listens on.
func refusing(t *testing.T) string {
	return fmt.Sprintf("http://127.0.0.1:%d/v1", redistest.FreePort(t))
}

// closedBy is a base URL whose connections are closed after accept; it ends with
// the test.
func closedBy(t *testing.T, accept func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accept(conn)
			_ = conn.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return "http://" + l.Addr().String()
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
