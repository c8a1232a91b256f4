package engine

import (
	"bytes"
	"strconv"
	"strings"
)

// fixRESP3 gives a reply of miniredis the RESP3 types that Redis uses.
func (c *call) fixRESP3() {
	name := strings.ToUpper(c.args[0])
	switch {
	case string(c.reply) == "*-1\r\n" || string(c.reply) == "$-1\r\n":
		c.null()
	case (name == "XREAD" || name == "XREADGROUP") && c.reply[0] == '*':
		c.streamsAsMap()
	}
}

// streamsAsMap turns the pairs of stream and entries into a map.
func (c *call) streamsAsMap() {
	end := bytes.IndexByte(c.reply, '\n')
	n, _ := strconv.Atoi(string(bytes.TrimSpace(c.reply[1:end])))
	r, rest := c.buf(), c.reply[end+1:]
	r.mapLen(n)
	for range n {
		rest = rest[len("*2\r\n"):]
		_, after := parseReply(rest) // the stream's name
		_, after = parseReply(after) // its entries
		r.b = append(r.b, rest[:len(rest)-len(after)]...)
		rest = after
	}
	c.reply = r.b
}
