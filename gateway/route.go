package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"holdfast/gateway/convert"
)

// autoProvider asks for the provider to be taken from the model's prefix.
const autoProvider = "auto"

// operation is what a client wants of a provider.
type operation int

const (
	opGenerate operation = iota
	opCount              // tokens of a request
	opForward            // whatever is at the path
)

// call is one client request on its way to an account.
type call struct {
	requestID   string
	dialect     dialect
	op          operation
	method      string // of a forwarded call, as its contentType
	path        string // without the provider in front
	header      http.Header
	query       url.Values
	presented   []string // the client's keys, which must not pass
	contentType string
	body        []byte
	model       string
	stream      bool
	unkept      bool // the client does not want its response to be kept
	pool        *pool
	settings    settings
	// conversion is there when the provider speaks another protocol: body is its
	// already, and nothing else of the client's request goes there.
	conversion *convert.Conversion
	// converting, if set, is called when a conversion was made, with what it was made of.
	converting func(asked []byte) *apiError
	recalled   recalled
}

// repeatable reports whether the provider may get the call twice: a generation costs
// at worst its price again. What is forwarded may create something.
func (c *call) repeatable() bool {
	return c.op != opForward || c.method == http.MethodGet || c.method == http.MethodHead || c.method == http.MethodOptions
}

// splitProvider takes a provider off the front of a path: known types, existing
// pools and "auto". Any other first segment is part of the path.
func splitProvider(path string, s *snapshot) (provider, rest string) {
	path = "/" + strings.Trim(path, "/")
	first, after, _ := strings.Cut(path[1:], "/")
	if first == "" {
		return "", path
	}
	if first == autoProvider {
		return first, "/" + after
	}
	if typ, ok := s.resolve(first); ok {
		return typ, "/" + after
	}
	return "", path
}

// chooseProvider decides the provider type and rewrites the model where its
// name carries the provider. In rising order: the defaults, the header, the
// path, an alias, the prefix of the model.
func chooseProvider(c *call, s *snapshot, fromPath string) *apiError {
	explicit := fromPath
	if explicit == "" {
		if name := strings.TrimSpace(c.header.Get("Model-Provider")); name != "" {
			typ, ok := s.resolve(name)
			if name != autoProvider && !ok {
				return invalidRequest("unknown_provider", fmt.Sprintf("Model-Provider %.80q is no provider type: use the name of a pool, like openai-custom", name))
			}
			explicit = typ
			if name == autoProvider {
				explicit = autoProvider
			}
		}
	}
	for _, alias := range s.custom {
		if alias.id == c.model {
			if typ, ok := s.resolve(alias.provider); ok {
				explicit = typ
				if alias.model != "" {
					c.setModel(alias.model)
				}
			}
			break
		}
	}
	if prefix, model, ok := strings.Cut(c.model, ":"); ok && model != "" {
		if _, stored := s.raw.pools[prefix]; stored {
			c.setModel(model)
			explicit = prefix
		}
	}
	if explicit == autoProvider {
		return invalidRequest("provider_required", "provider auto needs a model with its provider in front, like openai-custom:gpt-4o; GET /v1/models lists the models")
	}
	return c.setPool(s, explicit)
}

// setPool finds the pool of an explicit type, or the first default that speaks
// the client's protocol, or else the first that this request can be converted for.
func (c *call) setPool(s *snapshot, explicit string) *apiError {
	if explicit == "" {
		for _, want := range []suit{suitNative, suitConverted} {
			for _, typ := range s.defaults {
				if info, _, _ := lookupProvider(typ); c.suits(info) == want && s.pools[typ] != nil {
					c.pool = s.pools[typ]
					return nil
				}
			}
		}
		explicit = s.defaults[0]
	}
	if slices.Contains(s.skipped, explicit) {
		return invalidRequest("provider_not_enabled", fmt.Sprintf("provider %.80q is stored but not served: name it in %s of the configuration", explicit, s.enabledBy()))
	}
	info, _, _ := lookupProvider(explicit)
	if c.suits(info) == suitNone {
		return invalidRequest("provider_not_supported", fmt.Sprintf("provider %.80q cannot answer %s here: choose another with the Model-Provider header or a model prefix", explicit, c.wanted()))
	}
	p := s.pools[explicit]
	if p == nil {
		p = &pool{typ: explicit, info: info} // nobody in it: answered as no healthy account
	}
	c.pool = p
	return nil
}

