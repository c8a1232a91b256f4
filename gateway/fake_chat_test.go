package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

func newChat(t *testing.T) *provider {
	return newFake(t, readChat, answerChat, func(w http.ResponseWriter, why string) {
		sendJSON(w, 400, fmt.Sprintf(`{"error":{"message":%q,"type":"invalid_request_error","param":null,"code":null}}`, why))
	})
}

func readChat(r *http.Request, b gjson.Result, no *objections) (a asked) {
	no.check(r.URL.Path == "/v1/chat/completions", "path %s", r.URL.Path)
	no.only(r, "", "X-Stainless-")
	no.check(strings.HasPrefix(r.Header.Get("Authorization"), "Bearer sk-account-"), "authorization %q", r.Header.Get("Authorization"))
	no.known("body", b, "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "tools", "tool_choice", "parallel_tool_calls", "user", "n", "seed", "response_format", "presence_penalty", "frequency_penalty", "reasoning_effort")
	no.check(b.Get("stream").Bool() || !b.Get("stream_options").Exists(), "stream_options without stream")
	no.check(len(b.Get("stop").Array()) <= 4, "more than 4 stop sequences")
	a.model, a.stream, a.usage = b.Get("model").Str, b.Get("stream").Bool(), b.Get("stream_options.include_usage").Bool()
	no.check(a.model != "", "you must provide a model")
	for _, tool := range b.Get("tools").Array() {
		no.check(tool.Get("type").Str == "function" && tool.Get("function.name").Str != "", "tool %s", tool)
		a.tools = append(a.tools, tool.Get("function.name").Str)
	}
	switch c := b.Get("tool_choice"); {
	case c.IsObject():
		a.forced = c.Get("function.name").Str
		no.check(a.forced != "", "tool_choice %s", c)
	case c.Exists():
		a.none = c.Str == "none"
		no.check(len(a.tools) > 0, "tool_choice without tools")
		no.check(c.Str == "none" || c.Str == "auto" || c.Str == "required", "tool_choice %s", c)
	}
	readChatMessages(b.Get("messages").Array(), no, &a)
	return a
}

func readChatMessages(messages []gjson.Result, no *objections, a *asked) {
	no.check(len(messages) > 0, "messages is too short")
	var open []string
	for i, m := range messages {
		content := m.Get("content")
		role := m.Get("role").Str
		if role != "tool" {
			no.check(len(open) == 0, "messages.%d: tool calls without a result: %v", i, open)
			a.result = ""
		}
		switch role {
		case "system", "developer", "user":
			no.check(content.Type == gjson.String || content.IsArray(), "messages.%d.content %s", i, content)
		case "assistant":
			calls := m.Get("tool_calls").Array()
			no.check(content.Type == gjson.String || content.IsArray() || len(calls) > 0, "messages.%d: assistant without content", i)
			for _, c := range calls {
				no.check(c.Get("id").Str != "" && c.Get("type").Str == "function" && c.Get("function.name").Str != "" && gjson.Valid(c.Get("function.arguments").Str), "tool call %s", c)
				open = append(open, c.Get("id").Str)
			}
		case "tool":
			id := m.Get("tool_call_id").Str
			if no.check(contains(open, id), "messages.%d: tool result %q without a call", i, id) {
				open = without(open, id)
			}
			a.result += content.Str
			for _, part := range content.Array() {
				a.result += part.Get("text").Str
			}
		default:
			no.check(false, "messages.%d.role %q", i, role)
		}
		if content.IsArray() {
			for _, part := range content.Array() {
				switch typ := part.Get("type").Str; typ {
				case "text":
					no.check(part.Get("text").Type == gjson.String, "text part %s", part)
					a.both = a.both || strings.Contains(part.Get("text").Str, "both")
				case "image_url":
					no.check(role == "user" && part.Get("image_url.url").Str != "", "image part %s", part)
				default:
					no.check(false, "part type %q", typ)
				}
			}
		}
		a.both = a.both || strings.Contains(content.Str, "both")
	}
	no.check(len(open) == 0, "tool calls without a result: %v", open)
}

func answerChat(w http.ResponseWriter, a asked) {
	s, finish := a.answer(), "stop"
	if len(s.calls) > 0 {
		finish = "tool_calls"
	}
	const usage = `{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}}`
	if !a.stream {
		content := "null"
		if s.text != "" {
			content = fmt.Sprintf("%q", s.text)
		}
		var calls []string
		for _, c := range s.calls {
			calls = append(calls, fmt.Sprintf(`{"id":%q,"type":"function","function":{"name":%q,"arguments":%q}}`, c.id, c.name, c.args))
		}
		tools := ""
		if len(calls) > 0 {
			tools = `,"tool_calls":[` + strings.Join(calls, ",") + `]`
		}
		sendJSON(w, 200, fmt.Sprintf(`{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":%s,"refusal":null%s},"logprobs":null,"finish_reason":%q}],"usage":%s,"system_fingerprint":"fp_1"}`, a.model, content, tools, finish, usage))
		return
	}
	chunk := func(delta, end string) string {
		return fmt.Sprintf("data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":%q,\"choices\":[{\"index\":0,\"delta\":%s,\"logprobs\":null,\"finish_reason\":%s}]}\n\n", a.model, delta, end)
	}
	events := []string{chunk(`{"role":"assistant","content":""}`, "null")}
	if s.text != "" {
		for _, part := range halves(s.text) {
			events = append(events, chunk(fmt.Sprintf(`{"content":%q}`, part), "null"))
		}
	}
	for i, c := range s.calls {
		events = append(events, chunk(fmt.Sprintf(`{"tool_calls":[{"index":%d,"id":%q,"type":"function","function":{"name":%q,"arguments":""}}]}`, i, c.id, c.name), "null"))
		for _, part := range halves(c.args) {
			events = append(events, chunk(fmt.Sprintf(`{"tool_calls":[{"index":%d,"function":{"arguments":%q}}]}`, i, part), "null"))
		}
	}
	events = append(events, chunk("{}", fmt.Sprintf("%q", finish)))
	if a.usage {
		events = append(events, fmt.Sprintf("data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":%q,\"choices\":[],\"usage\":%s}\n\n", a.model, usage))
	}
	sendEvents(w, append(events, "data: [DONE]\n\n")...)
}
