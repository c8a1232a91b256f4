package gateway

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// ok200 answers with a body as if it were a success.
func (p *provider) ok200(contentType, body string) {
	p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
		return true
	})
}

// An error with the status of a success is an error: another account is asked, and
// where there is none the client gets a status that says so.
func TestErrorsThatCallThemselvesSuccess(t *testing.T) {
	for _, tc := range []struct {
		typ, body string
		status    int
	}{
		{"chat", `{"error":{"message":"no: quota","type":"insufficient_quota","code":"insufficient_quota"}}`, 429},
		{"chat", `{"error":{"message":"no: model","code":404}}`, 404},
		{"chat", `{"error":{"message":"no: not multimodal","type":"BadRequestError","code":400}}`, 400},
		{"chat", `{"error":"no: text alone","choices":null}`, 502},
		{"chat", `{"object":"error","message":"no: old vllm","code":503}`, 503},
		{"chat", `{"id":"1","choices":[{"index":0,"finish_reason":"error","message":{"content":""}}],"error":{"code":502,"message":"no: upstream"}}`, 502},
		{"chat", `{"base_resp":{"status_code":1004,"status_msg":"no"},"choices":null}`, 502},
		{"chat", `{"success":false,"message":"no: way","code":500}`, 500},
		{"chat", "", 502}, {"chat", "<html>no: cloud</html>", 502},
		{"claude", `{"type":"error","error":{"type":"overloaded_error","message":"no: overloaded"}}`, 503},
		{"claude", `{"error":{"type":"authentication_error","message":"no: key"}}`, 401},
		{"gemini", `{"error":{"code":429,"message":"no: quota","status":"RESOURCE_EXHAUSTED"}}`, 429},
	} {
		fam := families[map[string]int{"chat": 0, "claude": 1, "gemini": 2}[tc.typ]]
		for _, c := range sdkClients {
			for form, send := range map[string]func(*provider){
				"plain":               func(p *provider) { p.ok200("application/json", tc.body) },
				"plain for a stream":  func(p *provider) { p.ok200("application/json", tc.body) },
				"a stream's body":     func(p *provider) { p.ok200("text/event-stream", tc.body) },
				"a stream's event":    func(p *provider) { p.ok200("text/event-stream", "data: "+tc.body+"\n\n") },
				"an event of its own": func(p *provider) { p.ok200("text/event-stream", ": hello\n\nevent: error\ndata: "+tc.body+"\n\n") },
			} {
				if c.name != fam.name && tc.status != 429 && tc.status != 503 || strings.Contains(form, "event") && !gjson.Valid(tc.body) {
					continue
				}
				name := fmt.Sprintf("%s client, %s: %s", c.name, form, tc.body)
				f, bad, good := newFixture(t), fam.start(t), fam.start(t)
				f.add(fam, "a", bad.URL)
				f.add(fam, "b", good.URL)
				send(bad)
				g := f.start()
				stream := form != "plain"
				got, err := c.ask(t.Context(), g.url, fam.typ+":"+fam.model, dialogue{user: "hi"}, stream)
				require.NoError(t, err, name)
				require.Equal(t, "hello", got.text, name)
				require.Equal(t, 1, bad.count(), name)
				send(good)
				bad.set(nil)
				bad.fails(500)
				_, err = c.ask(t.Context(), g.url, fam.typ+":"+fam.model, dialogue{user: "hi"}, stream)
				require.Error(t, err, name)
				require.NoError(t, g.stop())
				require.Equal(t, "1", f.counter(fam.typ, "b", usageCount), name)
			}
		}
	}
}

func TestStatusOfADisguisedError(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "MAX_ERROR_COUNT": 0, "RATE_LIMIT_COOLDOWN_MAX_MS": 1})
	f.account("openai-custom", "a", p.URL, "")
	g := f.start()
	for body, want := range map[string]int{
		`{"error":{"message":"no: sk-account-a","type":"insufficient_quota"}}`: 429, `{"error":{"message":"no: m","code":"404"}}`: 404,
		`{"error":{"message":"no: x","type":"BadRequestError","code":400}}`: 400, `{"error":"no: text"}`: 502, `{"success":false,"message":"no: way","code":500}`: 500,
	} {
		for _, stream := range []string{"", `"stream":true,`} {
			for _, kind := range []string{"application/json", "text/event-stream"} {
				p.ok200(kind, map[string]string{"application/json": body, "text/event-stream": "data: " + body + "\n\n"}[kind])
				time.Sleep(2 * time.Millisecond)
				status, out, _ := g.chat(t, "{"+stream+chat[1:])
				if stream == "" && kind == "text/event-stream" {
					continue // nobody asked for it
				}
				assert.Equal(t, want, status, body)
				assert.Contains(t, gjson.Get(out, "error.message").String(), "no: ", out)
				assert.NotContains(t, out, "sk-account")
			}
		}
	}
	// These are answers.
	for _, body := range []string{
		`{"error":null,"choices":[{"message":{"content":"err"}}]}`, `{"error":{},"choices":[{"message":{"content":"x"}}]}`, `{"choices":[{"message":{"content":"\"error\":{\"message\":1}"}}]}`,
		`{"object":"list","data":[],"errors":0}`, `{"success":true}`,
	} {
		p.ok200("application/json", body)
		status, out, _ := g.chat(t, chat)
		assert.Equal(t, 200, status)
		assert.Equal(t, body, out)
	}
}

