package backend

import (
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// largePayload is written from the caller's buffer; anything smaller is
	// copied behind the others, so that a batch is one write.
	largePayload = 64 << 10
	// writeChunk bounds one write, so that progress of a large one can be seen.
	writeChunk = 256 << 10
	readBuffer = 64 << 10
	// keepBuffer is the largest write buffer kept between two batches.
	keepBuffer = 256 << 10
	// timeoutTicks is how many ticks, of ticksPerTimeout in a CommandTimeout, a
	// silence lasts until the link is given up. Ticks are counted, not clock time: a
	// process that was stopped or starved sees one tick, reads its replies, and does
	// not declare a healthy link dead. A call comes between two ticks, so it waits
	// for 0.85 to 0.9 of CommandTimeout; in the rest the client gets its local answer.
	timeoutTicks    = 17
	ticksPerTimeout = 20
	// progressBytes moved since the last look restart the watchdog's window: a
	// large transfer may take longer than CommandTimeout, a stalled one may not.
	progressBytes = 64 << 10
	// replyWeight is what one reply counts in that, so that the QUEUED lines of a
	// long unit are progress as well.
	replyWeight = 128
)

// trunk is one multiplexed connection. Calls go queue → inflight → answered, in
// one order. Whoever finds no writer active writes; the reader hands out replies.
//
// On failure nobody is woken before both the reader and the writer have let go
// of the calls, so no buffer of a caller is touched after its Do returned.
type trunk struct {
	key    trunkKey
	conn   *conn
	fences *fenceCounter
	// ended is called once, after the last waiter has failed. idle means that
	// the connection ended while nothing was under way.
	ended func(t *trunk, err error, idle bool)
	// refused is called for each refusing reply; it must not block.
	refused func(reply []byte)

	mu         sync.Mutex
	queue      []*Call // not yet written
	spare      []*Call // the other buffer of queue
	inflight   []*Call // written or being written, not yet seen by the reader
	writing    bool    // someone is the writer
	readerDone bool
	finished   bool
	idle       bool
	err        error

	wake   chan struct{} // one slot: go on writing; closed at the end
	wbuf   []byte        // of the writer: payloads copied together
	starts []int         // of the writer: where each of them starts in wbuf

	accepted  atomic.Uint64 // calls taken in
	completed atomic.Uint64 // calls fully answered
	moved     atomic.Uint64 // bytes read, weighted replies, and bytes of large payloads written
	patience  patience      // with units that keep the server busy

	// Of the watchdog alone.
	window [timeoutTicks]uint64 // accepted, as seen at the last ticks
	at     int
	mark   uint64
}

func newTrunk(key trunkKey, c *conn) *trunk {
	return &trunk{key: key, conn: c, wake: make(chan struct{}, 1)}
}

// do queues c, waits until its outcome is known, and gives it.
func (t *trunk) do(c *Call) error {
	c.begin()
	t.mu.Lock()
	if t.err != nil {
		err := t.err
		t.mu.Unlock()
		return &OutcomeError{Err: err}
	}
	t.fences.assign(c) // under mu: the order of numbers is the order on the wire
	t.queue = append(t.queue, c)
	c.Order = t.accepted.Add(1)
	first := !t.writing
	t.writing = true
	t.mu.Unlock()
	if first {
		// Let callers that are ready to run queue theirs first: one write for
		// all of them costs less than a write for each.
		runtime.Gosched()
		if t.writeBatch() {
			// Others have queued meanwhile. Handing them over keeps this caller
			// from writing for everybody while its own reply is waiting.
			t.wake <- struct{}{}
		}
	}
	<-c.done
	return c.outcome()
}

// writeLoop goes on with what the first writer left.
func (t *trunk) writeLoop() {
	for range t.wake {
		for t.writeBatch() {
			runtime.Gosched()
		}
	}
}

