package proxy

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/engine"
	"holdfast/proxy/front"
)

// muteState is what CLIENT REPLY asked for.
type muteState uint8

const (
	muteOff  muteState = iota
	muteOn             // no replies until CLIENT REPLY ON
	muteNext           // none for the next command
)

// reject answers an error. Inside MULTI it spoils the unit, as in Redis.
func (c *client) reject(text string) {
	if c.multi != nil {
		c.multi.spoiled = true
	}
	c.answer(resp.AppendError(nil, text))
}

// refuse rejects a command; EXEC, refused, ends its unit.
func (c *client) refuse(cmd *command.Command, text string) {
	if c.s.cfg.Upstream == nil {
		c.s.counted.Add(cmd.Name, engine.CommandStat{Rejected: 1})
		c.s.counted.Failed([]byte("-" + text))
	}
	if cmd.Name == "exec" {
		c.release()
		c.multi, c.watch, c.watchLost = nil, nil, false
		text = "EXECABORT Transaction discarded because of: " + strings.TrimPrefix(text, "ERR ")
	}
	c.reject(text)
}

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

func (c *client) clientInfo(argv [][]byte) {
	c.answer(resp.AppendVerbatim(nil, c.proto, c.line(len(resp.AppendCommand(nil, argv...)))+"\n"))
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
