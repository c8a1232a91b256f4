package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"holdfast/gateway/convert"
)

const (
	// maxErrorBody bounds what is read of an upstream's error.
	maxErrorBody = 64 << 10
	// holdBody is how much of a plain answer is read before the client gets its
	// status: a whole answer, nearly always, so that one that breaks off can
	// still be asked of another account.
	holdBody = 1 << 20
	// firstPause is the pause before the second attempt; it doubles up to maxPause.
	firstPause, maxPause = 50 * time.Millisecond, time.Second
)

// forwarder sends calls to accounts. Safe for concurrent use.
type forwarder struct {
	client        *http.Client
	headerTimeout time.Duration
	keepAlive     time.Duration
	roster        *roster
	tokens        *tokens
	counters      *counters
	thoughts      *thoughts
	metrics       *metrics
	log           *slog.Logger
}

// attempt is how one try on one account ended.
type attempt struct {
	outcome string    // for the metric
	failure *apiError // nil: the client has its answer
	// retry says that another account may do better and the client has seen
	// nothing yet; blame says that the account is at fault; done that the provider
	// may have carried the request out all the same.
	retry, blame, done bool
	// cool puts the account aside at once, for so long.
	cool time.Duration
	// began says that the client has its status; gone that it left.
	began, gone bool
	// unauthorized is a 401: a token may have ended before its time.
	unauthorized bool
	cause        error // for the log; holds no secrets
}

// servePool tries the accounts of the call's pool, one after another. next says that
// another pool may do better and the client has seen nothing yet.
func (f *forwarder) servePool(ctx context.Context, w http.ResponseWriter, c *call, t *trial) (failure *apiError, next bool) {
	pause := firstPause
	for try := 0; try <= c.settings.switches && t.attempts > 0; try++ {
		a, why := f.roster.pick(c.pool, c.model, t.tried, time.Now())
		if a == nil {
			if failure == nil {
				failure = why.explain(c)
			}
			return failure, true
		}
		if try > 0 && !wait(ctx, pause/2+rand.N(pause/2)) {
			return failure, false
		}
		if try > 0 {
			pause = min(2*pause, maxPause)
		}
		t.tried[a.id] = true
		t.attempts--
		result := f.try(ctx, w, c, a, &t.tokenWait)
		f.record(c, a, result)
		if result.failure == errCutShort {
			return errCutShort, false
		}
		if result.began || result.gone || result.failure == nil {
			return nil, false
		}
		if failure != nil && failure.status == http.StatusTooManyRequests && result.failure.status == http.StatusTooManyRequests {
			result.failure.retryAfter = min(failure.retryAfter, result.failure.retryAfter) // the first of them that is back
		}
		failure = result.failure
		if result.done && !c.repeatable() {
			return failure, false
		}
		if !result.retry { // a provider that does not know the model is not the last word
			return failure, failure.status == http.StatusNotFound
		}
	}
	return failure, true
}

// wait pauses; false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// record counts an attempt, marks the account and logs a failure. An answer
// that the client left in the middle of was the account's work: it counts as use.
func (f *forwarder) record(c *call, a *account, t attempt) {
	f.metrics.attempts.WithLabelValues(c.pool.typ, t.outcome).Inc()
	if t.blame {
		f.counters.add(a.id, errorCount)
		if f.roster.failed(a.id, t.outcome, c.settings.maxErrors, c.settings.cooldown, t.cool, time.Now()) {
			f.metrics.putAside.WithLabelValues(c.pool.typ).Inc()
			f.log.Warn("account put aside", "account", a.id, "request_id", c.requestID, "outcome", t.outcome)
		}
	} else if t.failure == nil && (t.began || !t.gone) {
		f.counters.add(a.id, usageCount)
		if !t.gone {
			f.roster.succeeded(a.id, time.Now())
		}
	}
	if t.cause != nil {
		f.log.Warn("attempt failed", "account", a.id, "request_id", c.requestID, "outcome", t.outcome, "error", t.cause)
	}
}

// try makes one attempt on one account. This is the one place where an access
// token is put in the place of a key.
func (f *forwarder) try(ctx context.Context, w http.ResponseWriter, c *call, a *account, tokenWait *time.Duration) attempt {
	if !a.oauth {
		return f.send(ctx, w, c, a)
	}
	out, used := attempt{}, ""
	for range 2 {
		access, err := f.tokens.bearer(ctx, a, used, c.settings.nearExpiry, tokenWait)
		switch {
		case err != nil && ctx.Err() != nil:
			return leftAlone(context.Cause(ctx), false)
		case err != nil:
			return err.attempt()
		case access == used: // the provider's refusal stands
			return out
		}
		out, used = f.send(ctx, w, c, a.with(access)), access
		if !out.unauthorized {
			break
		}
	}
	return out
}

