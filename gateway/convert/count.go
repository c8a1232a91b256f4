package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// ErrNoCount is a protocol in which a provider cannot be asked for the number of
// tokens.
var ErrNoCount = errors.New("the provider's protocol has no question for the number of tokens")

// counting is how a protocol asks for the number of tokens, and answers.
var counting = [...]struct {
	keep  []string // fields of a request that count; none: it cannot be asked
	whole bool     // Gemini: the request is put into another one
	path  string   // of the number in an answer
}{
	Chat:      {},
	Claude:    {keep: []string{"model", "system", "messages", "tools", "tool_choice", "thinking", "output_config"}, path: "input_tokens"},
	Gemini:    {keep: []string{"systemInstruction", "contents", "tools", "toolConfig", "generationConfig"}, whole: true, path: "totalTokens"},
	Responses: {keep: []string{"model", "instructions", "input", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"}, path: "input_tokens"},
}

// NewCount converts a client's question for the number of a request's tokens. An
// error is ErrNoCount or a FieldError; the body as with New.
func NewCount(client, provider Format, body []byte, model string) (*Conversion, []byte, error) {
	how := counting[provider]
	if len(how.keep) == 0 {
		return nil, nil, ErrNoCount
	}
	c, converted, err := New(client, provider, body, model, false)
	if err != nil {
		return nil, nil, err
	}
	c.count = true
	all, out := map[string]json.RawMessage{}, object{}
	_ = json.Unmarshal(converted, &all) // an object: it was made so
	for _, field := range how.keep {
		if v, ok := all[field]; ok {
			out[field] = v
		}
	}
	if how.whole {
		out["model"] = "models/" + model
		out = object{"generateContentRequest": out}
	}
	return c, marshal(out), nil
}

// countAnswer converts the answer to such a question.
func (c *Conversion) countAnswer(body []byte) ([]byte, error) {
	n := gjson.GetBytes(body, counting[c.provider].path)
	if !json.Valid(body) || n.Type != gjson.Number {
		return nil, fmt.Errorf("%w: it has no number of tokens", errMalformed)
	}
	return countBody(c.client, n.Int(), false), nil
}

// Estimate is the answer of a client's protocol to its question for the number of
// tokens of body, a valid JSON object, where no provider can be asked. The answer
// says that it is an estimate.
func Estimate(client Format, body []byte) []byte {
	return countBody(client, int64(estimate("", gjson.ParseBytes(body))), true)
}

func countBody(client Format, n int64, estimated bool) []byte {
	out := object{"input_tokens": n}
	switch client {
	case Gemini:
		out = object{"totalTokens": n}
	case Responses:
		out["object"] = "response.input_tokens"
	}
	if estimated {
		out["estimated"] = true
	}
	return marshal(out)
}

const (
	// imageTokens is what an image counts, about the most that a provider scales
	// one to; a document counts it for each fileTokenBytes of its data.
	imageTokens    = 1500
	fileTokenBytes = 64 << 10
	// valueTokens is what stands around a value.
	valueTokens = 1
)

// estimate counts a value under a key: four letters of the Latin alphabet are about a
// token, and so is about one and a half letters of any other.
func estimate(key string, v gjson.Result) (n int) {
	switch v.Type {
	case gjson.String:
		if isData(key, v.Str) {
			return dataTokens(v.Str)
		}
		ascii := 0
		for i := range len(v.Str) {
			if v.Str[i] < utf8.RuneSelf {
				ascii++
			}
		}
		return ascii/4 + (utf8.RuneCountInString(v.Str)-ascii)*2/3 + valueTokens
	case gjson.JSON:
		v.ForEach(func(k, inner gjson.Result) bool {
			if !uncounted[k.Str] {
				n += len(k.Str)/8 + estimate(k.Str, inner)
			}
			return true
		})
		return n
	}
	return valueTokens
}

// dataTokens is what data counts: an image is scaled, a document is as long as it is.
func dataTokens(s string) int {
	if _, data, found := strings.Cut(s, ";base64,"); found {
		s = data
	}
	for _, head := range []string{"iVBOR", "/9j/", "R0lG", "UklG"} { // PNG, JPEG, GIF, WebP
		if strings.HasPrefix(s, head) {
			return imageTokens
		}
	}
	return imageTokens * (1 + len(s)/fileTokenBytes)
}

// uncounted are fields that no model reads.
var uncounted = map[string]bool{"model": true, "cache_control": true, "metadata": true, "signature": true, "encrypted_content": true, "thoughtSignature": true}

// isData reports whether a text is the data of an image or a file.
func isData(key, s string) bool {
	if strings.HasPrefix(s, "data:") {
		return true
	}
	return len(s) > 64 && (key == "data" || key == "file_data" || key == "image_url") && !strings.ContainsAny(s[:64], " \n.")
}
