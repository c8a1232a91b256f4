package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pairs runs a test for every SDK with every family of providers.
func pairs(t *testing.T, run func(t *testing.T, c sdkClient, fam family)) {
	for _, c := range sdkClients {
		for _, fam := range families {
			t.Run(c.name+" client, "+fam.name+" provider", func(t *testing.T) { run(t, c, fam) })
		}
	}
}

// refuses answers with the family's own form of an error, which quotes the key.
func (p *provider) refuses(fam family, status int, headers ...string) {
	p.set(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		key := r.Header.Get("X-Api-Key") + r.Header.Get("X-Goog-Api-Key") + r.Header.Get("Authorization")
		sendJSON(w, status, map[string]string{
			"chat":   fmt.Sprintf(`{"error":{"message":"no: %s","type":"t","param":null,"code":"told_to"}}`, key),
			"claude": fmt.Sprintf(`{"type":"error","error":{"type":"t","message":"no: %s"},"request_id":"r"}`, key),
			"gemini": fmt.Sprintf(`{"error":{"code":%d,"message":"no: %s","status":"T"}}`, status, key),
		}[fam.name])
		return true
	})
}

// cutter lets some events of a stream through; then says what comes instead of the
// next.
type cutter struct {
	http.ResponseWriter
	left int
	then func()
	mute bool
}

func (c *cutter) Flush() {
	c.ResponseWriter.(http.Flusher).Flush()
	if c.left--; c.left == 0 {
		if c.then == nil {
			c.mute = true
			return
		}
		c.then()
	}
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.mute {
		return len(p), nil
	}
	return c.ResponseWriter.Write(p)
}

// cuts answers as always, up to after so many events of a stream.
func (p *provider) cuts(after int, then func()) {
	p.set(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		p.speak(&cutter{ResponseWriter: w, left: after, then: then}, r, body)
		return true
	})
}

func abort() { panic(http.ErrAbortHandler) }

// pathOf is the endpoint of a client, and a body for it.
func pathOf(c sdkClient, model string) (path, body string) {
	switch c.name {
	case "claude":
		return "/v1/messages", fmt.Sprintf(`{"model":%q,"max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`, model)
	case "gemini":
		return "/v1beta/models/" + model + ":generateContent", `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`
	}
	return "/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}]}`, model)
}

func TestProvidersErrorsReachEverySDK(t *testing.T) {
	pairs(t, func(t *testing.T, c sdkClient, fam family) {
		f, p := newFixture(t), fam.start(t)
		f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "MAX_ERROR_COUNT": 0, "RATE_LIMIT_COOLDOWN_MAX_MS": 1})
		f.add(fam, "a", p.URL)
		g := f.start()
		model := fam.typ + ":" + fam.model
		for _, status := range []int{400, 401, 404, 429, 500, 503} {
			p.refuses(fam, status, "Retry-After", "3")
			for _, stream := range []bool{false, true} {
				time.Sleep(2 * time.Millisecond) // a 429's rest
				_, err := c.ask(t.Context(), g.url, model, dialogue{user: "hi"}, stream)
				require.Error(t, err)
				got, message := c.failure(err)
				require.Equal(t, status, got, err)
				require.Contains(t, message, "no: ")
				require.NotContains(t, message, "sk-account")
			}
			time.Sleep(2 * time.Millisecond)
			path, body := pathOf(c, model)
			got, out, head := g.do(t, http.MethodPost, path, body)
			require.Equal(t, status, got, out)
			require.Equal(t, status == 429 || status >= 500 || status == 401, head.Get("Retry-After") == "3")
		}
		p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			sendJSON(w, 529, `{"type":"error","error":{"type":"overloaded_error","message":"no: capacity"}}`)
			return true
		})
		_, err := c.ask(t.Context(), g.url, model, dialogue{user: "hi"}, true)
		got, message := c.failure(err)
		want := 529
		if c.name != fam.name {
			want = 503
		}
		require.Equal(t, want, got)
		require.Contains(t, message, "no: capacity")
		require.NotContains(t, f.logs.String(), "sk-account")
	})
}

