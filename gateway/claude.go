package gateway

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/tidwall/gjson"
)

// claude is the Anthropic Messages protocol, as clients and as providers speak it.
type claude struct{}

var (
	_ dialect = claude{}
	_ adapter = claude{}
)

// anthropicVersion is the protocol's version for clients that name none.
const anthropicVersion = "2023-06-01"

func (claude) wire() wire { return wireClaude }

func (claude) errorBody(e *apiError) []byte {
	var body struct {
		Type  string `json:"type"`
		Error struct {
			Type    string `json:"type"`
			Message string `json:"message"`
			Code    string `json:"code"` // ours; Anthropic has none
		} `json:"error"`
	}
	body.Type = "error"
	body.Error.Type, body.Error.Message, body.Error.Code = claudeErrorType(e), e.message, e.code
	out, _ := json.Marshal(body) // plain strings cannot fail
	return out
}

func claudeErrorType(e *apiError) string {
	switch e.status {
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusServiceUnavailable, statusOverloaded:
		return "overloaded_error"
	case http.StatusGatewayTimeout:
		return "timeout_error"
	}
	if e.kind == kindServer {
		return "api_error"
	}
	return e.kind // the others have the same names
}

// statusOverloaded is Anthropic's own status for a lack of capacity.
const statusOverloaded = 529

func (claude) isErrorBody(body []byte) bool {
	return gjson.ValidBytes(body) && gjson.GetBytes(body, "type").Str == "error" && gjson.GetBytes(body, "error").IsObject()
}

func (c claude) streamError(e *apiError) []byte {
	return append(append([]byte("event: error\ndata: "), e.in(c)...), "\n\n"...)
}

// streamEnd gives a missing message_stop where the answer is complete: message_delta
// had its stop_reason. Without that the answer was cut.
func (claude) streamEnd(finished bool) ([]byte, bool) {
	if !finished {
		return nil, false
	}
	return []byte("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), true
}

func (claude) judge(event []byte) eventKind {
	data := eventData(event)
	switch gjson.GetBytes(data, "type").Str {
	case "message_stop":
		return eventEnd
	case "error":
		return eventError
	case "message_start", "ping":
		return eventPrelude
	case "content_block_start":
		if block := gjson.GetBytes(data, "content_block"); block.Get("type").Str != "tool_use" && block.Get("text").Str == "" && block.Get("thinking").Str == "" && block.Get("data").Str == "" {
			return eventPrelude
		}
	case "message_delta":
		if gjson.GetBytes(data, "delta.stop_reason").Type == gjson.String {
			return eventFinished
		}
	}
	return eventPart
}

func (claude) keepAlive() []byte { return commentLine }

func (claude) newRequest(ctx context.Context, a *account, c *call) (*http.Request, error) {
	suffix := "/messages"
	if c.op == opCount {
		suffix += "/count_tokens"
	}
	req, err := c.post(ctx, a, target{version: "/v1", ending: "/messages", path: suffix})
	if err != nil {
		return nil, err
	}
	version := c.header.Get("Anthropic-Version")
	if version == "" {
		version = anthropicVersion
	}
	req.Header.Set("Anthropic-Version", version)
	return req, nil
}
