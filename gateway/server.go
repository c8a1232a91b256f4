package gateway

import (
	"fmt"
	"net/http"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// statusClientGone is counted, never sent: nobody is there to get it.
const statusClientGone = 499

// request is one HTTP request with what the front part of the server found out.
type request struct {
	*http.Request
	id       string
	state    *snapshot
	provider string // taken off the path
	path     string // what is left of it
	dialect  dialect
}

// endpoint is one path of the server.
type endpoint struct {
	route   string  // name in metrics
	method  string  // empty: any
	api     bool    // needs the client key; refused while draining; counted as in flight
	dialect dialect // nil: OpenAI's
	handler func(http.ResponseWriter, *request) *apiError
}

func (g *Gateway) endpoints() map[string]endpoint {
	metrics := promhttp.HandlerFor(g.metrics.registry, promhttp.HandlerOpts{})
	paths := map[string]endpoint{
		"/health":             {route: "health", method: http.MethodGet, handler: g.serveHealth},
		"/healthz":            {route: "healthz", method: http.MethodGet, handler: g.serveHealthz},
		"/readyz":             {route: "readyz", method: http.MethodGet, handler: g.serveReadyz},
		"/api/redis/status":   {route: "redis_status", method: http.MethodGet, handler: g.serveRedisStatus},
		"/api/storage/status": {route: "storage_status", method: http.MethodGet, handler: g.serveStorageStatus},
		"/provider_health":    {route: "provider_health", method: http.MethodGet, handler: g.serveProviderHealth},
		"/metrics": {route: "metrics", method: http.MethodGet, handler: func(w http.ResponseWriter, r *request) *apiError {
			metrics.ServeHTTP(w, r.Request)
			return nil
		}},
		"/v1/models":                 {route: "models", method: http.MethodGet, api: true, handler: g.serveModels},
		"/v1beta/models":             {route: "models", method: http.MethodGet, api: true, dialect: gemini{}, handler: g.serveModels},
		"/v1/chat/completions":       g.generation("chat_completions", openAI{}, opGenerate),
		"/v1/responses":              g.generation("responses", responses{}, opGenerate),
		"/v1/messages":               g.generation("messages", claude{}, opGenerate),
		"/v1/messages/count_tokens":  g.generation("count_tokens", claude{}, opCount),
		"/v1/responses/input_tokens": g.generation("count_tokens", responses{}, opCount),
	}
	g.named(func(path string, e endpoint) { paths[path] = e })
	newDashboard(g, g.tokens.store).endpoints(func(path string, e endpoint) { paths[path] = e })
	return paths
}

// recorder remembers the status, for metrics and to know if one was sent.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// ServeHTTP is the front part for every request: id, CORS, routing, key, errors.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	start := time.Now()
	rec := &recorder{ResponseWriter: w}
	r := &request{Request: hr, id: requestID(hr), state: g.link.snapshot()}
	rec.Header().Set("X-Request-Id", r.id)
	ep, failure := g.route(r)
	if hr.Method == http.MethodOptions {
		g.preflight(rec, r, ep)
		return
	}
	defer func() {
		if p := recover(); p != nil {
			g.recovered(rec, r, p)
		}
		if rec.status == 0 {
			rec.status = statusClientGone
		}
		g.metrics.requests.WithLabelValues(ep.route, strconv.Itoa(rec.status)).Inc()
		g.metrics.duration.WithLabelValues(ep.route).Observe(time.Since(start).Seconds())
		g.log.Debug("request", "request_id", r.id, "route", ep.route, "provider", r.provider, "status", rec.status, "ms", time.Since(start).Milliseconds())
	}()
	if ep.api || ep.handler == nil {
		g.setCORS(rec.Header(), hr)
	}
	if failure == nil {
		failure = g.answer(rec, r, ep)
	}
	if failure == errCutShort {
		panic(http.ErrAbortHandler)
	}
	if failure != nil && rec.status == 0 {
		writeError(rec, r.dialect, failure)
	}
}

// route finds the endpoint. Whoever has no key learns nothing of which
// providers exist: the path is taken apart here, refused only after the key.
func (g *Gateway) route(r *request) (endpoint, *apiError) {
	r.path = "/" + strings.Trim(r.URL.Path, "/")
	ep, ok := g.find(r.path)
	if !ok {
		r.provider, r.path = splitProvider(r.path, r.state)
		ep, ok = g.find(r.path)
		if own, forwards := g.forwarded(r); forwards && (!ok || ep.route == routeModel) {
			ep, ok = own, true
		}
		ok = ok && ep.api
	}
	if other := usualPath(r.path); !ok && g.paths[other].api {
		r.path, ep, ok = other, g.paths[other], true
	}
	r.dialect = dialectOf(r, ep)
	if !ok {
		return endpoint{route: "other"}, &apiError{status: http.StatusNotFound, kind: kindInvalid, code: "unknown_path", message: "there is nothing at this path"}
	}
	if ep.method != "" && r.Method != ep.method && !(ep.method == http.MethodGet && r.Method == http.MethodHead) {
		return ep, &apiError{status: http.StatusMethodNotAllowed, kind: kindInvalid, code: "method_not_allowed", message: "this path takes " + ep.method}
	}
	return ep, nil
}

// usualPath is the path that clients mean whose base URL has one /v1 too few or too
// many.
func usualPath(path string) string {
	if rest, ok := strings.CutPrefix(path, "/v1/v1/"); ok {
		return "/v1/" + rest
	}
	return "/v1" + path
}

// answer runs an endpoint, behind the client key if it is one of the API.
func (g *Gateway) answer(w http.ResponseWriter, r *request, ep endpoint) *apiError {
	if !ep.api {
		if refusal := g.guard.Check(r.Request); refusal != nil && loopbackOnly(g.cfg.Addr) {
			return &apiError{status: refusal.Status, kind: kindPermission, code: "unknown_host", message: refusal.Text}
		}
		return ep.handler(w, r)
	}
	if !g.enter() {
		w.Header().Set("Connection", "close")
		return &apiError{status: http.StatusServiceUnavailable, kind: kindServer, code: "shutting_down", message: errShuttingDown.Error(), retryAfter: time.Second}
	}
	defer g.leave()
	if e := authorize(r.Request, r.state.settings); e != nil {
		return e
	}
	return ep.handler(w, r)
}

// recovered turns a panic of a handler into an answer, or into a cut connection
// where the answer has begun.
func (g *Gateway) recovered(w *recorder, r *request, p any) {
	if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so too
		panic(p)
	}
	g.log.Error("handler failed", "request_id", r.id, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	writeError(w, r.dialect, &apiError{status: http.StatusInternalServerError, kind: kindServer, code: "internal_error", message: "the gateway failed on this request; its id is " + r.id})
}

var goodID = regexp.MustCompile(`^[A-Za-z0-9._-]{8,64}$`)

// requestID takes over a client's id if it is harmless, or makes one.
func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); goodID.MatchString(id) {
		for _, key := range presentedKeys(r) {
			if key == id {
				return uuid.NewString()
			}
		}
		return id
	}
	return uuid.NewString()
}
