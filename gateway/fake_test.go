package gateway

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/tidwall/gjson"
)

// The fakes below are strict providers: real HTTP servers that check what the
// real ones check, answer in the protocol's own wire form, and fail the test
// over a request that the real one would refuse. What they say follows from the
// request: the result of a tool that was called is repeated, a tool that is
// offered is called, and otherwise it is "hello".

// asked is a request as the fakes understand it.
type asked struct {
	model  string
	stream bool
	usage  bool // of a chat stream
	tools  []string
	forced string // the tool that must be called
	none   bool   // no tool may be called
	both   bool   // the user wants two calls
	result string // of the tools, when they are the last message
}

// said is the fakes' answer.
type said struct {
	text  string
	calls []toolCall
}

type toolCall struct{ id, name, args string }

func (a asked) answer() said {
	switch {
	case a.result != "":
		return said{text: "result: " + a.result}
	case len(a.tools) > 0 && !a.none:
		name := a.tools[0]
		if a.forced != "" {
			name = a.forced
		}
		out := said{calls: []toolCall{{"call_1", name, `{"city":"Paris"}`}}}
		if a.both {
			out.calls = append(out.calls, toolCall{"call_2", name, `{"city":"Rome"}`})
		}
		return out
	}
	return said{text: "hello"}
}

// halves cuts a text for a stream.
func halves(s string) [2]string { return [2]string{s[:len(s)/2], s[len(s)/2:]} }

// objections is what a strict provider has against a request.
type objections struct{ problems []string }

func (r *objections) check(ok bool, format string, args ...any) bool {
	if !ok {
		r.problems = append(r.problems, fmt.Sprintf(format, args...))
	}
	return ok
}

// known refuses fields that the protocol does not have.
func (r *objections) known(where string, o gjson.Result, names ...string) {
	o.ForEach(func(k, _ gjson.Result) bool {
		r.check(contains(names, k.Str), "%s: unknown field %s", where, k.Str)
		return true
	})
}

// only refuses headers and parameters of other protocols.
func (r *objections) only(req *http.Request, query string, prefix string) {
	r.check(req.URL.RawQuery == query, "query %q", req.URL.RawQuery)
	for name := range req.Header {
		for _, other := range []string{"Anthropic-", "X-Goog-", "X-Stainless-"} {
			r.check(!strings.HasPrefix(name, other) || strings.Contains(prefix, other), "header %s", name)
		}
	}
}

