package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/tidwall/gjson"
)

// answerFields are those of which an answer has one; where it has, another field
// named error is no failure.
var answerFields = []string{"choices", "content", "candidates", "output", "data", "embeddings", "embedding", "results", "totalTokens", "input_tokens"}

// disguised reports whether JSON that came with the status of a success tells of an
// error, and the status that goes with it.
func disguised(body []byte) (status int, ok bool) {
	if !bytes.Contains(body, []byte("err")) && !bytes.Contains(body, []byte("base_resp")) && !bytes.Contains(body, []byte(`"success"`)) {
		return 0, false // the way of nearly all answers: nothing is parsed
	}
	if !json.Valid(body) || !gjson.ParseBytes(body).IsObject() {
		return 0, false
	}
	root := gjson.ParseBytes(body)
	failure := root.Get("error")
	answered := false
	for _, field := range answerFields {
		v := root.Get(field)
		answered = answered || v.Exists() && v.Type != gjson.Null && v.Raw != "[]"
	}
	switch {
	case root.Get("type").Str == "error", root.Get("type").Str == "response.failed", root.Get("object").Str == "error", root.Get("status").Str == "failed" && failure.IsObject():
	case failure.IsObject() && failure.Raw != "{}" && !answered:
	case failure.IsObject() && root.Get("choices.0.finish_reason").Str == "error":
	case failure.Type == gjson.String && failure.Str != "" && !answered:
	case root.Get("base_resp.status_code").Int() != 0 && !answered:
	case root.Get("success").Type == gjson.False && !answered:
	default:
		return 0, false
	}
	return statusIn(root), true
}

// statusIn is the HTTP status that an error body goes with: the number in it, or
// what its kind stands for, or 502.
func statusIn(root gjson.Result) int {
	if nested := root.Get("response.error"); nested.IsObject() { // of a Responses stream
		root = gjson.Parse(`{"error":` + nested.Raw + `}`)
	}
	for _, field := range []string{"error.code", "error.status", "error.status_code", "error.http_code", "code", "status", "status_code"} {
		if n := root.Get(field).Int(); n >= 400 && n <= 599 {
			return int(n)
		}
	}
	for _, field := range []string{"error.type", "error.status", "error.code", "type", "code", "error.error.type"} {
		if status := statusOfKind[root.Get(field).Str]; status != 0 {
			return status
		}
	}
	return http.StatusBadGateway
}

// statusOfKind is what the kinds of errors of the protocols stand for.
var statusOfKind = map[string]int{
	"invalid_request_error": 400, "BadRequestError": 400, "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "invalid_prompt": 400, "context_length_exceeded": 400,
	"authentication_error": 401, "invalid_api_key": 401, "UNAUTHENTICATED": 401, "billing_error": 402,
	"permission_error": 403, "PERMISSION_DENIED": 403, "not_found_error": 404, "model_not_found": 404, "NOT_FOUND": 404,
	"rate_limit_error": 429, "rate_limit_exceeded": 429, "requests": 429, "tokens": 429, "insufficient_quota": 429, "RESOURCE_EXHAUSTED": 429,
	"overloaded_error": 503, "UNAVAILABLE": 503, "server_is_overloaded": 503, "timeout_error": 504, "DEADLINE_EXCEEDED": 504,
}

// noAnswer reports a body that is none of any protocol: nothing, or a page.
func noAnswer(body []byte) bool {
	body = bytes.TrimSpace(body)
	return len(body) == 0 || body[0] == '<'
}

// disguisedError is the attempt that got an error with the status of a success.
// Another account may do better, whatever the error is.
func disguisedError(c *call, a *account, status int, h http.Header, body []byte) attempt {
	t := failedWith(c, a, status, h, body)
	t.outcome, t.retry, t.done = "disguised_"+t.outcome, true, true
	t.failure.message = "the provider answered with an error"
	if text := errorText(a.redact(body)); text != "" {
		t.failure.message += ": " + text
	}
	return t
}
