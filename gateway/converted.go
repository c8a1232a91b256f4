package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"holdfast/gateway/convert"
)

// maxAnswer bounds a plain answer that is converted: it has to be held whole.
const maxAnswer = 64 << 20

// relayConverted answers with a plain answer of another protocol. A provider that
// was asked for a stream may give one as well.
func (f *forwarder) relayConverted(ctx context.Context, w http.ResponseWriter, c *call, a *account, resp *http.Response) attempt {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return leftAlone(context.Cause(ctx), false)
	case err != nil:
		return bodyFailed(err)
	case len(body) > maxAnswer:
		err = fmt.Errorf("the provider's answer is over %d MiB", maxAnswer>>20)
	}
	var out []byte
	contentType := "application/json"
	if err == nil && c.stream {
		var events [][]byte
		events, err = c.conversion.AnswerAsStream(body)
		out, contentType = framed(c.dialect, events), "text/event-stream"
		if f, ok := c.dialect.(framer); ok {
			end, _ := c.dialect.streamEnd(true)
			out, contentType = append(out, end...), f.contentType()
		}
	} else if err == nil {
		out, err = c.conversion.Answer(body)
	}
	if err != nil {
		told := &toldError{string(a.redact([]byte(err.Error())))}
		return attempt{outcome: "unusable", blame: true, retry: true, done: true, cause: told, failure: &apiError{
			status: http.StatusBadGateway, kind: kindServer, code: "upstream_error", message: told.Error()}}
	}
	f.thoughts.keep(ctx, a.id, c.conversion.Seals())
	convertedHeader(w.Header(), resp.Header, contentType)
	w.Header().Set("Content-Length", fmt.Sprint(len(out)))
	w.WriteHeader(http.StatusOK)
	to := newPatientWriter(w, writeTimeout)
	defer to.end()
	if _, err := to.Write(out); err != nil {
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

// toldError is an error that the provider told of within its stream, or an
// answer that is none. Its text holds no secrets.
type toldError struct{ text string }

func (e *toldError) Error() string { return e.text }

func (s *relay) told(text string) error {
	if text == "" {
		text = "it does not say which"
	}
	return &toldError{"the provider answered with an error: " + string(s.account.redact([]byte(text)))}
}

// passConverted sends one event on in the client's protocol.
func (s *relay) passConverted(event []byte) (end bool, err error) {
	events, end, err := s.convert.Event(eventData(event))
	if err := s.converted(events, err); err != nil {
		return false, err
	}
	if end {
		return true, s.close()
	}
	return s.reported, nil
}

// converted sends events, and what ended them too early.
func (s *relay) converted(events [][]byte, err error) error {
	if seals := s.convert.Seals(); len(seals) > 0 { // before the client can go on
		s.keep(seals)
	}
	if sendErr := s.send(framed(s.dialect, events)); sendErr != nil {
		return sendErr
	}
	var upstream *convert.UpstreamError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &upstream) && !s.began:
		return s.told(upstream.Message)
	case errors.As(err, &upstream):
		s.reported = true
		s.fail(&apiError{kind: kindServer, code: "upstream_error", message: s.told(upstream.Message).Error()})
		return nil
	case s.began:
		s.fail(&apiError{kind: kindServer, code: "upstream_stream_failed", message: "the provider's stream broke off: the answer is not complete"})
	}
	return brokenError{err}
}

// close ends a stream that has no end in its events.
func (s *relay) close() error {
	if _, ok := s.dialect.(framer); !ok {
		return nil
	}
	end, _ := s.dialect.streamEnd(true)
	return s.send(end)
}
