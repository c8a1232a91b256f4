package backend

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"holdfast/backend/resp"
)

// trunkReader is the state of a trunk's reader goroutine.
type trunkReader struct {
	t     *trunk
	split resp.Splitter
	head  []*Call // taken from inflight in one go; head[at] is answered next
	at    int
	start int    // where the current reply starts in head[at].Replies
	push  bool   // the current reply is a push, which goes nowhere
	ended uint64 // replies not yet counted as progress
}

// readLoop reads until the connection ends, then gives back what it holds.
func (t *trunk) readLoop() {
	r := &trunkReader{t: t}
	err := r.run()
	t.mu.Lock()
	defer t.mu.Unlock()
	left := slices.Clone(r.head[r.at:])
	t.inflight = append(left, t.inflight...)
	t.idle = t.err == nil && r.split.Idle() && !t.writing && len(t.inflight)+len(t.queue) == 0
	t.readerDone = true
	t.killLocked(fmt.Errorf("read from upstream: %w", err))
	t.finishLocked()
}

func (r *trunkReader) run() error {
	buf := make([]byte, readBuffer)
	for {
		if n := r.split.Remaining(); n > int64(len(buf)) && !r.push {
			if err := r.readDirect(n); err != nil {
				return err
			}
			continue
		}
		n, err := r.t.conn.Read(buf)
		if n > 0 {
			r.t.moved.Add(uint64(n) + r.ended*replyWeight)
			r.ended = 0
			if err := r.consume(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// readDirect reads a long bulk into the caller's buffer, which is made once in
// the size that is needed. The splitter has checked the length against its cap.
func (r *trunkReader) readDirect(need int64) error {
	c := r.head[r.at]
	have := len(c.Replies)
	if cap(c.Replies)-have < int(need) {
		// Growth by half bounds the copying when a reply has many long bulks.
		want := max(have+int(need), have+have/2)
		resp.MakeRoom(int64(want))
		grown := make([]byte, have, want)
		copy(grown, c.Replies)
		c.Replies = grown
	}
	for need > 0 {
		n, err := r.t.conn.Read(c.Replies[have : have+int(min(need, writeChunk))])
		if n > 0 {
			r.t.moved.Add(uint64(n))
			if err := r.feedDirect(c, n); err != nil {
				return err
			}
			have, need = have+n, need-int64(n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// feedDirect takes in n bytes that were read behind c.Replies.
func (r *trunkReader) feedDirect(c *Call, n int) error {
	have := len(c.Replies)
	c.Replies = c.Replies[:have+n]
	used, done, err := r.split.Feed(c.Replies[have:])
	if err != nil {
		return err
	}
	if used != n {
		return ErrProtocol
	}
	if done {
		r.replyDone(c)
	}
	return nil
}

// consume hands out the replies in b.
func (r *trunkReader) consume(b []byte) error {
	for len(b) > 0 {
		if r.split.Idle() {
			// RESP3 pushes (invalidations of a CLIENT TRACKING left on, for
			// one) belong to nobody here.
			r.push = b[0] == '>'
		}
		if r.push {
			n, _, err := r.split.Feed(b)
			if err != nil {
				return err
			}
			b = b[n:]
			continue
		}
		c, err := r.current(b)
		if err != nil {
			return err
		}
		n, done, err := r.split.Feed(b)
		if err != nil {
			return err
		}
		c.Replies = append(c.Replies, b[:n]...)
		b = b[n:]
		if done {
			r.replyDone(c)
		}
	}
	return nil
}

// current is the call whose reply comes next.
func (r *trunkReader) current(b []byte) (*Call, error) {
	if r.at < len(r.head) {
		return r.head[r.at], nil
	}
	clear(r.head)
	r.t.mu.Lock()
	r.head, r.t.inflight = r.t.inflight, r.head[:0]
	r.t.mu.Unlock()
	r.at = 0
	if len(r.head) == 0 {
		if v, n, err := resp.Parse(b); err == nil && n > 0 && v.IsError() {
			return nil, errors.Join(ErrProtocol, v.Err()) // such as a goodbye
		}
		return nil, ErrProtocol
	}
	return r.head[0], nil
}

// replyDone ends the current reply of c, and wakes c's caller after its last.
func (r *trunkReader) replyDone(c *Call) {
	reply := c.Replies[r.start:]
	r.start = len(c.Replies)
	c.Ends = append(c.Ends, r.start)
	r.ended++
	if reply[0] == '-' && IsRefusal(reply) {
		if c.refused == 0 {
			c.refused = len(c.Ends)
		}
		r.t.refused(reply)
	}
	if len(c.Ends) < c.N {
		return
	}
	r.head[r.at] = nil
	r.at++
	r.start = 0
	r.t.completed.Add(1)
	r.t.patience.answered(c)
	if c.Answered != nil {
		c.Answered()
	}
	c.half()
}

var _ io.Reader = (*conn)(nil)
