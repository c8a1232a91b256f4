package fakes

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/tidwall/gjson"
)

func refuseClaude(w http.ResponseWriter, why string) {
	sendJSON(w, http.StatusBadRequest, object{"type": "error", "error": object{"type": "invalid_request_error", "message": why}})
}

const claudeFields = `model messages system max_tokens metadata stop_sequences stream temperature top_p top_k tools tool_choice thinking
	service_tier container mcp_servers context_management output_config cache_control inference_geo diagnostics`

var (
	claudeID   = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	claudeName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)
)

func readClaude(r *http.Request, b gjson.Result, no *objections) heard {
	h := heard{model: b.Get("model").Str, stream: b.Get("stream").Bool(), counts: r.URL.Path == "/v1/messages/count_tokens"}
	no.check(r.URL.Path == "/v1/messages" || h.counts, "path %s", r.URL.Path)
	no.check(r.Header.Get("Anthropic-Version") != "", "anthropic-version: header is required")
	no.check(strings.HasPrefix(r.Header.Get("X-Api-Key"), "sk-account-") && r.Header.Get("Authorization") == "", "x-api-key %q, authorization %q", r.Header.Get("X-Api-Key"), r.Header.Get("Authorization"))
	no.known("body", b, claudeFields)
	no.check(b.Get("max_tokens").Num >= 1 || h.counts, "max_tokens: Field required")
	no.check(strings.Count(b.Raw, `"cache_control":{`) <= 4, "A maximum of 4 blocks with cache_control may be provided.")
	h.claudeThinking(no, b)
	for i, t := range b.Get("tools").Array() {
		if typ := t.Get("type").Str; typ != "" && typ != "custom" {
			continue // its own
		}
		no.known("tools", t, "type name description input_schema cache_control strict eager_input_streaming defer_loading input_examples allowed_callers")
		no.check(claudeName.MatchString(t.Get("name").Str), "tools.%d.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'", i)
		no.schema("tools.input_schema", t.Get("input_schema"), t.Get("strict").Bool())
		h.tools = append(h.tools, offered{t.Get("name").Str, t.Get("input_schema")})
	}
	no.check(len(h.tools) > 0 || !b.Get("tool_choice").Exists(), "tool_choice may only be specified while providing tools.")
	if s := b.Get("system"); s.IsArray() {
		for _, t := range s.Array() {
			no.known("system", t, "type text cache_control citations")
			no.check(t.Get("type").Str == "text" && t.Get("text").Str != "", "system: text content blocks must be non-empty")
		}
	}
	h.claudeMessages(no, b, r.Header.Get("Anthropic-Beta") != "")
	return h
}

