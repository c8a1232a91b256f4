package convert

import (
	"encoding/json"
	"fmt"
	"strings"
)

// callQueue puts the calls of a stream into an order that every protocol has: one
// after the other. Providers may begin a call before the last one is whole, and
// mix their pieces or text in between; what comes too early waits. A call is whole
// when its arguments are JSON, or when the stream ends.
type callQueue struct {
	open  *pendingCall   // is being passed on; nil before the first
	done  []*pendingCall // were passed on
	later []queued       // what waits for the open one, in order
}

// pendingCall is a call whose pieces come in.
type pendingCall struct {
	start event
	args  strings.Builder
}

// queued is a call or another event.
type queued struct {
	call  *pendingCall
	event event
}

func (c *pendingCall) whole() bool {
	s := c.args.String()
	return strings.HasSuffix(strings.TrimSpace(s), "}") && json.Valid([]byte(s))
}

// blocked reports whether the open call lacks something.
func (q *callQueue) blocked() bool { return q.open != nil && !q.open.whole() }

// begin takes the beginning of a call.
func (q *callQueue) begin(start event) (*pendingCall, []event) {
	start.kind = evCall
	c := &pendingCall{start: start}
	if q.blocked() {
		q.later = append(q.later, queued{call: c})
		return c, nil
	}
	q.openNow(c)
	return c, []event{start}
}

func (q *callQueue) openNow(c *pendingCall) {
	if q.open != nil {
		q.done = append(q.done, q.open)
	}
	q.open = c
}

// more takes a piece of a call's arguments.
func (q *callQueue) more(c *pendingCall, args string) ([]event, error) {
	if args == "" {
		return nil, nil
	}
	for _, d := range q.done {
		if c == d && strings.TrimSpace(args) != "" {
			return nil, fmt.Errorf("%w: a call goes on after its end", errMalformed)
		} else if c == d {
			return nil, nil
		}
	}
	c.args.WriteString(args)
	if c != q.open {
		return nil, nil
	}
	out := []event{{kind: evArgs, text: args}}
	if len(q.later) > 0 && !q.blocked() {
		out = append(out, q.flush(false)...)
	}
	return out, nil
}

// other takes an event that is no part of a call.
func (q *callQueue) other(e event) []event {
	if q.blocked() {
		q.later = append(q.later, queued{event: e})
		return nil
	}
	return []event{e}
}

// flush passes on what waits, up to a call that is not whole; all of it at the
// end of the stream.
func (q *callQueue) flush(all bool) (out []event) {
	for len(q.later) > 0 && (all || !q.blocked()) {
		next := q.later[0]
		q.later = q.later[1:]
		if next.call == nil {
			out = append(out, next.event)
			continue
		}
		q.openNow(next.call)
		out = append(out, next.call.start)
		if args := next.call.args.String(); args != "" {
			out = append(out, event{kind: evArgs, text: args})
		}
	}
	return out
}

// checked reports an error if a call is not whole at the end.
func (q *callQueue) checked() error {
	for _, c := range append(q.done, q.open) {
		if c == nil {
			continue
		}
		if _, ok := validArgs(c.args.String()); !ok {
			return fmt.Errorf("%w: the arguments of a call are no JSON object", errMalformed)
		}
	}
	return nil
}
