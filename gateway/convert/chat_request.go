package convert

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"
)

// readChat reads a Chat Completions request.
func readChat(r *reader, body gjson.Result) *request {
	q := &request{}
	var allowed []string
	q.thinking.show = true // in reasoning_content
	r.object("", body, func(field, key string, v gjson.Result) bool {
		switch key {
		case "model", "stream": // the caller's
		case "messages":
			r.list(field, v, func(field string, m gjson.Result) { r.chatMessage(q, field, m) })
		case "stream_options":
			q.usage = v.Get("include_usage").Bool()
		case "max_tokens", "max_completion_tokens":
			q.maxTokens = r.number(field, v)
		case "temperature":
			q.temperature = r.number(field, v)
		case "top_p":
			q.topP = r.number(field, v)
		case "seed":
			q.seed = r.number(field, v)
		case "presence_penalty":
			q.presence = r.number(field, v)
		case "frequency_penalty":
			q.frequency = r.number(field, v)
		case "stop":
			q.stopField = field
			q.stop = r.textOrTexts(field, v)
		case "n":
			r.only(field, v, "1")
		case "logprobs":
			r.only(field, v, "false")
		case "logit_bias":
			r.only(field, v, "{}")
		case "modalities":
			r.only(field, v, `["text"]`)
		case "top_k":
			q.topK = r.number(field, v)
		case "reasoning_effort":
			q.thinking.effort, q.thinking.field = r.text(field, v), field
		case "reasoning", "thinking":
			r.chatThinking(q, field, v)
		case "response_format":
			q.format = r.chatFormat(field, v)
		case "tools":
			r.list(field, v, func(field string, t gjson.Result) { r.chatTool(q, field, t) })
		case "functions": // before there were tools
			r.list(field, v, func(field string, f gjson.Result) { q.tools = append(q.tools, r.function(field, f)) })
		case "tool_choice", "function_call":
			allowed = r.chatChoice(q, field, v)
		case "parallel_tool_calls":
			q.single = flag{!r.flag(field, v), field}
		default:
			return chatHints[key]
		}
		return true
	})
	q.allow(allowed)
	return q
}

// chatHints are fields of OpenAI, and of what is like it, that no answer depends on.
var chatHints = map[string]bool{
	"user": true, "metadata": true, "store": true, "service_tier": true, "safety_identifier": true,
	"prompt_cache_key": true, "prompt_cache_retention": true, "prediction": true, "verbosity": true,
	"cache_control": true, "min_p": true, "top_a": true, "repetition_penalty": true, "session_id": true,
	"enable_thinking": true, "chat_template_kwargs": true, "include_reasoning": true,
	"provider": true, "transforms": true, "route": true, "usage": true, "extra_body": true,
}

// textOrTexts is one text, or several.
func (r *reader) textOrTexts(field string, v gjson.Result) []string {
	if v.Type == gjson.String {
		return []string{v.Str}
	}
	return r.texts(field, v)
}

// chatThinking reads how others than OpenAI let a client ask for thinking.
func (r *reader) chatThinking(q *request, field string, v gjson.Result) {
	q.thinking.field = field
	switch {
	case v.Get("effort").Str != "":
		q.thinking.effort = v.Get("effort").Str
	case v.Get("max_tokens").Type == gjson.Number, v.Get("budget_tokens").Type == gjson.Number:
		q.thinking.budget = v.Get("max_tokens").Raw + v.Get("budget_tokens").Raw
	case v.Get("type").Str == "disabled", v.Get("enabled").Raw == "false":
		q.thinking.effort = "none"
	}
}

func (r *reader) chatFormat(field string, v gjson.Result) format {
	switch v.Get("type").Str {
	case "text":
	case "json_object":
		return format{json: true, field: field}
	case "json_schema":
		return format{json: true, schema: r.rawObject(field+".json_schema.schema", v.Get("json_schema.schema")), field: field}
	default:
		r.unable(field + ".type")
	}
	return format{}
}

