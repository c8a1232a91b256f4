package convert

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// defaultMaxTokens is for requests that name no limit, which Claude wants.
const defaultMaxTokens = 8192

// readClaude reads a Messages request.
func readClaude(r *reader, body gjson.Result) *request {
	q := &request{}
	r.object("", body, func(field, key string, v gjson.Result) bool {
		switch key {
		case "model", "stream": // the caller's
		case "metadata", "service_tier", "cache_control", "inference_geo":
		case "system":
			for _, p := range r.claudeBlocks(field, "system", v) {
				q.system = append(q.system, p.text)
			}
		case "messages":
			r.list(field, v, func(field string, m gjson.Result) { r.claudeMessage(q, field, m) })
		case "max_tokens":
			q.maxTokens = r.number(field, v)
		case "temperature":
			q.temperature = r.number(field, v)
		case "top_p":
			q.topP = r.number(field, v)
		case "top_k":
			q.topK = r.number(field, v)
		case "stop_sequences":
			q.stop, q.stopField = r.texts(field, v), field
		case "thinking":
			r.claudeThinking(q, field, v)
		case "context_management": // thoughts are not kept anyway
			for _, e := range v.Get("edits").Array() {
				if !strings.HasPrefix(e.Get("type").Str, "clear_thinking_") {
					r.unable(field + ".edits")
				}
			}
		case "output_config":
			r.claudeOutput(q, field, v)
		case "tools":
			r.list(field, v, func(field string, t gjson.Result) { q.tools = append(q.tools, r.claudeTool(field, t)) })
		case "tool_choice":
			q.choice = r.claudeChoice(field, v)
			q.single = flag{v.Get("disable_parallel_tool_use").Bool(), field + ".disable_parallel_tool_use"}
		default:
			return false
		}
		return true
	})
	return q
}

// claudeThinking reads how to think: adaptive leaves it to the model, as others
// do anyway. A level in output_config says it better than a budget.
func (r *reader) claudeThinking(q *request, field string, v gjson.Result) {
	switch v.Get("type").Str {
	case "disabled", "adaptive":
	case "enabled":
		if q.thinking.effort == "" {
			q.thinking = thinking{budget: r.number(field+".budget_tokens", v.Get("budget_tokens")).raw, field: field}
		}
	default:
		r.unable(field + ".type")
	}
}

func (r *reader) claudeOutput(q *request, field string, v gjson.Result) {
	r.object(field, v, func(field, key string, v gjson.Result) bool {
		switch key {
		case "effort":
			q.thinking = thinking{effort: r.text(field, v), field: field}
		case "format":
			if v.Get("type").Str != "json_schema" {
				return false
			}
			q.format = format{json: true, schema: r.rawObject(field+".schema", v.Get("schema")), field: field}
		default:
			return false
		}
		return true
	})
}

func (r *reader) claudeTool(field string, v gjson.Result) (t tool) {
	r.object(field, v, func(field, key string, v gjson.Result) bool {
		switch key {
		case "type":
			r.only(field, v, `"custom"`) // others are run by Anthropic
		case "cache_control", "eager_input_streaming":
		case "name":
			t.name = r.text(field, v)
		case "description":
			t.description = r.text(field, v)
		case "input_schema":
			t.schema = r.rawObject(field, v)
		case "strict":
			t.strict = r.flag(field, v)
		default:
			return false
		}
		return true
	})
	if t.schema == "" {
		r.refuse(field+".input_schema", "is missing")
	}
	return t
}

func (r *reader) claudeChoice(field string, v gjson.Result) choice {
	switch v.Get("type").Str {
	case "auto":
		return choice{mode: chooseAuto}
	case "none":
		return choice{mode: chooseNone}
	case "any":
		return choice{mode: chooseAny}
	case "tool":
		return choice{chooseTool, r.text(field+".name", v.Get("name"))}
	}
	r.unable(field + ".type")
	return choice{}
}

func (r *reader) claudeMessage(q *request, field string, m gjson.Result) {
	t := turn{role: user}
	role := m.Get("role").Str
	if role == "assistant" {
		t.role = assistant
	} else if role != "user" {
		r.refuse(field+".role", "is neither user nor assistant")
	}
	t.parts = r.claudeBlocks(field+".content", role, m.Get("content"))
	q.turns = append(q.turns, t)
}

// claudeBlocks reads content; where says what it is that of: a role, system, or
// result.
func (r *reader) claudeBlocks(field, where string, v gjson.Result) (parts []part) {
	if v.Type == gjson.String {
		return textParts(field, v.Str)
	}
	r.list(field, v, func(field string, b gjson.Result) {
		switch typ := b.Get("type").Str; {
		case typ == "text":
			parts = append(parts, textParts(field, r.text(field+".text", b.Get("text")))...)
		case typ == "image" && where != "system" && where != "assistant":
			parts = append(parts, r.claudeImage(field, b.Get("source")))
		case typ == "tool_use" && where == "assistant":
			parts = append(parts, part{
				kind: callPart, field: field, id: portableID(b.Get("id").Str), name: r.text(field+".name", b.Get("name")),
				args: r.rawObject(field+".input", b.Get("input")),
			})
		case typ == "tool_result" && where == "user":
			p := part{kind: resultPart, field: field, id: portableID(b.Get("tool_use_id").Str), failed: b.Get("is_error").Bool()}
			if c := b.Get("content"); c.Exists() {
				p.content = r.claudeBlocks(field+".content", "result", c)
			}
			parts = append(parts, p)
		case (typ == "thinking" || typ == "redacted_thinking") && where == "assistant":
		default:
			r.unable(field + ".type")
		}
	})
	return parts
}