func (h *heard) claudeThinking(no *objections, b gjson.Result) {
	temperature, topP := b.Get("temperature"), b.Get("top_p")
	no.check(temperature.Num >= 0 && temperature.Num <= 1, "temperature: range: 0..1")
	switch t := b.Get("thinking"); t.Get("type").Str {
	case "enabled":
		h.thinks = true
		budget := t.Get("budget_tokens").Num
		no.check(budget >= 1024, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
		no.check(h.counts || budget < b.Get("max_tokens").Num, "`max_tokens` must be greater than `thinking.budget_tokens`")
	case "adaptive":
		h.thinks = true
	case "", "disabled":
	default:
		no.check(false, "thinking.type: %s", t)
	}
	choice := b.Get("tool_choice.type").Str
	no.check(!h.thinks || choice != "any" && choice != "tool", "Thinking may not be enabled when tool_choice forces tool use.")
	no.check(!h.thinks || !temperature.Exists() || temperature.Num == 1, "`temperature` may only be set to 1 when thinking is enabled.")
	no.check(!h.thinks || !b.Get("top_k").Exists(), "`top_k` must be unset when thinking is enabled.")
	if strings.Contains(h.model, "-4-5") || strings.Contains(h.model, "-4-6") {
		no.check(!temperature.Exists() || !topP.Exists(), "`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
	}
}

func (h *heard) claudeMessages(no *objections, b gjson.Result, beta bool) {
	messages := b.Get("messages").Array()
	no.check(len(messages) > 0 && messages[0].Get("role").Str == "user", "messages: first message must use the \"user\" role")
	var open map[string]bool
	for i, m := range messages {
		no.known("messages", m, "role content")
		role := m.Get("role").Str
		if role == "system" && beta && i > 0 {
			continue // Anthropic takes it with a beta header
		}
		no.check(role == "user" || role == "assistant", "messages: Unexpected role %q. The Messages API accepts a top-level `system` parameter, not \"system\" as an input message role.", role)
		c := m.Get("content")
		no.check(c.Str != "" || len(c.Array()) > 0, "messages.%d: all messages must have non-empty content", i)
		asked := open
		if role == "user" {
			open = nil
		}
		calls := map[string]bool{}
		other := false
		for j, block := range c.Array() {
			if c.Type == gjson.String {
				break
			}
			typ := block.Get("type").Str
			if id := block.Get("tool_use_id").Str; typ == "tool_result" && role == "user" {
				no.check(asked[id], "messages.%d.content.%d: unexpected `tool_use_id` found in `tool_result` blocks: %s", i, j, id)
				no.check(!other, "messages.%d: tool_result blocks must come before other content", i)
				delete(asked, id)
			} else {
				other = true
			}
			if typ == "tool_use" {
				calls[block.Get("id").Str] = true
			}
			if typ == "thinking" && h.thinks {
				no.check(block.Get("signature").Str == sealOf("claude", block.Get("thinking").Str), "messages.%d.content.%d: Invalid `signature` in `thinking` block", i, j)
			}
		}
		no.check(role != "user" || len(asked) == 0, "messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after: %v", i, asked)
		h.claudeContent(no, role, c)
		if role == "assistant" {
			no.check(len(asked) == 0, "messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after: %v", i, asked)
			no.check(!h.thinks || len(calls) == 0 || c.Get("0.type").Str == "thinking" || c.Get("0.type").Str == "redacted_thinking" || b.Get("thinking.type").Str == "adaptive",
				"messages.%d.content.0.type: Expected `thinking` or `redacted_thinking`, but found `%s`. When `thinking` is enabled, a final `assistant` message must start with a thinking block.", i, c.Get("0.type").Str)
			open = calls
		}
	}
	no.check(len(open) == 0, "messages: `tool_use` ids were found without `tool_result` blocks: %v", open)
}

// claudeContent reads the blocks of a message or of a result.
func (h *heard) claudeContent(no *objections, where string, c gjson.Result) string {
	text := ""
	blocks := c.Array()
	if c.Type == gjson.String {
		text, blocks = c.Str, nil
	}
	for _, b := range blocks {
		switch typ := b.Get("type").Str; {
		case typ == "text":
			no.known("text", b, "type text cache_control citations")
			no.check(strings.TrimSpace(b.Get("text").Str) != "", "messages: text content blocks must contain non-whitespace text")
			text += b.Get("text").Str + "\n"
		case typ == "image" && where != "assistant":
			no.known("image", b, "type source cache_control")
			h.image(no, "messages.image.source", b.Get("source.media_type").Str, b.Get("source.data").Str)
		case typ == "document" && where != "assistant", typ == "tool_reference":
		case typ == "tool_use" && where == "assistant":
			no.known("tool_use", b, "type id name input cache_control caller")
			no.check(claudeID.MatchString(b.Get("id").Str), "messages.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
			no.check(b.Get("input").IsObject(), "messages.tool_use.input: Input should be a valid dictionary")
		case typ == "tool_result" && where == "user":
			no.known("tool_result", b, "type tool_use_id content is_error cache_control")
			h.results = append(h.results, h.claudeContent(no, "result", b.Get("content")))
		case (typ == "thinking" || typ == "redacted_thinking") && where == "assistant":
			no.known("thinking", b, "type thinking signature data")
		default:
			no.check(false, "messages: Input tag '%s' found, which a %s has not", typ, where)
		}
	}
	if where == "user" {
		h.said = append(h.said, text)
		if mark.MatchString(text) {
			h.results = nil
		}
	}
	return text
}

func countClaude(w http.ResponseWriter, n int) { sendJSON(w, http.StatusOK, object{"input_tokens": n}) }

func answerClaude(w http.ResponseWriter, h heard, p plan) {
	reason := "end_turn"
	if p.call != "" {
		reason = "tool_use"
	}
	usage := object{"input_tokens": 8, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 3, "output_tokens": 7}
	message := object{"id": "msg_01", "type": "message", "role": "assistant", "model": h.model, "stop_sequence": nil, "usage": usage}
	var content []object
	if p.thought != "" {
		content = append(content, object{"type": "thinking", "thinking": p.thought, "signature": sealOf("claude", p.thought)})
	}
	if len(p.text) > 0 {
		content = append(content, object{"type": "text", "text": strings.Join(p.text, "")})
	}
	if p.call != "" {
		content = append(content, object{"type": "tool_use", "id": p.id("toolu_"), "name": p.call, "input": json.RawMessage(p.args)})
	}
	if !h.stream {
		message["content"], message["stop_reason"] = content, reason
		sendJSON(w, http.StatusOK, message)
		return
	}
	s := newStream(w)
	say := func(name string, v object) { v["type"] = name; s.send(name, v) }
	message["content"], message["stop_reason"] = []any{}, nil
	say("message_start", object{"message": message})
	say("ping", object{})
	for i, block := range content {
		claudeBlock(func(name string, v object) { v["index"] = i; say(name, v) }, block, p)
	}
	say("message_delta", object{"delta": object{"stop_reason": reason, "stop_sequence": nil}, "usage": usage})
	say("message_stop", object{})
}

// claudeBlock streams one block.
func claudeBlock(say func(string, object), block object, p plan) {
	delta := func(typ, field, value string) {
		say("content_block_delta", object{"delta": object{"type": typ, field: value}})
	}
	switch block["type"] {
	case "text":
		say("content_block_start", object{"content_block": object{"type": "text", "text": ""}})
		for _, t := range p.text {
			delta("text_delta", "text", t)
		}
	case "thinking":
		say("content_block_start", object{"content_block": object{"type": "thinking", "thinking": "", "signature": ""}})
		delta("thinking_delta", "thinking", p.thought)
		delta("signature_delta", "signature", sealOf("claude", p.thought))
	case "tool_use":
		say("content_block_start", object{"content_block": object{"type": "tool_use", "id": block["id"], "name": p.call, "input": object{}}})
		half := len(p.args) / 2
		delta("input_json_delta", "partial_json", "")
		delta("input_json_delta", "partial_json", p.args[:half])
		delta("input_json_delta", "partial_json", p.args[half:])
	}
	say("content_block_stop", object{})
}