func (r *reader) chatTool(q *request, field string, v gjson.Result) {
	switch typ := v.Get("type").Str; {
	case typ == "function", typ == "" && v.Get("function").Exists():
		q.tools = append(q.tools, r.function(field+".function", v.Get("function")))
	case typ == "custom":
		q.tools = append(q.tools, r.customTool(field+".custom", v.Get("custom")))
	default:
		q.offerHosted(field + ".type")
	}
}

// function reads a function as a tool: OpenAI's APIs have it in different places.
func (r *reader) function(field string, v gjson.Result) tool {
	t := tool{schema: noParameters}
	r.object(field, v, func(field, key string, v gjson.Result) bool {
		switch key {
		case "type", "cache_control", "defer_loading":
		case "name":
			t.name = r.text(field, v)
		case "description":
			t.description = r.text(field, v)
		case "parameters":
			if len(v.Map()) > 0 {
				t.schema = r.rawObject(field, v)
			}
		case "strict":
			t.strict = r.flag(field, v)
		default:
			return false
		}
		return true
	})
	return t
}

// customTool reads a tool that takes text, as a function with the text as its one
// parameter. A grammar for it becomes a part of the description.
func (r *reader) customTool(field string, v gjson.Result) tool {
	t := tool{custom: true, schema: `{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}`}
	t.name, t.description = r.text(field+".name", v.Get("name")), v.Get("description").Str
	grammar := v.Get("format")
	if g := grammar.Get("grammar"); g.IsObject() {
		grammar = g
	}
	if text := grammar.Get("definition").Str; text != "" {
		t.description += "\n\nThe input has to follow this grammar (" + grammar.Get("syntax").Str + "):\n" + text
	}
	return t
}

// noParameters is the schema of a tool that takes nothing.
const noParameters = `{"type":"object","properties":{}}`

// chatChoice reads which tools may be called; several names are returned.
func (r *reader) chatChoice(q *request, field string, v gjson.Result) (allowed []string) {
	name := v.Get("function.name").Str + v.Get("custom.name").Str
	switch typ := v.Get("type").Str; {
	case v.Raw == `"auto"`:
		q.choice.mode = chooseAuto
	case v.Raw == `"none"`:
		q.choice.mode = chooseNone
	case v.Raw == `"required"`:
		q.choice.mode = chooseAny
	case v.IsObject() && (typ == "function" || typ == "custom" || typ == "") && name+v.Get("name").Str != "":
		if name == "" {
			name = v.Get("name").Str
		}
		q.choice = choice{chooseTool, name}
	case typ == "allowed_tools":
		set := v
		if inner := v.Get("allowed_tools"); inner.IsObject() {
			set = inner
		}
		q.choice.mode = chooseAuto
		if set.Get("mode").Str == "required" {
			q.choice.mode = chooseAny
		}
		for _, t := range set.Get("tools").Array() {
			allowed = append(allowed, t.Get("function.name").Str+t.Get("custom.name").Str+t.Get("name").Str)
		}
	default:
		r.unable(field)
	}
	return allowed
}

func (r *reader) chatMessage(q *request, field string, m gjson.Result) {
	role := m.Get("role").Str
	t := turn{role: user}
	if role == "assistant" {
		t.role = assistant
	}
	var parts []part
	var id string
	r.object(field, m, func(field, key string, v gjson.Result) bool {
		switch {
		case key == "role", key == "name", key == "id", key == "status", key == "cache_control", key == "tool_call_id" && role != "tool":
		case key == "content":
			parts = append(parts, r.chatContent(field, role, v)...)
		case key == "refusal" && role == "assistant":
			parts = append(parts, textParts(field, r.text(field, v))...)
		case (key == "reasoning_content" || key == "reasoning") && role == "assistant":
			if v.Str != "" {
				parts = append(parts, part{kind: thoughtPart, field: field, text: v.Str})
			}
		// Where it had from what it said, and what only its provider can read.
		case (key == "reasoning_details" || key == "annotations" || key == "audio") && role == "assistant":
		case key == "tool_calls" && role == "assistant":
			r.list(field, v, func(field string, c gjson.Result) { t.parts = append(t.parts, r.chatCall(field, c)) })
		case key == "function_call" && role == "assistant":
			t.parts = append(t.parts, r.chatCall(field, gjson.Parse(`{"function":`+v.Raw+`}`)))
		case key == "tool_call_id":
			id = portableID(r.text(field, v))
		default:
			return false
		}
		return true
	})
	switch role {
	case "system", "developer":
		for _, p := range parts {
			q.system = append(q.system, p.text)
		}
		return
	case "user", "assistant":
		t.parts = append(parts, t.parts...)
	case "tool", "function":
		t.parts = []part{{kind: resultPart, field: field, id: id, name: m.Get("name").Str, content: parts}}
	default:
		r.refuse(field+".role", "is none of system, developer, user, assistant and tool")
	}
	q.turns = append(q.turns, t)
}

