package gateway

import (
	"encoding/json"
	"net/http"
	"slices"
	"sort"
	"time"
)

// modelEntry is one model in OpenAI's list.
type modelEntry struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

// listModels gives the models that accounts which can serve them name (their
// allow-lists and check models) and the aliases, each id once; provider limits it
// to one type, and auto puts the type in front of each, as auto wants it in
// requests. Health does not count: it changes from one request to the next.
func listModels(s *snapshot, provider string) []modelEntry {
	owner := map[string]string{}
	add := func(id, by string) {
		if _, have := owner[id]; !have {
			owner[id] = by
		}
	}
	for _, typ := range s.types {
		if provider != "" && provider != autoProvider && provider != typ {
			continue
		}
		prefix := ""
		if provider == autoProvider {
			prefix = typ + ":"
		}
		for _, a := range s.pools[typ].accounts {
			if !a.usable(s.pools[typ].info) {
				continue
			}
			for _, m := range a.supported {
				add(prefix+m, typ)
			}
			if a.checkModel != "" && a.serves(a.checkModel) {
				add(prefix+a.checkModel, typ)
			}
		}
	}
	for _, c := range s.custom {
		typ, ok := s.resolve(c.provider)
		if ok && (provider == "" || provider == autoProvider || provider == typ) && s.canServe(typ, c) {
			add(c.id, typ)
		}
	}
	out := make([]modelEntry, 0, len(owner))
	for id, by := range owner {
		out = append(out, modelEntry{ID: id, Object: "model", Created: s.loadedAt.Unix(), OwnedBy: by})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

// canServe reports whether an account of the type can serve an alias.
func (s *snapshot) canServe(typ string, alias customModel) bool {
	p := s.pools[typ]
	if p == nil {
		return false
	}
	model := alias.model
	if model == "" {
		model = alias.id
	}
	return slices.ContainsFunc(p.accounts, func(a *account) bool { return a.usable(p.info) && a.serves(model) })
}

func (g *Gateway) serveModels(w http.ResponseWriter, r *request) *apiError {
	provider := r.provider
	if name := r.Header.Get("Model-Provider"); provider == "" && name != "" {
		typ, ok := r.state.resolve(name)
		if !ok && name != autoProvider {
			return invalidRequest("unknown_provider", "Model-Provider is no provider type: use the name of a pool, like openai-custom")
		}
		provider = typ
		if name == autoProvider {
			provider = name
		}
	}
	writeJSON(w, http.StatusOK, modelList(r.dialect, listModels(r.state, provider)))
	return nil
}

// modelList is the list as the client's protocol has it.
func modelList(d dialect, models []modelEntry) any {
	switch d.wire() {
	case wireGemini:
		type entry struct {
			Name    string   `json:"name"`
			Display string   `json:"displayName"`
			Methods []string `json:"supportedGenerationMethods"`
		}
		list := make([]entry, 0, len(models))
		for _, m := range models {
			list = append(list, entry{"models/" + m.ID, m.ID, []string{"generateContent", "streamGenerateContent", "countTokens"}})
		}
		return map[string]any{"models": list}
	case wireClaude:
		type entry struct {
			Type    string `json:"type"`
			ID      string `json:"id"`
			Display string `json:"display_name"`
			Created string `json:"created_at"`
		}
		list := make([]entry, 0, len(models))
		var first, last *string
		for i := range models {
			m := &models[i]
			if first == nil {
				first = &m.ID
			}
			last = &m.ID
			list = append(list, entry{"model", m.ID, m.ID, time.Unix(m.Created, 0).UTC().Format(time.RFC3339)})
		}
		return map[string]any{"data": list, "has_more": false, "first_id": first, "last_id": last}
	}
	return struct {
		Object string       `json:"object"`
		Data   []modelEntry `json:"data"`
	}{"list", models}
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