// newFake makes a provider that reads requests with read and, when there is
// nothing against them, answers with answer.
func newFake(t *testing.T, read func(*http.Request, gjson.Result, *objections) asked, answer func(http.ResponseWriter, asked), refuse func(http.ResponseWriter, string)) *provider {
	t.Helper()
	p := newProvider(t)
	p.speak = func(w http.ResponseWriter, r *http.Request, body []byte) {
		var no objections
		no.check(r.Method == http.MethodPost, "method %s", r.Method)
		no.check(strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"), "content type %q", r.Header.Get("Content-Type"))
		no.check(gjson.ValidBytes(body), "no JSON")
		for name, values := range r.Header {
			no.check(!strings.Contains(strings.Join(values, " "), clientKey), "the client's key is in %s", name)
		}
		no.check(!strings.Contains(r.URL.RawQuery, clientKey), "the client's key is in the query")
		a := read(r, gjson.ParseBytes(body), &no)
		if len(no.problems) > 0 {
			assert.Fail(t, "the provider refuses", "%s\n%s %s\n%s", strings.Join(no.problems, "\n"), r.Method, r.URL, body)
			refuse(w, strings.Join(no.problems, "; "))
			return
		}
		answer(w, a)
	}
	return p
}

func sendEvents(w http.ResponseWriter, events ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, e := range events {
		_, _ = w.Write([]byte(e))
		w.(http.Flusher).Flush()
	}
}

func sendJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

var toolID = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

func newClaude(t *testing.T) *provider {
	return newFake(t, readClaude, answerClaude, func(w http.ResponseWriter, why string) {
		sendJSON(w, 400, fmt.Sprintf(`{"type":"error","error":{"type":"invalid_request_error","message":%q},"request_id":"req_1"}`, why))
	})
}

func readClaude(r *http.Request, b gjson.Result, no *objections) (a asked) {
	no.check(r.URL.Path == "/v1/messages", "path %s", r.URL.Path)
	no.only(r, "", "Anthropic- X-Stainless-")
	no.check(strings.HasPrefix(r.Header.Get("X-Api-Key"), "sk-account-"), "x-api-key %q", r.Header.Get("X-Api-Key"))
	no.check(r.Header.Get("Authorization") == "", "authorization and x-api-key")
	no.check(r.Header.Get("Anthropic-Version") == "2023-06-01", "anthropic-version %q", r.Header.Get("Anthropic-Version"))
	no.known("body", b, "model", "messages", "max_tokens", "system", "stream", "temperature", "top_p", "top_k", "stop_sequences", "tools", "tool_choice", "metadata", "thinking", "output_config")
	no.check(b.Get("max_tokens").Int() > 0, "max_tokens: field required")
	no.check(b.Get("temperature").Float() <= 1, "temperature: above 1")
	no.check(b.Get("model").Str != "", "model: field required")
	a.model, a.stream = b.Get("model").Str, b.Get("stream").Bool()
	for _, tool := range b.Get("tools").Array() {
		no.check(tool.Get("input_schema.type").Str == "object", "tools: input_schema.type must be object")
		a.tools = append(a.tools, tool.Get("name").Str)
	}
	switch c := b.Get("tool_choice"); c.Get("type").Str {
	case "", "auto", "any":
	case "none":
		a.none = true
	case "tool":
		a.forced = c.Get("name").Str
	default:
		no.check(false, "tool_choice.type %s", c.Get("type"))
	}
	b.Get("system").ForEach(func(_, block gjson.Result) bool {
		return b.Get("system").Type == gjson.String || no.check(block.Get("type").Str == "text" && block.Get("text").Str != "", "system: text blocks must be non-empty")
	})
	readClaudeMessages(b.Get("messages").Array(), no, &a)
	return a
}

func readClaudeMessages(messages []gjson.Result, no *objections, a *asked) {
	if !no.check(len(messages) > 0, "messages: at least one") {
		return
	}
	no.check(messages[0].Get("role").Str == "user", "messages.0: must be of the user")
	var open []string // calls without a result
	for i, m := range messages {
		role := m.Get("role").Str
		no.check(role == "user" || role == "assistant", "messages.%d.role %q", i, role)
		no.known("message", m, "role", "content")
		blocks := m.Get("content").Array()
		if m.Get("content").Type == gjson.String {
			no.check(m.Get("content").Str != "", "messages.%d.content: empty", i)
			a.both = a.both || strings.Contains(m.Get("content").Str, "both")
			blocks = nil
		} else {
			no.check(len(blocks) > 0, "messages.%d.content: empty", i)
		}
		waiting := open
		open = nil
		a.result = ""
		for j, block := range blocks {
			switch typ := block.Get("type").Str; typ {
			case "text":
				no.check(block.Get("text").Str != "", "text block %d.%d is empty", i, j)
				no.check(len(waiting) == 0, "text before the results of %v", waiting)
				a.both = a.both || strings.Contains(block.Get("text").Str, "both")
			case "image":
				s := block.Get("source")
				no.check(s.Get("type").Str == "url" && s.Get("url").Str != "" || s.Get("type").Str == "base64" && s.Get("data").Str != "" && strings.HasPrefix(s.Get("media_type").Str, "image/"), "image source %s", s)
			case "tool_use":
				no.check(role == "assistant" && toolID.MatchString(block.Get("id").Str) && block.Get("name").Str != "" && block.Get("input").IsObject(), "tool_use %s", block)
				open = append(open, block.Get("id").Str)
			case "tool_result":
				id := block.Get("tool_use_id").Str
				if no.check(role == "user" && contains(waiting, id), "tool_result %q has no tool_use in the message before", id) {
					waiting = without(waiting, id)
				}
				text := block.Get("content").Str
				for _, part := range block.Get("content").Array() {
					text += part.Get("text").Str
				}
				a.result += text
			case "thinking", "redacted_thinking":
				no.check(role == "assistant", "thinking of the user")
			default:
				no.check(false, "block type %q", typ)
			}
		}
		no.check(len(waiting) == 0, "messages.%d: no tool_result for %v", i, waiting)
	}
	no.check(len(open) == 0, "tool_use without tool_result: %v", open)
}

func without(list []string, s string) (out []string) {
	for _, v := range list {
		if v != s {
			out = append(out, v)
		}
	}
	return out
}

func answerClaude(w http.ResponseWriter, a asked) {
	s, stop := a.answer(), "end_turn"
	if len(s.calls) > 0 {
		stop = "tool_use"
	}
	if !a.stream {
		var blocks []string
		if s.text != "" {
			blocks = append(blocks, fmt.Sprintf(`{"type":"text","text":%q}`, s.text))
		}
		for _, c := range s.calls {
			blocks = append(blocks, fmt.Sprintf(`{"type":"tool_use","id":"tool%s","name":%q,"input":%s}`, c.id, c.name, c.args))
		}
		sendJSON(w, 200, fmt.Sprintf(`{"id":"msg_1","type":"message","role":"assistant","model":%q,"content":[%s],"stop_reason":%q,"stop_sequence":null,"usage":{"input_tokens":11,"output_tokens":7,"cache_read_input_tokens":3,"cache_creation_input_tokens":0}}`, a.model, strings.Join(blocks, ","), stop))
		return
	}
	event := func(typ, rest string) string {
		return fmt.Sprintf("event: %s\ndata: {\"type\":\"%s\"%s}\n\n", typ, typ, rest)
	}
	events := []string{
		event("message_start", fmt.Sprintf(`,"message":{"id":"msg_1","type":"message","role":"assistant","model":%q,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":11,"output_tokens":1,"cache_read_input_tokens":3,"cache_creation_input_tokens":0}}`, a.model)),
		event("ping", ""),
	}
	index := 0
	block := func(start, kind, field string, parts [2]string) {
		events = append(events, event("content_block_start", fmt.Sprintf(`,"index":%d,"content_block":%s`, index, start)))
		for _, part := range parts {
			events = append(events, event("content_block_delta", fmt.Sprintf(`,"index":%d,"delta":{"type":%q,%q:%q}`, index, kind, field, part)))
		}
		events = append(events, event("content_block_stop", fmt.Sprintf(`,"index":%d`, index)))
		index++
	}
	if s.text != "" {
		block(`{"type":"text","text":""}`, "text_delta", "text", halves(s.text))
	}
	for _, c := range s.calls {
		block(fmt.Sprintf(`{"type":"tool_use","id":"tool%s","name":%q,"input":{}}`, c.id, c.name), "input_json_delta", "partial_json", halves(c.args))
	}
	events = append(events,
		event("message_delta", fmt.Sprintf(`,"delta":{"stop_reason":%q,"stop_sequence":null},"usage":{"output_tokens":7}`, stop)),
		event("message_stop", ""))
	sendEvents(w, events...)
}
