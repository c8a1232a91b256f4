package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// ioGrace is how long after its end a round may still wait for answers: a
// target that hangs fails the run instead of stopping it for ever.
const ioGrace = 10 * time.Second

// load sends one batch of requests after the other on each of n connections for
// d, and counts the answers.
func load(addr string, n, pipeline int, request []byte, d time.Duration) (opsPerSecond float64, ops int64, err error) {
	conns := make([]net.Conn, n)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	for i := range conns {
		if conns[i], err = net.DialTimeout("tcp", addr, ioGrace); err != nil {
			return 0, 0, err
		}
	}
	batch := bytes.Repeat(request, pipeline)
	start := time.Now()
	end := start.Add(d)
	var total atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i, c := range conns {
		_ = c.SetDeadline(end.Add(ioGrace))
		wg.Go(func() { errs[i] = drive(c, batch, pipeline, end, &total) })
	}
	wg.Wait()
	elapsed := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return 0, 0, err
	}
	ops = total.Load()
	return float64(ops) / elapsed.Seconds(), ops, nil
}

func drive(c net.Conn, batch []byte, pipeline int, end time.Time, total *atomic.Int64) error {
	r := bufio.NewReaderSize(c, 64<<10)
	for time.Now().Before(end) {
		if _, err := c.Write(batch); err != nil {
			return err
		}
		for range pipeline {
			if err := skipReply(r); err != nil {
				return err
			}
		}
		total.Add(int64(pipeline))
	}
	return nil
}

// skipReply reads one RESP2 reply; an error reply is an error, as a target that
// refuses the work would otherwise win.
func skipReply(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(line) < 3 {
		return fmt.Errorf("short reply line %q", line)
	}
	switch line[0] {
	case '+', ':':
		return nil
	case '-':
		return fmt.Errorf("error reply %q", line[:len(line)-2])
	}
	n, err := strconv.Atoi(string(line[1 : len(line)-2]))
	if err != nil || n < 0 {
		return fmt.Errorf("unexpected reply %q", line)
	}
	if line[0] == '$' {
		_, err = r.Discard(n + 2)
		return err
	}
	for range n {
		if err := skipReply(r); err != nil {
			return err
		}
	}
	return nil
}

// do sends single calls and waits for their answers.
func do(addr string, calls ...[]byte) error {
	c, err := net.DialTimeout("tcp", addr, ioGrace)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(ioGrace)); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	for _, call := range calls {
		if _, err := c.Write(call); err != nil {
			return err
		}
		if err := skipReply(r); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}
