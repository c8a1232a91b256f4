package convert

import (
	"regexp"
	"slices"
	"strings"
)

// writeGemini writes a generateContent request; the model and whether it is
// streamed are in its path.
func writeGemini(q *request) (map[string]any, error) {
	out := object{}
	var system []any
	for _, s := range q.system {
		if s != "" {
			system = append(system, object{"text": s})
		}
	}
	if len(system) > 0 {
		out["systemInstruction"] = object{"parts": system}
	}
	contents := []any{}
	for _, t := range q.turns {
		parts, err := q.geminiTurn(t)
		if err != nil {
			return nil, err
		}
		contents = append(contents, object{"role": [...]string{"user", "model"}[t.role], "parts": parts})
	}
	out["contents"] = contents
	config := object{}
	q.maxTokens.put(config, "maxOutputTokens")
	q.temperature.put(config, "temperature")
	q.topP.put(config, "topP")
	q.topK.put(config, "topK")
	q.seed.put(config, "seed")
	q.presence.put(config, "presencePenalty")
	q.frequency.put(config, "frequencyPenalty")
	if stops, err := q.stopsFor(5, anyStop); err != nil {
		return nil, err
	} else if len(stops) > 0 {
		config["stopSequences"] = stops
	}
	if q.format.json {
		config["responseMimeType"] = "application/json"
	}
	if q.format.schema != "" {
		config["responseJsonSchema"] = rawJSON(q.format.schema)
	}
	if think := q.geminiThink(); len(think) > 0 {
		config["thinkingConfig"] = think
	}
	if len(config) > 0 {
		out["generationConfig"] = config
	}
	geminiTools(q, out)
	return out, nil
}

// geminiThink writes how to think; thoughts are asked for where the client has a
// place for them.
func (q *request) geminiThink() object {
	can, out := abilitiesOf(Gemini, q.model), object{}
	if word := can.effort(q.thinking); word != "" {
		out["thinkingLevel"] = word
	} else if n := can.tokens(q.thinking); n >= 0 {
		out["thinkingBudget"] = n
	}
	if q.thinking.set() && q.thinking.show && q.thinking.effort != "none" && (len(can.efforts) > 0 || can.budget[1] > 0) {
		out["includeThoughts"] = true
	}
	return out
}

func geminiTools(q *request, out object) {
	if len(q.tools) == 0 {
		return
	}
	var list []any
	for _, t := range q.tools {
		f := object{"name": t.name, "parametersJsonSchema": rawJSON(parameters(Gemini, t.schema))}
		if t.description != "" {
			f["description"] = t.description
		}
		list = append(list, f)
	}
	out["tools"] = []any{object{"functionDeclarations": list}}
	mode := object{}
	switch q.choice.mode {
	case chooseDefault:
		return
	case chooseAuto:
		mode["mode"] = "AUTO"
	case chooseNone:
		mode["mode"] = "NONE"
	case chooseAny:
		mode["mode"] = "ANY"
	case chooseTool:
		mode["mode"], mode["allowedFunctionNames"] = "ANY", []string{q.choice.name}
	}
	out["toolConfig"] = object{"functionCallingConfig": mode}
}

// unsigned recognises the models that take a call in the history without the
// signature of their own thoughts. foreignSignature is what Google documents for
// histories that another model made.
var unsigned = regexp.MustCompile(`gemini-[12]\b`)

const foreignSignature = "skip_thought_signature_validator"

func (q *request) geminiTurn(t turn) (parts []any, _ error) {
	var shown []part // by tools
	signed := false  // the first call of several has the signature of all
	for _, p := range t.parts {
		shown = append(shown, p.mediaParts()...)
	}
	for _, p := range append(slices.Clone(t.parts), shown...) {
		switch p.kind {
		case textPart:
			parts = append(parts, object{"text": p.text})
		case imagePart, filePart:
			made, err := geminiMedia(p)
			if err != nil {
				return nil, err
			}
			parts = append(parts, made)
		case callPart:
			made := object{"functionCall": object{"name": p.name, "args": rawJSON(p.args)}}
			if p.signature != "" {
				made["thoughtSignature"], signed = p.signature, true
			} else if !signed && strings.Contains(q.model, "gemini-") && !unsigned.MatchString(q.model) {
				made["thoughtSignature"] = foreignSignature
			}
			parts = append(parts, made)
		case resultPart:
			key := "output"
			if p.failed {
				key = "error"
			}
			parts = append(parts, object{"functionResponse": object{"name": p.name, "response": object{key: p.texts()}}})
		}
	}
	return parts, nil
}

// geminiMedia is an image or a file as data, or one on the web whose name tells
// its type, which Gemini wants to know.
func geminiMedia(p part) (object, error) {
	if p.url == "" {
		return object{"inlineData": object{"mimeType": p.media, "data": p.data}}, nil
	}
	media := p.media
	if media == "" {
		media = mediaOfURL(p.url)
	}
	if media == "" {
		return nil, &FieldError{p.field, "a Gemini provider has to know the type of an image and this address does not tell it: send the image as a data URL"}
	}
	return object{"fileData": object{"mimeType": media, "fileUri": p.url}}, nil
}
