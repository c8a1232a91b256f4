package backend

import (
	"strings"

	"holdfast/backend/resp"
)

// Busy is what the server says to every command now, because a script or function has run
// for longer than its busy-reply-threshold: the text of the error, or "" when it serves. It
// is one or two atomic loads. Calls that are sent all the same wait behind the script, as
// the server does not read the connection that sent it; so they learn nothing before they
// are given up.
func (u *Upstream) Busy() string {
	g := u.live.Load()
	if g == nil {
		return ""
	}
	if text := g.script.Load(); text != nil {
		return *text
	}
	return ""
}

// noteBusy reads the reply to a PING.
func (g *generation) noteBusy(pong resp.Value) bool {
	e := pong.Err()
	if e == nil || !strings.HasPrefix(e.Error(), "BUSY ") {
		g.script.Store(nil)
		return false
	}
	text := e.Error()
	g.script.Store(&text)
	return true
}

// mayBeBusy reports, at a tick of the watchdog, whether the server ought to be asked: a
// call waits for longer than is usual, or the server was busy when it was asked last.
func (g *generation) mayBeBusy() bool {
	if g.script.Load() != nil {
		return true
	}
	for _, t := range *g.trunks.Load() {
		if t.waiting() {
			return true
		}
	}
	return false
}
