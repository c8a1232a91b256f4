package proxy

import (
	"fmt"
	"strconv"
	"time"

	"holdfast/backend/command"
)

// monitorHere is MONITOR of an embedded store: the client gets a line for each command that
// anybody sends, and a script calls, until it hangs up or sends RESET.
func (c *client) monitorHere() error {
	r := c.standingRelay()
	r.mu.Lock()
	already := r.monitor
	r.monitor = true
	r.mu.Unlock()
	err := c.writeRaw(replyOK)
	c.s.hub.join(r)
	if !already {
		c.s.hub.monitors.Add(1)
	}
	return err
}

// unmonitored are the commands that MONITOR does not show: their arguments are secret, or
// they administer.
const unmonitored = command.Admin | command.NoAuth

// feedMonitors shows a command that is about to be carried out; EXEC's are those of its unit.
// It is never the answer.
func (c *client) feedMonitors(cmd *command.Command, argv [][]byte) bool {
	if c.s.cfg.Upstream != nil {
		return false
	}
	if cmd.Name == "exec" && c.multi != nil && !c.multi.spoiled {
		for _, queued := range c.multi.unit {
			if q, ok := command.Lookup(queued); ok && q.Flags&unmonitored == 0 {
				c.s.hub.feed(c.db, c.addr, queued)
			}
		}
	}
	if cmd.Flags&unmonitored == 0 {
		c.s.hub.feed(c.db, c.addr, argv)
	}
	return false
}

// feed sends a line to every client in MONITOR.
func (h *hub) feed(db int, who string, argv [][]byte) {
	line := monitorLine(time.Now(), db, who, argv)
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.members {
		r.mu.Lock()
		monitors := r.monitor && r.sess == nil
		r.mu.Unlock()
		if monitors {
			r.deliver(line)
		}
	}
}

func monitorLine(now time.Time, db int, who string, argv [][]byte) []byte {
	out := fmt.Appendf(nil, "+%d.%06d [%d %s]", now.Unix(), now.Nanosecond()/1000, db, who)
	for _, a := range argv {
		out = appendRepr(append(out, ' '), a)
	}
	return append(out, "\r\n"...)
}

// appendRepr quotes as Redis does.
func appendRepr(out, text []byte) []byte {
	out = append(out, '"')
	for _, b := range text {
		switch {
		case b == '"' || b == '\\':
			out = append(out, '\\', b)
		case b == '\n':
			out = append(out, `\n`...)
		case b == '\r':
			out = append(out, `\r`...)
		case b == '\t':
			out = append(out, `\t`...)
		case b == '\a':
			out = append(out, `\a`...)
		case b == '\b':
			out = append(out, `\b`...)
		case b >= ' ' && b <= '~':
			out = append(out, b)
		default:
			out = append(out, `\x`...)
			if b < 16 {
				out = append(out, '0')
			}
			out = strconv.AppendUint(out, uint64(b), 16)
		}
	}
	return append(out, '"')
}
