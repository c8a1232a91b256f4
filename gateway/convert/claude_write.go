package convert

import (
	"slices"
	"strconv"
	"strings"
)

// writeClaude writes a Messages request.
func writeClaude(q *request) (map[string]any, error) {
	can := abilitiesOf(Claude, q.model)
	out := object{"model": q.model, "max_tokens": defaultMaxTokens}
	if q.stream {
		out["stream"] = true
	}
	system := q.system
	if q.format.json && q.format.schema == "" { // there is no other place to ask for it
		system = append(slices.Clone(system), "Answer with one JSON object and nothing else.")
	}
	if text := joinTexts(system); text != "" {
		out["system"] = text
	}
	q.maxTokens.put(out, "max_tokens")
	if n, err := strconv.Atoi(q.maxTokens.raw); err == nil && can.maxTokens > 0 && n > can.maxTokens {
		out["max_tokens"] = can.maxTokens
	}
	if stops, err := q.stopsFor(maxStops, visibleStop); err != nil {
		return nil, err
	} else if len(stops) > 0 {
		out["stop_sequences"] = stops
	}
	config := object{}
	if q.format.schema != "" {
		config["format"] = object{"type": "json_schema", "schema": rawJSON(q.format.schema)}
	}
	thinks := q.claudeThink(can, out, config)
	messages, err := q.claudeMessages(thinks)
	if err != nil {
		return nil, err
	}
	out["messages"] = messages
	if err := q.claudeSampling(can, thinks, out); err != nil {
		return nil, err
	}
	if len(config) > 0 {
		out["output_config"] = config
	}
	claudeTools(q, out)
	return out, nil
}

// claudeMessages writes the turns; thoughts of its own go back to a model that thinks.
func (q *request) claudeMessages(thinks bool) ([]any, error) {
	messages := []any{}
	if q.turns[0].role == assistant { // Claude wants the user to begin
		messages = append(messages, object{"role": "user", "content": []any{object{"type": "text", "text": "(The conversation goes on.)"}}})
	}
	for _, t := range q.turns {
		if !thinks {
			t.parts = slices.DeleteFunc(slices.Clone(t.parts), func(p part) bool { return p.own != nil })
		}
		content, err := claudeContent(t.parts)
		if err != nil {
			return nil, err
		}
		if len(content) > 0 {
			messages = append(messages, object{"role": [...]string{"user", "assistant"}[t.role], "content": content})
		}
	}
	return messages, nil
}

// claudeSampling writes how to choose words. A model that thinks, and one of the
// newest, takes no such setting; some take one of two. Seeds and penalties are
// hints that Claude does not know.
func (q *request) claudeSampling(can abilities, thinks bool, out object) error {
	if q.temperature.set() {
		if f, err := strconv.ParseFloat(q.temperature.raw, 64); err != nil || f < 0 || f > 2 {
			return &FieldError{q.temperature.field, "is not a number from 0 to 2"}
		} else if f > 1 { // the most that Claude takes
			q.temperature.raw = "1"
		}
	}
	if can.noSampling || thinks {
		return nil
	}
	q.temperature.put(out, "temperature")
	if !q.temperature.set() || !can.oneOfTwo {
		q.topP.put(out, "top_p")
	}
	if f, err := strconv.ParseFloat(q.topK.raw, 64); err == nil && f >= 1 {
		out["top_k"] = int64(f)
	}
	return nil
}

// claudeThink writes how to think, and reports whether the model will. Claude
// wants its own signed thoughts back in front of the calls that followed them: a
// history without them can only go on without thinking. A budget is at least
// 1,024 and less than max_tokens, of which it is a part.
func (q *request) claudeThink(can abilities, out, config object) bool {
	t := q.thinking
	if q.choice.mode == chooseAny || q.choice.mode == chooseTool { // Claude refuses both at once
		return false
	}
	if can.adaptive {
		if word := can.effort(t); word != "" && t.effort != "none" && t.budget != "0" {
			config["effort"] = word
			out["thinking"] = object{"type": "adaptive"}
			return true
		}
		return false
	}
	n := can.tokens(t)
	if n <= 0 || !q.sealedLoop() {
		return false
	}
	limit, given := defaultMaxTokens+n, q.maxTokens.set()
	if given {
		limit, _ = strconv.Atoi(q.maxTokens.raw)
	}
	if can.maxTokens > 0 {
		limit = min(limit, can.maxTokens)
	}
	if n >= limit {
		n = limit - 1
	}
	if n < can.budget[0] {
		return false
	}
	if !given {
		out["max_tokens"] = limit
	}
	out["thinking"] = object{"type": "enabled", "budget_tokens": n}
	return true
}

func claudeTools(q *request, out object) {
	if len(q.tools) == 0 {
		return
	}
	var tools []any
	for _, t := range q.tools {
		o := object{"name": t.name, "input_schema": rawJSON(parameters(Claude, t.schema))}
		if t.description != "" {
			o["description"] = t.description
		}
		if t.strict && isStrict(t.schema) {
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
// but white space, and takes no thoughts that it did not sign.
func claudeContent(parts []part) ([]any, error) {
	content := []any{}
	for _, p := range parts {
		switch p.kind {
		case textPart:
			if strings.TrimSpace(p.text) != "" {
				content = append(content, object{"type": "text", "text": p.text})
			}
		case thoughtPart:
			if p.own != nil && p.own.Signature != "" {
				content = append(content, object{"type": "thinking", "thinking": p.own.Text, "signature": p.own.Signature})
			} else if p.own != nil && p.own.Data != "" {
				content = append(content, object{"type": "redacted_thinking", "data": p.own.Data})
			}
		case imagePart, filePart:
			b, err := claudeMedia(p)
			if err != nil {
				return nil, err
			}
			content = append(content, b)
		case callPart:
			content = append(content, object{"type": "tool_use", "id": p.id, "name": p.name, "input": rawJSON(p.args)})
		case resultPart:
			b := object{"type": "tool_result", "tool_use_id": p.id}
			inner, err := claudeContent(p.content)
			if err != nil {
				return nil, err
			}
			if len(inner) > 0 {
				b["content"] = inner
			}
			if p.failed {
				b["is_error"] = true
			}
			content = append(content, b)
		}
	}
	return content, nil
}

// claudeMedia is an image, or a document: PDF, or text.
func claudeMedia(p part) (object, error) {
	typ, source := "document", object{"type": "base64", "media_type": p.media, "data": p.data}
	if p.kind == imagePart {
		typ = "image"
	}
	text, isText := p.plainText()
	switch {
	case p.url != "":
		source = object{"type": "url", "url": p.url}
	case p.kind == filePart && isText:
		source = object{"type": "text", "media_type": "text/plain", "data": text}
	case p.kind == filePart && p.media != "application/pdf":
		return nil, &FieldError{p.field, "a Claude provider takes PDF and text, not files of type " + strconv.Quote(p.media)}
	}
	out := object{"type": typ, "source": source}
	if p.kind == filePart && p.filename != "" {
		out["title"] = p.filename
	}
	return out, nil
}
