package gateway

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
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

// streamItem is events that arrived together, and what came after them.
type streamItem struct {
	events [][]byte
	err    error
}

// relay passes one stream to a client.
type relay struct {
	dialect   dialect
	provider  dialect // what the provider speaks
	client    *streamClient
	keepAlive time.Duration
	header    http.Header // of the upstream's answer
	out       []byte      // what goes to the client next
	held      []byte      // the begin of the answer, as long as there is nothing in it
	began     bool        // the client has a part of the answer: no other account can be tried
	reported  bool        // the upstream sent an error event of its own
	finished  bool        // the upstream said that the answer is complete
	account   *account
	convert   *convert.Stream // nil: events pass as they are
	keep      func(seals map[string][]byte)
}

// maxHeld bounds what is held of an answer without content.
const maxHeld = 64 << 10

func newRelay(w http.ResponseWriter, c *call, a *account, resp *http.Response, keepAlive time.Duration) *relay {
	s := &relay{dialect: c.dialect, provider: c.dialect, client: c.client, keepAlive: keepAlive, header: resp.Header, account: a}
	if s.client == nil {
		s.client = newStreamClient(w, c.dialect, keepAlive, false)
	}
	if c.conversion != nil {
		s.convert = c.conversion.Stream()
		s.provider, _ = c.pool.info.adapter.(dialect)
	}
	return s
}

// framer is a dialect whose streams are not events on the wire.
type framer interface {
	contentType() string
	frame(event []byte) []byte
}

// run relays body until its end. Headers go out with the first event that has
// something in it, or with the first keep-alive: until then a failure can still
// become a real error status, and until that event another attempt. A brokenError
// means that the upstream failed (began says if the client saw the start), any other
// error that nobody listens.
func (s *relay) run(ctx context.Context, body io.ReadCloser) error {
	s.client.disarm()
	defer s.client.arm() // for the pause before another attempt
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
	quiet := time.NewTimer(s.keepAlive)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.interrupted(ctx)
		case <-quiet.C:
			if err := s.client.send(s.dialect.keepAlive(), s.answerHeader); err != nil {
				return err
			}
		case item := <-items:
			end, err := s.take(ctx, item)
			if sendErr := s.flush(); err == nil {
				err = sendErr
			}
			if end || err != nil {
				return err
			}
			if !s.began { // nor has the client anything
				continue
			}
		}
		quiet.Reset(s.keepAlive)
	}
}

// take passes what arrived together; the client gets it in one piece.
func (s *relay) take(ctx context.Context, item streamItem) (end bool, err error) {
	for _, event := range item.events {
		if end, err := s.pass(event); end || err != nil {
			return end, err
		}
	}
	if item.err != nil {
		return true, s.end(ctx, item.err)
	}
	return false, nil
}

// pass sends one event on; end says that it was the last.
func (s *relay) pass(event []byte) (end bool, err error) {
	data := eventData(event)
	if s.began && s.convert != nil {
		return s.passConverted(data, eventPart)
	}
	kind := eventPart
	if data != nil || s.provider.wire() == wireAny {
		kind = s.provider.judge(event)
	} else if bare := bytes.TrimSpace(event); len(bare) > 0 && bare[0] == '{' {
		data = bare // a body that is no stream, whatever its header says
	} else {
		kind = eventPrelude // a comment, or an event without data
	}
	if !s.began {
		if status, ok := disguised(data); ok {
			return false, &toldError{status: status, body: bytes.Clone(data)}
		}
	}
	if s.convert != nil {
		return s.passConverted(data, kind)
	}
	switch kind {
	case eventEnd:
		end = true
	case eventFinished:
		s.finished = true
	case eventError:
		if !s.began {
			return false, &toldError{status: http.StatusBadGateway, body: bytes.Clone(data)}
		}
		s.reported = true
	}
	if f, ok := s.dialect.(framer); ok {
		event = f.frame(event)
	}
	s.forward(event, kind)
	return end, nil
}

// forward sends a piece of the answer, or holds it where nothing is in it yet: a
// provider that fails now has not answered.
func (s *relay) forward(piece []byte, kind eventKind) {
	if kind == eventPrelude && !s.began && len(s.held)+len(piece) <= maxHeld {
		s.held = append(s.held, piece...)
		return
	}
	s.send(s.held)
	s.held = nil
	s.send(piece)
}

// maxTogether bounds the events that are handed over, and sent, together.
const maxTogether = 64

// more reports that another whole event is there already.
func (e eventReader) more() bool {
	there, _ := e.src.Peek(e.src.Buffered())
	return bytes.Contains(there, []byte("\n\n")) || bytes.Contains(there, []byte("\n\r\n"))
}

// together is the next event, and those that arrived with it.
func (e eventReader) together() (item streamItem) {
	for {
		event, err := e.next()
		if err != nil {
			item.err = err
			return item
		}
		if item.events = append(item.events, event); len(item.events) == maxTogether || !e.more() {
			return item
		}
	}
}

// readers are the buffers of streams that have ended.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 8<<10) }}

// readEvents hands out events until the stream ends or nobody wants them.
func readEvents(body io.Reader, items chan<- streamItem, stop <-chan struct{}) {
	src := readers.Get().(*bufio.Reader)
	src.Reset(body)
	defer func(own *bufio.Reader) {
		own.Reset(nil) // which would keep the connection
		readers.Put(own)
	}(src)
	if head, err := src.Peek(2); err == nil && bytes.Equal(head, gzipMagic) { // the header did not say so
		if unzip, err := gzip.NewReader(src); err == nil {
			src = bufio.NewReaderSize(unzip, 8<<10)
		}
	}
	events := eventReader{src}
	for {
		item := events.together()
		select {
		case items <- item:
		case <-stop:
			return
		}
		if item.err != nil {
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
		if err := s.converted(events, eventPart, err); err != nil || s.reported {
			return err
		}
		s.close()
		return nil
	}
	if err == io.EOF && !s.began {
		return brokenError{errEmptyStream}
	}
	if err == io.EOF {
		end, complete := s.dialect.streamEnd(s.finished)
		if complete || s.reported {
			s.send(end)
			return nil
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
func (s *relay) fail(e *apiError) {
	s.send(s.dialect.streamError(e))
	_ = s.flush()
}

// send passes a piece of the answer, with the next flush.
func (s *relay) send(p []byte) {
	s.began = s.began || len(p) > 0
	if s.out == nil {
		s.out = make([]byte, 0, max(2<<10, len(p)))
	}
	s.out = append(s.out, p...)
}

func (s *relay) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	err := s.client.send(s.out, s.answerHeader)
	s.out = s.out[:0]
	return err
}

// answerHeader is what the client is told of the answer's header.
func (s *relay) answerHeader(h http.Header) {
	if s.convert != nil {
		convertedHeader(h, s.header, "text/event-stream")
		return
	}
	copyResponseHeader(h, s.header)
	h.Set("Content-Type", cmp.Or(eventStream(s.header), "text/event-stream"))
}

// eventStream is the content type of a stream, if it is called one.
func eventStream(h http.Header) string {
	if kind := h.Get("Content-Type"); strings.HasPrefix(kind, "text/event-stream") {
		return kind
	}
	return ""
}