// suit is how a provider type goes with a call.
type suit int

const (
	suitNone suit = iota
	suitConverted
	suitNative
)

func (c *call) suits(info providerInfo) suit {
	if info.adapter == nil {
		return suitNone
	}
	w := info.adapter.wire()
	_, from := formats[c.dialect.wire()]
	_, to := formats[w]
	switch {
	case w == wireAny || w == c.dialect.wire():
		return suitNative
	case from && to && (c.op == opGenerate || c.op == opCount):
		return suitConverted
	}
	return suitNone
}

// formats are the protocols that can be converted.
var formats = map[wire]convert.Format{wireChat: convert.Chat, wireClaude: convert.Claude, wireGemini: convert.Gemini, wireResponses: convert.Responses}

// convert makes the provider's request of the client's where they differ.
func (c *call) convert() *apiError {
	if c.suits(c.pool.info) != suitConverted {
		return nil
	}
	conversion, body, err := c.converted(formats[c.dialect.wire()], formats[c.pool.info.adapter.wire()])
	var field *convert.FieldError
	switch {
	case errors.As(err, &field):
		failure := invalidRequest("cannot_convert", err.Error())
		failure.param = field.Field
		return failure
	case errors.Is(err, convert.ErrNoCount):
		return &apiError{status: http.StatusNotImplemented, kind: kindInvalid, code: "cannot_count", message: err.Error()}
	case err != nil:
		return invalidRequest("cannot_convert", err.Error())
	}
	asked := c.body
	c.conversion, c.body = conversion, body
	c.header, c.query = nil, nil
	if c.converting != nil {
		return c.converting(asked)
	}
	return nil
}

// converted is the provider's request.
func (c *call) converted(client, provider convert.Format) (*convert.Conversion, []byte, error) {
	if c.op == opCount {
		return convert.NewCount(client, provider, c.body, c.model)
	}
	return convert.Convert(convert.Options{
		Client: client, Provider: provider, Body: c.body, Model: c.model, Stream: c.stream, Shared: len(c.pool.accounts) > 1,
	})
}

// wanted names what the client wants, for an error.
func (c *call) wanted() string {
	if c.op == opCount {
		return "requests to count tokens"
	}
	switch c.dialect.wire() {
	case wireChat:
		return "chat completions"
	case wireResponses:
		return "requests of the Responses API"
	case wireClaude:
		return "messages"
	case wireGemini:
		return "generateContent"
	}
	return "other requests"
}

// parseBody reads what routing needs from a request. Gemini's has the model and
// the kind of answer in its path, and what goes to a forwarded path need not be
// JSON at all.
func (c *call) parseBody() *apiError {
	if c.op == opForward {
		if json.Valid(c.body) {
			c.model = gjson.GetBytes(c.body, "model").Str
		}
		return nil
	}
	// Not gjson's own check: it recurses, and deep nesting would end the process.
	if !json.Valid(c.body) || !gjson.ParseBytes(c.body).IsObject() {
		return invalidRequest("invalid_json", "the request body is not a JSON object")
	}
	if c.dialect.wire() == wireGemini {
		return nil
	}
	model := gjson.GetBytes(c.body, "model")
	if model.Type != gjson.String || model.Str == "" {
		return invalidRequest("model_required", "field model is missing or not a string: name a model, like gpt-4o")
	}
	c.model = model.Str
	c.stream = gjson.GetBytes(c.body, "stream").Bool()
	return nil
}

// setModel changes the model in the body and nothing else: every other byte is
// passed on as the client wrote it. Gemini's model is in the path.
func (c *call) setModel(model string) {
	c.model = model
	old := gjson.GetBytes(c.body, "model")
	if c.dialect.wire() == wireGemini || !old.Exists() {
		return
	}
	quoted, _ := json.Marshal(model) // a string cannot fail
	body := make([]byte, 0, len(c.body)+len(quoted))
	body = append(body, c.body[:old.Index]...)
	body = append(body, quoted...)
	c.body = append(body, c.body[old.Index+len(old.Raw):]...)
}
