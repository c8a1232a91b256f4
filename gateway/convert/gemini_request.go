package convert

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

// get is a field in either spelling.
func get(o gjson.Result, name string) gjson.Result {
	if v := o.Get(name); v.Exists() {
		return v
	}
	var snake strings.Builder
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			snake.WriteByte('_')
			c += 'a' - 'A'
		}
		snake.WriteRune(c)
	}
	return o.Get(snake.String())
}

// readGemini reads a generateContent request.
func readGemini(r *reader, body gjson.Result) *request {
	q := &request{}
	var allowed []string
	path := ""
	if inner := get(body, "generateContentRequest"); inner.IsObject() { // in a question for its tokens
		path, body = "generateContentRequest", inner
	}
	r.object(path, body, func(field, key string, v gjson.Result) bool {
		switch camel(key) {
		case "model", "labels", "serviceTier", "store":
		case "systemInstruction":
			for _, p := range r.geminiParts(field+".parts", get(v, "parts"), 0) {
				if p.kind != textPart {
					r.unable(p.field)
				}
				q.system = append(q.system, p.text)
			}
		case "contents":
			r.list(field, v, func(field string, c gjson.Result) { r.geminiContent(q, field, c) })
		case "generationConfig":
			r.object(field, v, func(field, key string, v gjson.Result) bool { return r.geminiConfig(q, field, key, v) })
		case "tools":
			r.list(field, v, func(field string, t gjson.Result) { r.geminiTools(q, field, t) })
		case "toolConfig":
			allowed = r.geminiChoice(q, field, v)
		case "safetySettings": // every provider has its own
		default:
			return false
		}
		return true
	})
	if len(allowed) > 1 { // one of several: the others are not offered
		q.allow(allowed)
	}
	return q
}

func (r *reader) geminiConfig(q *request, field, key string, v gjson.Result) bool {
	switch camel(key) {
	case "maxOutputTokens":
		q.maxTokens = r.number(field, v)
	case "temperature":
		q.temperature = r.number(field, v)
	case "topP":
		q.topP = r.number(field, v)
	case "topK":
		q.topK = r.number(field, v)
	case "seed":
		q.seed = r.number(field, v)
	case "presencePenalty":
		q.presence = r.number(field, v)
	case "frequencyPenalty":
		q.frequency = r.number(field, v)
	case "stopSequences":
		q.stop, q.stopField = r.texts(field, v), field
	case "candidateCount":
		r.only(field, v, "1")
	case "responseLogprobs":
		r.only(field, v, "false")
	case "enableEnhancedCivicAnswers", "audioTimestamp", "routingConfig", "modelSelectionConfig":
	case "responseModalities":
		r.list(field, v, func(field string, v gjson.Result) { r.only(field, v, `"TEXT"`) })
	case "mediaResolution":
	case "responseMimeType":
		switch v.Str {
		case "text/plain":
		case "application/json":
			q.format.json, q.format.field = true, field
		default:
			return false
		}
	case "responseSchema":
		q.format.schema, q.format.field = string(marshal(r.jsonSchema(field, v))), field
	case "responseJsonSchema":
		q.format.schema, q.format.field = r.rawObject(field, v), field
	case "thinkingConfig":
		r.object(field, v, func(field, key string, v gjson.Result) bool {
			switch camel(key) {
			case "includeThoughts":
				q.thinking.show = v.Bool()
			case "thinkingBudget":
				if n := r.number(field, v); n.raw != "-1" { // the model decides
					q.thinking.budget, q.thinking.field = n.raw, field
				}
			case "thinkingLevel":
				q.thinking.effort, q.thinking.field = strings.ToLower(r.text(field, v)), field
			default:
				return false
			}
			return true
		})
	default:
		return false
	}
	return true
}

func (r *reader) geminiTools(q *request, field string, v gjson.Result) {
	r.object(field, v, func(field, key string, v gjson.Result) bool {
		if camel(key) != "functionDeclarations" {
			q.offerHosted(field)
			return true
		}
		r.list(field, v, func(field string, f gjson.Result) {
			t := tool{schema: noParameters}
			r.object(field, f, func(field, key string, v gjson.Result) bool {
				switch camel(key) {
				case "name":
					t.name = r.text(field, v)
				case "description":
					t.description = r.text(field, v)
				case "parameters":
					t.schema = string(marshal(r.jsonSchema(field, v)))
				case "parametersJsonSchema":
					t.schema = r.rawObject(field, v)
				case "response", "responseJsonSchema": // of what the client runs
				default:
					return false
				}
				return true
			})
			q.tools = append(q.tools, t)
		})
		return true
	})
}

