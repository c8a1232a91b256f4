package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"holdfast/gateway/conversation"
	"holdfast/gateway/convert"
)

// Responses of the Responses API that a pool of another protocol gave are kept, so
// that clients can go on from them; a provider that speaks it keeps its own.
const (
	responseLifetime = 24 * time.Hour // since it was made, or gone on from
	maxKeptResponse  = 4 << 20
	maxKeptResponses = 64 << 20
)

// former is what a request goes on from.
type former struct {
	id    string
	chain []string
	input string // the request's own, raw JSON
}

// goOn puts the conversation that a request goes on from in front of its input. What
// the gateway does not keep is the provider's, or an error there.
func (g *Gateway) goOn(ctx context.Context, c *call) (former, *apiError) {
	if c.dialect.wire() != wireResponses || c.op != opGenerate {
		return former{}, nil
	}
	c.unkept = gjson.GetBytes(c.body, "store").Type == gjson.False
	f := former{id: gjson.GetBytes(c.body, "previous_response_id").Str, input: gjson.GetBytes(c.body, "input").Raw}
	if !strings.HasPrefix(f.id, convert.KeptPrefix) {
		return f, nil
	}
	items, chain, err := g.responses.History(ctx, f.id)
	if err != nil {
		return f, keptError(f.id, "previous_response_id", err)
	}
	f.chain = chain
	for i := range items {
		items[i] = anonymous(items[i])
	}
	fields := map[string]json.RawMessage{}
	_ = json.Unmarshal(c.body, &fields)                                      // an object: parseBody looked
	fields["input"], _ = json.Marshal(append(items, inputItems(f.input)...)) // raw JSON that is valid
	delete(fields, "previous_response_id")
	c.body, _ = json.Marshal(fields)
	return f, nil
}

// inputItems is an input as items.
func inputItems(input string) (items []json.RawMessage) {
	if json.Unmarshal([]byte(input), &items) == nil {
		return items
	}
	if gjson.Parse(input).Type != gjson.String {
		return nil // the reader or the provider refuses it
	}
	return []json.RawMessage{json.RawMessage(`{"type":"message","role":"user","content":` + input + `}`)}
}

// anonymous is an item without its id, which no provider knows.
func anonymous(item json.RawMessage) json.RawMessage {
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(item, &fields) != nil {
		return item
	}
	delete(fields, "id")
	out, _ := json.Marshal(fields) // of valid JSON
	return out
}

// keep arranges for the response of a converted call to be kept, if the client does
// not say otherwise. Nobody has a former response that is not kept here.
func (g *Gateway) keep(ctx context.Context, c *call, f former) *apiError {
	if c.dialect.wire() != wireResponses || c.op != opGenerate {
		return nil
	}
	if f.id != "" && len(f.chain) == 0 {
		return keptError(f.id, "previous_response_id", conversation.ErrNotFound)
	}
	c.conversion.Former = f.id
	if !c.unkept {
		c.conversion.Keep = func(id string, body []byte) bool {
			return g.responses.Save(ctx, id, conversation.Response{Body: body, Input: inputItems(f.input), Chain: f.chain}) == nil
		}
	}
	return nil
}

// keptError is why a response that is named in param cannot be had.
func keptError(id, param string, err error) *apiError {
	switch {
	case errors.Is(err, conversation.ErrNotFound) && param != "":
		return &apiError{status: http.StatusBadRequest, kind: kindInvalid, code: "previous_response_not_found", param: param, message: fmt.Sprintf("Previous response with id '%.80s' not found.", id)}
	case errors.Is(err, conversation.ErrNotFound):
		return &apiError{status: http.StatusNotFound, kind: kindInvalid, code: "response_not_found", message: fmt.Sprintf("Response with id '%.80s' not found.", id)}
	case errors.Is(err, conversation.ErrTooLong):
		return &apiError{status: http.StatusBadRequest, kind: kindInvalid, code: "conversation_too_long", param: param, message: conversation.ErrTooLong.Error()}
	}
	return &apiError{status: http.StatusServiceUnavailable, kind: kindServer, code: "responses_unavailable", message: "kept responses cannot be read now: Redis does not answer", retryAfter: time.Second}
}

// keptResponse is the endpoint of a response that the gateway keeps.
func (g *Gateway) keptResponse(path string) (endpoint, bool) {
	id, ok := strings.CutPrefix(path, "/v1/responses/")
	if !ok {
		return endpoint{}, false
	}
	id, items := strings.CutSuffix(id, "/input_items")
	if !strings.HasPrefix(id, convert.KeptPrefix) || strings.Contains(id, "/") {
		return endpoint{}, false
	}
	return endpoint{route: "kept_response", api: true, dialect: responses{}, handler: func(w http.ResponseWriter, r *request) *apiError {
		switch {
		case r.Method == http.MethodGet && items:
			return g.serveInputItems(w, r, id)
		case r.Method == http.MethodGet:
			kept, err := g.responses.Load(r.Context(), id)
			if err != nil {
				return keptError(id, "", err)
			}
			return writeKept(w, kept.Body)
		case r.Method == http.MethodDelete && !items:
			return g.deleteResponse(w, r, id)
		}
		return &apiError{status: http.StatusMethodNotAllowed, kind: kindInvalid, code: "method_not_allowed", message: "this path takes GET, and DELETE for a response"}
	}}, true
}

func (g *Gateway) deleteResponse(w http.ResponseWriter, r *request, id string) *apiError {
	there, err := g.responses.Delete(r.Context(), id)
	if err == nil && !there {
		err = conversation.ErrNotFound
	}
	if err != nil {
		return keptError(id, "", err)
	}
	out, _ := json.Marshal(map[string]any{"id": id, "object": "response", "deleted": true}) // plain values
	return writeKept(w, out)
}

// serveInputItems answers with what a response was asked with, the last item first
// unless order says otherwise.
func (g *Gateway) serveInputItems(w http.ResponseWriter, r *request, id string) *apiError {
	kept, err := g.responses.Load(r.Context(), id)
	items := []json.RawMessage{}
	if err == nil && len(kept.Chain) > 0 {
		items, _, err = g.responses.History(r.Context(), kept.Chain[len(kept.Chain)-1])
	}
	if err != nil {
		return keptError(id, "", err)
	}
	items = append(items, kept.Input...)
	ids := make([]string, len(items))
	for i := range items {
		items[i], ids[i] = named(items[i], i)
	}
	query := r.URL.Query()
	if query.Get("order") != "asc" {
		slices.Reverse(items)
		slices.Reverse(ids)
	}
	at := slices.Index(ids, query.Get("after")) + 1
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || limit < 1 {
		limit = 20
	}
	end := min(at+min(limit, 100), len(items))
	list := map[string]any{"object": "list", "data": items[at:end], "has_more": end < len(items), "first_id": nil, "last_id": nil}
	if at < end {
		list["first_id"], list["last_id"] = ids[at], ids[end-1]
	}
	out, _ := json.Marshal(list) // of valid JSON
	return writeKept(w, out)
}

// named is an item with its id, or one that follows from its place.
func named(item json.RawMessage, place int) (json.RawMessage, string) {
	if id := gjson.GetBytes(item, "id").Str; id != "" {
		return item, id
	}
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(item, &fields) != nil {
		return item, ""
	}
	id := fmt.Sprintf("item_%d", place)
	fields["id"], _ = json.Marshal(id)
	out, _ := json.Marshal(fields) // of valid JSON
	return out, id
}

func writeKept(w http.ResponseWriter, body []byte) *apiError {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // the client may be gone
	return nil
}
