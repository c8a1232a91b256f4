package fakes

import (
	"net/http"
	"strings"

	"github.com/tidwall/gjson"
)

const responsesFields = `model input instructions stream max_output_tokens temperature top_p tools tool_choice parallel_tool_calls user reasoning
	text store include previous_response_id metadata truncation service_tier prompt_cache_key safety_identifier background top_logprobs
	stream_options max_tool_calls prompt_cache_retention client_metadata conversation`

func readResponses(r *http.Request, b gjson.Result, no *objections) heard {
	h := heard{model: b.Get("model").Str, stream: b.Get("stream").Bool()}
	h.counts = r.URL.Path == "/v1/responses/input_tokens"
	no.check(r.URL.Path == "/v1/responses" || h.counts, "Invalid URL (%s %s)", r.Method, r.URL.Path)
	no.check(strings.HasPrefix(r.Header.Get("Authorization"), "Bearer sk-account-"), "authorization %q", r.Header.Get("Authorization"))
	no.known("body", b, responsesFields)
	no.check(h.model != "" || h.counts, "Missing required parameter: 'model'.")
	if reasons.MatchString(h.model) {
		no.check(!b.Get("temperature").Exists() && !b.Get("top_p").Exists(), "Unsupported parameter: 'temperature' is not supported with this model.")
		h.thinks = strings.Contains(b.Get("include").Raw, "reasoning.encrypted_content")
	} else {
		no.check(b.Get("reasoning").Type == gjson.Null || len(b.Get("reasoning").Map()) == 0, "Unsupported parameter: 'reasoning.effort' is not supported with this model.")
	}
	h.responsesTools(no, b.Get("tools"))
	if in := b.Get("input"); in.Type == gjson.String {
		h.said = append(h.said, in.Str)
	} else {
		no.check(in.IsArray() && len(in.Array()) > 0, "Missing required parameter: 'input'.")
		h.responsesInput(no, in, b.Get("previous_response_id").Exists())
	}
	return h
}

func (h *heard) responsesTools(no *objections, tools gjson.Result) {
	for i, t := range tools.Array() {
		switch typ := t.Get("type").Str; typ {
		case "function":
			no.known("tools", t, "type name description parameters strict defer_loading output_schema")
			no.check(toolName.MatchString(t.Get("name").Str), "Invalid 'tools[%d].name': %s", i, t.Get("name").Raw)
			no.schema("tools.parameters", t.Get("parameters"), t.Get("strict").Bool())
			h.tools = append(h.tools, offered{t.Get("name").Str, t.Get("parameters")})
		case "custom", "web_search", "web_search_preview", "local_shell", "image_generation", "namespace", "tool_search":
			h.responsesTools(no, t.Get("tools"))
		default:
			no.check(false, "Invalid value: '%s' of tools[%d].type", typ, i)
		}
	}
}

// responsesInput reads the items; known says that calls may be in a former response.
func (h *heard) responsesInput(no *objections, in gjson.Result, known bool) {
	open := map[string]bool{}
	for _, item := range in.Array() {
		id := item.Get("call_id").Str
		switch typ := item.Get("type").Str; typ {
		case "", "message":
			h.responsesMessage(no, item)
		case "function_call", "custom_tool_call":
			prefix := map[string]string{"function_call": "fc", "custom_tool_call": "ctc"}[typ]
			no.check(!item.Get("id").Exists() || strings.HasPrefix(item.Get("id").Str, prefix), "Invalid 'input.id': '%s'. Expected an ID that begins with '%s'.", item.Get("id").Str, prefix)
			no.check(id != "" && len(id) <= 64, "Invalid 'input.call_id': %q", id)
			no.check(typ != "function_call" || item.Get("arguments").Type == gjson.String, "Invalid type for 'input.arguments'")
			open[id] = true
		case "function_call_output", "custom_tool_call_output":
			no.check(known || open[id], "No tool call found for function call output with call_id %s.", id)
			delete(open, id)
			h.results = append(h.results, h.responsesContent(no, "user", item.Get("output")))
		case "reasoning":
			no.check(item.Get("summary").IsArray(), "Missing required parameter: 'input.summary'.")
			no.check(!item.Get("id").Exists() || strings.HasPrefix(item.Get("id").Str, "rs"), "Invalid 'input.id': '%s'. Expected an ID that begins with 'rs'.", item.Get("id").Str)
			sealed := item.Get("encrypted_content").Str
			no.check(sealed == "" || strings.HasPrefix(sealed, "sealresponses"), "The encrypted content %.20s could not be verified.", sealed)
		default:
			no.check(false, "Invalid value: '%s' of input.type", typ)
		}
	}
	for id := range open {
		no.check(false, "No tool output found for function call %s.", id)
	}
}

func (h *heard) responsesMessage(no *objections, item gjson.Result) {
	role := item.Get("role").Str
	no.check(role == "user" || role == "assistant" || role == "system" || role == "developer", "Invalid value: '%s' of input.role", role)
	no.check(!item.Get("id").Exists() || strings.HasPrefix(item.Get("id").Str, "msg"), "Invalid 'input.id': '%s'. Expected an ID that begins with 'msg'.", item.Get("id").Str)
	text := h.responsesContent(no, role, item.Get("content"))
	if role == "user" {
		h.said = append(h.said, text)
		if mark.MatchString(text) {
			h.results = nil
		}
	}
}

