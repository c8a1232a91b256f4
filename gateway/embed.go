package gateway

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"

	"github.com/tidwall/gjson"
)

// embedding is a request for vectors on its way between the two protocols that have
// one: OpenAI's /v1/embeddings and Gemini's embedContent and batchEmbedContents.
type embedding struct {
	fromGemini bool
	many       bool // the client's form of the answer is a list
	packed     bool // the client wants base64 of 32-bit floats
	model      string
	inputs     int
}

// embeds reports whether the call asks for vectors.
func (c *call) embeds() bool {
	return c.path == "/v1/embeddings" || c.action == "embedContent" || c.action == "batchEmbedContents"
}

// convertEmbedding makes the provider's request of the client's.
func (c *call) convertEmbedding() *apiError {
	e := &embedding{fromGemini: c.dialect.wire() == wireGemini, model: c.model, many: c.action != "embedContent"}
	var inputs []string
	var size gjson.Result
	var failure *apiError
	if e.fromGemini {
		inputs, size, failure = geminiInputs(gjson.ParseBytes(c.body), e.many)
	} else {
		e.packed = gjson.GetBytes(c.body, "encoding_format").Str == "base64"
		inputs, size, failure = openAIInputs(gjson.ParseBytes(c.body))
	}
	if failure != nil {
		return failure
	}
	e.inputs = len(inputs)
	out := map[string]any{"model": c.model, "input": inputs}
	if e.fromGemini {
		if size.Exists() {
			out["dimensions"] = json.RawMessage(size.Raw)
		}
		c.path, c.action = "/v1/embeddings", ""
	} else {
		requests := make([]map[string]any, 0, len(inputs))
		for _, text := range inputs {
			r := map[string]any{"model": "models/" + c.model, "content": map[string]any{"parts": []map[string]string{{"text": text}}}}
			if size.Exists() {
				r["outputDimensionality"] = json.RawMessage(size.Raw)
			}
			requests = append(requests, r)
		}
		out, c.action = map[string]any{"requests": requests}, "batchEmbedContents"
	}
	c.body, _ = json.Marshal(out) // plain values cannot fail
	c.embedding, c.contentType = e, "application/json"
	c.header, c.query = nil, nil
	return nil
}

// unable is the refusal of a field that the other protocol cannot say.
func unable(field, why string) *apiError {
	failure := invalidRequest("cannot_convert", "field "+field+": "+why)
	failure.param = field
	return failure
}

// openAIInputs reads the texts of OpenAI's form, and the wanted length of a vector.
func openAIInputs(body gjson.Result) (inputs []string, size gjson.Result, failure *apiError) {
	body.ForEach(func(name, _ gjson.Result) bool {
		switch name.Str {
		case "model", "input", "dimensions", "encoding_format", "user":
		default:
			failure = unable(name.Str, "Gemini has nothing like it")
		}
		return failure == nil
	})
	if failure != nil {
		return nil, size, failure
	}
	in := body.Get("input")
	for i, v := range in.Array() {
		if v.Type != gjson.String {
			return nil, size, unable(fmt.Sprintf("input.%d", i), "is no text: tokens of another model mean nothing to this one")
		}
		inputs = append(inputs, v.Str)
	}
	if len(inputs) == 0 {
		return nil, size, unable("input", "is missing: give a text, or a list of texts")
	}
	return inputs, body.Get("dimensions"), nil
}

// geminiInputs reads the texts of Gemini's form. What a vector is for (taskType,
// title) is a hint, and left out.
func geminiInputs(body gjson.Result, many bool) (inputs []string, size gjson.Result, failure *apiError) {
	requests := []gjson.Result{body}
	if many {
		requests = body.Get("requests").Array()
	}
	for i, r := range requests {
		text := ""
		for _, part := range r.Get("content.parts").Array() {
			if part.Get("text").Type != gjson.String {
				return nil, size, unable(fmt.Sprintf("requests.%d.content.parts", i), "has something else than text")
			}
			text += part.Get("text").Str
		}
		if s := r.Get("outputDimensionality"); i > 0 && s.Raw != size.Raw {
			return nil, size, unable(fmt.Sprintf("requests.%d.outputDimensionality", i), "differs from the first: all vectors of one request have the same length there")
		} else if i == 0 {
			size = s
		}
		inputs = append(inputs, text)
	}
	if len(inputs) == 0 {
		return nil, size, unable("requests", "is missing")
	}
	return inputs, size, nil
}

var errVectors = errors.New("the provider's answer has not one vector for each text")

// answer is the provider's answer in the client's form.
func (e *embedding) answer(body []byte) ([]byte, error) {
	root := gjson.ParseBytes(body)
	if !json.Valid(body) {
		return nil, errVectors
	}
	list, field := root.Get("embeddings").Array(), "values"
	if e.fromGemini {
		list, field = root.Get("data").Array(), "embedding"
	}
	if len(list) != e.inputs {
		return nil, errVectors
	}
	vectors := make([]json.RawMessage, len(list))
	for i, v := range list {
		values := v.Get(field)
		if !values.IsArray() {
			return nil, errVectors
		}
		at := i
		if index := v.Get("index"); index.Exists() && e.fromGemini { // in whatever order
			at = int(index.Int())
		}
		if at < 0 || at >= len(vectors) || vectors[at] != nil {
			return nil, errVectors
		}
		vectors[at] = json.RawMessage(values.Raw)
		if e.packed {
			vectors[at], _ = json.Marshal(packFloats(values)) // a string cannot fail
		}
	}
	type object = map[string]any
	if e.fromGemini {
		out := make([]object, 0, len(vectors))
		for _, v := range vectors {
			out = append(out, object{"values": v})
		}
		if !e.many {
			return json.Marshal(object{"embedding": out[0]})
		}
		return json.Marshal(object{"embeddings": out})
	}
	out := make([]object, 0, len(vectors))
	for i, v := range vectors {
		out = append(out, object{"object": "embedding", "index": i, "embedding": v})
	}
	used := root.Get("usageMetadata.promptTokenCount").Int()
	return json.Marshal(object{"object": "list", "data": out, "model": e.model, "usage": object{"prompt_tokens": used, "total_tokens": used}})
}

// packFloats is OpenAI's short form of a vector: 32-bit floats, the least byte first.
func packFloats(values gjson.Result) string {
	var out []byte
	values.ForEach(func(_, v gjson.Result) bool {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(v.Num)))
		return true
	})
	return base64.StdEncoding.EncodeToString(out)
}

// relayEmbedding answers with vectors of the other protocol.
func relayEmbedding(ctx context.Context, w http.ResponseWriter, c *call, a *account, resp *http.Response) attempt {
	body, failed := wholeAnswer(ctx, c, a, resp)
	if failed != nil {
		return *failed
	}
	out, err := c.embedding.answer(body)
	if err != nil {
		return unusable(err)
	}
	convertedHeader(w.Header(), resp.Header, "application/json")
	return sendWhole(w, out)
}
