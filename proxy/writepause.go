package proxy

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// writePause is a CLIENT PAUSE … WRITE that Redis was given through this proxy. A write
// that is sent all the same blocks its connection, which all clients share, for their reads
// as well. So writes wait here, as they would at Redis, until the pause is over; one that
// lasts for as long as a client may wait for an answer is an outage.
type writePause struct {
	until atomic.Int64 // unix time in ns; 0: no pause
	held  atomic.Int64 // clients that wait

	mu   sync.Mutex
	over chan struct{} // closed by CLIENT UNPAUSE
}

var errWritesPaused = errors.New("writes are paused by CLIENT PAUSE for longer than the command time-out")

// note is told of a call that Redis has confirmed.
func (p *writePause) note(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d == 0 {
		p.until.Store(0)
		if p.over != nil {
			close(p.over)
			p.over = nil
		}
		return
	}
	p.until.Store(max(p.until.Load(), time.Now().Add(d).UnixNano()))
}

// left is how long the pause lasts, and what is closed when it is ended before.
func (p *writePause) left() (time.Duration, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over == nil {
		p.over = make(chan struct{})
	}
	return time.Until(time.Unix(0, p.until.Load())), p.over
}

// await waits until the pause is over. False: it is not, after limit.
func (p *writePause) await(limit time.Duration) bool {
	p.held.Add(1)
	defer p.held.Add(-1)
	left, over := p.left()
	timer := time.NewTimer(min(left, limit))
	defer timer.Stop()
	select {
	case <-over:
		return true
	case <-timer.C:
		return left <= limit
	}
}

// awaitPause holds a call while Redis holds what it does. A pause that is too long ends the
// link: then the local state takes over, and the time-out is kept.
func (c *client) awaitPause(commands ...[][]byte) {
	p := &c.s.writePause
	if p.until.Load() == 0 || !pausable(c, commands) {
		return
	}
	c.flush()
	if !p.await(c.s.cfg.CommandTimeout * 17 / 20) {
		p.note(0) // somebody may have ended it at Redis itself: the next write shows
		c.s.cfg.Upstream.GiveUp(errWritesPaused)
	}
}

// pausable reports whether Redis holds one of the commands during such a pause.
func pausable(c *client, commands [][][]byte) bool {
	for _, argv := range commands {
		cmd, ok := command.Lookup(argv)
		// SCRIPT LOAD is not held: it is about no data.
		held := ok && (cmd.Flags&isWriting != 0 || cmd.Flags&command.MayReplicate != 0 && cmd.Flags&(command.Read|command.PubSub) != 0)
		if held && !onlyReads(c, cmd, argv) {
			return true
		}
	}
	return false
}

// onlyReads reports whether a script is one that changes nothing.
func onlyReads(c *client, cmd *command.Command, argv [][]byte) bool {
	if cmd.Flags&command.Script == 0 {
		return false
	}
	return command.OnlyReads(argv, cmd, c.s.cfg.Local.Script) || cmd.Name == "fcall" && functionOnlyReads(c, string(argv[1]))
}

// functionOnlyReads asks Redis whether a function has the flag no-writes: what it has is
// not in the call. It does so during a pause only, when that decides who waits.
func functionOnlyReads(c *client, name string) bool {
	if left, _ := c.s.writePause.left(); left <= 0 || !c.online() {
		return false
	}
	call := &backend.Call{Payload: resp.AppendCommandStrings(nil, "FUNCTION", "LIST"), N: 1, Deadline: time.Now().Add(c.s.cfg.CommandTimeout / 4)}
	if c.s.cfg.Upstream.Do(2, c.db, call) != nil {
		return false
	}
	libraries, _, err := resp.Parse(call.Replies)
	if err != nil {
		return false
	}
	for _, library := range libraries.Elems {
		for _, function := range field(library, "functions").Elems {
			if string(field(function, "name").Str) == name {
				return slices.ContainsFunc(field(function, "flags").Elems, func(flag resp.Value) bool { return string(flag.Str) == "no-writes" })
			}
		}
	}
	return false
}

// field is a field of a map in the form that RESP2 has for it.
func field(m resp.Value, name string) resp.Value {
	for i := 0; i+1 < len(m.Elems); i += 2 {
		if string(m.Elems[i].Str) == name {
			return m.Elems[i+1]
		}
	}
	return resp.Value{}
}

// noteAll looks for a pause among commands that Redis has executed.
func (p *writePause) noteAll(commands [][][]byte) {
	for _, argv := range commands {
		if cmd, ok := command.Lookup(argv); ok {
			if d, ok := command.PausesWrites(argv, cmd); ok {
				p.note(d)
			}
		}
	}
}

// readsAs are the rows of the commands for scripts, as a script needs that only reads: it
// may be sent again, and needs no fence.
var readsAs = func() map[*command.Command]*command.Command {
	rows := map[*command.Command]*command.Command{}
	for _, name := range []string{"eval", "evalsha", "eval_ro", "evalsha_ro", "fcall_ro", "fcall"} {
		row := command.ByName(name)
		read := *row
		read.Flags = read.Flags&^(command.Script|command.Write|command.MayReplicate) | command.Read
		rows[row] = &read
	}
	return rows
}()

// withHeld counts the clients that wait here among those that INFO calls blocked.
func (p *writePause) withHeld(info string) string {
	const field = "blocked_clients:"
	before, rest, ok := strings.Cut(info, field)
	held := p.held.Load()
	digits, after, _ := strings.Cut(rest, "\r\n")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || held == 0 || err != nil {
		return info
	}
	return before + field + strconv.FormatInt(n+held, 10) + "\r\n" + after
}
