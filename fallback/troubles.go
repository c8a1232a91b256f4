package fallback

import (
	"maps"
	"slices"
	"sync"
)

// troubles are what an operator has to look at, for status: a text for each kind, as
// long as it lasts.
type troubles struct {
	mu    sync.Mutex
	texts map[string]string
}

// set notes a trouble; an empty text ends it. It reports whether that is news.
func (t *troubles) set(kind, text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.texts[kind] == text {
		return false
	}
	if t.texts == nil {
		t.texts = map[string]string{}
	}
	if t.texts[kind] = text; text == "" {
		delete(t.texts, kind)
	}
	return true
}

func (t *troubles) list() (out []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, kind := range slices.Sorted(maps.Keys(t.texts)) {
		out = append(out, t.texts[kind])
	}
	return out
}
