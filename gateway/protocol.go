package gateway

import (
	"context"
	"net/http"
	"sort"
	"strings"
)

// dialect is a protocol as the client sees it: what an error looks like and how
// a stream ends.
type dialect interface {
	// errorBody is the JSON body of an error answer.
	errorBody(e *apiError) []byte
	// isErrorBody reports whether an upstream's body already is an error of this
	// dialect, so it may pass as it is.
	isErrorBody(body []byte) bool
	// streamError is the event that tells of a failure in mid-stream.
	streamError(e *apiError) []byte
	// streamEnd is the event that ends every stream; isStreamEnd recognises it.
	streamEnd() []byte
	isStreamEnd(event []byte) bool
	// isStreamError recognises an upstream's own error event.
	isStreamError(event []byte) bool
}

// adapter is a protocol as a provider type speaks it.
type adapter interface {
	// newRequest makes the request to the account's endpoint for a call. Headers
	// of the client that may pass are added by the caller.
	newRequest(ctx context.Context, a *account, c *call) (*http.Request, error)
}

// providerInfo is what is known about a provider type and all its suffix groups.
type providerInfo struct {
	// adapter is nil where this gateway does not speak the type's protocol.
	adapter adapter
	// keyFields and urlFields are looked for in this order in an account.
	keyFields, urlFields []string
	// managed types have an allow-list of models that wins over their deny-list.
	managed bool
}

// providers are the known base types.
var providers = map[string]providerInfo{
	"openai-custom":          {adapter: openAI{}, keyFields: []string{"OPENAI_API_KEY"}, urlFields: []string{"OPENAI_BASE_URL"}, managed: true},
	"atlascloud":             {adapter: openAI{}, keyFields: []string{"OPENAI_API_KEY", "ATLASCLOUD_API_KEY"}, urlFields: []string{"OPENAI_BASE_URL", "ATLASCLOUD_BASE_URL"}, managed: true},
	"openai-qwen-oauth":      {adapter: openAI{}, keyFields: []string{"OPENAI_API_KEY", "QWEN_API_KEY"}, urlFields: []string{"QWEN_BASE_URL", "OPENAI_BASE_URL"}},
	"openai-iflow":           {adapter: openAI{}, keyFields: []string{"OPENAI_API_KEY", "IFLOW_API_KEY"}, urlFields: []string{"IFLOW_BASE_URL", "OPENAI_BASE_URL"}},
	"openaiResponses-custom": {managed: true},
	"openai-codex-oauth":     {},
	"claude-custom":          {managed: true},
	"claude-kiro-oauth":      {},
	"gemini-custom":          {},
	"gemini-cli-oauth":       {},
	"gemini-antigravity":     {},
	"grok-web":               {},
	"forward-api":            {},
}

// providerNames are the known base types, longest first, so that the first
// match of a suffix group is its nearest base.
var providerNames = func() []string {
	names := make([]string, 0, len(providers))
	for name := range providers {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		if len(names[i]) != len(names[j]) {
			return len(names[i]) > len(names[j])
		}
		return names[i] < names[j]
	})
	return names
}()

// lookupProvider finds a type's base: the type itself, or for a suffix group
// (openai-custom-team2) the base it begins with. Case is ignored; canonical is
// the type in its known spelling.
func lookupProvider(typ string) (info providerInfo, canonical string, ok bool) {
	for _, name := range providerNames {
		if len(typ) < len(name) || !strings.EqualFold(typ[:len(name)], name) {
			continue
		}
		if suffix := typ[len(name):]; suffix == "" || (len(suffix) > 1 && suffix[0] == '-') {
			return providers[name], name + suffix, true
		}
	}
	return providerInfo{}, "", false
}
