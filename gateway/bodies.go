package gateway

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// errSilent is a provider that began an answer and does not go on with it.
var errSilent = errors.New("the provider fell silent in the middle of its answer")

// watchedBody ends the answer of a provider that sends nothing more for so long: our
// own keep-alives would hold the client for ever. A client that takes nothing does
// not count, for nothing is read meanwhile.
type watchedBody struct {
	io.ReadCloser
	patience time.Duration
	timer    *time.Timer
	silent   atomic.Bool
}

func newWatchedBody(body io.ReadCloser, patience time.Duration) *watchedBody {
	b := &watchedBody{ReadCloser: body, patience: patience}
	b.timer = time.AfterFunc(patience, func() {
		b.silent.Store(true)
		_ = body.Close() // which ends the read
	})
	b.timer.Stop()
	return b
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.patience)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF && b.silent.Load() {
		err = errSilent
	}
	return n, err
}

// patientWriter gives a client time for each piece of an answer, not for all of it:
// one that takes nothing is let go, one on a slow line is not.
type patientWriter struct {
	w        io.Writer
	rc       *http.ResponseController
	patience time.Duration
}

// writePiece is how much a client has to take within the patience.
const writePiece = 64 << 10

func newPatientWriter(w http.ResponseWriter, patience time.Duration) *patientWriter {
	return &patientWriter{w, http.NewResponseController(w), patience}
}

func (p *patientWriter) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		_ = p.rc.SetWriteDeadline(time.Now().Add(p.patience))
		var wrote int
		wrote, err = p.w.Write(b[:min(len(b), writePiece)])
		n, b = n+wrote, b[wrote:]
	}
	return n, err
}

// end lifts the deadline: the connection may serve another request.
func (p *patientWriter) end() { _ = p.rc.SetWriteDeadline(time.Time{}) }
