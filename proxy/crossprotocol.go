package proxy

import (
	"bytes"
	"sync"
	"time"
)

// A web page can have its browser send an HTTP request to a port of this machine, and
// put Redis commands into it: what is no command is an error, and the lines of the body
// would be executed. So a connection on which HTTP is spoken is closed at once.

// verbs are the methods with which a browser begins a request.
var verbs = [][]byte{
	[]byte("GET"), []byte("HEAD"), []byte("PUT"), []byte("DELETE"), []byte("OPTIONS"), []byte("PATCH"), []byte("TRACE"), []byte("CONNECT"), []byte("PRI"),
}

// isHTTP reports whether a command is part of an HTTP request: POST and Host:, as in
// Redis, and the request line of any other method, which is no valid command.
func isHTTP(argv [][]byte) bool {
	if len(argv) == 0 {
		return false
	}
	switch name := argv[0]; len(name) {
	case 4:
		if bytes.EqualFold(name, []byte("post")) {
			return true
		}
	case 5:
		if bytes.EqualFold(name, []byte("host:")) {
			return true
		}
	}
	if len(argv) != 3 || len(argv[2]) < 5 || argv[2][4] != '/' || !bytes.EqualFold(argv[2][:5], []byte("http/")) {
		return false
	}
	for _, verb := range verbs {
		if bytes.EqualFold(argv[0], verb) {
			return true
		}
	}
	return false
}

// closeHTTP closes the connection without an answer, as Redis does.
func (c *client) closeHTTP() {
	c.closing = true
	if n, ok := c.s.http.happened(time.Now()); ok {
		c.s.log.Warn("possible attack: a client sends HTTP to the Redis port, most likely a web page in a browser on this machine; its connections are closed",
			"client", c.addr, "since_last_warning", n)
	}
}

// warningPause is how long after a warning the next one of its kind is logged.
const warningPause = time.Minute

// sampledWarning lets one warning a minute through and counts the others.
type sampledWarning struct {
	mu   sync.Mutex
	last time.Time
	n    int
}

// happened counts, and says how many there were since the last warning if it is time
// for the next.
func (w *sampledWarning) happened(now time.Time) (n int, warn bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	if !w.last.IsZero() && now.Sub(w.last) < warningPause {
		return 0, false
	}
	n, w.n, w.last = w.n, 0, now
	return n, true
}
