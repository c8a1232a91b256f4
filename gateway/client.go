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
// mu is held while w is written to, so a sign of life and an event never mix. armed is
// false where nothing may come by itself: before a whole answer, and after the end,
// when w must not be touched.
type streamClient struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	dialect  dialect
	interval time.Duration
	pulse    bool // there are signs of life between relays, too

	mu     sync.Mutex
	timer  *time.Timer // nil before the first sign is arranged
	armed  bool
	opened bool              // status and headers are out
	header func(http.Header) // of the answer that a relay passes
	gone   func()            // ends that relay's wait for its provider
	lost   bool              // the client took nothing
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
	if s.write(s.dialect.keepAlive(), s.header) != nil && s.gone != nil {
		s.gone()
	}
}

// follow begins a relay: the header is that of its answer, and gone is called if the
// client turns out to be away while the relay waits for its provider.
func (s *streamClient) follow(header func(http.Header), gone func()) {
	s.mu.Lock()
	s.header, s.gone = header, gone
	s.mu.Unlock()
	s.rearm()
}

// unfollow ends a relay.
func (s *streamClient) unfollow() {
	s.disarm()
	s.mu.Lock()
	s.header, s.gone = nil, nil
	s.mu.Unlock()
	s.arm()
}

// arm lets signs of life come, where the client wants them between relays.
func (s *streamClient) arm() {
	if s.pulse {
		s.rearm()
	}
}

func (s *streamClient) rearm() {
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
	if s.armed {
		s.timer.Reset(s.interval)
	}
	for len(p) > 0 { // a slow line gets time for each piece
		_ = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
		n := min(len(p), writePiece)
		if _, err := s.w.Write(p[:n]); err != nil {
			s.lost = true
			return errClientGone
		}
		p = p[n:]
	}
	if err := s.rc.Flush(); err != nil {
		s.lost = true
		return errClientGone
	}
	return nil
}

// isLost reports whether the client could not be written to.
func (s *streamClient) isLost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// isOpen reports whether the client has its status.
func (s *streamClient) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}
