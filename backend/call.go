package backend

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

var (
	// ErrDown: the upstream is not up, so nothing was sent.
	ErrDown = errors.New("upstream is down")
	// ErrClosed: the Upstream was closed.
	ErrClosed = errors.New("upstream is closed")
	// ErrTimeout: the oldest call on a link got no answer within CommandTimeout.
	ErrTimeout = errors.New("upstream did not answer in time")
	// ErrRefused: the server answered that it cannot serve (LOADING, READONLY,
	// MASTERDOWN, CLUSTERDOWN).
	ErrRefused = errors.New("upstream refuses to serve")
	// ErrProtocol: the server sent what no request asked for.
	ErrProtocol = errors.New("upstream broke the protocol")

	errBadCall = errors.New("a call needs a payload and at least one reply")
)

// Call is one client's run of commands, forwarded as one unit: its commands
// follow each other on the connection with nothing in between. One Call may be
// used again and again, by one goroutine at a time; then Do allocates nothing.
type Call struct {
	// Payload is raw RESP of N commands, each of which gets one reply. It must
	// not change until Do returns.
	Payload []byte
	// N is the number of replies expected, at least 1.
	N int
	// FenceAt are places in Payload of FenceDigits zeros each, which get the
	// call's fence numbers: rising along the connection, one after the other
	// within the call. They are filled in before the first byte is sent.
	FenceAt []int
	// Fence is the number at the first place, once Do has returned with Sent.
	// Without a place it is the next number of the connection: a fence that has
	// reached it proves that this call was executed before.
	Fence uint64
	// Order is the call's place on its connection, once Do has returned with Sent.
	Order uint64
	// Deadline, when set, is the time after which the call is not sent any more.
	// It does not end a call that was sent: CommandTimeout does.
	Deadline time.Time

	// Answered, when set, is called once all replies are in and before Do returns,
	// by the goroutine that reads for everybody: in the order in which the server
	// executed what went over this connection. It must be quick and must not block.
	// It is not called when the call fails.
	Answered func()

	// Replies are the raw replies one after the other. Do overwrites it from the
	// start and keeps its memory; the caller may take it away or set it to nil.
	Replies []byte
	// Ends are the ends of the complete replies in Replies.
	Ends []int

	done    chan struct{} // one slot
	unsent  bool          // no byte of it was handed to the kernel
	refused int           // 1 + index of the first refusing reply
	halves  atomic.Int32  // 2 = answered and payload no longer in use
	err     error         // why the link ended, nil when all is answered
}

func (c *Call) begin() {
	if c.done == nil {
		c.done = make(chan struct{}, 1)
	}
	c.Replies, c.Ends = c.Replies[:0], c.Ends[:0]
	c.unsent, c.refused, c.err = false, 0, nil
	c.halves.Store(0)
}

// half is called once by the side that is done with the payload and once by the
// side that has the replies; the second wakes the caller.
func (c *Call) half() {
	if c.halves.Add(1) == 2 {
		c.done <- struct{}{}
	}
}

func (c *Call) fail(err error) {
	c.err = err
	c.done <- struct{}{}
}

// outcome is what Do returns after the call was woken.
func (c *Call) outcome() error {
	if c.err == nil && c.refused == 0 {
		return nil
	}
	o := &OutcomeError{Sent: !c.unsent, Answered: len(c.Ends), Err: c.err}
	if c.refused > 0 {
		o.Refused, o.First = true, c.refused-1
		if o.Err == nil {
			o.Err = ErrRefused
		}
	}
	return o
}

// Reply is the i-th reply.
func (c *Call) Reply(i int) []byte {
	start := 0
	if i > 0 {
		start = c.Ends[i-1]
	}
	return c.Replies[start:c.Ends[i]]
}

// OutcomeError says exactly what is known of a call that was not served.
//
//   - Sent false: no byte of it reached the socket. Safe to run elsewhere.
//   - Sent true: replies Ends[:Answered] are in and final; each later command
//     was executed or not, nobody knows.
//   - Refused true: the reply at First is LOADING, READONLY, MASTERDOWN or
//     CLUSTERDOWN. That reply proves that this one command was not executed; it
//     says nothing about the others. When Answered == N every reply is there and
//     each may be looked at with IsRefusal: the refused commands can run
//     elsewhere, the others are answered for good. (Inside MULTI a refusal while
//     queueing makes EXEC answer EXECABORT: nothing ran.)
type OutcomeError struct {
	Sent     bool
	Answered int
	Refused  bool
	First    int
	Err      error
}

func (e *OutcomeError) Error() string {
	switch {
	case !e.Sent:
		return fmt.Sprintf("call not sent: %v", e.Err)
	case e.Refused:
		return fmt.Sprintf("call refused at reply %d (%d answered): %v", e.First, e.Answered, e.Err)
	}
	return fmt.Sprintf("call sent, %d replies in, the rest unknown: %v", e.Answered, e.Err)
}

// Unwrap gives the cause.
func (e *OutcomeError) Unwrap() error { return e.Err }

// IsRefusal reports whether a raw reply is an error that means "this server
// cannot serve": its command was not executed.
func IsRefusal(reply []byte) bool {
	if len(reply) < 8 || reply[0] != '-' {
		return false
	}
	switch reply[1] {
	case 'L':
		return hasCode(reply, "-LOADING ")
	case 'R':
		return hasCode(reply, "-READONLY ")
	case 'M':
		return hasCode(reply, "-MASTERDOWN ")
	case 'C':
		return hasCode(reply, "-CLUSTERDOWN ")
	}
	return false
}

func hasCode(reply []byte, code string) bool {
	return len(reply) >= len(code) && string(reply[:len(code)]) == code
}