// geminiChoice reads which tools may be called; several names are returned.
func (r *reader) geminiChoice(q *request, field string, v gjson.Result) []string {
	c := get(v, "functionCallingConfig")
	var names []string
	if list := get(c, "allowedFunctionNames"); list.Exists() {
		names = r.texts(field+".functionCallingConfig.allowedFunctionNames", list)
	}
	switch mode := c.Get("mode").Str; {
	case mode == "" || mode == "MODE_UNSPECIFIED":
	case mode == "AUTO", mode == "VALIDATED": // the calls of others are valid anyway
		q.choice.mode = chooseAuto
	case mode == "NONE":
		q.choice.mode = chooseNone
	case mode == "ANY" && len(names) == 1:
		q.choice = choice{chooseTool, names[0]}
	case mode == "ANY":
		q.choice.mode = chooseAny
		return names
	default:
		r.unable(field + ".functionCallingConfig.mode")
	}
	return nil
}

func (r *reader) geminiContent(q *request, field string, c gjson.Result) {
	t := turn{role: user}
	switch role := c.Get("role").Str; role {
	case "", "user", "function", "tool":
	case "model":
		t.role = assistant
	default:
		r.refuse(field+".role", "is neither user nor model")
	}
	t.parts = r.geminiParts(field+".parts", c.Get("parts"), len(q.turns))
	q.turns = append(q.turns, t)
}

// geminiParts reads parts. Calls without an id get one that follows from their
// place, so that the same history reads the same each time.
func (r *reader) geminiParts(field string, v gjson.Result, turn int) (parts []part) {
	if v.IsObject() { // one alone may stand without its array
		v = gjson.Parse("[" + v.Raw + "]")
	}
	r.list(field, v, func(field string, p gjson.Result) {
		switch {
		case p.Get("thought").Bool():
			parts = append(parts, part{kind: thoughtPart, field: field, text: p.Get("text").Str})
		case get(p, "inlineData").Exists():
			d := get(p, "inlineData")
			made := r.blob(field, get(d, "mimeType").Str, r.text(field+".inlineData.data", d.Get("data")))
			made.filename = get(d, "displayName").Str
			parts = append(parts, made)
		case get(p, "fileData").Exists():
			d := get(p, "fileData")
			made := r.image(field+".fileData.fileUri", get(d, "fileUri").Str)
			if media := mediaType(get(d, "mimeType").Str); media != "" && !strings.HasPrefix(media, "image/") {
				made.kind, made.media = filePart, media
			}
			parts = append(parts, made)
		case get(p, "functionCall").Exists():
			parts = append(parts, r.geminiCall(field+".functionCall", get(p, "functionCall"), fmt.Sprintf("call_%d_%d", turn, len(parts))))
		case get(p, "functionResponse").Exists():
			parts = append(parts, r.geminiResult(field+".functionResponse", get(p, "functionResponse")))
		case p.Get("text").Type == gjson.String:
			parts = append(parts, textParts(field, p.Get("text").Str)...)
		default:
			r.unable(field)
		}
	})
	return parts
}

func (r *reader) geminiCall(field string, c gjson.Result, id string) part {
	p := part{kind: callPart, field: field, id: id, name: r.text(field+".name", c.Get("name")), args: "{}"}
	if given := c.Get("id").Str; given != "" {
		p.id = portableID(given)
	}
	if args := c.Get("args"); args.Exists() {
		p.args = r.rawObject(field+".args", args)
	}
	return p
}

// geminiResult reads what a tool gave: one text where there is but one field with
// a text, else the object.
func (r *reader) geminiResult(field string, f gjson.Result) part {
	p := part{kind: resultPart, field: field, name: r.text(field+".name", f.Get("name"))}
	if given := f.Get("id").Str; given != "" {
		p.id = portableID(given)
	}
	response := f.Get("response")
	text := r.rawObject(field+".response", response)
	if fields := response.Map(); len(fields) == 1 {
		for name, v := range fields {
			if v.Type == gjson.String && (name == "output" || name == "result" || name == "error") {
				text, p.failed = v.Str, name == "error"
			}
		}
	}
	p.content = []part{{kind: textPart, field: field, text: text}}
	if inner := f.Get("parts"); inner.Exists() { // what is no text
		p.content = append(p.content, r.geminiParts(field+".parts", inner, 0)...)
	}
	return p
}
