package gateway

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

const (
	// defaultBodyLimit bounds a request body, bodyTimeout the time it may take to arrive.
	defaultBodyLimit = 32 << 20
	bodyTimeout      = time.Minute
	// maxBodyLimit is the most that a limit can be: bodies are held in memory.
	maxBodyLimit = 1 << 30
	// drainLimit is how much of a body over the limit is read all the same, so that
	// a client that sends all of it before it listens learns why it was refused.
	drainLimit = 64 << 20
)

// BodyLimits are the largest request bodies, in bytes, by the begin of the path
// (after the provider in front, if there is one). The longest begin that fits
// counts; "" is for all others.
type BodyLimits map[string]int64

// ParseBodyLimits reads limits, each a size for all paths ("64MiB") or for those
// that begin so ("/v1/audio/=100MiB").
func ParseBodyLimits(list []string) (BodyLimits, error) {
	out := BodyLimits{}
	for _, item := range list {
		path, size, ok := strings.Cut(item, "=")
		if !ok {
			path, size = "", item
		}
		n, err := humanize.ParseBytes(strings.TrimSpace(size))
		path = strings.TrimSpace(path)
		if err != nil || n == 0 || n > maxBodyLimit || ok && !strings.HasPrefix(path, "/") {
			return nil, fmt.Errorf("body limit %.80q is none: give a size up to 1GiB, like 64MiB, or one for a path, like /v1/audio/=100MiB", item)
		}
		out[path] = int64(n)
	}
	return out, nil
}

// of is the limit for a path.
func (l BodyLimits) of(path string) int64 {
	limit, longest := int64(defaultBodyLimit), -1
	for begin, n := range l {
		if strings.HasPrefix(path, begin) && len(begin) > longest {
			limit, longest = n, len(begin)
		}
	}
	return limit
}

// readBody reads a whole body within its bounds of size and time. A compressed one
// is unpacked, within the same bounds.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *apiError) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }() // from here on it would only cut the wait for the provider
	expects := r.Header.Get("Expect") != ""
	if r.ContentLength > limit && expects { // the client waits for leave to send it
		return nil, bodyTooLarge(w, limit)
	}
	body, err := readUpTo(r.Body, r.ContentLength, limit)
	if err == nil && int64(len(body)) <= limit {
		body, err = unpacked(body, r.Header.Get("Content-Encoding"), limit)
	}
	switch {
	case errors.Is(err, errEncoding):
		return nil, &apiError{status: http.StatusUnsupportedMediaType, kind: kindInvalid, code: "encoding_not_supported", message: err.Error()}
	case err != nil:
		return nil, invalidRequest("body_incomplete", "the request body did not arrive completely")
	case int64(len(body)) > limit:
		_, _ = io.CopyN(io.Discard, r.Body, drainLimit)
		return nil, bodyTooLarge(w, limit)
	}
	return body, nil
}

func bodyTooLarge(w http.ResponseWriter, limit int64) *apiError {
	w.Header().Set("Connection", "close") // nothing else of the body is read
	return &apiError{
		status: http.StatusRequestEntityTooLarge, kind: kindInvalid, code: "request_too_large",
		message: fmt.Sprintf("the request body is over %s, the limit of this path: send less, or set another limit (body-limit)", humanize.IBytes(uint64(limit))),
	}
}

// readUpTo reads a body of a size that the client declares (negative: it does not),
// one byte over the limit at most. What is only declared takes no memory.
func readUpTo(r io.Reader, declared, limit int64) ([]byte, error) {
	const trusted = 1 << 20
	var buf bytes.Buffer
	buf.Grow(int(min(max(declared, 0), limit, trusted)) + bytes.MinRead)
	_, err := buf.ReadFrom(io.LimitReader(r, limit+1))
	return buf.Bytes(), err
}

var errEncoding = errors.New("this compression of a request body is not supported: send it as it is, or with gzip or deflate")

// unpacked is a body without its compression, one byte over the limit at most.
func unpacked(body []byte, encoding string, limit int64) ([]byte, error) {
	var src io.ReadCloser
	var err error
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		src, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		src, err = zlib.NewReader(bytes.NewReader(body))
	default:
		return nil, errEncoding
	}
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return readUpTo(src, -1, limit)
}
