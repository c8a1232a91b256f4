package front

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	minDirect        = 512 // less room than this in redcon's buffer is padded away
	writeChunk       = 256 << 10
	handshakeTimeout = 10 * time.Second
)

// Conn is one guarded client connection. Read is for one goroutine (redcon's
// loop, or the owner of a detached connection); everything else is safe for
// concurrent use.
type Conn struct {
	net.Conn
	l     *Listener
	scan  scanner
	in    []byte // read and not delivered; in[r:] is left
	r     int    // in[r:done] is deliverable when done > 0
	done  int
	off   int  // where the scanner goes on in in
	pos   int  // bytes in redcon's buffer since it last started at its front
	begun bool // the TLS handshake is over
	ended bool // a violation was answered
	ahead bool // the last read from the socket filled its buffer: more is waiting there
	lent  bool // in is a chunk of the pool

	stamped *stampedReader // nil: nobody knows when something arrived
	arrived atomic.Int64

	bigMu sync.Mutex
	big   []stoodIn // behind stand-ins; big[:taken] redcon has handed on
	taken int

	noIdle    atomic.Bool
	readArmed time.Time
	writeMu   sync.Mutex
	armed     time.Time
	wrote     atomic.Int64 // when Write was last called, in seconds of Unix time
	closeOnce sync.Once
	closeErr  error
}

var _ net.Conn = (*Conn)(nil)

func newConn(nc net.Conn, l *Listener) *Conn {
	c := &Conn{Conn: nc, l: l, stamped: newStampedReader(nc)}
	c.scan.lim = &l.cfg.Limits
	c.scan.authed = func() bool { return l.cfg.Authed == nil || l.cfg.Authed(c) }
	return c
}

// NoIdle exempts the connection from IdleTimeout, or ends that. Redis exempts
// subscribers, whose silence is normal.
func (c *Conn) NoIdle(exempt bool) { c.noIdle.Store(exempt) }

// Arrived is when the last bytes read came in, in nanoseconds of Unix time, for the order
// of what two clients sent, whoever is read first. The kernel tells it for TCP without
// TLS, on Linux; elsewhere it is 0.
func (c *Conn) Arrived() int64 { return c.arrived.Load() }

