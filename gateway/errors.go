package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Kinds of errors, as the "type" of an error body.
const (
	kindAuthentication = "authentication_error"
	kindPermission     = "permission_error"
	kindRateLimit      = "rate_limit_error"
	kindServer         = "server_error"
	kindInvalid        = "invalid_request_error"
)

// apiError is an answer that is an error. A dialect gives it its shape.
type apiError struct {
	status  int
	kind    string
	code    string
	message string
	param   string // the field of the request that is wrong
	// body is an upstream's own error of the same dialect; it passes as it is.
	body []byte
	// retryAfter tells the client when to come again; zero: not said.
	retryAfter time.Duration
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func invalidRequest(code, message string) *apiError {
	return &apiError{status: http.StatusBadRequest, kind: kindInvalid, code: code, message: message}
}

// kindOf is the kind that goes with a status.
func kindOf(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return kindAuthentication
	case status == http.StatusForbidden:
		return kindPermission
	case status == http.StatusTooManyRequests:
		return kindRateLimit
	case status >= 500:
		return kindServer
	}
	return kindInvalid
}

// in is the error as a dialect has it, on one line: the provider's own words where
// they are in it.
func (e *apiError) in(d dialect) []byte {
	var line bytes.Buffer
	if e.body != nil && json.Compact(&line, e.body) == nil {
		return line.Bytes()
	}
	return d.errorBody(e)
}

// writeError answers with e in the shape of d.
func writeError(w http.ResponseWriter, d dialect, e *apiError) {
	h := w.Header()
	if e.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((e.retryAfter+time.Second-1)/time.Second)))
	}
	body := e.body
	if body == nil {
		body = d.errorBody(e)
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.status)
	_, _ = w.Write(body)
}
