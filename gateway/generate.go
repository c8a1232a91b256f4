package gateway

import (
	"net/http"
	"strings"
)

// generation is the endpoint of one operation of a dialect.
func (g *Gateway) generation(route string, d dialect, op operation) endpoint {
	return endpoint{route: route, method: http.MethodPost, api: true, dialect: d, handler: func(w http.ResponseWriter, r *request) *apiError {
		return g.serveCall(w, r, &call{dialect: d, op: op})
	}}
}

// find is the endpoint at a path.
func (g *Gateway) find(path string) (endpoint, bool) {
	if ep, ok := g.paths[path]; ok {
		return ep, true
	}
	model, action, ok := parseGeminiPath(path)
	if !ok {
		if ep, ok := g.keptResponse(path); ok {
			return ep, true
		}
		return g.model(path)
	}
	kind := geminiActions[action]
	c := call{dialect: gemini{}, op: kind.op, model: model, action: action, stream: action == "streamGenerateContent"}
	return endpoint{route: kind.route, method: http.MethodPost, api: true, dialect: gemini{}, handler: func(w http.ResponseWriter, r *request) *apiError {
		if c.stream && r.URL.Query().Get("alt") != "sse" {
			c.dialect = &geminiArray{}
		}
		return g.serveCall(w, r, &c)
	}}, true
}

// forwarded is the endpoint of every other path of a provider that is sent what
// the client sent.
func (g *Gateway) forwarded(r *request) (endpoint, bool) {
	info, _, _ := lookupProvider(r.provider)
	if info.adapter == nil || info.adapter.wire() != wireAny {
		return endpoint{}, false
	}
	return endpoint{route: "forward", api: true, handler: func(w http.ResponseWriter, r *request) *apiError {
		return g.serveCall(w, r, &call{dialect: raw{}, op: opForward})
	}}, true
}

// dialectOf is what the client of an endpoint speaks; where there is none, or one
// for several kinds of clients, what else the request shows decides.
func dialectOf(r *request, ep endpoint) dialect {
	switch {
	case ep.dialect != nil:
		return ep.dialect
	case strings.HasPrefix(r.path, "/v1beta/"):
		return gemini{}
	case strings.HasPrefix(r.path, "/v1/messages/"), r.Header.Get("Anthropic-Version") != "":
		return claude{}
	}
	return openAI{}
}

// escapes reports whether a path has a segment that could lead out of the
// account's base URL.
func escapes(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// serveCall routes a call and answers it from an account.
func (g *Gateway) serveCall(w http.ResponseWriter, r *request, c *call) *apiError {
	body, failure := readBody(w, r.Request, g.cfg.BodyLimits.of(r.path))
	if failure != nil {
		return failure
	}
	c.requestID, c.header, c.query, c.presented = r.id, r.Header, r.URL.Query(), presentedKeys(r.Request)
	c.method, c.contentType = r.Method, r.Header.Get("Content-Type")
	c.path, c.body, c.settings = r.path, body, r.state.settings
	if failure := c.parseBody(); failure != nil {
		return failure
	}
	former, failure := g.goOn(r.Context(), c)
	if failure != nil {
		return failure
	}
	c.converting = func(c *call, asked []byte) *apiError {
		g.recall(r.Context(), c, asked)
		return g.keep(r.Context(), c, former)
	}
	if failure := chooseProvider(c, r.state, r.provider); failure != nil {
		return failure
	}
	if escapes(c.path) || escapes(c.model) {
		return invalidRequest("invalid_path", "the path or the model has a segment . or ..")
	}
	r.provider = c.pool.typ
	c.applyPrompt()
	return c.orEstimate(w, body, g.forwarder.serve(r.Context(), w, c, r.state.places(c)))
}