// What a provider says before it says anything is no answer: it may fail there.
func TestAStreamThatFailsBeforeItsContent(t *testing.T) {
	for name, events := range map[string]struct {
		family int
		begin  string
	}{
		"claude": {1, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"},
		"chat":   {0, ": processing\n\ndata: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n"},
	} {
		for end, how := range map[string]string{"error": "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n", "cut": ""} {
			for _, c := range sdkClients {
				fam := families[events.family]
				f, bad, good := newFixture(t), fam.start(t), fam.start(t)
				f.add(fam, "a", bad.URL)
				f.add(fam, "b", good.URL)
				bad.ok200("text/event-stream", events.begin+how)
				g := f.start()
				got, err := c.ask(t.Context(), g.url, fam.typ+":"+fam.model, dialogue{user: "hi"}, true)
				require.NoError(t, err, "%s client, %s, %s", c.name, name, end)
				require.Equal(t, "hello", got.text)
				require.Equal(t, 1, bad.count())
				require.NoError(t, g.stop())
				require.Equal(t, "1", f.counter(fam.typ, "a", errorCount))
				require.Equal(t, "0", f.counter(fam.typ, "a", usageCount))
			}
		}
	}
}

// Compression that nobody asked for comes off, told of or not, plain and streamed.
func TestCompressionThatWasNotAskedFor(t *testing.T) {
	pack := map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }, "deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
		"bare deflate":      func(w io.Writer) io.WriteCloser { z, _ := flate.NewWriter(w, 6); return z },
		"gzip, not told of": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	}
	for name, writer := range pack {
		for _, fam := range families {
			p := fam.start(t)
			p.set(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				encoding, _, _ := strings.Cut(strings.TrimPrefix(name, "bare "), ",")
				if !strings.Contains(name, "not told") {
					w.Header().Set("Content-Encoding", encoding)
				}
				z := writer(w)
				p.speak(&packed{w, z}, r, body)
				_ = z.Close()
				return true
			})
			f := newFixture(t)
			f.add(fam, "a", p.URL)
			g := f.start()
			for _, c := range sdkClients {
				for _, stream := range []bool{false, true} {
					got, err := c.ask(t.Context(), g.url, fam.typ+":"+fam.model, dialogue{user: "hi"}, stream)
					require.NoError(t, err, "%s client, %s, %s, stream %v", c.name, fam.name, name, stream)
					require.Equal(t, "hello", got.text)
				}
			}
			require.NoError(t, g.stop())
		}
	}
	f, p := newFixture(t), newProvider(t)
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "MAX_ERROR_COUNT": 0})
	f.account("openai-custom", "a", p.URL, "")
	g := f.start()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, `{"error":{"message":"no: packed sk-account-a","type":"x"}}`)
	_ = z.Close()
	p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(400)
		_, _ = w.Write(zipped.Bytes())
		return true
	})
	status, out, h := g.chat(t, chat)
	require.Equal(t, 400, status)
	require.Contains(t, out, "no: packed ***")
	require.Empty(t, h.Get("Content-Encoding"))
	p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.Header().Set("Content-Encoding", "br")
		_, _ = w.Write([]byte("\x0bbrotli"))
		return true
	})
	status, _, _ = g.chat(t, chat, "Accept-Encoding", "gzip")
	require.Equal(t, 502, status)
	status, out, h = g.chat(t, chat, "Accept-Encoding", "gzip, br")
	require.Equal(t, 200, status)
	require.Equal(t, "br", h.Get("Content-Encoding"))
	require.Equal(t, "\x0bbrotli", out)
}

// packed sends everything through a compressor, piece by piece.
type packed struct {
	http.ResponseWriter
	z io.Writer
}

func (p *packed) Write(b []byte) (int, error) { return p.z.Write(b) }

func (p *packed) Flush() {
	_ = p.z.(interface{ Flush() error }).Flush()
	p.ResponseWriter.(http.Flusher).Flush()
}

