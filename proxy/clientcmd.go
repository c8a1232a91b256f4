package proxy

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/backend/resp"
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
	now := time.Now()
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=0 name=%s age=%d idle=%d flags=N db=%d sub=0 psub=0 ssub=0 multi=-1 cmd=%s user=%s resp=%d lib-name=%s lib-ver=%s",
		c.id, c.addr, c.conn.LocalAddr(), name, int(now.Sub(c.created).Seconds()),
		max(0, now.Unix()-c.lastSeen.Load()), c.shownDB.Load(), cmd, c.shownUser(), c.shownProto.Load(), lib, ver)
}

func (c *client) shownUser() string {
	if p := c.userName.Load(); p != nil {
		return *p
	}
	return "default"
}

func (c *client) clientInfo([][]byte) {
	c.publish()
	c.answer(resp.AppendVerbatim(nil, c.proto, c.line()+"\n"))
}

// clientList lists the clients of the proxy, which are what its users can see
// and close; those of Redis itself are its own affair.
func (c *client) clientList(argv [][]byte) {
	c.publish()
	want := map[int64]bool{}
	if len(argv) > 3 && strings.EqualFold(string(argv[2]), "id") {
		for _, a := range argv[3:] {
			id, err := strconv.ParseInt(string(a), 10, 64)
			if err != nil {
				c.reject("ERR Invalid client ID")
				return
			}
			want[id] = true
		}
	} else if len(argv) != 2 && (len(argv) != 4 || !strings.EqualFold(string(argv[2]), "type")) {
		c.reject("ERR syntax error")
		return
	}
	var b strings.Builder
	for _, o := range c.s.clientsByID() {
		if len(want) == 0 || want[o.id] {
			b.WriteString(o.line())
			b.WriteByte('\n')
		}
	}
	c.answer(resp.AppendVerbatim(nil, c.proto, b.String()))
}

// clientKill closes clients of the proxy by ID, ADDR or USER.
func (c *client) clientKill(argv [][]byte) {
	match, old := killFilter(argv[2:])
	if match == nil {
		c.reject("ERR syntax error")
		return
	}
	killed := 0
	for _, o := range c.s.clientsByID() {
		if !match(o) {
			continue
		}
		killed++
		if o == c {
			c.closing = true
			continue
		}
		_ = o.conn.Close()
	}
	switch {
	case !old:
		c.answer(resp.AppendInt(nil, int64(killed)))
	case killed > 0:
		c.answer(replyOK)
	default:
		c.reject("ERR No such client")
	}
}

// killFilter parses CLIENT KILL's filters; old is the form with an address only.
func killFilter(args [][]byte) (match func(*client) bool, old bool) {
	if len(args) == 1 {
		return func(o *client) bool { return o.addr == string(args[0]) }, true
	}
	if len(args)%2 != 0 {
		return nil, false
	}
	var tests []func(*client) bool
	for i := 0; i < len(args); i += 2 {
		value := string(args[i+1])
		switch strings.ToLower(string(args[i])) {
		case "id":
			id, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return nil, false
			}
			tests = append(tests, func(o *client) bool { return o.id == id })
		case "addr":
			tests = append(tests, func(o *client) bool { return o.addr == value })
		case "user":
			tests = append(tests, func(o *client) bool { return o.shownUser() == value })
		case "skipme", "type", "laddr", "maxage":
			// Every client is a normal one here, and SKIPME's default is kept below.
		default:
			return nil, false
		}
	}
	return func(o *client) bool {
		for _, t := range tests {
			if !t(o) {
				return false
			}
		}
		return len(tests) > 0
	}, false
}

// isHoldfast reports whether argv is the proxy's own command.
func isHoldfast(argv [][]byte) bool { return bytes.EqualFold(argv[0], []byte("holdfast")) }
