package proxy

import (
	"bytes"
	"fmt"
	"strconv"
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

// clientList lists the clients of the proxy, which are what its users can see
// and close; those of Redis itself are its own affair.
func (c *client) clientList(argv [][]byte) {
	var want map[int64]bool
	kind := ""
	switch {
	case len(argv) == 4 && bytes.EqualFold(argv[2], []byte("type")):
		if kind = strings.ToLower(string(argv[3])); !isClientType(kind) {
			c.reject(fmt.Sprintf("ERR Unknown client type '%.128s'", argv[3]))
			return
		}
	case len(argv) > 3 && bytes.EqualFold(argv[2], []byte("id")):
		want = map[int64]bool{}
		for _, a := range argv[3:] {
			id, err := strconv.ParseInt(string(a), 10, 64)
			if err != nil {
				c.reject("ERR Invalid client ID")
				return
			}
			want[id] = true
		}
	case len(argv) != 2:
		c.reject("ERR syntax error")
		return
	}
	var b strings.Builder
	for _, o := range c.s.clientsByID() {
		if (want == nil || want[o.id]) && (kind == "" || kind == o.kind()) {
			b.WriteString(o.line())
			b.WriteByte('\n')
		}
	}
	c.answer(resp.AppendVerbatim(nil, c.proto, b.String()))
}

func isClientType(kind string) bool {
	switch kind {
	case "normal", "pubsub", "master", "replica", "slave":
		return true
	}
	return false
}

// kind is the client's type in CLIENT LIST and KILL.
func (c *client) kind() string {
	if sub, psub, ssub := c.subscribed(); sub+psub+ssub > 0 {
		return "pubsub"
	}
	return "normal"
}

// clientKill closes clients of the proxy.
func (c *client) clientKill(argv [][]byte) {
	match, skipMe, text := c.killFilter(argv[2:])
	if match == nil {
		c.reject(text)
		return
	}
	killed := 0
	for _, o := range c.s.clientsByID() {
		switch {
		case !match(o) || (o == c && skipMe):
			continue
		case o == c:
			c.closing = true
		default:
			_ = o.conn.Close()
		}
		killed++
	}
	switch {
	case len(argv) > 3:
		c.answer(resp.AppendInt(nil, int64(killed)))
	case killed > 0:
		c.answer(replyOK)
	default:
		c.reject("ERR No such client")
	}
}

// killFilter parses CLIENT KILL's arguments: an address, or filters. match is
// nil when they are refused with text.
func (c *client) killFilter(args [][]byte) (match func(*client) bool, skipMe bool, text string) {
	if len(args) == 1 {
		return func(o *client) bool { return o.addr == string(args[0]) }, false, ""
	}
	skipMe = true
	var tests []func(*client) bool
	for i := 0; i < len(args); i += 2 {
		if i+1 == len(args) {
			return nil, false, "ERR syntax error"
		}
		value := string(args[i+1])
		switch strings.ToLower(string(args[i])) {
		case "id":
			id, err := strconv.ParseInt(value, 10, 64)
			if err != nil || id < 1 {
				return nil, false, "ERR client-id should be greater than 0"
			}
			tests = append(tests, func(o *client) bool { return o.id == id })
		case "type":
			kind := strings.ToLower(value)
			if !isClientType(kind) {
				return nil, false, fmt.Sprintf("ERR Unknown client type '%s'", value)
			}
			tests = append(tests, func(o *client) bool { return o.kind() == kind })
		case "addr":
			tests = append(tests, func(o *client) bool { return o.addr == value })
		case "laddr":
			tests = append(tests, func(o *client) bool { return o.conn.LocalAddr().String() == value })
		case "user":
			if _, ok := c.s.cfg.Users[value]; !ok && value != "default" {
				return nil, false, fmt.Sprintf("ERR No such user '%s'", value)
			}
			tests = append(tests, func(o *client) bool { return o.shownUser() == value })
		case "skipme":
			if skipMe = strings.EqualFold(value, "yes"); !skipMe && !strings.EqualFold(value, "no") {
				return nil, false, "ERR syntax error"
			}
		default:
			return nil, false, "ERR syntax error"
		}
	}
	return func(o *client) bool {
		for _, t := range tests {
			if !t(o) {
				return false
			}
		}
		return true
	}, skipMe, ""
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
