// Package fakes has providers that speak the public protocols and refuse what the
// real ones refuse: what is right here is right there. What they answer is decided
// by a mark in the client's own words (scenario.go).
package fakes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"

	"github.com/tidwall/gjson"
)

// Protocol is one that a provider speaks.
type Protocol struct {
	Name string
	// read understands a request and objects to what the protocol forbids.
	read func(r *http.Request, body gjson.Result, no *objections) heard
	// answer writes what was planned.
	answer func(w http.ResponseWriter, h heard, p plan)
	// count answers the number of tokens; nil: the protocol has no such question.
	count func(w http.ResponseWriter, n int)
	// refuse writes an error 400.
	refuse func(w http.ResponseWriter, why string)
}

// Protocols are all of them, in the order of the table of results.
var Protocols = []Protocol{
	{"chat", readChat, answerChat, nil, refuseOpenAI},
	{"responses", readResponses, answerResponses, countResponses, refuseOpenAI},
	{"claude", readClaude, answerClaude, countClaude, refuseClaude},
	{"gemini", readGemini, answerGemini, countGemini, refuseGemini},
}

// Tokens is what every provider counts that can count.
const Tokens = 4242

// Provider is a running one. Safe for concurrent use.
type Provider struct {
	*httptest.Server
	protocol Protocol
	trace    io.Writer

	mu      sync.Mutex
	refused []string
	images  int
}

// Start runs a provider; what it hears goes to trace.
func Start(p Protocol, trace io.Writer) *Provider {
	out := &Provider{protocol: p, trace: trace}
	out.Server = httptest.NewServer(out)
	return out
}

// Take returns what was refused, and how many images were seen, since the last time.
func (p *Provider) Take() (refused []string, images int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	refused, images = p.refused, p.images
	p.refused, p.images = nil, 0
	return refused, images
}

// ServeHTTP answers one request.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	no := &objections{}
	h := heard{}
	if !json.Valid(body) {
		no.check(false, "the body is no JSON")
	} else {
		h = p.protocol.read(r, gjson.ParseBytes(body), no)
	}
	p.mu.Lock()
	fmt.Fprintf(p.trace, "%s %s %s\n%s\n%v\n\n", p.protocol.Name, r.Method, r.URL, body, no.list)
	if len(no.list) > 0 {
		p.refused = append(p.refused, no.list[0])
	}
	p.images += h.images
	p.mu.Unlock()
	switch {
	case len(no.list) > 0:
		p.protocol.refuse(w, no.list[0])
	case h.counts:
		p.protocol.count(w, Tokens)
	default:
		p.protocol.answer(w, h, h.plan())
	}
}

// objections are what a provider would refuse a request for.
type objections struct{ list []string }

func (o *objections) check(ok bool, format string, args ...any) bool {
	if !ok {
		o.list = append(o.list, fmt.Sprintf(format, args...))
	}
	return ok
}

// known objects to fields that the protocol does not have.
func (o *objections) known(where string, v gjson.Result, names string) {
	allowed := map[string]bool{}
	for _, name := range strings.Fields(names) {
		allowed[name] = true
	}
	v.ForEach(func(k, _ gjson.Result) bool {
		o.check(allowed[k.Str], "%s.%s: Extra inputs are not permitted", where, k.Str)
		return true
	})
}

var toolName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// schema objects to parameters of a tool that are no schema of an object.
func (o *objections) schema(where string, v gjson.Result, strict bool) {
	o.check(v.IsObject() && v.Get("type").Str == "object", "%s: schema must be of type object: %.80s", where, v.Raw)
	if strict {
		o.check(closed(v), "%s: additionalProperties must be false and every property required", where)
	}
}

// closed reports whether a schema is one that strict takes.
func closed(v gjson.Result) bool {
	ok := true
	if v.IsObject() && v.Get("properties").Exists() {
		ok = v.Get("additionalProperties").Raw == "false" && len(v.Get("required").Array()) == len(v.Get("properties").Map())
	}
	if v.IsObject() || v.IsArray() {
		v.ForEach(func(_, inner gjson.Result) bool {
			ok = ok && closed(inner)
			return true
		})
	}
	return ok
}

// sealOf is the signature of what a provider thought: its own, and nobody else's.
func sealOf(protocol, thought string) string {
	sum := sha256.Sum256([]byte(protocol + thought))
	return "seal" + protocol + hex.EncodeToString(sum[:8])
}

func sendJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// stream writes events, each flushed.
type stream struct{ w http.ResponseWriter }

func newStream(w http.ResponseWriter) stream {
	w.Header().Set("Content-Type", "text/event-stream")
	return stream{w}
}

func (s stream) send(name string, v any) {
	data, _ := json.Marshal(v)
	if name != "" {
		fmt.Fprintf(s.w, "event: %s\n", name)
	}
	fmt.Fprintf(s.w, "data: %s\n\n", data)
	if f, ok := s.w.(http.Flusher); ok {
		f.Flush()
	}
}

type object = map[string]any
