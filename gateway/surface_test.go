package gateway

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"holdfast/backend/redistest"
)

// rawBytes answers with bytes that are no JSON.
func rawBytes(t *testing.T) *provider {
	p := newProvider(t)
	p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.Header().Set("Content-Type", "audio/mpeg")
		_, _ = w.Write([]byte("\xff\xfb\x00bytes"))
		return true
	})
	return p
}

// Operations beside generation go to the pool that names the model, byte for byte.
func TestNamedPathsPassBytesToTheModelsOwner(t *testing.T) {
	f, one, two, gem, fwd := newFixture(t), rawBytes(t), rawBytes(t), rawBytes(t), rawBytes(t)
	f.account("openai-custom", "a", one.URL+"/v1", `,"supportedModels":["m1"]`)
	f.account("openaiResponses-custom", "b", two.URL, `,"supportedModels":["m2"]`)
	f.addWith(families[2], "c", gem.URL, `,"supportedModels":["g1"]`)
	f.addWith(family{typ: "forward-api", key: "FORWARD_API_KEY", url: "FORWARD_BASE_URL"}, "d", fwd.URL, `,"supportedModels":["f1"]`)
	f.aliases(`[{"id":"alias","actualProvider":"openaiResponses-custom","actualModel":"m2"},{"id":"g-alias","actualProvider":"gemini-custom","actualModel":"g1"}]`)
	g := f.start()
	for _, n := range namedPaths {
		for model, want := range map[string]struct {
			p     *provider
			model string
		}{"m1": {one, "m1"}, "m2": {two, "m2"}, "alias": {two, "m2"}, "openai-custom:m1": {one, "m1"}, "f1": {fwd, "f1"}} {
			status, out, head := g.do(t, http.MethodPost, n.path+"?x=1", fmt.Sprintf("{ \"n\":1.0, \"model\" : %q}", model), "Content-Type", "application/json")
			require.Equal(t, 200, status, out)
			require.Equal(t, "\xff\xfb\x00bytes", out)
			require.Equal(t, "audio/mpeg", head.Get("Content-Type"))
			path, body, sent := want.p.seen()
			if n.path == "/v2/rerank" && want.p == one {
				require.Equal(t, "/v1/rerank?x=1", path, "the base URL's version counts")
			} else {
				require.Equal(t, n.path+"?x=1", path)
			}
			require.Equal(t, fmt.Sprintf("{ \"n\":1.0, \"model\" : %q}", want.model), string(body))
			require.True(t, strings.HasPrefix(sent.Get("Authorization"), "Bearer sk-account-"))
		}
	}
	for _, tc := range []struct{ path, body, wantPath, wantBody string }{
		{"/v1beta/models/g1:embedContent", `{"model":"models/g1","content":{}}`, "/v1beta/models/g1:embedContent", `{"model":"models/g1","content":{}}`},
		{"/v1beta/models/g-alias:batchEmbedContents", `{"requests":[{"model":"models/g-alias"},{"model" : "models/g-alias"},{"model":"models/other"}]}`, "/v1beta/models/g1:batchEmbedContents", `{"requests":[{"model":"models/g1"},{"model" : "models/g1"},{"model":"models/other"}]}`},
		{"/v1beta/models/g1:predict", `{"instances":[]}`, "/v1beta/models/g1:predict", `{"instances":[]}`},
	} {
		status, out, _ := g.do(t, http.MethodPost, tc.path, tc.body)
		require.Equal(t, 200, status, out)
		path, body, _ := gem.seen()
		require.Equal(t, tc.wantPath, path)
		require.Equal(t, tc.wantBody, string(body))
	}
	status, out, _ := g.do(t, http.MethodPost, "/v1/moderations", `{"input":"x"}`)
	require.Equal(t, 200, status, out, "a provider may have a default for the model")
	status, out, _ = g.do(t, http.MethodPost, "/v1/audio/speech", `{"model":"g1"}`)
	require.Equal(t, 400, status, out)
	require.Equal(t, "provider_not_supported", gjson.Get(out, "error.code").Str)
	status, out, _ = g.do(t, http.MethodPost, "/v1/embeddings", `[1]`)
	require.Equal(t, 400, status, out)
}

