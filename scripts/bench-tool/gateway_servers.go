package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
)

// holdModel is the model whose streams begin and do not go on.
const holdModel = "hold"

// streamChunks is how many pieces of text a stream has.
const streamChunks = 20

// serveProvider is a provider that answers at once, in Chat Completions or Claude's
// protocol, plain or streamed.
func serveProvider(addr string) error {
	return http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		claude := strings.HasSuffix(r.URL.Path, "/messages")
		if !bytes.Contains(body, []byte(`"stream":true`)) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, plainAnswer(claude))
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		events := streamAnswer(claude)
		for i, event := range events {
			_, _ = io.WriteString(w, event)
			w.(http.Flusher).Flush()
			if i >= 5 && bytes.Contains(body, []byte(`"`+holdModel+`"`)) {
				<-r.Context().Done()
				return
			}
		}
	}))
}

var words = strings.Repeat("word ", 40)

func plainAnswer(claude bool) string {
	if claude {
		return fmt.Sprintf(`{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":%q}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":40}}`, words)
	}
	return fmt.Sprintf(`{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":40,"total_tokens":50}}`, words)
}

func streamAnswer(claude bool) (out []string) {
	if !claude {
		chunk := func(delta, finish string) string {
			return fmt.Sprintf("data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":%s,\"finish_reason\":%s}]}\n\n", delta, finish)
		}
		out = append(out, chunk(`{"role":"assistant","content":""}`, "null"))
		for range streamChunks {
			out = append(out, chunk(`{"content":"some words "}`, "null"))
		}
		return append(out, chunk("{}", `"stop"`), "data: [DONE]\n\n")
	}
	event := func(typ, rest string) string {
		return fmt.Sprintf("event: %s\ndata: {\"type\":\"%s\"%s}\n\n", typ, typ, rest)
	}
	out = append(out, event("message_start", `,"message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":1}}`),
		event("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`))
	for range streamChunks {
		out = append(out, event("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":"some words "}`))
	}
	return append(out, event("content_block_stop", `,"index":0`), event("message_delta", `,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":40}`), event("message_stop", ""))
}

// serveReverse is the floor: the standard library's reverse proxy, with nothing else.
func serveReverse(addr, to string) error {
	target, err := url.Parse("http://" + to)
	if err != nil {
		return err
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 256, 256
	proxy.Transport = transport
	return http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Read as a whole: a stream that begins while the body is still being passed on
		// is cut now and then ("use of closed network connection").
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
}