func (r *reader) chatContent(field, role string, v gjson.Result) (parts []part) {
	if v.Type == gjson.String {
		return textParts(field, v.Str)
	}
	media := role == "user" || role == "tool" || role == "function"
	r.list(field, v, func(field string, p gjson.Result) {
		switch typ := p.Get("type").Str; {
		case p.Type == gjson.String:
			parts = append(parts, textParts(field, p.Str)...)
		case typ == "text", typ == "refusal" && role == "assistant":
			parts = append(parts, textParts(field, r.text(field+"."+typ, p.Get(typ)))...)
		case typ == "image_url" && media:
			address := p.Get("image_url")
			if address.IsObject() {
				address = address.Get("url")
			}
			parts = append(parts, r.image(field+".image_url.url", address.Str))
		case typ == "input_audio" && media:
			parts = append(parts, r.blob(field, "audio/"+p.Get("input_audio.format").Str, p.Get("input_audio.data").Str))
		case typ == "file" && media && p.Get("file.file_data").Exists():
			parts = append(parts, r.file(field+".file.file_data", p.Get("file.filename").Str, p.Get("file.file_data").Str))
		case (typ == "thinking" || typ == "reasoning") && role == "assistant":
		default:
			r.unable(field + ".type")
		}
	})
	return parts
}

func (r *reader) chatCall(field string, c gjson.Result) part {
	p := part{kind: callPart, field: field, id: portableID(c.Get("id").Str)}
	switch typ := c.Get("type"); {
	case typ.Str == "custom":
		p.custom, p.name = true, r.text(field+".custom.name", c.Get("custom.name"))
		p.args = customArgs(r.text(field+".custom.input", c.Get("custom.input")))
		return p
	case typ.Str != "" && typ.Str != "function":
		r.unable(field + ".type")
	}
	p.name = r.text(field+".function.name", c.Get("function.name"))
	if !r.shared {
		p.signature = c.Get("extra_content.google.thought_signature").Str
	}
	p.args = r.saidArgs(field+".function.arguments", c.Get("function.arguments"))
	return p
}

// saidArgs is the arguments of a call in a history. A model may have said what is no
// object; refusing it would end the conversation, so it travels as text in one.
func (r *reader) saidArgs(field string, v gjson.Result) string {
	if args, ok := argsOf(v); ok {
		return args
	}
	if v.Type != gjson.String {
		r.refuse(field, "is not a JSON object in a string")
	}
	return customArgs(v.Str)
}

// argsOf is the arguments of a call; some send the object itself.
func argsOf(v gjson.Result) (string, bool) {
	if v.IsObject() {
		return validArgs(v.Raw)
	}
	if strings.HasPrefix(strings.TrimSpace(v.Str), `"`) && json.Valid([]byte(v.Str)) { // encoded twice
		return validArgs(gjson.Parse(v.Str).Str)
	}
	return validArgs(v.Str)
}

// customArgs is the text for a custom tool as the arguments of a function, and
// customInput the text again.
func customArgs(input string) string { return string(marshal(object{"input": input})) }

func customInput(args string) string {
	if v := gjson.Get(args, "input"); v.Type == gjson.String {
		return v.Str
	}
	return args
}
