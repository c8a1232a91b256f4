package convert

import "github.com/tidwall/gjson"

// defaultMaxTokens is for requests that name no limit, which Claude wants.
const defaultMaxTokens = 8192

// readClaude reads a Messages request.
func readClaude(r *reader, body gjson.Result) *request {
	q := &request{}
	r.object("", body, func(field, key string, v gjson.Result) bool {
		switch key {
		case "model", "stream": // the caller's
		case "metadata", "service_tier", "cache_control", "inference_geo", "container", "betas", "speed", "user_profile_id":
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
		case "context_management": // frees room in a context; another provider has its own limit
		case "output_config":
			r.claudeOutput(q, field, v)
		case "tools":
			r.list(field, v, func(field string, t gjson.Result) { r.claudeTool(q, field, t) })
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
	case "disabled":
		q.thinking = thinking{effort: "none", field: field}
	case "adaptive":
		q.thinking.show = true
	case "enabled":
		if q.thinking.effort == "" {
			q.thinking = thinking{budget: r.number(field+".budget_tokens", v.Get("budget_tokens")).raw, field: field}
		}
		q.thinking.show = true
	default:
		r.unable(field + ".type")
	}
}

func (r *reader) claudeOutput(q *request, field string, v gjson.Result) {
	r.object(field, v, func(field, key string, v gjson.Result) bool {
		switch key {
		case "effort":
			q.thinking.effort, q.thinking.budget, q.thinking.field = r.text(field, v), "", field
		case "task_budget":
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

func (r *reader) claudeTool(q *request, field string, v gjson.Result) {
	var t tool
	if typ := v.Get("type").Str; typ != "" && typ != "custom" {
		q.offerHosted(field + ".type")
		return
	}
	r.object(field, v, func(field, key string, v gjson.Result) bool {
		switch key {
		case "type", "cache_control", "eager_input_streaming", "defer_loading", "input_examples", "allowed_callers":
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
	q.tools = append(q.tools, t)
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
	switch role {
	case "assistant":
		t.role = assistant
	case "user":
	case "system", "developer": // Claude Code tells what has changed in between
		for _, p := range r.claudeBlocks(field+".content", "system", m.Get("content")) {
			q.system = append(q.system, p.text)
		}
		return
	default:
		r.refuse(field+".role", "is none of user, assistant and system")
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
		if b.Type == gjson.String {
			parts = append(parts, textParts(field, b.Str)...)
			return
		}
		parts = append(parts, r.claudeBlock(field, where, b)...)
	})
	return parts
}

func (r *reader) claudeBlock(field, where string, b gjson.Result) []part {
	fromUser := where == "user" || where == "result"
	switch typ := b.Get("type").Str; {
	case typ == "text":
		return textParts(field, r.text(field+".text", b.Get("text")))
	case (typ == "image" || typ == "document") && fromUser:
		return r.claudeSource(field, b)
	case typ == "search_result" && fromUser:
		text := b.Get("title").Str + "\n" + b.Get("source").Str
		for _, p := range r.claudeBlocks(field+".content", where, b.Get("content")) {
			text += "\n" + p.text
		}
		return textParts(field, text)
	case typ == "tool_reference" && where == "result":
		return textParts(field, b.Get("tool_name").Str)
	case typ == "tool_use" && where == "assistant":
		return []part{{
			kind: callPart, field: field, id: portableID(b.Get("id").Str), name: r.text(field+".name", b.Get("name")),
			args: r.claudeInput(field+".input", b.Get("input")),
		}}
	case typ == "tool_result" && where == "user":
		p := part{kind: resultPart, field: field, id: portableID(b.Get("tool_use_id").Str), failed: b.Get("is_error").Bool()}
		if c := b.Get("content"); c.Exists() && c.Type != gjson.Null {
			p.content = r.claudeBlocks(field+".content", "result", c)
		}
		return []part{p}
	case typ == "thinking" && where == "assistant":
		return []part{{kind: thoughtPart, field: field, text: b.Get("thinking").Str}}
	case typ == "redacted_thinking" && where == "assistant":
	default:
		r.unable(field + ".type")
	}
	return nil
}

// claudeInput is the input of a call; some clients send none, or a text of it.
func (r *reader) claudeInput(field string, v gjson.Result) string {
	if !v.Exists() || v.Type == gjson.Null {
		return "{}"
	}
	if args, ok := validArgs(v.Str); ok && v.Type == gjson.String {
		return args
	}
	return r.rawObject(field, v)
}

// claudeSource reads an image or a document.
func (r *reader) claudeSource(field string, b gjson.Result) []part {
	source := b.Get("source")
	switch source.Get("type").Str {
	case "base64":
		data := r.text(field+".source.data", source.Get("data"))
		p := r.blob(field, source.Get("media_type").Str, data)
		p.filename = b.Get("title").Str
		return []part{p}
	case "url":
		p := r.image(field+".source.url", source.Get("url").Str)
		if b.Get("type").Str == "document" {
			p.kind, p.filename = filePart, b.Get("title").Str
		}
		return []part{p}
	case "text":
		return textParts(field, r.text(field+".source.data", source.Get("data")))
	case "content":
		return r.claudeBlocks(field+".source.content", "result", source.Get("content"))
	}
	r.unable(field + ".source.type")
	return nil
}
