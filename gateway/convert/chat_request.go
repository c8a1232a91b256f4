package convert

import (
	"regexp"
	"strconv"

	"github.com/tidwall/gjson"
)

// readChat reads a Chat Completions request.
func readChat(r *reader, body gjson.Result) *request {
	q := &request{}
	r.object("", body, func(field, key string, v gjson.Result) bool {
		switch key {
		case "model", "stream": // the caller's
		case "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prediction":
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
			if v.Type == gjson.String {
				q.stop = []string{v.Str}
			} else {
				q.stop = r.texts(field, v)
			}
		case "n":
			r.only(field, v, "1")
		case "logprobs":
			r.only(field, v, "false")
		case "logit_bias":
			r.only(field, v, "{}")
		case "modalities":
			r.only(field, v, `["text"]`)
		case "verbosity":
			r.only(field, v, `"medium"`)
		case "reasoning_effort":
			q.thinking = thinking{effort: r.text(field, v), field: field}
		case "response_format":
			q.format = r.chatFormat(field, v)
		case "tools":
			r.list(field, v, func(field string, t gjson.Result) { q.tools = append(q.tools, r.chatTool(field, t)) })
		case "tool_choice":
			q.choice = r.chatChoice(field, v)
		case "parallel_tool_calls":
			q.single = flag{!r.flag(field, v), field}
		default:
			return false
		}
		return true
	})
	return q
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

func (r *reader) chatTool(field string, v gjson.Result) tool {
	if v.Get("type").Str != "function" {
		r.unable(field + ".type")
		return tool{}
	}
	t := tool{schema: noParameters}
	r.object(field+".function", v.Get("function"), func(field, key string, v gjson.Result) bool {
		switch key {
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

// noParameters is the schema of a tool that takes nothing.
const noParameters = `{"type":"object","properties":{}}`

func (r *reader) chatChoice(field string, v gjson.Result) choice {
	switch {
	case v.Raw == `"auto"`:
		return choice{mode: chooseAuto}
	case v.Raw == `"none"`:
		return choice{mode: chooseNone}
	case v.Raw == `"required"`:
		return choice{mode: chooseAny}
	case v.Get("type").Str == "function":
		return choice{chooseTool, r.text(field+".function.name", v.Get("function.name"))}
	}
	r.unable(field)
	return choice{}
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
		case key == "role", key == "name" && role != "user":
		case key == "content":
			parts = append(parts, r.chatContent(field, role, v)...)
		case key == "refusal" && role == "assistant":
			parts = append(parts, part{kind: textPart, field: field, text: r.text(field, v)})
		// What it thought, and where it had it from: answers come back with these.
		case (key == "reasoning_content" || key == "reasoning" || key == "reasoning_details" || key == "annotations") && role == "assistant":
		case key == "tool_calls" && role == "assistant":
			r.list(field, v, func(field string, c gjson.Result) { t.parts = append(t.parts, r.chatCall(field, c)) })
		case key == "tool_call_id" && role == "tool":
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
	case "tool":
		t.parts = []part{{kind: resultPart, field: field, id: id, content: parts}}
	default:
		r.refuse(field+".role", "is none of system, developer, user, assistant and tool")
	}
	q.turns = append(q.turns, t)
}

func (r *reader) chatContent(field, role string, v gjson.Result) (parts []part) {
	if v.Type == gjson.String {
		return textParts(field, v.Str)
	}
	r.list(field, v, func(field string, p gjson.Result) {
		switch typ := p.Get("type").Str; {
		case typ == "text", typ == "refusal" && role == "assistant":
			parts = append(parts, textParts(field, r.text(field+"."+typ, p.Get(typ)))...)
		case typ == "image_url" && role == "user":
			parts = append(parts, r.image(field+".image_url.url", p.Get("image_url.url").Str))
		default:
			r.unable(field + ".type")
		}
	})
	return parts
}

func (r *reader) chatCall(field string, c gjson.Result) part {
	if typ := c.Get("type"); typ.Exists() && typ.Str != "function" {
		r.unable(field + ".type")
	}
	p := part{kind: callPart, field: field, id: portableID(c.Get("id").Str), name: r.text(field+".function.name", c.Get("function.name"))}
	p.signature = c.Get("extra_content.google.thought_signature").Str
	var ok bool
	if p.args, ok = validArgs(c.Get("function.arguments").Str); !ok {
		r.refuse(field+".function.arguments", "is not a JSON object in a string")
	}
	return p
}

// reasoningModel recognises OpenAI's models that refuse max_tokens; many other
// providers know no other name for it.
var reasoningModel = regexp.MustCompile(`^(openai/)?(o\d|gpt-[5-9])`)

// writeChat writes a Chat Completions request.
func writeChat(q *request) (map[string]any, error) {
	out := object{"model": q.model}
	if q.stream {
		out["stream"], out["stream_options"] = true, object{"include_usage": true}
	}
	messages := []any{}
	if text := joinTexts(q.system); text != "" {
		messages = append(messages, object{"role": "system", "content": text})
	}
	for _, t := range q.turns {
		made, err := chatTurn(t)
		if err != nil {
			return nil, err
		}
		messages = append(messages, made...)
	}
	out["messages"] = messages
	limit := "max_tokens"
	if reasoningModel.MatchString(q.model) {
		limit = "max_completion_tokens"
	}
	q.maxTokens.put(out, limit)
	q.temperature.put(out, "temperature")
	q.topP.put(out, "top_p")
	q.seed.put(out, "seed")
	q.presence.put(out, "presence_penalty")
	q.frequency.put(out, "frequency_penalty")
	switch {
	case q.topK.set():
		return nil, cannot(q.topK.field, Chat)
	case len(q.stop) > 4:
		return nil, &FieldError{q.stopField, "an OpenAI provider takes at most 4 stop sequences"}
	}
	if len(q.stop) > 0 {
		out["stop"] = q.stop
	}
	if q.thinking.set() {
		out["reasoning_effort"] = q.thinking.inWords()
	}
	if q.format.schema != "" {
		out["response_format"] = object{"type": "json_schema", "json_schema": object{"name": "answer", "schema": rawJSON(q.format.schema), "strict": true}}
	} else if q.format.json {
		out["response_format"] = object{"type": "json_object"}
	}
	chatTools(q, out)
	return out, nil
}

func chatTools(q *request, out object) {
	if len(q.tools) == 0 {
		return
	}
	var tools []any
	for _, t := range q.tools {
		f := object{"name": t.name, "parameters": rawJSON(t.schema)}
		if t.description != "" {
			f["description"] = t.description
		}
		if t.strict {
			f["strict"] = true
		}
		tools = append(tools, object{"type": "function", "function": f})
	}
	out["tools"] = tools
	switch q.choice.mode {
	case chooseAuto:
		out["tool_choice"] = "auto"
	case chooseNone:
		out["tool_choice"] = "none"
	case chooseAny:
		out["tool_choice"] = "required"
	case chooseTool:
		out["tool_choice"] = object{"type": "function", "function": object{"name": q.choice.name}}
	}
	if q.single.on {
		out["parallel_tool_calls"] = false
	}
}

// chatTurn is a turn as messages: one for each result, one for all the rest.
func chatTurn(t turn) (messages []any, _ error) {
	var calls, content []any
	plain := true
	text := ""
	for _, p := range t.parts {
		switch p.kind {
		case resultPart:
			for _, c := range p.content {
				if c.kind != textPart {
					return nil, cannot(c.field, Chat)
				}
			}
			said := p.texts()
			if p.failed { // there is no other place to say it
				said = "Error: " + said
			}
			messages = append(messages, object{"role": "tool", "tool_call_id": p.id, "content": said})
		case callPart:
			c := object{"id": p.id, "type": "function", "function": object{"name": p.name, "arguments": p.args}}
			calls = append(calls, c)
		case imagePart:
			url := p.url
			if url == "" {
				url = "data:" + p.media + ";base64," + p.data
			}
			plain = false
			content = append(content, object{"type": "image_url", "image_url": object{"url": url}})
		default:
			text += p.text
			content = append(content, object{"type": "text", "text": p.text})
		}
	}
	m := object{"role": "user"}
	if t.role == assistant {
		m["role"] = "assistant"
	}
	switch {
	case len(content) == 0 && len(calls) == 0:
		return messages, nil
	case len(content) == 1 && plain:
		m["content"] = text
	case len(content) > 0:
		m["content"] = content
	}
	if len(calls) > 0 {
		m["tool_calls"] = calls
	}
	return append(messages, m), nil
}

// joinTexts is several texts as one.
func joinTexts(list []string) string {
	out := ""
	for _, s := range list {
		if out != "" && s != "" {
			out += "\n\n"
		}
		out += s
	}
	return out
}

// indexOf is the index of a streamed call; -1 where the provider gives none.
func indexOf(v gjson.Result) int {
	if n, err := strconv.Atoi(v.Raw); err == nil {
		return n
	}
	return -1
}
