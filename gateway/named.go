package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"
)

// namedPaths are operations beside generation. Their bytes pass as they are, JSON or
// forms, to an account of the pool that has the model; only the model's name in them
// may change.
var namedPaths = []struct {
	path, route string
	dialect     dialect
}{
	{"/v1/completions", "completions", openAI{}},
	{"/v1/embeddings", "embeddings", asIs{}},
	{"/v1/moderations", "moderations", asIs{}},
	{"/v1/rerank", "rerank", asIs{}},
	{"/v2/rerank", "rerank", asIs{}},
	{"/v1/images/generations", "images_generations", asIs{}},
	{"/v1/images/edits", "images_edits", asIs{}},
	{"/v1/images/variations", "images_variations", asIs{}},
	{"/v1/audio/speech", "audio_speech", asIs{}},
	{"/v1/audio/transcriptions", "audio_transcriptions", asIs{}},
	{"/v1/audio/translations", "audio_translations", asIs{}},
}

// geminiActions are what may stand behind a model in Gemini's paths, with the
// operation and the name of the route in metrics.
var geminiActions = map[string]struct {
	op    operation
	route string
}{
	"generateContent":       {opGenerate, "generate_content"},
	"streamGenerateContent": {opGenerate, "stream_generate_content"},
	"countTokens":           {opCount, "count_tokens"},
	"embedContent":          {opNamed, "embed_content"},
	"batchEmbedContents":    {opNamed, "batch_embed_contents"},
	"predict":               {opNamed, "predict"},
}

// asIs is what a client of OpenAI's other operations speaks: their errors are the
// usual ones, their streams end where they end.
type asIs struct{ openAI }

var _ dialect = asIs{}

func (asIs) streamEnd(bool) ([]byte, bool) { return nil, true }

func (asIs) judge(event []byte) eventKind {
	if isErrorObject(eventData(event)) {
		return eventError
	}
	return eventPart
}

// namedTarget is where a named operation is at an account's base URL.
func (c *call) namedTarget(ending string) target {
	version := leadingVersion.FindString(c.path)
	return target{version: version, ending: ending, path: strings.TrimPrefix(c.path, version)}
}

// suitsNamed is how a provider's protocol goes with a named operation.
func (c *call) suitsNamed(w wire) suit {
	switch {
	case w == wireAny,
		c.dialect.wire() == wireGemini && w == wireGemini,
		c.dialect.wire() == wireChat && (w == wireChat || w == wireResponses):
		return suitNative
	case c.embeds() && (w == wireGemini || w == wireChat || w == wireResponses):
		return suitConverted
	}
	return suitNone
}

// maxField bounds a field of a form that routing looks at.
const maxField = 4 << 10

// parseNamed reads what routing needs from the body of a named operation. A model
// may be missing: some have a default at the provider.
func (c *call) parseNamed() *apiError {
	if boundary, ok := c.form(); ok {
		fields, err := formFields(c.body, boundary, "model", "stream")
		if err != nil {
			return invalidRequest("invalid_form", "the request body is no complete form (multipart/form-data)")
		}
		c.model, c.stream = fields["model"], fields["stream"] == "true"
		return nil
	}
	if !json.Valid(c.body) || !gjson.ParseBytes(c.body).IsObject() {
		return invalidRequest("invalid_json", "the request body is not a JSON object")
	}
	if c.dialect.wire() == wireGemini {
		return nil // its model is in the path
	}
	model := gjson.GetBytes(c.body, "model")
	if model.Exists() && model.Type != gjson.String && model.Type != gjson.Null {
		return invalidRequest("model_required", "field model is not a string: name a model")
	}
	c.model, c.stream = model.Str, gjson.GetBytes(c.body, "stream").Bool()
	return nil
}

// form is the boundary of a body that is a form.
func (c *call) form() (boundary string, ok bool) {
	kind, params, err := mime.ParseMediaType(c.contentType)
	return params["boundary"], err == nil && kind == "multipart/form-data"
}

// formFields reads fields of a form that are no files.
func formFields(body []byte, boundary string, names ...string) (map[string]string, error) {
	out := map[string]string{}
	form := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := form.NextRawPart()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if part.FileName() == "" && contains(names, part.FormName()) {
			value, err := io.ReadAll(io.LimitReader(part, maxField))
			if err != nil {
				return nil, err
			}
			out[part.FormName()] = string(value)
		}
	}
}

// withField is a form with another value for one field; files and all other fields
// are the same bytes.
func withField(body []byte, boundary, name, value string) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(len(body) + len(value))
	w := multipart.NewWriter(&out)
	if err := w.SetBoundary(boundary); err != nil {
		return nil, err
	}
	form := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := form.NextRawPart()
		if err == io.EOF {
			err := w.Close() // which writes the last boundary
			return out.Bytes(), err
		}
		if err != nil {
			return nil, err
		}
		to, err := w.CreatePart(part.Header)
		if err != nil {
			return nil, err
		}
		if part.FormName() == name && part.FileName() == "" {
			_, err = io.WriteString(to, value)
		} else {
			_, err = io.Copy(to, part)
		}
		if err != nil {
			return nil, err
		}
	}
}

// named are the endpoints of namedPaths.
func (g *Gateway) named(add func(path string, e endpoint)) {
	for _, n := range namedPaths {
		add(n.path, endpoint{route: n.route, method: http.MethodPost, api: true, dialect: n.dialect, handler: func(w http.ResponseWriter, r *request) *apiError {
			return g.serveCall(w, r, &call{dialect: n.dialect, op: opNamed})
		}})
	}
}
