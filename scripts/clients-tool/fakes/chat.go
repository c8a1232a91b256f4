package fakes

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

func refuseOpenAI(w http.ResponseWriter, why string) {
	sendJSON(w, http.StatusBadRequest, object{"error": object{"message": why, "type": "invalid_request_error", "param": nil, "code": nil}})
}

// reasons are OpenAI's models that reason.
var reasons = regexp.MustCompile(`^(o\d|gpt-[5-9])`)

const chatFields = `model messages stream stream_options max_tokens max_completion_tokens temperature top_p stop tools tool_choice
	parallel_tool_calls user n seed response_format presence_penalty frequency_penalty reasoning_effort logit_bias logprobs top_logprobs
	metadata store service_tier modalities prediction audio verbosity prompt_cache_key safety_identifier prompt_cache_retention web_search_options`

func readChat(r *http.Request, b gjson.Result, no *objections) heard {
	no.check(r.URL.Path == "/v1/chat/completions", "Invalid URL (%s %s)", r.Method, r.URL.Path)
	no.check(strings.HasPrefix(r.Header.Get("Authorization"), "Bearer sk-account-"), "authorization %q", r.Header.Get("Authorization"))
	no.known("body", b, chatFields)
	h := heard{model: b.Get("model").Str, stream: b.Get("stream").Bool(), usage: b.Get("stream_options.include_usage").Bool()}
	no.check(h.model != "", "you must provide a model parameter")
	no.check(h.stream || !b.Get("stream_options").Exists(), "stream_options is only allowed when stream is enabled")
	no.check(len(b.Get("stop").Array()) <= 4, "stop: array too long")
	if reasons.MatchString(h.model) {
		no.check(!b.Get("max_tokens").Exists(), "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
		no.check(!b.Get("temperature").Exists() || b.Get("temperature").Num == 1, "Unsupported value: 'temperature' does not support %s with this model.", b.Get("temperature").Raw)
	} else {
		no.check(!b.Get("reasoning_effort").Exists(), "Unrecognized request argument supplied: reasoning_effort")
	}
	for i, t := range b.Get("tools").Array() {
		f := t.Get("function")
		no.check(t.Get("type").Str == "function" && toolName.MatchString(f.Get("name").Str), "Invalid 'tools[%d].function.name': %s", i, f.Get("name").Raw)
		no.known("tools.function", f, "name description parameters strict")
		if f.Get("parameters").Exists() {
			no.schema("tools.function.parameters", f.Get("parameters"), f.Get("strict").Bool())
		}
		h.tools = append(h.tools, offered{f.Get("name").Str, f.Get("parameters")})
	}
	no.check(len(h.tools) > 0 || !b.Get("tool_choice").Exists() && !b.Get("parallel_tool_calls").Exists(), "'tool_choice' is only allowed when 'tools' are specified")
	messages := b.Get("messages").Array()
	no.check(len(messages) > 0, "messages: array too short")
	open := []string{}
	for _, m := range messages {
		open = h.chatMessage(no, m, open)
	}
	no.check(len(open) == 0, "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id': %v", open)
	return h
}

// chatMessage reads one message; open are the calls that lack a result.
func (h *heard) chatMessage(no *objections, m gjson.Result, open []string) []string {
	role := m.Get("role").Str
	content := m.Get("content")
	no.known("messages", m, "role content name tool_calls tool_call_id refusal audio")
	if role != "tool" {
		no.check(len(open) == 0, "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id': %v", open)
		open = nil
	}
	text := h.chatContent(no, role, content)
	switch role {
	case "system", "developer":
		no.check(text != "" || content.Str == "", "messages.content: empty")
	case "user":
		no.check(content.Type == gjson.String || len(content.Array()) > 0, "Invalid value for 'content': expected a string, got null")
		h.said = append(h.said, text)
		if text != "" {
			h.results = slices.Clip(h.results)
			if mark.MatchString(text) {
				h.results = nil
			}
		}
	case "assistant":
		calls := m.Get("tool_calls")
		no.check(!calls.Exists() || len(calls.Array()) > 0, "Invalid 'messages.tool_calls': empty array")
		no.check(content.Type == gjson.String || len(content.Array()) > 0 || calls.Exists(), "Invalid value for 'content': expected a string, got null")
		for _, c := range calls.Array() {
			id := c.Get("id").Str
			no.check(id != "" && len(id) <= 40, "Invalid 'tool_calls.id': %q", id)
			no.check(c.Get("type").Str == "function" && toolName.MatchString(c.Get("function.name").Str), "Invalid 'tool_calls.function.name': %s", c)
			no.check(c.Get("function.arguments").Type == gjson.String && gjson.Valid(c.Get("function.arguments").Str), "Invalid 'tool_calls.function.arguments': %s", c)
			open = append(open, id)
		}
	case "tool":
		id := m.Get("tool_call_id").Str
		at := slices.Index(open, id)
		if no.check(at >= 0, "messages with role 'tool' must be a response to a preceding message with 'tool_calls': %q", id) {
			open = slices.Delete(open, at, at+1)
		}
		h.results = append(h.results, text)
	default:
		no.check(false, "Invalid value: %q. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.", role)
	}
	return open
}

// chatContent reads content and gives its text.
func (h *heard) chatContent(no *objections, role string, content gjson.Result) string {
	if content.Type == gjson.String {
		return content.Str
	}
	text := ""
	for _, p := range content.Array() {
		switch typ := p.Get("type").Str; {
		case typ == "text":
			no.known("messages.content", p, "type text")
			no.check(p.Get("text").Type == gjson.String, "Invalid type for 'messages.content.text'")
			text += p.Get("text").Str + "\n"
		case typ == "image_url" && role == "user":
			h.dataImage(no, "messages.content.image_url", p.Get("image_url.url").Str)
		case typ == "file" && role == "user":
			no.check(strings.HasPrefix(p.Get("file.file_data").Str, "data:"), "Invalid 'file_data'")
		default:
			no.check(false, "Invalid value: '%s'. A message of role %s has no such content.", typ, role)
		}
	}
	return text
}

var chatUsage = object{"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18,
	"prompt_tokens_details": object{"cached_tokens": 3}, "completion_tokens_details": object{"reasoning_tokens": 2}}

func answerChat(w http.ResponseWriter, h heard, p plan) {
	finish := "stop"
	if p.call != "" {
		finish = "tool_calls"
	}
	head := func(kind string, choice object) object {
		choice["index"], choice["logprobs"] = 0, nil
		return object{"id": "chatcmpl-1", "object": kind, "created": 1700000000, "model": h.model, "choices": []any{choice}}
	}
	id := p.id("call_")
	if !h.stream {
		m := object{"role": "assistant", "content": strings.Join(p.text, ""), "refusal": nil}
		if p.call != "" {
			m["tool_calls"] = []any{object{"id": id, "type": "function", "function": object{"name": p.call, "arguments": p.args}}}
		}
		out := head("chat.completion", object{"message": m, "finish_reason": finish})
		out["usage"] = chatUsage
		sendJSON(w, http.StatusOK, out)
		return
	}
	s := newStream(w)
	chunk := func(delta object, finish any) {
		s.send("", head("chat.completion.chunk", object{"delta": delta, "finish_reason": finish}))
	}
	chunk(object{"role": "assistant", "content": "", "refusal": nil}, nil)
	for _, t := range p.text {
		chunk(object{"content": t}, nil)
	}
	if p.call != "" {
		half := len(p.args) / 2
		chunk(object{"tool_calls": []any{object{"index": 0, "id": id, "type": "function", "function": object{"name": p.call, "arguments": ""}}}}, nil)
		chunk(object{"tool_calls": []any{object{"index": 0, "function": object{"arguments": p.args[:half]}}}}, nil)
		chunk(object{"tool_calls": []any{object{"index": 0, "function": object{"arguments": p.args[half:]}}}}, nil)
	}
	chunk(object{}, finish)
	if h.usage {
		s.send("", object{"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": h.model, "choices": []any{}, "usage": chatUsage})
	}
	_, _ = w.Write([]byte("data: [DONE]\n\n"))
}