func TestAccountsSwitchBeforeTheFirstByte(t *testing.T) {
	errorEvent := map[string]string{
		"chat": "data: {\"error\":{\"message\":\"busy\"}}\n\n", "claude": "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n",
		"gemini": "data: {\"error\":{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n",
	}
	pairs(t, func(t *testing.T, c sdkClient, fam family) {
		for name, bad := range map[string]func(p *provider){
			"500": func(p *provider) { p.refuses(fam, 500) },
			"429": func(p *provider) { p.refuses(fam, 429, "Retry-After", "60") },
			"401": func(p *provider) { p.refuses(fam, 401) },
			"no answer": func(p *provider) {
				p.set(func(http.ResponseWriter, *http.Request, []byte) bool { panic(http.ErrAbortHandler) })
			},
			"no events": func(p *provider) {
				p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
					w.Header().Set("Content-Type", "text/event-stream")
					return true
				})
			},
			"an error as the first event": func(p *provider) {
				p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
					sendEvents(w, errorEvent[fam.name])
					return true
				})
			},
		} {
			t.Run(name, func(t *testing.T) {
				f, first, second := newFixture(t), fam.start(t), fam.start(t)
				f.add(fam, "a", first.URL)
				f.add(fam, "b", second.URL)
				bad(first)
				g := f.start()
				got, err := c.ask(t.Context(), g.url, fam.typ+":"+fam.model, dialogue{user: "hi"}, true)
				require.NoError(t, err)
				require.Equal(t, "hello", got.text)
				require.Equal(t, 1, first.count())
				f.counted(fam.typ, "a", errorCount, "1")
				f.counted(fam.typ, "b", usageCount, "1")
			})
		}
	})
}

func TestStreamsThatBreakAreErrorsForEverySDK(t *testing.T) {
	pairs(t, func(t *testing.T, c sdkClient, fam family) {
		f, p := newFixture(t), fam.start(t)
		f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "MAX_ERROR_COUNT": 0})
		f.add(fam, "a", p.URL)
		g := f.start()
		failures := 0
		for _, then := range []func(){abort, nil} {
			if then == nil && c.name == fam.name && fam.name != "claude" {
				continue // passed as it is: what it means is up to the client
			}
			p.cuts(map[string]int{"chat": 2, "claude": 4, "gemini": 2}[fam.name], then) // something of the answer is there
			_, err := c.ask(t.Context(), g.url, fam.typ+":"+fam.model, dialogue{user: "hi"}, true)
			require.ErrorContains(t, err, "broke off")
			failures++
		}
		f.counted(fam.typ, "a", errorCount, strconv.Itoa(failures))
		require.Equal(t, "0", f.counter(fam.typ, "a", usageCount))
	})
}

func TestSilentStreamsKeepEverySDK(t *testing.T) {
	pairs(t, func(t *testing.T, c sdkClient, fam family) {
		f, p := newFixture(t), fam.start(t)
		f.add(fam, "a", p.URL)
		g := f.start(func(c *Config) { c.KeepAlive = 10 * time.Millisecond })
		p.cuts(2, func() { time.Sleep(100 * time.Millisecond) })
		got, err := c.ask(t.Context(), g.url, fam.typ+":"+fam.model, dialogue{user: "hi"}, true)
		require.NoError(t, err)
		require.Equal(t, "hello", got.text)
	})
}

