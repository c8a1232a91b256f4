package gateway

import (
	"fmt"
	"net/http"

	"holdfast/gateway/convert"
)

// countHeader is on a number of tokens that no provider counted.
const countHeader = "X-Holdfast-Token-Count"

// orEstimate answers a question for the number of tokens that no provider has
// answered, because it cannot: by its protocol, by what it knows of it, or because
// this request cannot be said in it. Clients ask to know when a conversation gets too
// long; an estimate serves that, an error does not. Other failures pass.
func (c *call) orEstimate(w http.ResponseWriter, body []byte, failure *apiError) *apiError {
	client, known := formats[c.dialect.wire()]
	if c.op != opCount || failure == nil || !known || !failure.uncountable() {
		return failure
	}
	out := convert.Estimate(client, body)
	w.Header().Set(countHeader, "estimate")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(out)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(out) // the client may be gone
	return nil
}

// uncountable reports a failure that another try would not mend.
func (e *apiError) uncountable() bool {
	switch e.code {
	case "cannot_count", "cannot_convert":
		return true
	case "upstream_error": // many providers that are like others have no such path
		return e.status == http.StatusNotFound || e.status == http.StatusMethodNotAllowed || e.status == http.StatusNotImplemented
	}
	return false
}