func (r *reader) claudeImage(field string, source gjson.Result) part {
	p := part{kind: imagePart, field: field}
	switch source.Get("type").Str {
	case "base64":
		p.media, p.data = r.text(field+".source.media_type", source.Get("media_type")), r.text(field+".source.data", source.Get("data"))
	case "url":
		p = r.image(field+".source.url", source.Get("url").Str)
	default:
		r.unable(field + ".source.type")
	}
	return p
}

// writeClaude writes a Messages request.
func writeClaude(q *request) (map[string]any, error) {
	out := object{"model": q.model, "max_tokens": defaultMaxTokens}
	if q.stream {
		out["stream"] = true
	}
	if text := joinTexts(q.system); text != "" {
		out["system"] = text
	}
	messages := []any{}
	for _, t := range q.turns {
		if content := claudeContent(t.parts); len(content) > 0 {
			messages = append(messages, object{"role": [...]string{"user", "assistant"}[t.role], "content": content})
		}
	}
	out["messages"] = messages
	q.maxTokens.put(out, "max_tokens")
	q.topP.put(out, "top_p")
	if q.temperature.set() {
		if f, err := strconv.ParseFloat(q.temperature.raw, 64); err != nil || f > 1 {
			return nil, &FieldError{q.temperature.field, "a Claude provider takes 0 to 1"}
		}
		q.temperature.put(out, "temperature")
	}
	if q.topK.set() {
		f, err := strconv.ParseFloat(q.topK.raw, 64)
		if err != nil || f != float64(int64(f)) {
			return nil, &FieldError{q.topK.field, "a Claude provider takes a whole number"}
		}
		out["top_k"] = int64(f)
	}
	for _, n := range []number{q.seed, q.presence, q.frequency} {
		if f, _ := strconv.ParseFloat(n.raw, 64); n.set() && (f != 0 || n == q.seed) {
			return nil, cannot(n.field, Claude)
		}
	}
	if len(q.stop) > 0 {
		out["stop_sequences"] = q.stop
	}
	config := object{}
	if q.format.schema != "" {
		config["format"] = object{"type": "json_schema", "schema": rawJSON(q.format.schema)}
	} else if q.format.json {
		return nil, &FieldError{q.format.field, "a Claude provider needs a schema for JSON"}
	}
	if err := q.claudeThink(out, config); err != nil {
		return nil, err
	}
	if len(config) > 0 {
		out["output_config"] = config
	}
	claudeTools(q, out)
	return out, nil
}

// claudeThink writes how to think. Claude's budget is at least 1024 and less than
// max_tokens; the provider judges the latter.
func (q *request) claudeThink(out, config object) error {
	switch t := q.thinking; {
	case t.effort == "none", t.budget == "0": // it does so only when asked
	case t.effort == "minimal":
		config["effort"] = "low"
	case t.effort != "":
		config["effort"] = t.effort
	case t.budget != "":
		n, err := strconv.Atoi(t.budget)
		if err != nil || n < 1024 {
			return &FieldError{t.field, "a Claude provider takes a budget of 1024 or more"}
		}
		if !q.maxTokens.set() { // the budget is a part of it
			out["max_tokens"] = defaultMaxTokens + n
		}
		out["thinking"] = object{"type": "enabled", "budget_tokens": rawJSON(t.budget)}
	}
	return nil
}

func claudeTools(q *request, out object) {
	if len(q.tools) == 0 {
		return
	}
	var tools []any
	for _, t := range q.tools {
		o := object{"name": t.name, "input_schema": rawJSON(t.schema)}
		if t.description != "" {
			o["description"] = t.description
		}
		if t.strict {
			o["strict"] = true
		}
		tools = append(tools, o)
	}
	out["tools"] = tools
	mode := q.choice.mode
	if mode == chooseDefault && q.single.on {
		mode = chooseAuto
	}
	c := object{}
	switch mode {
	case chooseDefault:
		return
	case chooseAuto:
		c["type"] = "auto"
	case chooseNone:
		c["type"] = "none"
	case chooseAny:
		c["type"] = "any"
	case chooseTool:
		c["type"], c["name"] = "tool", q.choice.name
	}
	if q.single.on && mode != chooseNone {
		c["disable_parallel_tool_use"] = true
	}
	out["tool_choice"] = c
}

// claudeContent is the parts of a turn as blocks. Claude refuses text of nothing
// but white space.
func claudeContent(parts []part) []any {
	content := []any{}
	for _, p := range parts {
		switch p.kind {
		case textPart:
			if strings.TrimSpace(p.text) != "" {
				content = append(content, object{"type": "text", "text": p.text})
			}
		case imagePart:
			source := object{"type": "base64", "media_type": p.media, "data": p.data}
			if p.url != "" {
				source = object{"type": "url", "url": p.url}
			}
			content = append(content, object{"type": "image", "source": source})
		case callPart:
			content = append(content, object{"type": "tool_use", "id": p.id, "name": p.name, "input": rawJSON(p.args)})
		case resultPart:
			b := object{"type": "tool_result", "tool_use_id": p.id}
			if inner := claudeContent(p.content); len(inner) > 0 {
				b["content"] = inner
			}
			if p.failed {
				b["is_error"] = true
			}
			content = append(content, b)
		}
	}
	return content
}