// A form keeps its files, whatever the model is called.
func TestFormsPass(t *testing.T) {
	f, p := newFixture(t), echo(t)
	f.account("openai-custom", "a", p.URL, `,"supportedModels":["whisper-1"]`)
	f.aliases(`[{"id":"ears","actualProvider":"openai-custom","actualModel":"whisper-1"}]`)
	g := f.start()
	file := bytes.Repeat([]byte("\x00\r\n--x\xff"), 300_000)
	for asked, same := range map[string]bool{"whisper-1": true, "ears": false, "openai-custom:whisper-1": false} {
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		part, err := w.CreateFormFile("file", "a \"b\".wav")
		require.NoError(t, err)
		_, _ = part.Write(file)
		require.NoError(t, w.WriteField("model", asked))
		require.NoError(t, w.WriteField("prompt", "model"))
		require.NoError(t, w.Close())
		status, out, _ := g.do(t, http.MethodPost, "/v1/audio/transcriptions", form.String(), "Content-Type", w.FormDataContentType())
		require.Equal(t, 200, status, out)
		_, body, head := p.seen()
		require.Equal(t, w.FormDataContentType(), head.Get("Content-Type"))
		require.Equal(t, same, bytes.Equal(body, form.Bytes()))
		got, err := multipart.NewReader(bytes.NewReader(body), w.Boundary()).ReadForm(8 << 20)
		require.NoError(t, err)
		require.Equal(t, map[string][]string{"model": {"whisper-1"}, "prompt": {"model"}}, got.Value)
		require.Equal(t, "a \"b\".wav", got.File["file"][0].Filename)
		in, err := got.File["file"][0].Open()
		require.NoError(t, err)
		content, _ := io.ReadAll(in)
		require.True(t, bytes.Equal(file, content))
	}
	status, out, _ := g.do(t, http.MethodPost, "/v1/audio/transcriptions", "--x\r\ncut", "Content-Type", "multipart/form-data; boundary=x")
	require.Equal(t, 400, status)
	require.Equal(t, "invalid_form", gjson.Get(out, "error.code").Str)
}

// Streams of named operations end as the provider ends them; another account takes
// over before the first byte.
func TestNamedStreamsAndFailover(t *testing.T) {
	f, bad, good := newFixture(t), newProvider(t), newProvider(t)
	f.account("openai-custom", "a", bad.URL, "")
	f.account("openai-custom", "b", good.URL, "")
	bad.fails(500)
	const events = "data: {\"type\":\"transcript.text.delta\"}\n\ndata: {\"type\":\"transcript.text.done\"}\n\n"
	good.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool { sendEvents(w, events); return true })
	g := f.start()
	for path, want := range map[string]string{"/v1/audio/transcriptions": events, "/v1/images/generations": events, "/v1/completions": events + chatDone} {
		status, out, _ := g.do(t, http.MethodPost, path, `{"model":"m","stream":true}`, "Content-Type", "application/json")
		require.Equal(t, 200, status)
		require.Equal(t, want, out)
	}
	client := sdk(g)
	good.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		sendJSON(w, 200, `{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.5,1]}],"usage":{"prompt_tokens":1,"total_tokens":1}}`)
		return true
	})
	got, err := client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{Model: "m", Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("hi")}})
	require.NoError(t, err)
	require.Equal(t, []float64{0.5, 1}, got.Data[0].Embedding)
}

// Whose base URL has a /v1 too few or too many means the same.
func TestPathsWithTheVersionElsewhere(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, `,"supportedModels":["gpt-4o"]`)
	g := f.start()
	for _, path := range []string{"/chat/completions", "/v1/v1/chat/completions", "/openai-custom/chat/completions", "/embeddings"} {
		status, out, _ := g.do(t, http.MethodPost, path, chat)
		require.Equal(t, 200, status, path+out)
	}
	status, out, _ := g.do(t, http.MethodGet, "/models", "")
	require.Equal(t, 200, status, out)
	status, _, _ = g.do(t, http.MethodGet, "/v1/healthz", "")
	require.Equal(t, 404, status)
}

