package gateway

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

func newGemini(t *testing.T) *provider {
	return newFake(t, readGemini, answerGemini, func(w http.ResponseWriter, why string) {
		sendJSON(w, 400, fmt.Sprintf(`{"error":{"code":400,"message":%q,"status":"INVALID_ARGUMENT"}}`, why))
	})
}

var geminiPath = regexp.MustCompile(`^/v1beta/models/([a-z0-9.-]+):(generateContent|streamGenerateContent)$`)

func readGemini(r *http.Request, b gjson.Result, no *objections) (a asked) {
	match := geminiPath.FindStringSubmatch(r.URL.Path)
	if !no.check(match != nil, "path %s", r.URL.Path) {
		return a
	}
	a.model, a.stream = match[1], match[2] == "streamGenerateContent"
	query := ""
	if a.stream {
		query = "alt=sse"
	}
	no.only(r, query, "X-Goog-")
	no.check(strings.HasPrefix(r.Header.Get("X-Goog-Api-Key"), "sk-account-"), "x-goog-api-key %q", r.Header.Get("X-Goog-Api-Key"))
	no.check(r.Header.Get("Authorization") == "", "authorization and x-goog-api-key")
	no.known("body", b, "contents", "systemInstruction", "generationConfig", "tools", "toolConfig", "safetySettings", "cachedContent")
	no.known("generationConfig", b.Get("generationConfig"), "temperature", "topP", "topK", "maxOutputTokens", "stopSequences", "candidateCount", "responseMimeType", "responseSchema", "responseJsonSchema", "seed", "presencePenalty", "frequencyPenalty", "thinkingConfig")
	no.check(len(b.Get("generationConfig.stopSequences").Array()) <= 5, "more than 5 stop sequences")
	for _, tool := range b.Get("tools").Array() {
		for _, f := range tool.Get("functionDeclarations").Array() {
			no.known("functionDeclaration", f, "name", "description", "parameters", "parametersJsonSchema")
			no.check(!f.Get("parameters.additionalProperties").Exists() && !f.Get("parameters.$schema").Exists(), "parameters: not a Schema: %s", f)
			a.tools = append(a.tools, f.Get("name").Str)
		}
	}
	config := b.Get("toolConfig.functionCallingConfig")
	switch mode := config.Get("mode").Str; mode {
	case "", "AUTO":
	case "NONE":
		a.none = true
	case "ANY":
		a.forced = config.Get("allowedFunctionNames.0").Str
	default:
		no.check(false, "function calling mode %s", mode)
	}
	no.check(!b.Get("systemInstruction").Exists() || len(b.Get("systemInstruction.parts").Array()) > 0, "systemInstruction without parts")
	readGeminiContents(b.Get("contents").Array(), no, &a)
	return a
}

func readGeminiContents(contents []gjson.Result, no *objections, a *asked) {
	if !no.check(len(contents) > 0, "contents is not specified") {
		return
	}
	calls := 0 // of the turn before
	for i, c := range contents {
		role := c.Get("role").Str
		no.check(role == "user" || role == "model", "contents.%d.role %q", i, role)
		parts := c.Get("parts").Array()
		no.check(len(parts) > 0, "contents.%d without parts", i)
		made, results := 0, 0
		a.result = ""
		for _, p := range parts {
			no.known("part", p, "text", "inlineData", "fileData", "functionCall", "functionResponse", "thoughtSignature", "thought")
			switch {
			case p.Get("functionCall").Exists():
				made++
				no.check(role == "model" && p.Get("functionCall.name").Str != "" && p.Get("functionCall.args").IsObject(), "functionCall %s", p)
			case p.Get("functionResponse").Exists():
				results++
				no.check(role == "user" && p.Get("functionResponse.name").Str != "" && p.Get("functionResponse.response").IsObject(), "functionResponse %s", p)
				a.result += p.Get("functionResponse.response.*").String()
			case p.Get("inlineData").Exists():
				no.check(p.Get("inlineData.mimeType").Str != "" && p.Get("inlineData.data").Str != "", "inlineData %s", p)
			case p.Get("fileData").Exists():
				no.check(p.Get("fileData.fileUri").Str != "", "fileData %s", p)
			default:
				no.check(p.Get("text").Type == gjson.String, "part without data: %s", p)
				a.both = a.both || strings.Contains(p.Get("text").Str, "both")
			}
		}
		no.check(results == calls, "contents.%d: %d function responses to %d calls", i, results, calls)
		calls = made
	}
	no.check(calls == 0, "function calls without responses")
}

func answerGemini(w http.ResponseWriter, a asked) {
	s := a.answer()
	part := func(c toolCall) string {
		return fmt.Sprintf(`{"functionCall":{"name":%q,"args":%s},"thoughtSignature":"c2ln"}`, c.name, c.args)
	}
	text := func(t string) string { return fmt.Sprintf(`{"text":%q}`, t) }
	const usage = `"usageMetadata":{"promptTokenCount":11,"candidatesTokenCount":5,"totalTokenCount":18,"thoughtsTokenCount":2,"cachedContentTokenCount":3}`
	body := func(parts []string, end string) string {
		return fmt.Sprintf(`{"candidates":[{"content":{"parts":[%s],"role":"model"}%s,"index":0}],%s,"modelVersion":%q,"responseId":"resp-1"}`, strings.Join(parts, ","), end, usage, a.model)
	}
	const stop = `,"finishReason":"STOP"`
	var chunks [][]string
	if s.text != "" {
		h := halves(s.text)
		chunks = append(chunks, []string{text(h[0])}, []string{text(h[1])})
	}
	for _, c := range s.calls {
		chunks = append(chunks, []string{part(c)})
	}
	if !a.stream {
		var all []string
		for _, c := range chunks {
			all = append(all, c...)
		}
		sendJSON(w, 200, body(all, stop))
		return
	}
	var events []string
	for _, c := range chunks {
		events = append(events, "data: "+body(c, "")+"\r\n\r\n")
	}
	events = append(events, "data: "+body([]string{text("")}, stop)+"\r\n\r\n")
	sendEvents(w, events...)
}
