package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// newHTTPClient makes the client for providers. Bytes pass as they are: no
// decompression; and a redirect is never followed, since it would carry the
// account's key to another host.
func newHTTPClient(cfg Config) *http.Client {
	dialer := &net.Dialer{Timeout: cfg.UpstreamConnectTimeout, KeepAlive: 30 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:               proxyOf,
			DialContext:         dialer.DialContext,
			TLSHandshakeTimeout: cfg.UpstreamConnectTimeout,
			MaxIdleConns:        256,
			MaxIdleConnsPerHost: 64,
			IdleConnTimeout:     90 * time.Second,
			DisableCompression:  true,
			ForceAttemptHTTP2:   true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// withoutURL drops the URL that net/http puts into its errors: an endpoint's
// parameters may hold a key.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// upstreamError judges an answer other than 200. Statuses that are about the
// account (its key, its money, its rate) or the server may go better on another
// account; those that are about the request would not.
func upstreamError(c *call, a *account, resp *http.Response) attempt {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	return failedWith(c, a, resp.StatusCode, resp.Header, unzipped(body, maxErrorBody))
}

// failedWith is the attempt that got an error of a status.
func failedWith(c *call, a *account, answered int, h http.Header, body []byte) attempt {
	status := answered
	t := attempt{outcome: "request_error", unauthorized: status == http.StatusUnauthorized}
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusBadRequest && keyRefused(body):
		t.outcome, t.retry, t.blame = "account_error", true, true
	case status == http.StatusPaymentRequired:
		t.outcome, t.retry, t.blame = outcomeUnpaid, true, true
		t.cool = untilNextMonth(time.Now())
	case status == http.StatusTooManyRequests:
		t.outcome, t.retry, t.blame = outcomeRateLimited, true, true
		t.cool = coolFor(h, body, c.settings, time.Now())
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly: // the provider's trouble, not the request's
		t.outcome, t.retry, t.done = "server_error", true, true
	case status >= 500:
		t.outcome, t.retry, t.blame, t.done = "server_error", true, true, status != http.StatusServiceUnavailable
	case status < 400: // a redirect, or a success this protocol does not have
		t.outcome, t.retry, t.blame, t.done = "unexpected_status", true, true, true
		status, body = http.StatusBadGateway, nil
	}
	if t.blame {
		t.cause = fmt.Errorf("provider answered %d", answered)
	}
	t.failure = &apiError{
		status: status, kind: kindOf(status), code: "upstream_error",
		message: fmt.Sprintf("the provider answered %d", answered),
	}
	if t.blame {
		t.failure.retryAfter = retryAfter(h, body, time.Now())
	}
	if t.outcome == outcomeRateLimited && t.failure.retryAfter == 0 {
		t.failure.retryAfter = t.cool
	}
	body = a.redact(body)
	if text := errorText(body); text != "" {
		t.failure.message += ": " + text
	}
	if c.conversion == nil && c.embedding == nil && c.dialect.isErrorBody(body) {
		t.failure.body = body
	}
	if c.conversion != nil && status == statusOverloaded {
		t.failure.status = http.StatusServiceUnavailable // the others know no 529
	}
	return t
}

// keyRefused reports a 400 that is about the account: Google's answer to a bad key,
// the code that others give one, and Anthropic's want of credit, which has none.
func keyRefused(body []byte) bool {
	if !json.Valid(body) {
		return false
	}
	root := gjson.ParseBytes(body)
	if code := root.Get("error.code").Str; code == "invalid_api_key" || code == "billing_hard_limit_reached" || code == "billing_not_active" {
		return true
	}
	if root.Get("error.type").Str == "invalid_request_error" && strings.Contains(root.Get("error.message").Str, "credit balance is too low") {
		return true
	}
	for _, detail := range root.Get("error.details").Array() {
		if reason := detail.Get("reason").Str; reason == "API_KEY_INVALID" || reason == "API_KEY_EXPIRED" {
			return true
		}
	}
	return false
}

// errorText is what an error body of any protocol says, or a short text.
func errorText(body []byte) string {
	if json.Valid(body) {
		for _, field := range []string{"error.message", "message", "error"} {
			if v := gjson.GetBytes(body, field); v.Type == gjson.String {
				return v.Str
			}
		}
	}
	if text := strings.TrimSpace(string(body)); len(text) <= 500 && !strings.HasPrefix(text, "<") {
		return text
	}
	return ""
}

// Outcomes of attempts that put an account aside at the first time.
const (
	outcomeRateLimited = "rate_limited"
	outcomeUnpaid      = "payment_required"
)

// untilNextMonth is how long an account rests after a 402: quotas begin anew on
// the first of the month, UTC. A health check that succeeds ends it earlier.
func untilNextMonth(now time.Time) time.Duration {
	y, m, _ := now.UTC().Date()
	return time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC).Sub(now)
}

