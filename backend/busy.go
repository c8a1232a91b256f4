package backend

import (
	"strings"
	"time"

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

// ScriptEnded tells that the script was killed: the server serves again, as far as is
// known. It looks at the kill a moment after it has confirmed it, and says BUSY until then.
func (u *Upstream) ScriptEnded() {
	if g := u.live.Load(); g != nil {
		g.killed.Store(time.Now().UnixNano())
		g.script.Store(nil)
	}
}

// killTime is how long after a kill the server may still call itself busy.
const killTime = 100 * time.Millisecond

// noteBusy reads the reply to a PING.
func (g *generation) noteBusy(pong resp.Value) bool {
	e := pong.Err()
	if e == nil || !strings.HasPrefix(e.Error(), "BUSY ") {
		g.script.Store(nil)
		return false
	}
	if time.Since(time.Unix(0, g.killed.Load())) < killTime {
		return true
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
