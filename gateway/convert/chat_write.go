package convert

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

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
	can := abilitiesOf(Chat, q.model)
	for _, t := range q.turns {
		made, err := chatTurn(t, can.thinksBack, can.signs)
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
	q.seed.put(out, "seed")
	if !can.noSampling {
		q.temperature.put(out, "temperature")
		q.topP.put(out, "top_p")
		q.presence.put(out, "presence_penalty")
		q.frequency.put(out, "frequency_penalty")
	}
	most := 4
	if can.noSampling { // those refuse stop sequences, too
		most = 0
	}
	if stops, err := q.stopsFor(most, anyStop); err != nil {
		return nil, err
	} else if len(stops) > 0 {
		out["stop"] = stops
	}
	if word := can.effort(q.thinking); word != "" {
		out["reasoning_effort"] = word
	}
	if q.format.schema != "" {
		out["response_format"] = object{"type": "json_schema", "json_schema": object{
			"name": "answer", "schema": rawJSON(q.format.schema), "strict": isStrict(q.format.schema)}}
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
		f := object{"name": t.name, "parameters": rawJSON(parameters(Chat, t.schema))}
		if t.description != "" {
			f["description"] = t.description
		}
		if t.strict && isStrict(t.schema) {
			f["strict"] = true
		}
		tools = append(tools, object{"type": "function", "function": f})
	}
	out["tools"] = tools
	openAIChoice(q, out, object{"type": "function", "function": object{"name": q.choice.name}})
}

// openAIChoice writes which tools may be called; both of OpenAI's APIs have it alike, but
// for named, the form of one certain tool.
func openAIChoice(q *request, out, named object) {
	switch q.choice.mode {
	case chooseAuto:
		out["tool_choice"] = "auto"
	case chooseNone:
		out["tool_choice"] = "none"
	case chooseAny:
		out["tool_choice"] = "required"
	case chooseTool:
		out["tool_choice"] = named
	}
	if q.single.on {
		out["parallel_tool_calls"] = false
	}
}

// chatTurn is a turn as messages: one for each result, one for all the rest. An
// image that a tool gave has no place in its result there: it comes behind them,
// as the user's.
func chatTurn(t turn, thinksBack, signs bool) (messages []any, _ error) {
	var calls, content []any
	var shown []part
	plain := true
	text, thought := "", ""
	for _, p := range t.parts {
		switch p.kind {
		case resultPart:
			messages = append(messages, object{"role": "tool", "tool_call_id": p.id, "content": p.said()})
			shown = append(shown, p.mediaParts()...)
		case callPart:
			call := object{"id": p.id, "type": "function", "function": object{"name": p.name, "arguments": p.args}}
			if signs {
				sign(call, p.signature)
			}
			calls = append(calls, call)
		case thoughtPart:
			thought += p.text
		case imagePart, filePart:
			made, err := chatMedia(p)
			if err != nil {
				return nil, err
			}
			plain = false
			content = append(content, made)
		default:
			text += p.text
			content = append(content, object{"type": "text", "text": p.text})
		}
	}
	for i, p := range shown {
		made, err := chatMedia(p)
		if err != nil {
			return nil, err
		}
		content = append(content[:i:i], append([]any{made}, content[i:]...)...)
		plain = false
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
	if thought != "" && thinksBack {
		m["reasoning_content"] = thought
	}
	return append(messages, m), nil
}

// said is a result as text, where there is no other place to say that it failed
// and what is not text is shown elsewhere.
func (p part) said() string {
	said := p.texts()
	if said == "" && len(p.mediaParts()) > 0 {
		said = "The result is shown below."
	}
	if p.failed {
		said = "Error: " + said
	}
	return said
}

// chatMedia is an image, audio or a document.
func chatMedia(p part) (object, error) {
	text, isText := p.plainText()
	switch {
	case p.kind == imagePart && p.url != "":
		return object{"type": "image_url", "image_url": object{"url": p.url}}, nil
	case p.kind == imagePart:
		return object{"type": "image_url", "image_url": object{"url": p.dataURL()}}, nil
	case p.url != "":
		return nil, &FieldError{p.field, "an OpenAI provider takes a document as data only: send it as base64"}
	case isText:
		return object{"type": "text", "text": text}, nil
	case p.media == "audio/wav", p.media == "audio/mp3":
		return object{"type": "input_audio", "input_audio": object{"data": p.data, "format": strings.TrimPrefix(p.media, "audio/")}}, nil
	case p.media == "application/pdf":
		return object{"type": "file", "file": object{"filename": p.fileName(), "file_data": p.dataURL()}}, nil
	}
	return nil, &FieldError{p.field, "an OpenAI provider takes no files of type " + strconv.Quote(p.media)}
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