// coolFor is how long an account rests after a 429: what the provider asks for,
// within the configured maximum, or the configured default.
func coolFor(h http.Header, body []byte, s settings, now time.Time) time.Duration {
	d := retryAfter(h, body, now)
	if d == 0 {
		d = s.cooldown
	}
	return min(max(d, time.Second), s.cooldownMax)
}

// retryAfter is when a provider wants to be asked again, by its headers or, as
// Google does, in the body of its error. Zero: it does not say.
func retryAfter(h http.Header, body []byte, now time.Time) time.Duration {
	const day = 24 * time.Hour
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms > 0 {
		return min(time.Duration(ms*float64(time.Millisecond)), day)
	}
	v := strings.TrimSpace(h.Get("Retry-After"))
	if sec, err := strconv.ParseFloat(v, 64); err == nil && sec >= 0 {
		return max(min(time.Duration(min(sec, day.Seconds())*float64(time.Second)), day), time.Second)
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(at.Sub(now), time.Second), day)
	}
	if bytes.Contains(body, []byte("retryDelay")) && json.Valid(body) {
		for _, detail := range gjson.GetBytes(body, "error.details").Array() {
			if d, err := time.ParseDuration(detail.Get("retryDelay").Str); err == nil && d > 0 {
				return min(max(d, time.Second), day)
			}
		}
	}
	return 0
}

// maxRetryAfter bounds what a client is told: an account may be back, or be
// added, at any time.
const maxRetryAfter = 10 * time.Minute

// explain is the answer when no account could be chosen and none was tried.
func (s shortage) explain(c *call) *apiError {
	if s.total > 0 && s.noModel > 0 && s.noModel+s.disabled == s.total {
		return &apiError{
			status: http.StatusNotFound, kind: kindInvalid, code: "model_not_found",
			message: fmt.Sprintf("no account of provider %s serves model %.200q; GET /v1/models lists the models", c.pool.typ, c.model),
		}
	}
	if usable := s.total - s.disabled - s.noModel - s.noEndpoint - s.signedOut; usable > 0 && s.limited == usable {
		return &apiError{
			status: http.StatusTooManyRequests, kind: kindRateLimit, code: "rate_limited", retryAfter: min(max(time.Until(s.recovery), time.Second), maxRetryAfter),
			message: fmt.Sprintf("every account of provider %s that could answer this rests because of a rate limit (429): try again after the time in Retry-After", c.pool.typ),
		}
	}
	e := &apiError{
		status: http.StatusServiceUnavailable, kind: kindServer, code: "no_healthy_provider", retryAfter: 5 * time.Second,
		message: fmt.Sprintf("provider %s has no healthy account for this request: %d accounts, %d disabled, %d unhealthy, %d resting after errors, %d with no endpoint configured, %d signed out, %d without the model",
			c.pool.typ, s.total, s.disabled, s.unhealthy, s.cooling, s.noEndpoint, s.signedOut, s.noModel),
	}
	if !s.recovery.IsZero() { // of a rest for weeks, a client need not know
		e.retryAfter = min(max(time.Until(s.recovery), time.Second), maxRetryAfter)
	}
	return e
}
