package convert

// writeResponses writes a request of the Responses API. Nothing is kept there: the
// client sends its whole history each time.
func writeResponses(q *request) (map[string]any, error) {
	out := object{"model": q.model, "store": false}
	if q.stream {
		out["stream"] = true
	}
	if text := joinTexts(q.system); text != "" {
		out["instructions"] = text
	}
	input := []any{}
	for _, t := range q.turns {
		items, err := responsesItems(t)
		if err != nil {
			return nil, err
		}
		input = append(input, items...)
	}
	out["input"] = input
	q.maxTokens.put(out, "max_output_tokens")
	can := abilitiesOf(Responses, q.model)
	if !can.noSampling {
		q.temperature.put(out, "temperature")
		q.topP.put(out, "top_p")
	}
	if _, err := q.stopsFor(0, anyStop); err != nil {
		return nil, err
	}
	if word := can.effort(q.thinking); word != "" {
		reasoning := object{"effort": word}
		if q.thinking.show && word != "none" {
			reasoning["summary"] = "auto"
		}
		out["reasoning"] = reasoning
	}
	if len(can.efforts) > 0 { // it reasons, and has to see that again with its calls
		out["include"] = []string{"reasoning.encrypted_content"}
	}
	if q.format.schema != "" {
		out["text"] = object{"format": object{"type": "json_schema", "name": "answer", "schema": rawJSON(q.format.schema), "strict": isStrict(q.format.schema)}}
	} else if q.format.json {
		out["text"] = object{"format": object{"type": "json_object"}}
	}
	responsesTools(q, out)
	return out, nil
}

func responsesTools(q *request, out object) {
	if len(q.tools) == 0 {
		return
	}
	var tools []any
	for _, t := range q.tools {
		f := object{"type": "function", "name": t.name, "parameters": rawJSON(parameters(Responses, t.schema)), "strict": t.strict && isStrict(t.schema)}
		if t.description != "" {
			f["description"] = t.description
		}
		tools = append(tools, f)
	}
	out["tools"] = tools
	openAIChoice(q, out, object{"type": "function", "name": q.choice.name})
}

// responsesItems is a turn as items: results, then a message, then calls.
func responsesItems(t turn) (items []any, _ error) {
	content, calls := []any{}, []any{}
	for _, p := range t.parts {
		switch p.kind {
		case resultPart:
			output, err := responsesOutput(p)
			if err != nil {
				return nil, err
			}
			items = append(items, object{"type": "function_call_output", "call_id": p.id, "output": output})
		case callPart:
			calls = append(calls, object{"type": "function_call", "call_id": p.id, "name": p.name, "arguments": p.args})
		case thoughtPart:
			if p.own != nil && p.own.Data != "" {
				calls = append(calls, p.own.item())
			}
		case textPart:
			typ := "input_text"
			if t.role == assistant {
				typ = "output_text"
			}
			content = append(content, object{"type": typ, "text": p.text})
		case imagePart, filePart:
			made, err := responsesMedia(p)
			if err != nil {
				return nil, err
			}
			content = append(content, made)
		}
	}
	if len(content) > 0 {
		items = append(items, object{"type": "message", "role": [...]string{"user", "assistant"}[t.role], "content": content})
	}
	return append(items, calls...), nil
}

// item is a sealed thought as an item of the input.
func (s *sealed) item() object {
	item := object{"type": "reasoning", "summary": []any{}, "encrypted_content": s.Data}
	if s.Text != "" {
		item["summary"] = []any{object{"type": "summary_text", "text": s.Text}}
	}
	if s.ID != "" {
		item["id"] = s.ID
	}
	return item
}

// responsesOutput is what a tool gave: a text, or parts where some is no text.
func responsesOutput(p part) (any, error) {
	shown := p.mediaParts()
	if len(shown) == 0 {
		return p.said(), nil
	}
	parts := []any{}
	if text := p.texts(); text != "" {
		parts = append(parts, object{"type": "input_text", "text": p.said()})
	}
	for _, m := range shown {
		made, err := responsesMedia(m)
		if err != nil {
			return nil, err
		}
		parts = append(parts, made)
	}
	return parts, nil
}

// responsesMedia is an image or a document.
func responsesMedia(p part) (object, error) {
	text, isText := p.plainText()
	switch {
	case p.kind == imagePart && p.url != "":
		return object{"type": "input_image", "image_url": p.url, "detail": "auto"}, nil
	case p.kind == imagePart:
		return object{"type": "input_image", "image_url": p.dataURL(), "detail": "auto"}, nil
	case p.url != "":
		return object{"type": "input_file", "file_url": p.url}, nil
	case isText:
		return object{"type": "input_text", "text": text}, nil
	case p.media == "application/pdf":
		return object{"type": "input_file", "filename": p.fileName(), "file_data": p.dataURL()}, nil
	}
	return nil, &FieldError{p.field, "an OpenAI Responses provider takes no files of type " + p.media}
}
