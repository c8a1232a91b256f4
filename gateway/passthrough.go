package gateway

import (
	"context"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"
)

// forward is a provider that is sent what the client sent, to the same path
// under its own base URL. What its answers mean is the client's dialect.
type forward struct{}

var _ adapter = forward{}

func (forward) wire() wire { return wireAny }

func (forward) newRequest(ctx context.Context, a *account, c *call) (*http.Request, error) {
	path := c.path
	if model, action, ok := parseGeminiPath(path); ok && model != c.model {
		path = strings.TrimSuffix(path, model+":"+action) + c.model + ":" + action
	}
	return c.post(ctx, a, target{path: path})
}

// forwardCredential reads how a forward account's key is presented. An empty
// prefix in front of Authorization's value is what the account's editor leaves
// there for the usual one.
func forwardCredential(entry gjson.Result) credential {
	out := bearer
	if name := strings.TrimSpace(text(entry.Get("FORWARD_HEADER_NAME"))); name != "" {
		out.header = http.CanonicalHeaderKey(name)
	}
	if prefix := entry.Get("FORWARD_HEADER_VALUE_PREFIX"); prefix.Type == gjson.String && (prefix.Str != "" || out.header != bearer.header) {
		out.prefix = prefix.Str
	}
	return out
}

// raw is what a client speaks of which nothing is known but its path: errors are
// OpenAI's, the usual ones, and a stream ends where it ends.
type raw struct{ openAI }

var _ dialect = raw{}

func (raw) wire() wire { return wireAny }

func (raw) streamEnd(bool) ([]byte, bool) { return nil, true }

func (raw) judge([]byte) eventKind { return eventPart }
