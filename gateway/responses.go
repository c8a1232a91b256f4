package gateway

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/tidwall/gjson"
)

// responses is the OpenAI Responses protocol, as clients and as providers speak it.
// Its errors are those of Chat Completions, its streams are not.
type responses struct{ openAI }

var (
	_ dialect = responses{}
	_ adapter = responses{}
)

func (responses) wire() wire { return wireResponses }

func (responses) streamError(e *apiError) []byte {
	data, _ := json.Marshal(struct { // plain strings cannot fail
		Type     string  `json:"type"`
		Code     string  `json:"code"`
		Message  string  `json:"message"`
		Param    *string `json:"param"`
		Sequence int     `json:"sequence_number"`
	}{"error", e.code, e.message, nil, 0})
	return append(append([]byte("event: error\ndata: "), data...), "\n\n"...)
}

// streamEnd has nothing to give: what ends a stream holds the whole response.
func (responses) streamEnd(bool) ([]byte, bool) { return nil, false }

func (responses) judge(event []byte) eventKind {
	switch gjson.GetBytes(eventData(event), "type").Str {
	case "response.completed", "response.incomplete":
		return eventEnd
	case "response.failed", "error":
		return eventError
	case "response.created", "response.in_progress", "response.queued":
		return eventPrelude
	}
	return eventPart
}

func (responses) newRequest(ctx context.Context, a *account, c *call) (*http.Request, error) {
	if c.op == opNamed {
		return c.post(ctx, a, c.namedTarget("/responses"))
	}
	t := target{version: "/v1", ending: "/responses", path: "/responses"}
	if c.op == opCount {
		t.path += "/input_tokens"
	}
	return c.post(ctx, a, t)
}
