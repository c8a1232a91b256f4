package gateway

import (
	"cmp"
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
	opNamed              // another operation whose bytes pass: embeddings, images, audio …
)

// call is one client request on its way to an account.
type call struct {
	requestID   string
	dialect     dialect
	op          operation
	method      string // of a forwarded call
	action      string // of a Gemini path
	path        string // without the provider in front
	header      http.Header
	query       url.Values
	presented   []string // the client's keys, which must not pass
	contentType string   // of a forwarded or named call
	body        []byte
	model       string
	asked       string // the model as the client names it
	stream      bool
	unkept      bool // the client does not want its response to be kept
	pool        *pool
	settings    settings
	client      *streamClient // who gets the answer
	// conversion is there when the provider speaks another protocol: body is its
	// already, and nothing else of the client's request goes there.
	conversion *convert.Conversion
	// converting, if set, is called when a conversion was made, with the call and what it was made of.
	converting func(c *call, asked []byte) *apiError
	recalled   recalled
	embedding  *embedding // the same for vectors
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

// chooseProvider decides the provider type, and the model where its name leads to
// another one. In rising order: the defaults, the pool that names the model, the
// header, the path, an alias, the prefix of the model.
func chooseProvider(c *call, s *snapshot, fromPath string) *apiError {
	explicit, failure := namedProvider(c.header, s, fromPath)
	if failure != nil {
		return failure
	}
	c.asked = c.model
	explicit, model := s.destination(c.model, explicit)
	if model != c.model {
		c.setModel(model)
	}
	if explicit == "" || explicit == autoProvider {
		if typ := s.owner(c); typ != "" {
			explicit = typ
		}
	}
	if explicit == autoProvider {
		return invalidRequest("provider_required", "provider auto needs a model that GET /v1/models lists, or one with its provider in front, like openai-custom:gpt-4o")
	}
	return c.setPool(s, explicit)
}

// namedProvider is the provider that a request names beside its model: in its path,
// else in a header. "" is none.
func namedProvider(h http.Header, s *snapshot, fromPath string) (string, *apiError) {
	name := strings.TrimSpace(h.Get("Model-Provider"))
	if fromPath != "" || name == "" || name == autoProvider {
		return cmp.Or(fromPath, name), nil
	}
	typ, ok := s.resolve(name)
	if !ok {
		return "", invalidRequest("unknown_provider", fmt.Sprintf("Model-Provider %.80q is no provider type: use the name of a pool, like openai-custom", name))
	}
	return typ, nil
}

// setPool finds the pool of an explicit type, or the first default that speaks
// the client's protocol, or else the first that this request can be converted for:
// among those whose accounts let the model pass, if there are any.
func (c *call) setPool(s *snapshot, explicit string) *apiError {
	if explicit == "" {
		for _, lenient := range []bool{false, true} {
			for _, want := range []suit{suitNative, suitConverted} {
				for _, typ := range s.defaults {
					p := s.pools[typ]
					if p != nil && c.suits(p.info) == want && (lenient || p.mayServe(c.model)) {
						c.pool = p
						return nil
					}
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
	if c.op == opNamed {
		return c.suitsNamed(w)
	}
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
	if c.op == opNamed {
		return c.convertEmbedding()
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
		return c.converting(c, asked)
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
	switch c.op {
	case opCount:
		return "requests to count tokens"
	case opNamed:
		return "requests to " + cmp.Or(c.action, c.path)
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
	switch c.op {
	case opForward:
		if json.Valid(c.body) {
			c.model = gjson.GetBytes(c.body, "model").Str
		}
		return nil
	case opNamed:
		return c.parseNamed()
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
// passed on as the client wrote it. Gemini's model is in the path, and some of its
// bodies repeat it.
func (c *call) setModel(model string) {
	old := c.model
	c.model = model
	if boundary, ok := c.form(); ok && c.op == opNamed {
		if body, err := withField(c.body, boundary, "model", model); err == nil { // it was read before
			c.body = body
		}
		return
	}
	body := gjson.ParseBytes(c.body)
	if c.dialect.wire() != wireGemini {
		c.replace(model, body.Get("model"))
		return
	}
	repeats := []gjson.Result{body.Get("model"), body.Get("generateContentRequest.model")}
	body.Get("requests").ForEach(func(_, r gjson.Result) bool {
		repeats = append(repeats, r.Get("model"))
		return true
	})
	repeats = slices.DeleteFunc(repeats, func(r gjson.Result) bool { return r.Str != "models/"+old })
	c.replace("models/"+model, repeats...)
}

// replace puts a text in the place of some texts of the body.
func (c *call) replace(with string, texts ...gjson.Result) {
	slices.SortFunc(texts, func(a, b gjson.Result) int { return a.Index - b.Index })
	quoted, _ := json.Marshal(with) // a string cannot fail
	var body []byte
	done := 0
	for _, t := range texts {
		if t.Type != gjson.String || t.Index == 0 {
			continue
		}
		body = append(append(body, c.body[done:t.Index]...), quoted...)
		done = t.Index + len(t.Raw)
	}
	if done > 0 {
		c.body = append(body, c.body[done:]...)
	}
}
