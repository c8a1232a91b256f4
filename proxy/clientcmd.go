package proxy

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"holdfast/backend/resp"
	"holdfast/proxy/front"
)

// muteState is what CLIENT REPLY asked for.
type muteState uint8

const (
	muteOff  muteState = iota
	muteOn             // no replies until CLIENT REPLY ON
	muteNext           // none for the next command
)

func (c *client) clientID([][]byte) { c.answer(resp.AppendInt(nil, c.id)) }

func (c *client) clientGetName([][]byte) {
	if name := c.name.Load(); name != nil && *name != "" {
		c.answer(resp.AppendBulkString(nil, *name))
		return
	}
	c.answer(resp.AppendNull(nil, c.proto))
}

func (c *client) clientSetName(argv [][]byte) {
	if !validName(argv[2]) {
		c.reject("ERR Client names cannot contain spaces, newlines or special characters.")
		return
	}
	name := string(argv[2])
	c.name.Store(&name)
	c.answer(replyOK)
}

func (c *client) clientSetInfo(argv [][]byte) {
	lib := [2]string{}
	if old := c.lib.Load(); old != nil {
		lib = *old
	}
	value := string(argv[3])
	if !validName(argv[3]) {
		c.reject(fmt.Sprintf("ERR %s cannot contain spaces, newlines or special characters.", strings.ToLower(string(argv[2]))))
		return
	}
	switch strings.ToLower(string(argv[2])) {
	case "lib-name":
		lib[0] = value
	case "lib-ver":
		lib[1] = value
	default:
		c.reject(fmt.Sprintf("ERR Unrecognized option '%s'", argv[2]))
		return
	}
	c.lib.Store(&lib)
	c.answer(replyOK)
}

// clientOnOff accepts CLIENT NO-EVICT and NO-TOUCH: the proxy evicts no clients
// and keeps no access times.
func (c *client) clientOnOff(argv [][]byte) {
	if v := strings.ToLower(string(argv[2])); v != "on" && v != "off" {
		c.reject("ERR syntax error")
		return
	}
	c.answer(replyOK)
}

func (c *client) clientReply(argv [][]byte) {
	switch strings.ToLower(string(argv[2])) {
	case "on":
		c.mute = muteOff
		c.answer(replyOK)
	case "off":
		c.mute = muteOn
	case "skip":
		if c.mute == muteOff {
			c.mute = muteNext
		}
	default:
		c.reject("ERR syntax error")
	}
}

// line describes the client in the format of CLIENT LIST.
func (c *client) line() string {
	var name, lib, ver, cmd string
	if p := c.name.Load(); p != nil {
		name = *p
	}
	if p := c.lib.Load(); p != nil {
		lib, ver = p[0], p[1]
	}
	if p := c.lastCmd.Load(); p != nil {
		cmd = p.Name
	}
	sub, psub, ssub := c.subscribed()
	flags := "N"
	if sub+psub+ssub > 0 {
		flags = "P"
	}
	now := time.Now()
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=0 name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=%d ssub=%d multi=-1 cmd=%s user=%s resp=%d lib-name=%s lib-ver=%s",
		c.id, c.addr, c.conn.LocalAddr(), name, int(now.Sub(c.created).Seconds()),
		int(c.idle(now).Seconds()), flags, c.shownDB.Load(), sub, psub, ssub, cmd, c.shownUser(), c.shownProto.Load(), lib, ver)
}

// idle is how long nothing was sent to the client.
func (c *client) idle(now time.Time) time.Duration {
	last := c.created
	if guarded, ok := c.conn.(*front.Conn); ok {
		if at := guarded.LastWrite(); at.After(last) {
			last = at
		}
	}
	return max(0, now.Sub(last))
}

func (c *client) shownUser() string {
	if p := c.userName.Load(); p != nil {
		return *p
	}
	return "default"
}

func (c *client) clientInfo([][]byte) {
	c.answer(resp.AppendVerbatim(nil, c.proto, c.line()+"\n"))
}

// kind is the client's type in CLIENT LIST and KILL.
func (c *client) kind() string {
	if sub, psub, ssub := c.subscribed(); sub+psub+ssub > 0 {
		return "pubsub"
	}
	return "normal"
}

// subscribed counts the client's subscriptions.
func (c *client) subscribed() (channels, patterns, shards int) {
	c.s.mu.Lock()
	r := c.relay
	c.s.mu.Unlock()
	if r == nil {
		return 0, 0, 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.subs.sets[0]), len(r.subs.sets[1]), len(r.subs.sets[2])
}

// isHoldfast reports whether argv is the proxy's own command.
func isHoldfast(argv [][]byte) bool { return bytes.EqualFold(argv[0], []byte("holdfast")) }

// muted reports whether replies of the next command are suppressed.
func (c *client) muted() bool { return c.mute != muteOff }
