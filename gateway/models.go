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
// to one type. Health does not count: it changes from one request to the next.
func listModels(s *snapshot, provider string) []modelEntry {
	owner := map[string]string{}
	add := func(id, by string) {
		if _, have := owner[id]; id != "" && !have {
			owner[id] = by
		}
	}
	for _, typ := range s.types {
		if provider != "" && provider != autoProvider && provider != typ {
			continue
		}
		for _, a := range s.pools[typ].accounts {
			if !a.usable(s.pools[typ].info) {
				continue
			}
			for _, m := range a.supported {
				add(m, typ)
			}
			if a.serves(a.checkModel) {
				add(a.checkModel, typ)
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
	if name := r.Header.Get("Model-Provider"); provider == "" && name != "" && name != autoProvider {
		typ, ok := r.state.resolve(name)
		if !ok {
			return invalidRequest("unknown_provider", "Model-Provider is no provider type: use the name of a pool, like openai-custom")
		}
		provider = typ
	}
	writeJSON(w, http.StatusOK, struct {
		Object string       `json:"object"`
		Data   []modelEntry `json:"data"`
	}{"list", listModels(r.state, provider)})
	return nil
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
