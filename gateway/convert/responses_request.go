package convert

import "github.com/tidwall/gjson"

// readResponses reads a request of the Responses API.
func readResponses(r *reader, body gjson.Result) *request {
	q := &request{}
	q.thinking.show = true
	var allowed []string
	r.object("", body, func(field, key string, v gjson.Result) bool {
		switch key {
		case "model", "stream", "previous_response_id", "store": // the caller's
		case "user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "include",
			"truncation", "max_tool_calls", "stream_options", "client_metadata", "top_logprobs", "context_management", "prompt_cache_options":
		case "instructions":
			q.system = append([]string{r.text(field, v)}, q.system...)
		case "input":
			if v.Type == gjson.String {
				q.turns = append(q.turns, turn{parts: textParts(field, v.Str)})
			} else {
				r.list(field, v, func(field string, item gjson.Result) { r.responsesItem(q, field, item) })
			}
		case "max_output_tokens":
			q.maxTokens = r.number(field, v)
		case "temperature":
			q.temperature = r.number(field, v)
		case "top_p":
			q.topP = r.number(field, v)
		case "reasoning":
			q.thinking.effort, q.thinking.field = v.Get("effort").Str, field
		case "text":
			q.format = r.responsesFormat(field+".format", v.Get("format"))
		case "tools":
			r.list(field, v, func(field string, t gjson.Result) { r.responsesTool(q, field, t) })
		case "tool_choice":
			allowed = r.chatChoice(q, field, v)
		case "parallel_tool_calls":
			q.single = flag{!r.flag(field, v), field}
		case "background":
			r.only(field, v, "false")
		default:
			return false
		}
		return true
	})
	q.allow(allowed)
	return q
}

func (r *reader) responsesFormat(field string, v gjson.Result) format {
	switch v.Get("type").Str {
	case "", "text":
	case "json_object":
		return format{json: true, field: field}
	case "json_schema":
		return format{json: true, schema: r.rawObject(field+".schema", v.Get("schema")), field: field}
	default:
		r.unable(field + ".type")
	}
	return format{}
}

func (r *reader) responsesTool(q *request, field string, v gjson.Result) {
	switch v.Get("type").Str {
	case "function":
		q.tools = append(q.tools, r.function(field, v))
	case "custom":
		q.tools = append(q.tools, r.customTool(field, v))
	case "namespace": // a group of functions
		r.list(field+".tools", v.Get("tools"), func(field string, t gjson.Result) { r.responsesTool(q, field, t) })
	default:
		q.offerHosted(field + ".type")
	}
}

// responsesItem reads one item of the input.
func (r *reader) responsesItem(q *request, field string, v gjson.Result) {
	role := assistant
	var p part
	switch typ := v.Get("type").Str; typ {
	case "", "message":
		r.responsesMessage(q, field, v)
		return
	case "function_call":
		p = part{kind: callPart, id: portableID(v.Get("call_id").Str), name: r.text(field+".name", v.Get("name"))}
		p.args = r.saidArgs(field+".arguments", v.Get("arguments"))
	case "custom_tool_call":
		p = part{kind: callPart, custom: true, id: portableID(v.Get("call_id").Str), name: r.text(field+".name", v.Get("name"))}
		p.args = customArgs(r.text(field+".input", v.Get("input")))
	case "function_call_output", "custom_tool_call_output":
		role = user
		p = part{kind: resultPart, id: portableID(v.Get("call_id").Str), content: r.responsesContent(field+".output", v.Get("output"))}
	case "reasoning":
		text := ""
		for _, s := range append(v.Get("summary").Array(), v.Get("content").Array()...) {
			text += s.Get("text").Str
		}
		p = part{kind: thoughtPart, text: text}
	case "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "compaction":
		return // what a provider did by itself; the message behind it tells of it
	default:
		r.unable(field + ".type")
		return
	}
	p.field = field
	q.turns = append(q.turns, turn{role: role, parts: []part{p}})
}

func (r *reader) responsesMessage(q *request, field string, v gjson.Result) {
	parts := r.responsesContent(field+".content", v.Get("content"))
	switch role := v.Get("role").Str; role {
	case "system", "developer":
		for _, p := range parts {
			q.system = append(q.system, p.text)
		}
	case "user":
		q.turns = append(q.turns, turn{role: user, parts: parts})
	case "assistant":
		q.turns = append(q.turns, turn{role: assistant, parts: parts})
	default:
		r.refuse(field+".role", "is none of user, assistant, system and developer")
	}
}

// responsesContent reads the content of a message or the output of a tool.
func (r *reader) responsesContent(field string, v gjson.Result) (parts []part) {
	switch {
	case v.Type == gjson.String:
		return textParts(field, v.Str)
	case !v.Exists(), v.Type == gjson.Null:
		return nil
	case v.IsObject(): // the output of a tool as it is
		return textParts(field, v.Raw)
	}
	r.list(field, v, func(field string, p gjson.Result) {
		switch typ := p.Get("type").Str; {
		case typ == "input_text", typ == "output_text", typ == "text", typ == "summary_text":
			parts = append(parts, textParts(field, r.text(field+".text", p.Get("text")))...)
		case typ == "refusal":
			parts = append(parts, textParts(field, r.text(field+".refusal", p.Get("refusal")))...)
		case typ == "input_image" && p.Get("image_url").Exists():
			address := p.Get("image_url")
			if address.IsObject() {
				address = address.Get("url")
			}
			parts = append(parts, r.image(field+".image_url", address.Str))
		case typ == "input_file" && p.Get("file_data").Exists():
			parts = append(parts, r.file(field+".file_data", p.Get("filename").Str, p.Get("file_data").Str))
		case typ == "input_file" && isWeb(p.Get("file_url").Str):
			address := p.Get("file_url").Str
			parts = append(parts, part{kind: filePart, field: field + ".file_url", url: address, media: mediaOfURL(address), filename: p.Get("filename").Str})
		case typ == "input_audio":
			parts = append(parts, r.blob(field, "audio/"+p.Get("input_audio.format").Str, p.Get("input_audio.data").Str))
		default:
			r.unable(field + ".type")
		}
	})
	return parts
}