func TestAClientThatLeavesFreesTheProvider(t *testing.T) {
	pairs(t, func(t *testing.T, c sdkClient, fam family) {
		f, p := newFixture(t), fam.start(t)
		f.add(fam, "a", p.URL)
		g := f.start()
		reached, gone := make(chan struct{}), make(chan struct{})
		p.set(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
			p.speak(&cutter{ResponseWriter: w, left: 2, then: func() {
				close(reached)
				<-r.Context().Done()
				close(gone)
				panic(http.ErrAbortHandler)
			}}, r, body)
			return true
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-reached; cancel() }()
		_, err := c.ask(ctx, g.url, fam.typ+":"+fam.model, dialogue{user: "hi"}, true)
		require.Error(t, err)
		select {
		case <-gone:
		case <-time.After(patience):
			t.Fatal("the request to the provider went on")
		}
		require.NoError(t, g.stop())
		require.Equal(t, "0", f.counter(fam.typ, "a", errorCount))
	})
}

// An answer that is none must not reach a client as one.
func TestAnswersThatCannotBeConverted(t *testing.T) {
	pairs(t, func(t *testing.T, c sdkClient, fam family) {
		if c.name == fam.name {
			return
		}
		f, p := newFixture(t), fam.start(t)
		f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "MAX_ERROR_COUNT": 0})
		f.add(fam, "a", p.URL)
		g := f.start()
		for _, body := range []string{"<html>", "{}", `{"choices":[],"content":null,"candidates":[]}`} {
			p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool { sendJSON(w, 200, body); return true })
			for _, stream := range []bool{false, true} {
				_, err := c.ask(t.Context(), g.url, fam.typ+":"+fam.model, dialogue{user: "hi"}, stream)
				require.Error(t, err)
				status, _ := c.failure(err)
				require.Equal(t, 502, status, err)
			}
		}
		// A whole answer instead of a stream is one, though.
		p.set(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
			text := strings.Replace(string(body), `"stream":true`, `"stream":false`, 1)
			text = strings.Replace(text, `,"stream_options":{"include_usage":true}`, "", 1)
			r.URL.Path = strings.Replace(r.URL.Path, "streamGenerate", "generate", 1)
			r.URL.RawQuery = ""
			p.speak(w, r, []byte(text))
			return true
		})
		got, err := c.ask(t.Context(), g.url, fam.typ+":"+fam.model, dialogue{user: "hi"}, true)
		require.NoError(t, err)
		require.Equal(t, "hello", got.text)
		require.Equal(t, fam.in, got.in)
	})
}

func TestWhatCannotBeConvertedIsNamed(t *testing.T) {
	f, p := newFixture(t), newClaude(t)
	f.add(families[1], "a", p.URL)
	g := f.start()
	_, out, _ := g.do(t, http.MethodPost, "/claude-custom/v1/chat/completions", `{"model":"m","n":2,"messages":[{"role":"user","content":"hi"}]}`)
	require.Contains(t, out, `"param":"n"`)
	require.Contains(t, out, `"code":"cannot_convert"`)
	status, out, _ := g.do(t, http.MethodPost, "/claude-custom/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"text":"hi"}]}],"tools":[{"googleSearch":{}}]}`)
	require.Equal(t, 400, status)
	require.Contains(t, out, "tools.0.googleSearch")
	require.Contains(t, out, "INVALID_ARGUMENT")
	require.Zero(t, p.count())
}

// The array form of a Gemini stream works for other families as well.
func TestConvertedGeminiArray(t *testing.T) {
	f, p := newFixture(t), newClaude(t)
	f.add(families[1], "a", p.URL)
	g := f.start()
	const path, body = "/claude-custom/v1beta/models/m:streamGenerateContent", `{"contents":[{"parts":[{"text":"hi"}]}]}`
	for range 2 {
		status, out, head := g.do(t, http.MethodPost, path, body)
		require.Equal(t, 200, status)
		require.Contains(t, head.Get("Content-Type"), "application/json")
		require.True(t, strings.HasPrefix(out, "[{") && strings.HasSuffix(out, "}]"), out)
		require.Contains(t, out, `"finishReason":"STOP"`)
		p.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			answerClaude(w, asked{model: "m"})
			return true
		})
	}
}