// send sends a call to an account, once.
func (f *forwarder) send(ctx context.Context, w http.ResponseWriter, c *call, a *account) attempt {
	ctx, cancel := context.WithCancelCause(a.withProxy(ctx))
	defer cancel(nil)
	req, err := c.pool.info.adapter.newRequest(ctx, a, c)
	if err != nil {
		return attempt{outcome: "no_endpoint", retry: true, cause: err, failure: &apiError{
			status: http.StatusServiceUnavailable, kind: kindServer, code: "no_endpoint",
			message: "the chosen account has no endpoint configured: its " + err.Error()}}
	}
	a.present(req.Header)
	copyRequestHeader(req.Header, c.header, c.presented)
	if c.repeatable() && req.Header["Idempotency-Key"] == nil {
		// Not sent. It lets net/http take a new connection where a kept one turns out
		// to be closed at the other end, which is nobody's fault.
		req.Header["Idempotency-Key"] = []string{}
	}
	timer := time.AfterFunc(f.headerTimeout, func() { cancel(errHeaderTimeout) })
	resp, err := f.client.Do(req)
	timer.Stop()
	if err != nil {
		return unreachable(ctx, a, err)
	}
	resp.Body = newWatchedBody(resp.Body, f.headerTimeout)
	defer resp.Body.Close()
	if !decode(resp) && (c.stream || c.conversion != nil || c.embedding != nil || !accepts(c.header, resp.Header.Get("Content-Encoding"))) {
		return unusable(errNotDecoded)
	}
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired && a.proxy != nil:
		return unreachable(ctx, a, errProxyRefuses)
	case resp.StatusCode != http.StatusOK && (c.op != opForward && c.op != opNamed || resp.StatusCode/100 != 2):
		return upstreamError(c, a, resp)
	case streamed(c, resp):
		return f.relayStream(ctx, w, c, a, resp)
	case c.embedding != nil:
		return relayEmbedding(ctx, w, c, a, resp)
	case c.conversion != nil:
		return f.relayConverted(ctx, w, c, a, resp)
	}
	return relayPlain(ctx, w, c, a, resp)
}

// errProxyRefuses is a proxy that wants other credentials than those of its URL.
var errProxyRefuses = errors.New("the proxy refuses its credentials (407)")

// errNotDecoded is an answer that nobody can read.
var errNotDecoded = errors.New("the provider's answer is compressed in a way that nobody asked for")

// errHeaderTimeout is an upstream that took the request and sent no status.
var errHeaderTimeout = errors.New("the provider sent no status in time")

// unreachable is an attempt without any answer.
func unreachable(ctx context.Context, a *account, err error) attempt {
	cause := context.Cause(ctx)
	if errors.Is(cause, errHeaderTimeout) {
		// Not tried again: the client has waited long, and the request was taken.
		return attempt{outcome: "timeout", blame: true, done: true, cause: cause, failure: &apiError{
			status: http.StatusGatewayTimeout, kind: kindServer, code: "upstream_timeout", message: cause.Error()}}
	}
	if cause != nil {
		return leftAlone(cause, false)
	}
	var op *net.OpError
	dialing := errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect" || strings.HasPrefix(op.Op, "socks"))
	message := "the provider could not be reached"
	if a.proxy != nil {
		message += " through its proxy (PROXY_URL)"
	}
	return attempt{outcome: "unreachable", blame: true, retry: true, done: !dialing, cause: withoutURL(err), failure: &apiError{
		status: http.StatusBadGateway, kind: kindServer, code: "upstream_unreachable", message: message}}
}

// leftAlone is an attempt that ended because the client left or the process ends.
func leftAlone(cause error, began bool) attempt {
	if errors.Is(cause, errShuttingDown) {
		return attempt{outcome: "shutdown", began: began, failure: &apiError{
			status: http.StatusServiceUnavailable, kind: kindServer, code: "shutting_down", message: errShuttingDown.Error(), retryAfter: time.Second}}
	}
	return attempt{outcome: "client_gone", began: began, gone: true}
}

func (f *forwarder) relayStream(ctx context.Context, w http.ResponseWriter, c *call, a *account, resp *http.Response) attempt {
	s := newRelay(w, c, a, resp, f.keepAlive)
	s.keep = func(seals map[string][]byte) { f.thoughts.keep(ctx, a.id, seals) }
	err := s.run(ctx, resp.Body)
	var broken brokenError
	var told *toldError
	switch {
	case errors.As(err, &told): // and the client has nothing yet
		return disguisedError(c, a, told.status, resp.Header, told.body)
	case errors.As(err, &broken):
		return attempt{outcome: "broken", began: s.began, blame: true, retry: !errors.Is(broken.error, errSilent), done: true, cause: broken.error, failure: &apiError{
			status: http.StatusBadGateway, kind: kindServer, code: "upstream_stream_failed", message: "the provider's stream broke off before its first event"}}
	case s.reported: // whether or not the client stayed for the rest
		return attempt{outcome: "stream_error", began: true, blame: true, cause: errors.New("the provider's stream held an error event")}
	case err == nil:
		return attempt{outcome: "ok", began: true}
	case ctx.Err() != nil:
		return leftAlone(context.Cause(ctx), s.began)
	}
	return attempt{outcome: "client_gone", began: true, gone: true}
}

