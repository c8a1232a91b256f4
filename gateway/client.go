package gateway

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// streamClient is a client that waits for a stream. While no account has anything
// for it, it gets signs of life, also before the provider's headers are there: after
// the first of them the status is out, and an error can only be told in the stream.
// Until the first event itself another account can still be asked.
//
// mu is held while w is written to, so a sign of life and an event never mix; armed
// is false while a relay sends, and after the end, when w must not be touched.
type streamClient struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	dialect  dialect
	interval time.Duration
	pulse    bool // there are signs of life

	mu     sync.Mutex
	timer  *time.Timer // nil before the first sign is arranged
	armed  bool
	opened bool // status and headers are out
}

func newStreamClient(w http.ResponseWriter, d dialect, interval time.Duration, pulse bool) *streamClient {
	s := &streamClient{w: w, rc: http.NewResponseController(w), dialect: d, interval: interval, pulse: pulse}
	s.arm()
	return s
}

// errClientGone is a client that could not be written to.
var errClientGone = errors.New("client went away")

// sign sends a sign of life and arranges for the next one.
func (s *streamClient) sign() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.armed {
		return
	}
	if s.write(s.dialect.keepAlive(), nil) == nil {
		s.timer.Reset(s.interval)
	}
}

// arm and disarm say who sends: the client by itself, or a relay.
func (s *streamClient) arm() {
	if !s.pulse {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = true
	if s.timer == nil {
		s.timer = time.AfterFunc(s.interval, s.sign)
	} else {
		s.timer.Reset(s.interval)
	}
}

func (s *streamClient) disarm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = false
	if s.timer != nil {
		s.timer.Stop()
	}
}

// end is called before the handler returns: the connection may serve another request.
func (s *streamClient) end() {
	s.disarm()
	if s.isOpen() {
		_ = s.rc.SetWriteDeadline(time.Time{})
	}
}

// send writes and flushes; the first time with the headers.
func (s *streamClient) send(p []byte, header func(http.Header)) error {
	if len(p) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(p, header)
}

func (s *streamClient) write(p []byte, header func(http.Header)) error {
	if !s.opened {
		h := s.w.Header()
		h.Set("Content-Type", "text/event-stream")
		if header != nil {
			header(h)
		}
		h.Del("Content-Length")
		h.Set("Cache-Control", "no-cache")
		if f, ok := s.dialect.(framer); ok {
			h.Set("Content-Type", f.contentType())
		}
		h.Set("X-Accel-Buffering", "no") // proxies in front must not collect events
		s.w.WriteHeader(http.StatusOK)
		s.opened = true
	}
	for len(p) > 0 { // a slow line gets time for each piece
		_ = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
		n := min(len(p), writePiece)
		if _, err := s.w.Write(p[:n]); err != nil {
			return errClientGone
		}
		p = p[n:]
	}
	if err := s.rc.Flush(); err != nil {
		return errClientGone
	}
	return nil
}

// isOpen reports whether the client has its status.
func (s *streamClient) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}
