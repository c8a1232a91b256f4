package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sort"
	"sync"
	"time"
)

// gatewayKey is the client key of the measured gateway.
const gatewayKey = "sk-bench-client-key"

// apiCall is one request as it is on the wire, a text that a right answer has at its
// end, and one that it has as soon as there is something to read.
type apiCall struct {
	wire       []byte
	has, first []byte
}

// newCall makes a request of Chat Completions or Claude's protocol. The model names
// the pool of the gateway; nothing else looks at it.
func newCall(claude, stream bool, model string) apiCall {
	path, extra, has := "/v1/chat/completions", "", `"finish_reason":"stop"`
	if claude {
		path, extra, has = "/v1/messages", `,"max_tokens":100`, "end_turn"
	}
	if stream {
		extra += `,"stream":true`
	}
	body := fmt.Sprintf(`{"model":%q%s,"messages":[{"role":"user","content":%q}]}`, model, extra, words)
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, gatewayKey, len(body), body)
	return apiCall{b.Bytes(), []byte(has), []byte("word")}
}

// httpConn is one kept connection of a client.
type httpConn struct {
	net.Conn
	in  *bufio.Reader
	buf bytes.Buffer
}

func dialHTTP(addr string) (*httpConn, error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &httpConn{Conn: c, in: bufio.NewReaderSize(c, 16<<10)}, nil
}

// do sends a request and reads its whole answer. It tells how long it took until the
// first word of the answer was there.
func (c *httpConn) do(call apiCall) (time.Duration, error) {
	begin := time.Now()
	if err := c.SetDeadline(begin.Add(30 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := c.Write(call.wire); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, err
	}
	c.buf.Reset()
	var took time.Duration
	piece := make([]byte, 4<<10)
	for err == nil {
		var n int
		n, err = resp.Body.Read(piece)
		c.buf.Write(piece[:n])
		if took == 0 && bytes.Contains(c.buf.Bytes(), call.first) {
			took = time.Since(begin)
		}
	}
	if err == io.EOF {
		err = nil
	}
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(c.buf.Bytes(), call.has) {
		return 0, errors.Join(err, fmt.Errorf("answered %d: %.300s", resp.StatusCode, c.buf.String()))
	}
	return took, nil
}

// loadHTTP keeps clients busy for d, after each had one answer.
func loadHTTP(addr string, clients int, call apiCall, d time.Duration) (rate float64, p50 time.Duration, ops int64, err error) {
	conns := make([]*httpConn, clients)
	for i := range conns {
		c, err := dialHTTP(addr)
		if err != nil {
			return 0, 0, 0, err
		}
		defer c.Close()
		if _, err := c.do(call); err != nil {
			return 0, 0, 0, err
		}
		conns[i] = c
	}
	took := make([][]time.Duration, clients)
	errs := make([]error, clients)
	start := time.Now()
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			for time.Since(start) < d && errs[i] == nil {
				var t time.Duration
				t, errs[i] = c.do(call)
				took[i] = append(took[i], t)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	var all []time.Duration
	for _, t := range took {
		all = append(all, t...)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	if err := errors.Join(errs...); err != nil {
		return 0, 0, 0, err
	}
	return float64(len(all)) / elapsed.Seconds(), all[len(all)/2], int64(len(all)), nil
}