// relayPlain passes a plain answer. It is held until it is complete, or is
// larger than what is held.
func relayPlain(ctx context.Context, w http.ResponseWriter, c *call, a *account, resp *http.Response) attempt {
	var held bytes.Buffer
	if n := resp.ContentLength; n > 0 && n < holdBody {
		held.Grow(int(n) + bytes.MinRead)
	}
	_, err := io.CopyN(&held, resp.Body, holdBody)
	if err != nil && err != io.EOF {
		if ctx.Err() != nil {
			return leftAlone(context.Cause(ctx), false)
		}
		return bodyFailed(err)
	}
	body := held.Bytes()
	if err == io.EOF && textual(resp.Header) {
		body = unzipped(body, maxAnswer)
		if t, over := judgeWhole(c, a, resp, body); over {
			return t
		}
	}
	copyResponseHeader(w.Header(), resp.Header)
	if resp.StatusCode == http.StatusNoContent {
		w.Header().Del("Content-Length")
	} else if err == io.EOF {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	} else if resp.ContentLength >= 0 {
		w.Header().Set("Content-Length", fmt.Sprint(resp.ContentLength))
	}
	w.WriteHeader(resp.StatusCode)
	out := newPatientWriter(w, writeTimeout)
	defer out.end()
	if _, werr := out.Write(body); werr != nil {
		return attempt{outcome: "client_gone", began: true, gone: true}
	}
	if err == nil {
		return copyRest(ctx, out, resp.Body)
	}
	return attempt{outcome: "ok", began: true}
}

// judgeWhole looks at a whole answer in the client's own protocol: over says that it
// is not to be passed as it is.
func judgeWhole(c *call, a *account, resp *http.Response, body []byte) (t attempt, over bool) {
	if c.op == opForward {
		return attempt{}, false
	}
	if status, ok := disguised(body); ok {
		return disguisedError(c, a, status, resp.Header, body), true
	}
	if c.op != opNamed && noAnswer(body) {
		return unusable(errNoAnswer), true
	}
	if !c.stream || c.op != opGenerate {
		return attempt{}, false
	}
	// A provider that takes no notice of the wish for a stream.
	format := formats[c.dialect.wire()]
	if conversion, _, err := convert.New(format, format, c.body, c.model, true); err == nil {
		if out, err := asStream(c.dialect, conversion, body); err == nil {
			return answerAsStream(c, out, func(h http.Header) { convertedHeader(h, resp.Header, "text/event-stream") }), true
		}
	}
	c.client.disarm()
	if !c.client.isOpen() {
		return attempt{}, false
	}
	return unusable(errNoStream), true
}

var (
	errNoAnswer = errors.New("the provider's answer is empty, or a web page")
	errNoStream = errors.New("the provider answered without a stream")
)

// bodyFailed is an attempt whose answer broke off before the client saw any of it.
func bodyFailed(err error) attempt {
	return attempt{outcome: "broken", blame: true, retry: !errors.Is(err, errSilent), done: true, cause: withoutURL(err), failure: &apiError{
		status: http.StatusBadGateway, kind: kindServer, code: "upstream_body_failed", message: "the provider's answer broke off"}}
}

// copyRest streams what follows the held part. A break here cannot be told to
// the client but by cutting its connection, which the caller does.
func copyRest(ctx context.Context, w io.Writer, body io.Reader) attempt {
	src := &failingReader{Reader: body}
	_, err := io.Copy(w, src)
	switch {
	case err == nil:
		return attempt{outcome: "ok", began: true}
	case ctx.Err() != nil:
		return leftAlone(context.Cause(ctx), true)
	case src.err == nil: // writing failed: the client left, which ctx learns later
		return attempt{outcome: "client_gone", began: true, gone: true}
	}
	return attempt{outcome: "broken", began: true, blame: true, cause: withoutURL(err), failure: errCutShort}
}

// failingReader keeps the error that its reader failed with.
type failingReader struct {
	io.Reader
	err error
}

func (r *failingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != io.EOF {
		r.err = err
	}
	return n, err
}

// errCutShort is an answer that broke off after the client had its status.
var errCutShort = &apiError{code: "cut_short"}
