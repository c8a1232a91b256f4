package gateway

import (
	"context"
	"net/http"
	"sort"
	"strings"
)

// wire names a protocol.
type wire string

const (
	wireChat      wire = "chat"      // OpenAI Chat Completions
	wireResponses wire = "responses" // OpenAI Responses
	wireClaude    wire = "claude"    // Anthropic Messages
	wireGemini    wire = "gemini"    // Gemini generateContent
	// wireAny is a provider that is sent whatever the client speaks.
	wireAny wire = "any"
)

// dialect is a protocol as the client sees it: what an error looks like and how
// a stream ends.
type dialect interface {
	wire() wire
	// errorBody is the JSON body of an error answer.
	errorBody(e *apiError) []byte
	// isErrorBody reports whether an upstream's body already is an error of this
	// dialect, so it may pass as it is.
	isErrorBody(body []byte) bool
	// streamError tells of a failure in mid-stream and ends the stream.
	streamError(e *apiError) []byte
	// streamEnd is what ends a stream that its provider ended without the
	// protocol's own end; finished says that an event had said that the answer is
	// complete. False: by this protocol the answer is not.
	streamEnd(finished bool) ([]byte, bool)
	// judge looks at one event of an upstream.
	judge(event []byte) eventKind
	// keepAlive is what clients of this protocol take for nothing at all.
	keepAlive() []byte
}

// eventKind is what an event means for its stream.
type eventKind int

const (
	eventPart     eventKind = iota
	eventPrelude            // nothing of the answer is in it yet
	eventFinished           // the answer is complete, the end may follow
	eventEnd                // nothing follows
	eventError              // the provider tells of an error
)

// adapter is a protocol as a provider type speaks it.
type adapter interface {
	wire() wire
	// newRequest makes the request to the account's endpoint for a call. Headers
	// of the client that may pass and the account's credential are added by the
	// caller.
	newRequest(ctx context.Context, a *account, c *call) (*http.Request, error)
}

// credential says in which header a provider wants a key, and what stands
// before it.
type credential struct{ header, prefix string }

var (
	bearer  = credential{"Authorization", "Bearer "}
	apiKey  = credential{"X-Api-Key", ""}
	googKey = credential{"X-Goog-Api-Key", ""}
)

// providerInfo is what is known about a provider type and all its suffix groups.
type providerInfo struct {
	// adapter is nil where this gateway does not speak the type's protocol.
	adapter adapter
	// credential is how the account's key is presented.
	credential credential
	// keyFields and urlFields are looked for in this order in an account.
	keyFields, urlFields []string
	// managed types have an allow-list of models that wins over their deny-list.
	managed bool
}

// providers are the known base types.
var providers = map[string]providerInfo{
	"openai-custom":     {adapter: openAI{}, credential: bearer, keyFields: []string{"OPENAI_API_KEY"}, urlFields: []string{"OPENAI_BASE_URL"}, managed: true},
	"atlascloud":        {adapter: openAI{}, credential: bearer, keyFields: []string{"OPENAI_API_KEY", "ATLASCLOUD_API_KEY"}, urlFields: []string{"OPENAI_BASE_URL", "ATLASCLOUD_BASE_URL"}, managed: true},
	"openai-qwen-oauth": {adapter: openAI{}, credential: bearer, keyFields: []string{"OPENAI_API_KEY", "QWEN_API_KEY"}, urlFields: []string{"QWEN_BASE_URL", "OPENAI_BASE_URL"}},
	"openai-iflow":      {adapter: openAI{}, credential: bearer, keyFields: []string{"OPENAI_API_KEY", "IFLOW_API_KEY"}, urlFields: []string{"IFLOW_BASE_URL", "OPENAI_BASE_URL"}},

	"openaiResponses-custom": {adapter: responses{}, credential: bearer, keyFields: []string{"OPENAI_API_KEY"}, urlFields: []string{"OPENAI_BASE_URL"}, managed: true},
	"openai-codex-oauth":     {adapter: responses{}, credential: bearer, keyFields: []string{"OPENAI_API_KEY", "CODEX_API_KEY"}, urlFields: []string{"CODEX_BASE_URL", "OPENAI_BASE_URL"}},

	"claude-custom":     {adapter: claude{}, credential: apiKey, keyFields: []string{"CLAUDE_API_KEY"}, urlFields: []string{"CLAUDE_BASE_URL"}, managed: true},
	"claude-kiro-oauth": {adapter: claude{}, credential: apiKey, keyFields: []string{"CLAUDE_API_KEY", "KIRO_API_KEY"}, urlFields: []string{"KIRO_BASE_URL", "CLAUDE_BASE_URL"}},

	"gemini-custom":      {adapter: gemini{}, credential: googKey, keyFields: []string{"GEMINI_API_KEY"}, urlFields: []string{"GEMINI_BASE_URL"}},
	"gemini-cli-oauth":   {adapter: gemini{}, credential: googKey, keyFields: []string{"GEMINI_API_KEY"}, urlFields: []string{"GEMINI_BASE_URL"}},
	"gemini-antigravity": {adapter: gemini{}, credential: googKey, keyFields: []string{"GEMINI_API_KEY", "ANTIGRAVITY_API_KEY"}, urlFields: []string{"ANTIGRAVITY_BASE_URL", "ANTIGRAVITY_BASE_URL_DAILY", "ANTIGRAVITY_BASE_URL_AUTOPUSH", "GEMINI_BASE_URL"}},

	"grok-web":    {},
	"forward-api": {adapter: forward{}, credential: bearer, keyFields: []string{"FORWARD_API_KEY"}, urlFields: []string{"FORWARD_BASE_URL"}},
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
