package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"holdfast/gateway/convert"
)

// maxAnswer bounds a plain answer that is converted: it has to be held whole.
const maxAnswer = 64 << 20

// relayConverted answers with a plain answer of another protocol. A provider that
// was asked for a stream may give one as well.
func (f *forwarder) relayConverted(ctx context.Context, w http.ResponseWriter, c *call, a *account, resp *http.Response) attempt {
	body, failed := wholeAnswer(ctx, c, a, resp)
	if failed != nil {
		return *failed
	}
	var err error
	if len(body) > maxAnswer {
		err = fmt.Errorf("the provider's answer is over %d MiB", maxAnswer>>20)
	}
	var out []byte
	if err == nil && c.stream {
		if out, err = asStream(c.dialect, c.conversion, body); err == nil {
			f.thoughts.keep(ctx, a.id, c.conversion.Seals())
			return answerAsStream(c, out, func(h http.Header) { convertedHeader(h, resp.Header, "text/event-stream") })
		}
	} else if err == nil {
		out, err = c.conversion.Answer(body)
	}
	if err != nil {
		return unusable(errors.New(string(a.redact([]byte(err.Error())))))
	}
	f.thoughts.keep(ctx, a.id, c.conversion.Seals())
	convertedHeader(w.Header(), resp.Header, "application/json")
	return sendWhole(w, out)
}

// wholeAnswer reads a plain answer of at most a little over maxAnswer. failed is the
// attempt that it is instead, if it broke off or is an error that calls itself a success.
func wholeAnswer(ctx context.Context, c *call, a *account, resp *http.Response) (body []byte, failed *attempt) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	body = unzipped(body, maxAnswer)
	var t attempt
	status, ok := disguised(body)
	switch {
	case ok && err == nil:
		t = disguisedError(c, a, status, resp.Header, body)
	case err != nil && ctx.Err() != nil:
		t = leftAlone(context.Cause(ctx), false)
	case err != nil:
		t = bodyFailed(err)
	default:
		return body, nil
	}
	return nil, &t
}

// unusable is the attempt that got something that is no answer. err holds no secrets.
func unusable(err error) attempt {
	return attempt{outcome: "unusable", blame: true, retry: true, done: true, cause: err, failure: &apiError{
		status: http.StatusBadGateway, kind: kindServer, code: "upstream_error", message: err.Error()}}
}

// sendWhole answers with a whole body.
func sendWhole(w http.ResponseWriter, body []byte) attempt {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	to := newPatientWriter(w, writeTimeout)
	defer to.end()
	if _, err := to.Write(body); err != nil {
		return attempt{outcome: "client_gone", began: true, gone: true}
	}
	return attempt{outcome: "ok", began: true}
}

// framed is events as they are on the wire of a dialect.
func framed(d dialect, events [][]byte) []byte {
	var out bytes.Buffer
	for _, e := range events {
		if f, ok := d.(framer); ok {
			e = f.frame(e)
		}
		out.Write(e)
	}
	return out.Bytes()
}

// asStream is a whole answer as the stream that the client asked for.
func asStream(d dialect, conversion *convert.Conversion, body []byte) ([]byte, error) {
	events, err := conversion.AnswerAsStream(body)
	if err != nil {
		return nil, err
	}
	out := framed(d, events)
	if _, ok := d.(framer); ok {
		end, _ := d.streamEnd(true)
		out = append(out, end...)
	}
	return out, nil
}

// answerAsStream sends a stream that is complete.
func answerAsStream(c *call, out []byte, header func(http.Header)) attempt {
	c.client.disarm()
	if c.client.send(out, header) != nil {
		return attempt{outcome: "client_gone", began: true, gone: true}
	}
	return attempt{outcome: "ok", began: true}
}

// toldError is an error that the provider told of within its stream, before
// anything else, and the status that goes with it.
type toldError struct {
	status int
	body   []byte
}

func (e *toldError) Error() string { return "the provider's stream began with an error" }

// passConverted sends one event on in the client's protocol.
func (s *relay) passConverted(data []byte, kind eventKind) (end bool, err error) {
	events, end, err := s.convert.Event(data)
	if err := s.converted(events, kind, err); err != nil {
		return false, err
	}
	if end {
		s.close()
	}
	return end || s.reported, nil
}

// converted sends events, and what ended them too early.
func (s *relay) converted(events [][]byte, kind eventKind, err error) error {
	if seals := s.convert.Seals(); len(seals) > 0 { // before the client can go on
		s.keep(seals)
	}
	if err == nil || s.began { // what fails before the client has anything can still become another attempt
		s.forward(framed(s.dialect, events), kind)
	}
	var upstream *convert.UpstreamError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &upstream) && !s.began:
		body, _ := json.Marshal(map[string]any{"error": map[string]string{"message": upstream.Message}}) // plain values cannot fail
		return &toldError{http.StatusBadGateway, body}
	case errors.As(err, &upstream):
		s.reported = true
		s.fail(&apiError{kind: kindServer, code: "upstream_error", message: "the provider answered with an error: " + string(s.account.redact([]byte(upstream.Message)))})
		return nil
	case s.began:
		s.fail(&apiError{kind: kindServer, code: "upstream_stream_failed", message: "the provider's stream broke off: the answer is not complete"})
	}
	return brokenError{err}
}

// close ends a stream that has no end in its events.
func (s *relay) close() {
	if _, ok := s.dialect.(framer); ok {
		end, _ := s.dialect.streamEnd(true)
		s.send(end)
	}
}
