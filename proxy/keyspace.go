package proxy

import (
	"strconv"
	"strings"

	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// showing is how a command that tells which keys there are, or how many, is asked and
// read so that Holdfast's own are not among them.
type showing struct {
	// before are the commands sent in front of it, as one with it.
	before func(s *Server, argv [][]byte) [][][]byte
	// read makes the client's reply of those to the commands before it and to itself;
	// the last one is no error.
	read func(s *Server, proto, db int, replies [][]byte) []byte
}

// showings has a row for each command with the flag ShowsKeyspace.
var showings = map[string]showing{
	"keys":      {before: nothing, read: readKeys},
	"scan":      {before: nothing, read: readScan},
	"dbsize":    {before: countOwn, read: readSize},
	"randomkey": {before: moreRandom, read: readRandom},
	"info":      {before: nothing, read: readInfo},
}

func nothing(*Server, [][]byte) [][][]byte { return nil }

func readKeys(s *Server, _, _ int, replies [][]byte) []byte { return s.withoutOwn(replies[0]) }

func readScan(s *Server, proto, db int, replies [][]byte) []byte {
	elems := splitArray(replies[0], 2)
	if elems == nil {
		return replies[0]
	}
	return unitReply([][]byte{elems[0], s.withoutOwn(elems[1])})
}

// countOwn asks how many own keys there are in the database that DBSIZE counts.
func countOwn(s *Server, _ [][]byte) [][][]byte {
	if exists := s.own.exists(); exists != nil {
		return [][][]byte{exists}
	}
	return nil
}

func readSize(_ *Server, _, _ int, replies [][]byte) []byte {
	size, ok := integer(replies[len(replies)-1])
	if !ok || len(replies) == 1 {
		return replies[len(replies)-1]
	}
	own, _ := integer(replies[0]) // an error where the user may not ask: none are left out
	return resp.AppendInt(nil, max(0, size-own))
}

// randomTries is how often RANDOMKEY is asked at once. Only a database with next to
// nothing but fences in it answers all of them with one.
const randomTries = 8

func moreRandom(_ *Server, argv [][]byte) (more [][][]byte) {
	for range randomTries - 1 {
		more = append(more, argv)
	}
	return more
}

func readRandom(s *Server, proto, db int, replies [][]byte) []byte {
	for _, reply := range replies {
		if key, isText := textOf(reply); !isText || !isOwn([]byte(key)) {
			return reply
		}
	}
	if key := s.anyKey(db); key != nil {
		return resp.AppendBulk(nil, key)
	}
	return resp.AppendNull(nil, proto)
}

func readInfo(s *Server, proto, db int, replies [][]byte) []byte {
	text, ok := textOf(replies[0])
	if !ok {
		return replies[0]
	}
	return resp.AppendVerbatim(nil, proto, s.visibleInfo(text))
}

// visibleInfo takes Holdfast's keys out of the counts of INFO keyspace. A database
// with nothing else in it has no line.
func (s *Server) visibleInfo(text string) string {
	head, keyspace, ok := strings.Cut(text, "# Keyspace\r\n")
	if !ok {
		return text
	}
	var b strings.Builder
	b.WriteString(head + "# Keyspace\r\n")
	for line := range strings.Lines(keyspace) {
		if line = s.visibleLine(line); line != "" {
			b.WriteString(line)
		}
	}
	return b.String()
}

// visibleLine handles "db0:keys=3,expires=0,avg_ttl=0"; what else follows stays.
func (s *Server) visibleLine(line string) string {
	name, rest, isDB := strings.Cut(line, ":keys=")
	digits, after, _ := strings.Cut(rest, ",")
	db, err := strconv.Atoi(strings.TrimPrefix(name, "db"))
	size, err2 := strconv.Atoi(digits)
	if !isDB || err != nil || err2 != nil || !s.own.in(db) {
		return line
	}
	s.lookForOwn(db)
	var args []string
	for _, a := range s.own.exists() {
		args = append(args, string(a))
	}
	own, ok := s.ask(db, args...)
	switch left := size - int(own.Int); {
	case !ok || own.Int == 0:
		return line
	case left <= 0:
		return ""
	default:
		return name + ":keys=" + strconv.Itoa(left) + "," + after
	}
}

// askShown prepares a command that shows the keyspace, or a unit with such, to be sent.
func (c *client) askShown(it *item) {
	for _, argv := range it.commands() {
		cmd, ok := command.Lookup(argv)
		if ok && cmd.Name == "dbsize" || ok && cmd.Name == "info" {
			c.flush() // nobody who waits for a read of ours has to wait for this
			c.s.lookForOwn(c.db)
		}
	}
	c.s.wire(it, it.commands())
	c.iterates(it)
}

// wire sets what is sent for the item's commands, and how many of it belong to each.
// commands are those, as Redis has to get them.
func (s *Server) wire(it *item, commands [][][]byte) {
	it.wire, it.spans = nil, nil
	for _, argv := range commands {
		n := len(it.wire)
		if cmd, ok := command.Lookup(argv); ok && cmd.Flags&command.ShowsKeyspace != 0 {
			it.wire = append(it.wire, showings[cmd.Name].before(s, argv)...)
		}
		it.wire = append(it.wire, argv)
		it.spans = append(it.spans, len(it.wire)-n)
	}
	if it.unit == nil {
		it.replies = len(it.wire)
		return
	}
	it.replies, it.skip = len(it.wire)+2, len(it.wire)+1
}

// shows reports whether one of the commands shows the keyspace.
func shows(commands [][][]byte) bool {
	for _, argv := range commands {
		if cmd, ok := command.Lookup(argv); ok && cmd.Flags&command.ShowsKeyspace != 0 {
			return true
		}
	}
	return false
}

// visible makes the replies to what was sent into those that the client gets: one for
// each command.
func (s *Server) visible(proto, db int, commands [][][]byte, spans []int, replies [][]byte) [][]byte {
	out := make([][]byte, 0, len(commands))
	for i, argv := range commands {
		mine := replies[:spans[i]]
		replies = replies[spans[i]:]
		last := mine[len(mine)-1]
		if cmd, ok := command.Lookup(argv); ok && cmd.Flags&command.ShowsKeyspace != 0 && acknowledged(last) != nil {
			last = showings[cmd.Name].read(s, proto, db, mine)
		}
		out = append(out, last)
	}
	return out
}

// replyTo is the client's reply to an answered item; at gives the replies of the call.
func (c *client) replyTo(it *item, at func(i int) []byte) []byte {
	reply := at(it.skip)
	switch {
	case it.spans == nil:
		return reply
	case it.unit == nil:
		replies := make([][]byte, it.replies)
		for i := range replies {
			replies[i] = at(i)
		}
		return c.s.visible(c.proto, c.db, it.commands(), it.spans, replies)[0]
	}
	elems := splitArray(reply, len(it.wire))
	if elems == nil {
		return reply
	}
	return unitReply(c.s.visible(c.proto, c.db, it.unit, it.spans, elems))
}

// shownUnit is what makes the client's reply of that to an EXEC over the dedicated
// connection; nil where none of its commands shows the keyspace. The lock is held.
func (r *relay) shownUnit() func(whole []byte) []byte {
	if !shows(r.unit) {
		return nil
	}
	var unit [][][]byte
	var spans []int
	n := 0
	for i, argv := range r.unit {
		if n++; !r.extras[i] {
			unit, spans, n = append(unit, argv), append(spans, n), 0
		}
	}
	s, proto, db, sent := r.c.s, r.proto, r.db, len(r.unit)
	return func(whole []byte) []byte {
		elems := splitArray(whole, sent)
		if elems == nil {
			return whole
		}
		return unitReply(s.visible(proto, db, unit, spans, elems))
	}
}