func TestBodyLimits(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	limits, err := ParseBodyLimits([]string{"1MiB", "/v1/audio/=2MiB", "/v1/audio/speech = 10kB"})
	require.NoError(t, err)
	g := f.start(func(c *Config) { c.BodyLimits = limits })
	text := func(n int) string { return `{"model":"m","x":"` + strings.Repeat("a", n) + `"}` }
	for _, tc := range []struct {
		path, field, want string
		size, status      int
	}{
		{"/v1/chat/completions", "error.code", "request_too_large", 1 << 20, 413},
		{"/v1/messages", "error.type", "request_too_large", 20 << 20, 413},
		{"/v1beta/models/m:generateContent", "error.status", "INVALID_ARGUMENT", 2 << 20, 413},
		{"/openai-custom/v1/responses", "error.code", "request_too_large", 2 << 20, 413},
		{"/v1/audio/transcriptions", "model", "m", 3 << 19, 200},
		{"/v1/audio/translations", "error.code", "request_too_large", 2 << 20, 413},
		{"/v1/audio/speech", "error.code", "request_too_large", 10_000, 413},
		{"/v1/embeddings", "model", "m", 1<<20 - 100, 200},
	} {
		status, out, _ := g.do(t, http.MethodPost, tc.path, text(tc.size))
		assert.Equal(t, tc.status, status, tc.path)
		assert.Equal(t, tc.want, gjson.Get(out, tc.field).String(), "%s: %.300s", tc.path, out)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(chat))
	require.NoError(t, z.Close())
	status, out, _ := g.chat(t, packed.String(), "Content-Encoding", "gzip")
	require.Equal(t, 200, status, out)
	_, body, head := p.seen()
	require.Equal(t, chat, string(body))
	require.Empty(t, head.Get("Content-Encoding"))
	packed.Reset()
	z.Reset(&packed)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 50<<20))
	require.NoError(t, z.Close())
	status, _, _ = g.chat(t, packed.String(), "Content-Encoding", "gzip")
	require.Equal(t, 413, status, "50 MiB in a few")
	status, _, _ = g.chat(t, "xx", "Content-Encoding", "br")
	require.Equal(t, 415, status)
	for _, bad := range []string{"x", "0", "2GiB", "v1=3MiB", "/v1=", "-1"} {
		_, err := ParseBodyLimits([]string{bad})
		require.ErrorContains(t, err, "body limit", bad)
	}
}

