package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"time"
)

// modelEntry is one model in OpenAI's list.
type modelEntry struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

// listModels gives what can be called: the models that accounts which can serve
// them name (their allow-lists and check models) and the aliases, each id once.
// Where a model's own name would not reach its pool, or two pools have it, the type
// stands in front. provider limits the list to one type, and auto puts the type in
// front of each. Health does not count: it changes from one request to the next.
func listModels(s *snapshot, provider string) []modelEntry {
	owner := map[string]string{}
	for _, m := range s.modelNames() {
		for _, typ := range s.owners[m] {
			switch provider {
			case autoProvider:
				owner[typ+":"+m] = typ
			case "", typ:
				owner[s.called(typ, m, provider == "")] = typ
			}
		}
	}
	for _, c := range s.custom {
		typ, ok := s.aliased(c)
		if ok && (provider == "" || provider == autoProvider || provider == typ) {
			owner[c.id] = typ
		}
	}
	out := make([]modelEntry, 0, len(owner))
	for id, by := range owner {
		out = append(out, s.entry(id, by))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

func (s *snapshot) entry(id, owner string) modelEntry {
	return modelEntry{ID: id, Object: "model", Created: s.loadedAt.Unix(), OwnedBy: owner}
}

// aliased is the type that serves an alias; false where nobody can, and for one
// with wildcards, which is no name to call.
func (s *snapshot) aliased(c customModel) (string, bool) {
	if strings.Contains(c.id, "*") {
		return "", false
	}
	typ, model := s.destination(c.id, "")
	if typ == "" && len(s.owners[model]) > 0 {
		typ = s.owners[model][0]
	}
	p := s.pools[typ]
	return typ, p != nil && p.mayServe(model)
}

// findModel is the entry of a model that can be called: one of the list, or a name
// that leads to one.
func findModel(s *snapshot, provider, id string) (modelEntry, bool) {
	for _, m := range listModels(s, provider) {
		if m.ID == id {
			return m, true
		}
	}
	explicit := provider
	if explicit == autoProvider {
		explicit = ""
	}
	typ, model := s.destination(id, explicit)
	for _, owner := range s.owners[model] {
		if typ == "" || typ == owner {
			return s.entry(id, owner), true
		}
	}
	_, alias := s.aliasOf(id, explicit)
	p := s.pools[typ]
	return s.entry(id, typ), alias && p != nil && p.mayServe(model)
}

func (g *Gateway) serveModels(w http.ResponseWriter, r *request) *apiError {
	provider, failure := namedProvider(r.Header, r.state, r.provider)
	if failure != nil {
		return failure
	}
	writeJSON(w, http.StatusOK, modelList(r.dialect, listModels(r.state, provider)))
	return nil
}

// routeModel is the name of the route to one model.
const routeModel = "model"

// model is the endpoint of one model, whose name may have slashes and colons.
func (g *Gateway) model(path string) (endpoint, bool) {
	for version, d := range map[string]dialect{"/v1": nil, "/v1beta": gemini{}, "/v1alpha": gemini{}} {
		id, ok := strings.CutPrefix(path, version+"/models/")
		if !ok || id == "" {
			continue
		}
		return endpoint{route: routeModel, method: http.MethodGet, api: true, dialect: d, handler: func(w http.ResponseWriter, r *request) *apiError {
			provider, failure := namedProvider(r.Header, r.state, r.provider)
			if failure != nil {
				return failure
			}
			m, ok := findModel(r.state, provider, id)
			if !ok {
				return &apiError{
					status: http.StatusNotFound, kind: kindInvalid, code: "model_not_found", param: "model",
					message: fmt.Sprintf("no provider has a model %.200q; GET /v1/models lists the models", id),
				}
			}
			writeJSON(w, http.StatusOK, modelOf(r.dialect, m))
			return nil
		}}, true
	}
	return endpoint{}, false
}

// geminiModel and claudeModel are a model as these protocols show it.
type geminiModel struct {
	Name    string   `json:"name"`
	Display string   `json:"displayName"`
	Methods []string `json:"supportedGenerationMethods"`
}

type claudeModel struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Display string `json:"display_name"`
	Created string `json:"created_at"`
}

// modelOf is a model as the client's protocol has it.
func modelOf(d dialect, m modelEntry) any {
	switch d.wire() {
	case wireGemini:
		return geminiModel{"models/" + m.ID, m.ID, []string{"generateContent", "streamGenerateContent", "countTokens"}}
	case wireClaude:
		return claudeModel{"model", m.ID, m.ID, time.Unix(m.Created, 0).UTC().Format(time.RFC3339)}
	}
	return m
}

// modelList is the list as the client's protocol has it.
func modelList(d dialect, models []modelEntry) any {
	list := make([]any, 0, len(models))
	for _, m := range models {
		list = append(list, modelOf(d, m))
	}
	switch d.wire() {
	case wireGemini:
		return map[string]any{"models": list}
	case wireClaude:
		var first, last *string
		if n := len(models); n > 0 {
			first, last = &models[0].ID, &models[n-1].ID
		}
		return map[string]any{"data": list, "has_more": false, "first_id": first, "last_id": last}
	}
	return map[string]any{"object": "list", "data": list}
}

// writeJSON answers with v, which must be able to become JSON.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":{"message":"answer could not be written as JSON"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// stamp is a time as status shows it, nil for none.
func stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format("2006-01-02T15:04:05.000Z")
	return &s
}