func (h *heard) responsesContent(no *objections, role string, content gjson.Result) string {
	if content.Type == gjson.String {
		return content.Str
	}
	text := ""
	no.check(content.IsArray(), "Invalid type for 'input.content': %.60s", content.Raw)
	for _, p := range content.Array() {
		switch typ := p.Get("type").Str; {
		case typ == "input_text" && role != "assistant", typ == "output_text" && role == "assistant":
			text += p.Get("text").Str + "\n"
		case typ == "refusal" && role == "assistant":
		case typ == "input_image" && role == "user":
			no.known("input.content", p, "type image_url detail file_id")
			h.dataImage(no, "input.content.image_url", p.Get("image_url").Str)
		case typ == "input_file" && role == "user":
		default:
			no.check(false, "Invalid value: '%s'. A message of role %s has no such content.", typ, role)
		}
	}
	return text
}

func countResponses(w http.ResponseWriter, n int) {
	sendJSON(w, http.StatusOK, object{"object": "response.input_tokens", "input_tokens": n})
}

func answerResponses(w http.ResponseWriter, h heard, p plan) {
	response := func(status string, output []any) object {
		out := object{"id": "resp_0123", "object": "response", "created_at": 1700000000, "status": status, "model": h.model, "output": output,
			"error": nil, "incomplete_details": nil, "instructions": nil, "metadata": object{}, "parallel_tool_calls": true, "temperature": 1,
			"tool_choice": "auto", "tools": []any{}, "top_p": 1, "usage": nil}
		if status == "completed" {
			out["usage"] = object{"input_tokens": 11, "output_tokens": 7, "total_tokens": 18, "input_tokens_details": object{"cached_tokens": 3}, "output_tokens_details": object{"reasoning_tokens": 2}}
		}
		return out
	}
	items := responsesItems(p)
	if !h.stream {
		var output []any
		for _, item := range items {
			output = append(output, item)
		}
		sendJSON(w, http.StatusOK, response("completed", output))
		return
	}
	s := &sequence{stream: newStream(w)}
	s.say("response.created", object{"response": response("in_progress", []any{})})
	s.say("response.in_progress", object{"response": response("in_progress", []any{})})
	var output []any
	for i, item := range items {
		s.item(i, item, p)
		output = append(output, item)
	}
	s.say("response.completed", object{"response": response("completed", output)})
}

// responsesItems is an answer as items that are done.
func responsesItems(p plan) (items []object) {
	if p.thought != "" {
		items = append(items, object{"id": "rs_1", "type": "reasoning", "summary": []any{object{"type": "summary_text", "text": p.thought}}, "encrypted_content": sealOf("responses", p.thought)})
	}
	if len(p.text) > 0 {
		items = append(items, object{"id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
			"content": []any{object{"type": "output_text", "text": strings.Join(p.text, ""), "annotations": []any{}, "logprobs": []any{}}}})
	}
	if p.call != "" {
		items = append(items, object{"id": "fc_1", "type": "function_call", "status": "completed", "call_id": p.id("call_"), "name": p.call, "arguments": p.args})
	}
	return items
}

type sequence struct {
	stream
	n int
}

func (s *sequence) say(name string, v object) {
	v["type"], v["sequence_number"] = name, s.n
	s.n++
	s.send(name, v)
}

// item streams one item.
func (s *sequence) item(i int, item object, p plan) {
	begun := object{}
	for k, v := range item {
		begun[k] = v
	}
	at := func(v object) object {
		v["output_index"], v["item_id"] = i, item["id"]
		return v
	}
	switch item["type"] {
	case "message":
		begun["status"], begun["content"] = "in_progress", []any{}
		s.say("response.output_item.added", object{"output_index": i, "item": begun})
		s.say("response.content_part.added", at(object{"content_index": 0, "part": object{"type": "output_text", "text": "", "annotations": []any{}}}))
		for _, t := range p.text {
			s.say("response.output_text.delta", at(object{"content_index": 0, "delta": t, "logprobs": []any{}}))
		}
		s.say("response.output_text.done", at(object{"content_index": 0, "text": strings.Join(p.text, ""), "logprobs": []any{}}))
		s.say("response.content_part.done", at(object{"content_index": 0, "part": item["content"].([]any)[0]}))
	case "function_call":
		begun["status"], begun["arguments"] = "in_progress", ""
		s.say("response.output_item.added", object{"output_index": i, "item": begun})
		half := len(p.args) / 2
		s.say("response.function_call_arguments.delta", at(object{"delta": p.args[:half]}))
		s.say("response.function_call_arguments.delta", at(object{"delta": p.args[half:]}))
		s.say("response.function_call_arguments.done", at(object{"arguments": p.args, "name": p.call}))
	case "reasoning":
		begun["summary"] = []any{}
		s.say("response.output_item.added", object{"output_index": i, "item": begun})
		s.say("response.reasoning_summary_part.added", at(object{"summary_index": 0, "part": object{"type": "summary_text", "text": ""}}))
		s.say("response.reasoning_summary_text.delta", at(object{"summary_index": 0, "delta": p.thought}))
		s.say("response.reasoning_summary_text.done", at(object{"summary_index": 0, "text": p.thought}))
		s.say("response.reasoning_summary_part.done", at(object{"summary_index": 0, "part": object{"type": "summary_text", "text": p.thought}}))
	}
	s.say("response.output_item.done", object{"output_index": i, "item": item})
}
