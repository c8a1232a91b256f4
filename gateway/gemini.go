package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"
)

// gemini is the Gemini generateContent protocol, as clients and as providers
// speak it. The model is in the path.
type gemini struct{}

var (
	_ dialect = gemini{}
	_ adapter = gemini{}
)

func (gemini) wire() wire { return wireGemini }

func (gemini) errorBody(e *apiError) []byte {
	type info struct {
		Type   string `json:"@type"`
		Reason string `json:"reason"`
		Domain string `json:"domain"`
	}
	var body struct {
		Error struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Status  string `json:"status"`
			Details []info `json:"details"`
		} `json:"error"`
	}
	status := e.status
	if status == 0 { // in mid-stream
		status = http.StatusInternalServerError
	}
	body.Error.Code, body.Error.Message, body.Error.Status = status, e.message, geminiStatus(status)
	body.Error.Details = []info{{"type.googleapis.com/google.rpc.ErrorInfo", strings.ToUpper(e.code), "holdfast"}}
	out, _ := json.Marshal(body) // plain strings cannot fail
	return out
}

func geminiStatus(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusMethodNotAllowed:
		return "UNIMPLEMENTED"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return "UNAVAILABLE"
	case http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED"
	}
	if status >= 500 {
		return "INTERNAL"
	}
	return "INVALID_ARGUMENT"
}

func (gemini) isErrorBody(body []byte) bool {
	return gjson.ValidBytes(body) && gjson.GetBytes(body, "error.status").Type == gjson.String && gjson.GetBytes(body, "error.code").Type == gjson.Number
}

func (g gemini) streamError(e *apiError) []byte {
	return append(append([]byte("data: "), e.in(g)...), "\n\n"...)
}

// streamEnd is nothing: this protocol's streams just end.
func (gemini) streamEnd(bool) ([]byte, bool) { return nil, true }

func (gemini) judge(event []byte) eventKind {
	if isErrorObject(eventData(event)) {
		return eventError
	}
	return eventPart
}

// keepAlive is empty lines: Google's own Go client takes a comment for a broken
// event.
func (gemini) keepAlive() []byte { return []byte("\n\n") }

// newRequest asks for events, whatever form the client wants its stream in.
func (gemini) newRequest(ctx context.Context, a *account, c *call) (*http.Request, error) {
	t := target{version: "/v1beta", path: "/models/" + c.model + ":" + c.geminiAction(), params: url.Values{}}
	if c.stream {
		t.params.Set("alt", "sse")
	}
	return c.post(ctx, a, t)
}

// geminiAction is what Google calls the operation.
func (c *call) geminiAction() string {
	switch {
	case c.op == opNamed:
		return c.action
	case c.op == opCount:
		return "countTokens"
	case c.stream:
		return "streamGenerateContent"
	}
	return "generateContent"
}

// geminiArray is the form of a stream that did not ask for events: one JSON
// array, an element for each. It belongs to one call.
type geminiArray struct {
	gemini
	elements int
}

var _ framer = (*geminiArray)(nil)

func (*geminiArray) contentType() string { return "application/json; charset=UTF-8" }

func (g *geminiArray) frame(event []byte) []byte {
	data := eventData(event)
	if len(data) == 0 {
		return []byte("\n")
	}
	before := ",\n"
	if g.elements == 0 {
		before = "["
	}
	g.elements++
	return append([]byte(before), data...)
}

func (g *geminiArray) streamEnd(bool) ([]byte, bool) {
	if g.elements == 0 {
		return []byte("[]"), true
	}
	return []byte("]"), true
}

func (g *geminiArray) streamError(e *apiError) []byte {
	return append(g.frame(g.gemini.streamError(e)), ']')
}

func (*geminiArray) keepAlive() []byte { return []byte("\n") }

// parseGeminiPath takes apart /v1beta/models/{model}:{action}. The model may
// have colons and slashes of its own.
func parseGeminiPath(path string) (model, action string, ok bool) {
	for _, version := range []string{"/v1beta", "/v1", "/v1alpha"} {
		rest, found := strings.CutPrefix(path, version+"/models/")
		if !found {
			continue
		}
		colon := strings.LastIndexByte(rest, ':')
		if colon <= 0 {
			return "", "", false
		}
		if _, known := geminiActions[rest[colon+1:]]; known {
			return rest[:colon], rest[colon+1:], true
		}
	}
	return "", "", false
}