// writeBatch writes all that is queued, as the only writer. It reports whether
// more is waiting; if not, the role of the writer is free again.
func (t *trunk) writeBatch() (more bool) {
	t.mu.Lock()
	batch := t.queue
	t.queue = t.spare[:0]
	t.inflight = append(t.inflight, batch...) // before the write: replies may come at once
	t.mu.Unlock()

	err := t.write(batch)

	t.mu.Lock()
	defer t.mu.Unlock()
	clear(batch)
	t.spare = batch
	if err != nil {
		t.killLocked(err)
	}
	if len(t.queue) > 0 && t.err == nil {
		return true
	}
	t.writing = false
	t.finishLocked()
	return false
}

// write sends the payloads of batch in order. Each call gets its writer's half
// exactly once, whatever happens; those of which the kernel took no byte are
// marked unsent before.
func (t *trunk) write(batch []*Call) error {
	for len(batch) > 0 {
		var n int // calls of batch in this write
		var err error
		if len(batch[0].Payload) >= largePayload {
			n, err = 1, t.writeLarge(batch[0])
		} else {
			n, err = t.writeSmall(batch)
		}
		if err != nil {
			for _, c := range batch[n:] {
				c.unsent = true
				c.half()
			}
			return err
		}
		batch = batch[n:]
	}
	if cap(t.wbuf) > keepBuffer {
		t.wbuf, t.starts = nil, nil
	}
	return nil
}

// writeLarge writes one payload without copying it.
func (t *trunk) writeLarge(c *Call) error {
	defer c.half()
	for rest := c.Payload; len(rest) > 0; {
		n, err := t.conn.Write(rest[:min(len(rest), writeChunk)])
		if err != nil {
			c.unsent = n == 0 && len(rest) == len(c.Payload)
			return err
		}
		t.moved.Add(uint64(n))
		rest = rest[n:]
	}
	t.patience.sent(c)
	return nil
}

// writeSmall copies payloads from the front of batch together, up to the next
// large one, and writes them at once. It gives how many calls that were.
func (t *trunk) writeSmall(batch []*Call) (n int, err error) {
	t.wbuf, t.starts = t.wbuf[:0], t.starts[:0]
	for n < len(batch) && len(batch[n].Payload) < largePayload && len(t.wbuf) < writeChunk {
		t.starts = append(t.starts, len(t.wbuf))
		t.wbuf = append(t.wbuf, batch[n].Payload...)
		n++
	}
	taken, err := t.conn.Write(t.wbuf)
	for i, c := range batch[:n] {
		c.unsent = err != nil && t.starts[i] >= taken
		t.patience.sent(c)
		c.half()
	}
	return n, err
}

// kill ends the connection; the first error is the one that everybody sees.
func (t *trunk) kill(err error) {
	t.mu.Lock()
	t.killLocked(err)
	t.mu.Unlock()
}

func (t *trunk) killLocked(err error) {
	if t.err == nil {
		t.err = err
	}
	t.conn.abort() // ends the reader and a blocked writer
}

// finishLocked fails all waiters once the link is dead and neither the reader
// nor a writer can touch a call any more.
func (t *trunk) finishLocked() {
	if t.err == nil || !t.readerDone || t.writing || t.finished {
		return
	}
	t.finished = true
	for _, c := range t.inflight {
		c.fail(t.err)
	}
	for _, c := range t.queue {
		c.unsent = true
		c.fail(t.err)
	}
	t.inflight, t.queue, t.spare, t.wbuf = nil, nil, nil, nil
	close(t.wake)
	go t.ended(t, t.err, t.idle)
}

// overdue is called at each watchdog tick that counts, by one goroutine. It
// reports whether a call that was taken in timeoutTicks ago is still waiting
// while nothing much has moved.
func (t *trunk) overdue() bool {
	accepted := t.accepted.Load()
	if moved := t.moved.Load(); moved-t.mark >= progressBytes {
		t.mark = moved
		t.window = [timeoutTicks]uint64{}
	}
	t.at = (t.at + 1) % timeoutTicks
	late := t.completed.Load() < t.window[t.at]
	t.window[t.at] = accepted
	return late
}

// waiting reports whether a call that was taken in before the last tick but one waits
// still. It is for the goroutine that calls overdue.
func (t *trunk) waiting() bool {
	return t.completed.Load() < t.window[(t.at+timeoutTicks-1)%timeoutTicks]
}
