package fakes

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/tidwall/gjson"
)

func refuseGemini(w http.ResponseWriter, why string) {
	sendJSON(w, http.StatusBadRequest, object{"error": object{"code": 400, "message": why, "status": "INVALID_ARGUMENT"}})
}

var (
	geminiPath = regexp.MustCompile(`^/v1beta/models/([A-Za-z0-9._-]+):(generateContent|streamGenerateContent|countTokens)$`)
	geminiName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$`)
)

const (
	geminiConfig = `temperature topP topK maxOutputTokens stopSequences candidateCount responseMimeType responseSchema responseJsonSchema
	seed presencePenalty frequencyPenalty thinkingConfig responseModalities responseLogprobs logprobs speechConfig mediaResolution`
	geminiSchema = `type format title description nullable enum maxItems minItems properties required minProperties maxProperties minLength
	maxLength pattern example anyOf propertyOrdering default items minimum maximum`
)

func readGemini(r *http.Request, b gjson.Result, no *objections) heard {
	match := geminiPath.FindStringSubmatch(r.URL.Path)
	if !no.check(match != nil, "path %s", r.URL.Path) {
		return heard{}
	}
	h := heard{model: match[1], stream: match[2] == "streamGenerateContent", counts: match[2] == "countTokens"}
	no.check(!h.stream || r.URL.Query().Get("alt") == "sse", "alt=%s", r.URL.Query().Get("alt"))
	no.check(strings.HasPrefix(r.Header.Get("X-Goog-Api-Key"), "sk-account-") && r.Header.Get("Authorization") == "", "x-goog-api-key %q", r.Header.Get("X-Goog-Api-Key"))
	if h.counts && b.Get("generateContentRequest").Exists() {
		no.check(!b.Get("contents").Exists(), "countTokens: contents and generateContentRequest are exclusive")
		no.check(b.Get("generateContentRequest.model").Str == "models/"+h.model, "generateContentRequest.model: %s", b.Get("generateContentRequest.model"))
		b = b.Get("generateContentRequest")
		no.known("generateContentRequest", b, "model contents systemInstruction generationConfig tools toolConfig safetySettings cachedContent")
	} else if h.counts {
		no.known("body", b, "contents")
	} else {
		no.known("body", b, "contents systemInstruction generationConfig tools toolConfig safetySettings cachedContent labels serviceTier store")
	}
	config := b.Get("generationConfig")
	no.known("generation_config", config, geminiConfig)
	no.check(len(config.Get("stopSequences").Array()) <= 5, "stop_sequences: at most 5")
	think := config.Get("thinkingConfig")
	no.known("thinking_config", think, "includeThoughts thinkingBudget thinkingLevel")
	no.check(!think.Get("thinkingBudget").Exists() || !think.Get("thinkingLevel").Exists(), "thinking budget and level are exclusive")
	h.thinks = think.Get("includeThoughts").Bool()
	for _, tool := range b.Get("tools").Array() {
		for _, f := range tool.Get("functionDeclarations").Array() {
			h.geminiFunction(no, f)
		}
	}
	h.geminiContents(no, b.Get("contents"))
	return h
}

func (h *heard) geminiFunction(no *objections, f gjson.Result) {
	no.known("function_declarations", f, "name description parameters parametersJsonSchema response responseJsonSchema behavior")
	no.check(geminiName.MatchString(f.Get("name").Str), "GenerateContentRequest.tools.function_declarations.name: Invalid function name %q", f.Get("name").Str)
	no.check(!f.Get("parameters").Exists() || !f.Get("parametersJsonSchema").Exists(), "parameters and parameters_json_schema are exclusive")
	schema := f.Get("parametersJsonSchema")
	if p := f.Get("parameters"); p.Exists() {
		geminiSchemaFields(no, p)
		schema = gjson.Parse(strings.NewReplacer(`"OBJECT"`, `"object"`, `"STRING"`, `"string"`, `"ARRAY"`, `"array"`, `"NUMBER"`, `"number"`, `"INTEGER"`, `"integer"`, `"BOOLEAN"`, `"boolean"`).Replace(p.Raw))
	}
	h.tools = append(h.tools, offered{f.Get("name").Str, schema})
}

func geminiSchemaFields(no *objections, s gjson.Result) {
	no.known("function_declarations.parameters", s, geminiSchema)
	s.Get("properties").ForEach(func(_, v gjson.Result) bool { geminiSchemaFields(no, v); return true })
	if s.Get("items").Exists() {
		geminiSchemaFields(no, s.Get("items"))
	}
}

func (h *heard) geminiContents(no *objections, contents gjson.Result) {
	list := contents.Array()
	no.check(len(list) > 0, "* GenerateContentRequest.contents: contents is not specified")
	calls := 0 // of the turn before
	signed := regexp.MustCompile(`gemini-[3-9]`).MatchString(h.model)
	for i, c := range list {
		role := c.Get("role").Str
		no.check(role == "user" || role == "model", "Please use a valid role: user, model. (%s)", role)
		parts := c.Get("parts").Array()
		no.check(len(parts) > 0, "* GenerateContentRequest.contents[%d].parts: contents.parts must not be empty.", i)
		made, results, text := 0, 0, ""
		for j, p := range parts {
			no.known("parts", p, "text inlineData fileData functionCall functionResponse thoughtSignature thought videoMetadata")
			seal := p.Get("thoughtSignature").Str
			no.check(seal == "" || strings.HasPrefix(seal, "sealgemini") || seal == "skip_thought_signature_validator", "contents[%d].parts[%d]: Corrupted thought signature.", i, j)
			switch call, result := p.Get("functionCall"), p.Get("functionResponse"); {
			case call.Exists():
				no.check(role == "model" && geminiName.MatchString(call.Get("name").Str) && (call.Get("args").IsObject() || !call.Get("args").Exists()), "functionCall %s", p)
				no.check(!signed || seal != "" || made > 0, "Function call `%s` in the %d. content block is missing a `thought_signature`.", call.Get("name").Str, i)
				made++
			case result.Exists():
				results++
				no.check(role == "user" && geminiName.MatchString(result.Get("name").Str) && result.Get("response").IsObject(), "functionResponse %s", p)
				h.results = append(h.results, result.Get("response").Raw)
				for _, inner := range result.Get("parts").Array() {
					no.check(signed, "functionResponse.parts: this model takes no multimodal function responses")
					h.image(no, "functionResponse.inlineData", inner.Get("inlineData.mimeType").Str, inner.Get("inlineData.data").Str)
				}
			case p.Get("inlineData").Exists():
				h.image(no, "inlineData", p.Get("inlineData.mimeType").Str, p.Get("inlineData.data").Str)
			case p.Get("text").Exists():
				text += p.Get("text").Str + "\n"
			default:
				no.check(false, "contents[%d].parts[%d].data: required oneof field 'data' must have one initialized field", i, j)
			}
		}
		no.check(results == calls, "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn. (%d, %d)", results, calls)
		calls = made
		if role == "user" {
			h.said = append(h.said, text)
			if mark.MatchString(text) {
				h.results = nil
			}
		}
	}
	no.check(calls == 0, "function calls without responses")
	no.check(h.counts || list[len(list)-1].Get("role").Str == "user", "Please ensure that the last turn is of the user.")
}

func countGemini(w http.ResponseWriter, n int) { sendJSON(w, http.StatusOK, object{"totalTokens": n}) }

func answerGemini(w http.ResponseWriter, h heard, p plan) {
	usage := object{"promptTokenCount": 11, "candidatesTokenCount": 5, "thoughtsTokenCount": 2, "totalTokenCount": 18}
	body := func(finish string, parts ...any) object {
		c := object{"content": object{"role": "model", "parts": parts}, "index": 0}
		if finish != "" {
			c["finishReason"] = finish
		}
		return object{"candidates": []any{c}, "usageMetadata": usage, "modelVersion": h.model, "responseId": "resp-1"}
	}
	var parts []any
	if p.thought != "" {
		parts = append(parts, object{"text": p.thought, "thought": true})
	}
	for _, t := range p.text {
		parts = append(parts, object{"text": t})
	}
	if p.call != "" {
		parts = append(parts, object{"functionCall": object{"name": p.call, "args": json.RawMessage(p.args)}, "thoughtSignature": sealOf("gemini", p.args)})
	}
	if !h.stream {
		sendJSON(w, http.StatusOK, body("STOP", parts...))
		return
	}
	s := newStream(w)
	for _, part := range parts {
		s.send("", body("", part))
	}
	s.send("", body("STOP", object{"text": ""}))
}