// A client that sends everything before it reads, and one that asks first, both
// learn of the limit.
func TestTheRefusalOfALargeBodyCanBeRead(t *testing.T) {
	f := newFixture(t)
	g := f.start(func(c *Config) { c.BodyLimits = BodyLimits{"": 1000} })
	ask := func(head string, body int) string {
		conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err = fmt.Fprintf(conn, "POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\n%s\r\n", clientKey, head)
		require.NoError(t, err)
		_, err = conn.Write(bytes.Repeat([]byte("a"), body))
		require.NoError(t, err, "nothing cut the request off")
		out, err := io.ReadAll(conn)
		require.NoError(t, err)
		return string(out)
	}
	const size = 8 << 20
	require.Contains(t, ask(fmt.Sprintf("Content-Length: %d\r\n", size), size), "413 ")
	require.Contains(t, ask(fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n", size), 0), "413 ")
}

func TestCORS(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	open := f.start()
	closed := f.start(func(c *Config) { c.CORSOrigins = []string{"https://app.example", "https://*.corp.example/"} })
	ask := func(g *started, path, origin string) http.Header {
		status, _, h := g.do(t, http.MethodOptions, path, "", "Origin", origin, "Access-Control-Request-Method", "PROPFIND",
			"Access-Control-Request-Headers", "authorization, x-stainless-new,bad header,x-\u00e9", "Access-Control-Request-Private-Network", "true")
		require.Equal(t, 204, status)
		return h
	}
	for _, path := range []string{"/v1/chat/completions", "/openai-custom/v1/messages", "/v1/models/gpt", "/v1beta/models/m:generateContent", "/v1/nothing"} {
		h := ask(open, path, "https://any.example")
		assert.Equal(t, "*", h.Get("Access-Control-Allow-Origin"), path)
		assert.Equal(t, "authorization, x-stainless-new", h.Get("Access-Control-Allow-Headers"))
		assert.Contains(t, h.Get("Access-Control-Allow-Methods"), "PROPFIND")
		assert.Equal(t, "true", h.Get("Access-Control-Allow-Private-Network"))
		for origin, allowed := range map[string]bool{"https://app.example": true, "https://APP.example": true, "https://a.corp.example": true, "https://evil.example": false, "https://app.example.evil": false, "http://app.example": false, "null": false} {
			h := ask(closed, path, origin)
			assert.Equal(t, map[bool]string{true: origin}[allowed], h.Get("Access-Control-Allow-Origin"), origin)
			assert.Equal(t, allowed, h.Get("Access-Control-Allow-Headers") != "")
			assert.Contains(t, h.Values("Vary"), "Origin")
		}
	}
	// What needs no key is for its own pages only.
	for _, path := range []string{"/dashboard", "/api/redis/status", "/metrics", "/dashboard/login"} {
		for name := range ask(open, path, "https://any.example") {
			assert.False(t, strings.HasPrefix(name, "Access-Control-"), path)
		}
		status, _, _ := open.do(t, http.MethodGet, path, "", "Origin", "https://any.example")
		assert.Contains(t, []int{403, 405}, status, path)
	}
	// Errors can be read, too, and with every answer what it says about itself.
	for path, want := range map[string]int{"/v1/chat/completions": 401, "/v1/nothing": 404} {
		status, _, h := closed.do(t, http.MethodPost, path, chat, "Authorization", "Bearer wrong", "Origin", "https://app.example")
		assert.Equal(t, want, status)
		assert.Equal(t, "https://app.example", h.Get("Access-Control-Allow-Origin"))
		assert.Contains(t, h.Get("Access-Control-Expose-Headers"), "Retry-After")
	}
	for _, bad := range []string{"app.example", "https://", "https://a/path", "x y"} {
		_, err := Open(Config{RedisURL: f.server.URL(), CORSOrigins: []string{bad}})
		require.ErrorContains(t, err, "CORS origin", bad)
	}
}

// 429 means that every account that could answer rests because of one; the client
// learns when the first is back.
func TestAllAccountsRestBecauseOf429(t *testing.T) {
	f, a, b, c := newFixture(t), newProvider(t), newProvider(t), newProvider(t)
	a.fails(429, "Retry-After", "70")
	b.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		sendJSON(w, 429, `{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"37.5s"}]}}`)
		return true
	})
	f.account("openai-custom", "a", a.URL, "")
	f.account("openai-custom", "b", b.URL, "")
	f.account("openai-custom", "off", c.URL, `,"isDisabled":true`)
	f.account("openai-custom", "other", c.URL, `,"supportedModels":["other"]`)
	g := f.start()
	for i := range 3 {
		for path, field := range map[string]string{"/v1/chat/completions": "error.type", "/v1/messages": "error.type"} {
			body := `{"model":"gpt-4o","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}`
			status, out, h := g.do(t, http.MethodPost, path, body)
			require.Equal(t, 429, status, out)
			require.Contains(t, []string{"38", "37", "36"}, h.Get("Retry-After"), "request %d", i)
			if i > 0 {
				require.Equal(t, "rate_limit_error", gjson.Get(out, field).Str, out)
			}
		}
	}
	require.Equal(t, 1, a.count())
	require.Equal(t, 1, b.count())
	f.account("openai-custom", "sick", c.URL, `,"isHealthy":false`)
	redistest.Eventually(t, patience, "one is sick besides: 503", func() bool { status, _, _ := g.chat(t, chat); return status == 503 })
}

// A provider's wish about when to come again reaches the client.
func TestRetryAfterIsPassedOn(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "MAX_ERROR_COUNT": 0, "RATE_LIMIT_COOLDOWN_MAX_MS": 1})
	f.account("openai-custom", "a", p.URL, "")
	g := f.start()
	for _, tc := range []struct {
		status              int
		header, value, want string
	}{
		{429, "Retry-After", "3600", "3600"}, {429, "Retry-After-Ms", "1500", "2"}, {429, "Retry-After", "0.2", "1"}, {503, "Retry-After", "17", "17"}, {500, "Retry-After", "soon", ""},
		{429, "Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), "3600"},
	} {
		p.fails(tc.status, tc.header, tc.value)
		time.Sleep(2 * time.Millisecond) // the rest of a 429
		status, _, h := g.chat(t, chat)
		require.Equal(t, tc.status, status)
		if tc.want == "3600" {
			require.Contains(t, []string{"3600", "3599", "3598"}, h.Get("Retry-After"))
		} else {
			require.Equal(t, tc.want, h.Get("Retry-After"), tc)
		}
	}
}
