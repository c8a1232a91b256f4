package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"holdfast/gateway/convert"
)

const (
	// maxEvent bounds one event of a stream, so that an upstream that never ends
	// a line cannot fill the memory.
	maxEvent = 8 << 20
	// writeTimeout ends a client that takes nothing for so long.
	writeTimeout = time.Minute
)

var (
	errEventTooLong = errors.New("an event of the stream is too long")
	errNoEnd        = errors.New("the stream ended before its end")
	errEmptyStream  = errors.New("the stream ended before its first event")
	errShuttingDown = errors.New("gateway is shutting down")
)

// eventReader splits a server-sent event stream into events, each with its
// closing blank line and otherwise byte for byte.
type eventReader struct{ src *bufio.Reader }

// next is one event. io.EOF is a clean end; an unfinished last event is
// finished.
func (e eventReader) next() ([]byte, error) {
	var event []byte
	for {
		line, err := e.src.ReadSlice('\n')
		if len(event)+len(line) > maxEvent {
			return nil, errEventTooLong
		}
		event = append(event, line...)
		switch {
		case err == nil && len(bytes.TrimRight(line, "\r\n")) == 0 && endsLine(event, line):
			return event, nil
		case err == io.EOF && len(bytes.TrimSpace(event)) > 0:
			return append(bytes.TrimRight(event, "\r\n"), "\n\n"...), nil
		case err != nil && err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}

// endsLine reports that line began at a line's start: a long line arrives in
// pieces, and its last piece may be the bare line end.
func endsLine(event, line []byte) bool {
	before := len(event) - len(line)
	return before == 0 || event[before-1] == '\n'
}

// eventData is the data of an event, its lines joined as the format says; nil if
// it has none.
func eventData(event []byte) (data []byte) {
	joined := false
	for line := range bytes.Lines(event) {
		more, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			continue
		}
		more = bytes.TrimSpace(more)
		switch {
		case data == nil:
			data = more
		case !joined: // the first piece is a part of event
			data, joined = append(append(bytes.Clone(data), '\n'), more...), true
		default:
			data = append(append(data, '\n'), more...)
		}
	}
	return data
}

type streamItem struct {
	event []byte
	err   error
}

// relay passes one stream to a client.
type relay struct {
	dialect   dialect
	w         http.ResponseWriter
	rc        *http.ResponseController
	keepAlive time.Duration
	header    http.Header // of the upstream's answer
	began     bool        // the client has its status: no other account can be tried
	reported  bool        // the upstream sent an error event of its own
	finished  bool        // the upstream said that the answer is complete
	account   *account
	convert   *convert.Stream // nil: events pass as they are
	keep      func(seals map[string][]byte)
}

func newRelay(w http.ResponseWriter, c *call, a *account, resp *http.Response, keepAlive time.Duration) *relay {
	s := &relay{dialect: c.dialect, w: w, rc: http.NewResponseController(w), keepAlive: keepAlive, header: resp.Header, account: a}
	if c.conversion != nil {
		s.convert = c.conversion.Stream()
	}
	return s
}

// framer is a dialect whose streams are not events on the wire.
type framer interface {
	contentType() string
	frame(event []byte) []byte
}

// run relays body until its end. Headers go out with the first event, or with
// the first keep-alive: until then a failure can still become another attempt
// or a real error status. A brokenError means that the upstream failed (began
// says if the client saw the start), any other error that nobody listens.
func (s *relay) run(ctx context.Context, body io.ReadCloser) error {
	items := make(chan streamItem)
	stop := make(chan struct{})
	readerDone := make(chan struct{})
	go func() {
		defer close(readerDone)
		readEvents(body, items, stop)
	}()
	defer func() { // closing the body ends a read that waits
		close(stop)
		_ = body.Close()
		<-readerDone
	}()
	defer func() { _ = s.rc.SetWriteDeadline(time.Time{}) }() // the connection may serve another request
	quiet := time.NewTimer(s.keepAlive)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.interrupted(ctx)
		case <-quiet.C:
			if err := s.send(s.dialect.keepAlive()); err != nil {
				return err
			}
		case item := <-items:
			if item.err != nil {
				return s.end(ctx, item.err)
			}
			if end, err := s.pass(item.event); end || err != nil {
				return err
			}
		}
		quiet.Reset(s.keepAlive)
	}
}

// pass sends one event on; end says that it was the last.
func (s *relay) pass(event []byte) (end bool, err error) {
	if s.convert != nil {
		return s.passConverted(event)
	}
	kind := s.dialect.judge(event)
	if kind == eventError && !s.began {
		return false, s.told(errorText(eventData(event)))
	}
	switch kind {
	case eventEnd:
		end = true
	case eventFinished:
		s.finished = true
	case eventError:
		s.reported = true
	}
	if f, ok := s.dialect.(framer); ok {
		event = f.frame(event)
	}
	if err := s.send(event); err != nil || !end {
		return false, err
	}
	return true, nil
}

// readEvents hands out events until the stream ends or nobody wants them.
func readEvents(body io.Reader, items chan<- streamItem, stop <-chan struct{}) {
	events := eventReader{bufio.NewReaderSize(body, 16<<10)}
	for {
		event, err := events.next()
		select {
		case items <- streamItem{event, err}:
		case <-stop:
			return
		}
		if err != nil {
			return
		}
	}
}

// interrupted ends a stream whose context is done: the client is gone, or the
// process ends and the client is told.
func (s *relay) interrupted(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, errShuttingDown) && s.began {
		s.fail(&apiError{kind: kindServer, code: "shutting_down", message: "the gateway is shutting down: send the request again"})
	}
	return cause
}

// end finishes a stream that the upstream ended without the protocol's own end.
func (s *relay) end(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return s.interrupted(ctx)
	}
	if err == io.EOF && s.convert != nil {
		events, err := s.convert.End()
		if err := s.converted(events, err); err != nil || s.reported {
			return err
		}
		return s.close()
	}
	if err == io.EOF && !s.began {
		return brokenError{errEmptyStream}
	}
	if err == io.EOF {
		end, complete := s.dialect.streamEnd(s.finished)
		if complete || s.reported {
			return s.send(end)
		}
		err = errNoEnd
	}
	if s.began {
		s.fail(&apiError{kind: kindServer, code: "upstream_stream_failed", message: "the provider's stream broke off: the answer is not complete"})
	}
	return brokenError{err}
}

// brokenError is a stream that the upstream broke. It stays the upstream's
// doing if the client leaves as soon as it is told: ctx cannot tell that apart.
type brokenError struct{ error }

// fail sends one error event and the end of the stream.
func (s *relay) fail(e *apiError) { _ = s.send(s.dialect.streamError(e)) }

// errClientGone is a client that could not be written to.
var errClientGone = errors.New("client went away")

// send writes and flushes; the first time with the headers.
func (s *relay) send(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if !s.began {
		h := s.w.Header()
		if s.convert != nil {
			convertedHeader(h, s.header, "text/event-stream")
		} else {
			copyResponseHeader(h, s.header)
		}
		h.Del("Content-Length")
		h.Set("Cache-Control", "no-cache")
		if f, ok := s.dialect.(framer); ok {
			h.Set("Content-Type", f.contentType())
		}
		h.Set("X-Accel-Buffering", "no") // proxies in front must not collect events
		s.w.WriteHeader(http.StatusOK)
		s.began = true
	}
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.w.Write(p); err != nil {
		return errClientGone
	}
	if err := s.rc.Flush(); err != nil {
		return errClientGone
	}
	return nil
}
