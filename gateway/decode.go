package gateway

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
)

// decodedBody takes the compression off an answer, which nobody asked for. It reads
// nothing before it is read itself: a stream may be silent for long.
type decodedBody struct {
	io.ReadCloser
	encoding string
	src      io.Reader
	err      error
}

func (d *decodedBody) Read(p []byte) (int, error) {
	if d.src == nil && d.err == nil {
		d.src, d.err = decoder(d.encoding, bufio.NewReader(d.ReadCloser))
	}
	if d.err != nil {
		return 0, d.err
	}
	return d.src.Read(p)
}

func decoder(encoding string, src *bufio.Reader) (io.Reader, error) {
	if encoding != "deflate" {
		return gzip.NewReader(src)
	}
	// By the standard it is zlib's form; some send the bare one.
	if head, err := src.Peek(2); err == nil && head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		return zlib.NewReader(src)
	}
	return flate.NewReader(src), nil
}

// decode takes off a compression that is known; false: it is another one.
func decode(resp *http.Response) bool {
	encoding := strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding")))
	switch encoding {
	case "", "identity":
	case "gzip", "x-gzip", "deflate":
		resp.Body = &decodedBody{ReadCloser: resp.Body, encoding: encoding}
		resp.ContentLength = -1
		resp.Header.Del("Content-Length")
	default:
		return false
	}
	resp.Header.Del("Content-Encoding")
	return true
}

// accepts reports whether a client said that it takes an encoding.
func accepts(h http.Header, encoding string) bool {
	for _, line := range h.Values("Accept-Encoding") {
		for name := range strings.SplitSeq(line, ",") {
			name, q, _ := strings.Cut(name, ";")
			if strings.EqualFold(strings.TrimSpace(name), encoding) && strings.ReplaceAll(q, " ", "") != "q=0" {
				return true
			}
		}
	}
	return false
}

// gzipMagic begins what is gzip, and no JSON and no event.
var gzipMagic = []byte{0x1f, 0x8b}

// unzipped is a whole body without the compression that its header does not tell of.
func unzipped(body []byte, limit int64) []byte {
	if !bytes.HasPrefix(body, gzipMagic) {
		return body
	}
	src, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return body
	}
	out, err := readUpTo(src, -1, limit)
	if err != nil || int64(len(out)) > limit {
		return body
	}
	return out
}

// textual reports content that is text for certain: only there may two bytes mean a
// compression that the header does not tell of.
func textual(h http.Header) bool {
	kind := h.Get("Content-Type")
	return kind == "" || strings.HasPrefix(kind, "text/") || strings.Contains(kind, "json")
}

// streamed reports whether an answer is an event stream. Some call theirs something
// else: what begins like one, where one was asked for, is one.
func streamed(c *call, resp *http.Response) bool {
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return c.stream || c.op == opForward || c.op == opNamed
	}
	if !c.stream || c.op != opGenerate {
		return false
	}
	src := bufio.NewReader(resp.Body)
	resp.Body = struct {
		io.Reader
		io.Closer
	}{src, resp.Body}
	for n := 1; n <= 64; n++ {
		head, err := src.Peek(n)
		if err != nil {
			return false
		}
		head = bytes.TrimLeft(head, "\r\n ")
		maybe := len(head) == 0
		for _, field := range []string{"data:", "event:", "id:", ":"} {
			if bytes.HasPrefix(head, []byte(field)) {
				return true
			}
			maybe = maybe || strings.HasPrefix(field, string(head))
		}
		if !maybe {
			return false
		}
	}
	return false
}