// An answer is a stream if one was asked for, whatever the provider calls it, and a
// whole answer becomes one.
func TestStreamsByAnotherName(t *testing.T) {
	for _, fam := range families {
		for _, kind := range []string{"text/plain", "application/json", "application/octet-stream"} {
			f, p := newFixture(t), fam.start(t)
			f.add(fam, "a", p.URL)
			p.set(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				p.speak(renamed{w, kind}, r, body)
				return true
			})
			g := f.start()
			for _, c := range sdkClients {
				got, err := c.ask(t.Context(), g.url, fam.typ+":"+fam.model, dialogue{user: "hi"}, true)
				require.NoError(t, err, "%s client, %s, %s", c.name, fam.name, kind)
				require.Equal(t, "hello", got.text)
			}
		}
		f, p := newFixture(t), fam.start(t)
		f.add(fam, "a", p.URL)
		p.set(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
			map[string]func(http.ResponseWriter, asked){"chat": answerChat, "claude": answerClaude, "gemini": answerGemini}[fam.name](w, asked{model: fam.model})
			return true
		})
		g := f.start()
		got, err := sdkClients[map[string]int{"chat": 0, "claude": 1, "gemini": 2}[fam.name]].ask(t.Context(), g.url, fam.typ+":"+fam.model, dialogue{user: "hi"}, true)
		require.NoError(t, err, fam.name)
		require.Equal(t, "hello", got.text)
	}
}

type renamed struct {
	http.ResponseWriter
	kind string
}

func (r renamed) Write(b []byte) (int, error) {
	r.Header().Set("Content-Type", r.kind)
	return r.ResponseWriter.Write(b)
}

func (r renamed) Flush() { r.ResponseWriter.(http.Flusher).Flush() }

// While a provider thinks before its headers, a streaming client is kept; what comes
// then is told in the stream, and another account still takes over.
func TestSignsOfLifeBeforeTheProvidersHeaders(t *testing.T) {
	pairs(t, func(t *testing.T, c sdkClient, fam family) {
		f, slow, good := newFixture(t), fam.start(t), fam.start(t)
		f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "MAX_ERROR_COUNT": 0, "CREDENTIAL_SWITCH_MAX_RETRIES": 0})
		f.add(fam, "a", slow.URL)
		g := f.start(func(c *Config) { c.KeepAlive = 10 * time.Millisecond })
		late := func(then func(w http.ResponseWriter)) {
			slow.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
				time.Sleep(60 * time.Millisecond)
				if then == nil {
					return false
				}
				then(w)
				return true
			})
		}
		late(nil)
		got, err := c.ask(t.Context(), g.url, fam.typ+":"+fam.model, dialogue{user: "hi"}, true)
		require.NoError(t, err)
		require.Equal(t, "hello", got.text)
		late(func(w http.ResponseWriter) {
			sendJSON(w, 500, map[string]string{
				"chat": `{"error":{"message":"no: late"}}`, "claude": `{"type":"error","error":{"type":"api_error","message":"no: late"}}`, "gemini": `{"error":{"code":500,"message":"no: late","status":"INTERNAL"}}`,
			}[fam.name])
		})
		_, err = c.ask(t.Context(), g.url, fam.typ+":"+fam.model, dialogue{user: "hi"}, true)
		require.ErrorContains(t, err, "no: late")
		f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "MAX_ERROR_COUNT": 0})
		f.add(fam, "b", good.URL)
		g2 := f.start(func(c *Config) { c.KeepAlive = 10 * time.Millisecond })
		for range 2 { // each of the two is the first one once
			got, err = c.ask(t.Context(), g2.url, fam.typ+":"+fam.model, dialogue{user: "hi"}, true)
			require.NoError(t, err)
			require.Equal(t, "hello", got.text)
		}
		require.Positive(t, good.count())
	})
}

func TestSeveralDataLinesInOneEvent(t *testing.T) {
	f, p := newFixture(t), newProvider(t)
	f.account("openai-custom", "a", p.URL, "")
	const event = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\ndata: \"choices\":[{\"index\":0,\ndata:\"delta\":{\"content\":\"hello\"},\"finish_reason\":\"stop\"}]}\n\n"
	p.ok200("text/event-stream", event+"data: {\"error\":\ndata: {\"message\":\"no: late\"}}\n\n")
	g := f.start()
	_, out, _ := g.chat(t, `{"stream":true,`+chat[1:])
	require.True(t, strings.HasPrefix(out, event), out)
	f.counted("openai-custom", "a", errorCount, "1")
	p.ok200("text/event-stream", event+chatDone)
	got, err := askClaude(t.Context(), g.url, "openai-custom:m", dialogue{user: "hi"}, true)
	require.NoError(t, err)
	require.Equal(t, "hello", got.text)
}
