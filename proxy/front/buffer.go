package front

import (
	"sync"

	"holdfast/backend/resp"
)

const (
	minRead       = 4 << 10 // room for one read into the guard's own buffer
	maxIdleBuffer = 16 << 10
	// chunkSize is the buffer of a client that sends faster than it is read: a
	// pipeline of a few dozen large commands is one batch.
	chunkSize = 128 << 10
	// Twice growth is how far a buffer may be ahead of what has come: a client that
	// announces much and sends little holds little. Growing in few steps keeps
	// the discarded buffers of a very large command small beside it.
	growth = 8
)

// chunks are lent to connections while their clients are ahead. No command
// refers to one after it has gone back: what leaves a chunk is copied.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// borrow makes the empty c.in a chunk.
func (c *Conn) borrow() {
	if !c.lent {
		c.in, c.lent = chunks.Get().(*[chunkSize]byte)[:0], true
	}
}

// swap makes next the buffer, and gives a chunk back. Nothing may refer to c.in.
func (c *Conn) swap(next []byte) {
	if c.lent {
		chunks.Put((*[chunkSize]byte)(c.in[:chunkSize]))
	}
	c.in, c.lent = next, false
}

// release resets the empty buffer, and drops it when it has grown.
func (c *Conn) release() {
	if c.lent || cap(c.in) > maxIdleBuffer {
		c.swap(nil)
	}
	c.in = c.in[:0]
	c.r, c.off = 0, 0
}

// fill reads more of an unfinished command into c.in. The buffer grows with the
// bytes that have come, never to the length that was announced.
func (c *Conn) fill() error {
	if c.r > 0 {
		c.off -= c.r
		c.in = c.in[:copy(c.in, c.in[c.r:])]
		c.r = 0
	}
	if free := cap(c.in) - len(c.in); free == 0 || (free < minRead && c.scan.body == 0) {
		c.grow()
	}
	n, err := c.readSocket(c.in[len(c.in):cap(c.in)])
	c.in = c.in[:len(c.in)+n]
	return err
}

// grow makes room behind an unfinished command at the front of c.in.
func (c *Conn) grow() {
	have := len(c.in)
	if c.ahead && cap(c.in) < chunkSize {
		old := c.in
		c.borrow()
		c.in = append(c.in, old...)
		return
	}
	want := 2 * cap(c.in)
	if c.scan.body > 0 {
		if need := int64(have) + c.scan.body; c.scan.args == 1 || need > int64(want) {
			// Its last argument ends a buffer of its size.
			if want = growth * have; need <= 2*int64(want) {
				want = int(need)
			}
		}
	}
	resp.MakeRoom(int64(want))
	c.swap(append(make([]byte, 0, max(want, minRead)), c.in...))
}

// stash takes the command in[r:done] out of the stream and puts its stand-in there.
func (c *Conn) stash() {
	cmd := c.in[c.r:c.done:c.done]
	if c.lent || cap(c.in) > 2*len(cmd) {
		c.pushBig(append([]byte(nil), cmd...), 1)
		c.replace(c.done, c.l.standIn)
		return
	}
	c.pushBig(cmd, 1) // it keeps the buffer, which holds little else
	rest := c.in[c.done:]
	c.in = append(append(make([]byte, 0, len(c.l.standIn)+len(rest)), c.l.standIn...), rest...)
	c.r, c.done = 0, len(c.l.standIn)
	c.off = c.done
}

func (c *Conn) pushBig(raw []byte, commands int) {
	c.bigMu.Lock()
	c.big = append(c.big, stoodIn{raw, commands})
	c.bigMu.Unlock()
}