// Read delivers whole commands only. It returns io.EOF after a violation, whose
// error reply it has then written: redcon has flushed the replies to all
// commands delivered before by the time it reads again.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := c.begin(); err != nil {
		return 0, err
	}
	// redcon reads again only when it has used up what it got, so its buffer is
	// full up to pos and empty behind it.
	room := maxSmall - c.pos
	p = p[:min(len(p), room)]
	for {
		if n, fits := c.deliver(p, room); n > 0 {
			return c.delivered(n), nil
		} else if !fits || room < minDirect {
			return c.pad(p), nil
		}
		if c.ended {
			return 0, io.EOF
		}
		if c.r == len(c.in) && len(p) >= minDirect {
			if n, err := c.readDirect(p); n > 0 || err != nil {
				return c.delivered(n), err
			}
			continue
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
}

// delivered counts n bytes given to redcon, which starts at the front of its
// buffer again when it has used it to the end.
func (c *Conn) delivered(n int) int {
	c.pos = (c.pos + n) % maxSmall
	return n
}

// pad fills the rest of redcon's buffer with blank lines, which it skips: it
// then starts again at the front of its buffer, which otherwise it would double
// each time a command straddles the end, and never shrink.
func (c *Conn) pad(p []byte) int {
	for i := range p {
		p[i] = '\n'
	}
	return c.delivered(len(p))
}

// readDirect reads from the socket into p, where a command that is whole stays; a
// stand-in takes the place of several.
// The rest moves to c.in. It returns 0 without an error when none was whole:
// redcon recurses for each read without a command, so it gets no such read.
func (c *Conn) readDirect(p []byte) (int, error) {
	c.release()
	n, err := c.readSocket(p)
	if err != nil {
		return 0, err
	}
	whole, commands := 0, 0
	pos, ev := c.scan.step(p[:n], 0)
	for ; ev == gotCommand || ev == gotBlank; pos, ev = c.scan.step(p[:n], pos) {
		if ev == gotBlank {
			for i := whole; i < pos; i++ {
				p[i] = '\n'
			}
		} else {
			commands++
		}
		whole = pos
	}
	if c.ahead && whole < n {
		c.borrow()
	}
	c.in = append(c.in[:0], p[whole:n]...)
	c.r, c.off = 0, pos-whole
	switch {
	case commands == 0:
		return 0, nil
	case commands > 1: // the socket was read into redcon's buffer: the commands get one of their own
		c.pushBig(append([]byte(nil), p[:whole]...), commands)
		return copy(p, c.l.standIn), nil
	}
	return whole, nil
}

// deliver copies the whole commands at the front of c.in that fit into p. fits
// is false when there is one and it is larger than the room in redcon's buffer.
func (c *Conn) deliver(p []byte, room int) (n int, fits bool) {
	for {
		if c.done == 0 {
			if ok, stop := c.advance(n > 0); stop {
				return n, true
			} else if !ok {
				continue
			}
		}
		cmd := c.in[c.r:c.done]
		if len(cmd) > len(p)-n {
			if n > 0 || len(cmd) > room {
				return n, false
			}
			cmd = cmd[:len(p)] // a reader with a small buffer gets it in parts
		}
		n += copy(p[n:], cmd)
		if c.r += len(cmd); c.r < c.done {
			return n, true
		}
		c.done, c.off = 0, c.r
		if c.r == len(c.in) {
			c.release()
		}
	}
}

// advance looks for the next whole command in c.in. ok: in[r:done] is one.
// stop: there is none, or a violation, which is answered only when nothing is
// left to hand out before it; until then it is found again.
func (c *Conn) advance(pending bool) (ok, stop bool) {
	pos, ev := c.scan.step(c.in, c.off)
	c.off = pos
	switch ev {
	case gotCommand:
		c.done = pos
		if pos-c.r > maxSmall {
			c.stash()
		}
		return true, false
	case gotBlank:
		c.r = pos
		return false, false
	case gotInline:
		return c.advanceInline(pos, pending)
	case gotBad:
		if !pending {
			c.fail(c.scan.msg)
		}
	}
	return false, true
}

func (c *Conn) advanceInline(pos int, pending bool) (ok, stop bool) {
	line, end, ev := c.scan.inlineLine(c.in, pos)
	if ev == needMore {
		return false, true
	}
	args, balanced := splitInline(line)
	if ev == gotBad || !balanced {
		if ev != gotBad {
			c.scan.msg = errUnbalanced
		}
		if !pending {
			c.fail(c.scan.msg)
		}
		return false, true
	}
	if len(args) == 0 {
		c.r, c.off = end, end
		return false, false
	}
	cmd := appendArray(nil, args)
	if len(cmd) > maxSmall {
		c.pushBig(cmd, 1)
		cmd = c.l.standIn
	}
	c.replace(end, cmd)
	return true, false
}

// replace puts cmd in the place of in[r:end] and marks it deliverable.
func (c *Conn) replace(end int, cmd []byte) {
	if len(cmd) <= end { // room before end: nothing behind it has to move
		c.r = end - len(cmd)
		copy(c.in[c.r:], cmd)
		c.done = end
	} else {
		rest := c.in[end:]
		c.swap(append(append(make([]byte, 0, len(cmd)+len(rest)), cmd...), rest...))
		c.r, c.done = 0, len(cmd)
	}
	c.off = c.done
}

// fail answers a violation in Redis's words, once.
func (c *Conn) fail(msg string) {
	if c.ended {
		return
	}
	c.ended = true
	if msg == "" {
		c.l.log.Warn("client closed: query buffer limit reached", "client", c.RemoteAddr().String(), "limit", c.l.cfg.Limits.QueryBuffer)
		return
	}
	_, _ = c.Write([]byte("-ERR Protocol error: " + msg + "\r\n"))
}

// begin runs the TLS handshake in the connection's own goroutine, with a bound:
// a client that never finishes it must not hold a slot.
func (c *Conn) begin() error {
	if c.begun {
		return nil
	}
	c.begun = true
	t, ok := c.Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	return t.HandshakeContext(ctx)
}

func (c *Conn) readSocket(b []byte) (int, error) {
	if idle := c.l.cfg.IdleTimeout; idle > 0 {
		c.armRead(idle)
	}
	// Drain sets the flag before the deadline, and the deadline above is older
	// than this check: one of the two ends the read.
	if c.l.draining.Load() {
		return 0, io.EOF
	}
	n, err := c.receive(b)
	if c.ahead = n == len(b); n > 0 {
		return n, nil // an error with it comes again
	}
	if err == nil {
		return 0, io.ErrNoProgress
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && (c.l.draining.Load() || c.l.cfg.IdleTimeout > 0) {
		return 0, io.EOF
	}
	return 0, err
}

// receive reads from the connection and notes when that arrived.
func (c *Conn) receive(b []byte) (int, error) {
	if c.stamped == nil {
		return c.Conn.Read(b)
	}
	n, at, err := c.stamped.read(b)
	if n > 0 {
		c.arrived.Store(at)
	}
	return n, err
}

// armRead moves the idle deadline, at most once in an eighth of it: a timer
// call for each read would cost more than it is worth.
func (c *Conn) armRead(idle time.Duration) {
	if c.noIdle.Load() {
		if !c.readArmed.IsZero() {
			c.readArmed = time.Time{}
			_ = c.Conn.SetReadDeadline(time.Time{})
		}
		return
	}
	if now := time.Now(); now.Sub(c.readArmed) > idle/8 {
		c.readArmed = now
		_ = c.Conn.SetReadDeadline(now.Add(idle))
	}
}

// Write sends b. A client that takes nothing for WriteTimeout gets its
// connection closed; a slow one that reads on does not.
func (c *Conn) Write(b []byte) (n int, err error) {
	timeout := c.l.cfg.WriteTimeout
	if timeout <= 0 {
		return c.Conn.Write(b)
	}
	for first := true; first || len(b) > 0; first = false {
		c.armWrite(timeout)
		part := b[:min(len(b), writeChunk)]
		k, err := c.Conn.Write(part)
		if n += k; err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.l.log.Warn("client closed: it does not read its replies", "client", c.RemoteAddr().String(), "timeout", timeout)
				_ = c.Close()
			}
			return n, err
		}
		b = b[len(part):]
	}
	return n, nil
}

func (c *Conn) armWrite(timeout time.Duration) {
	now := time.Now()
	c.wrote.Store(now.Unix())
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if now.Sub(c.armed) > timeout/4 {
		c.armed = now
		_ = c.Conn.SetWriteDeadline(now.Add(timeout))
	}
}

// LastWrite is when something was last written to the client, where there is a
// WriteTimeout.
func (c *Conn) LastWrite() time.Time { return time.Unix(c.wrote.Load(), 0) }

// Close closes the socket and gives the client's slot back; idempotent.
func (c *Conn) Close() error {
	c.closeOnce.Do(func() {
		c.closeErr = c.Conn.Close()
		c.l.forget(c)
	})
	return c.closeErr
}
