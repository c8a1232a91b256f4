package front

import (
	"bytes"
	"net"

	"github.com/tidwall/redcon"
)

// maxSmall is the size of redcon's initial read buffer. A command up to it
// passes through redcon as it is. A larger one would make redcon double that
// buffer, keep it for the life of the connection, and copy the command once
// more; so it stays here and a stand-in passes.
const maxSmall = 4096

// standIn is the command redcon sees instead of a large one, or of a pipeline of
// small ones, which redcon would parse once more and copy one by one. Its name holds
// the listener's random token, so that no client can send it.
func standIn(token []byte) []byte { return appendArray(nil, [][]byte{token, nil}) }

// stoodIn are whole commands behind a stand-in.
type stoodIn struct {
	raw      []byte
	commands int
}

// Batch appends first and the rest of its pipeline to dst, those that others stand
// for in the place of these. dst may be reused once its commands are done with.
func Batch(dst []redcon.Command, conn redcon.Conn, first redcon.Command) []redcon.Command {
	c, _ := conn.NetConn().(*Conn)
	dst = resolve(dst, c, first)
	for _, cmd := range conn.ReadPipeline() {
		dst = resolve(dst, c, cmd)
	}
	return dst
}

// Resolve appends the commands that cmd, as read from conn, stands for to dst: cmd
// itself unless it is a stand-in. Each command is to be resolved once, in order.
func Resolve(dst []redcon.Command, conn net.Conn, cmd redcon.Command) []redcon.Command {
	c, _ := conn.(*Conn)
	return resolve(dst, c, cmd)
}

func resolve(dst []redcon.Command, c *Conn, cmd redcon.Command) []redcon.Command {
	if c == nil || len(cmd.Args) != 2 || !bytes.Equal(cmd.Args[0], c.l.token) {
		return append(dst, cmd)
	}
	c.bigMu.Lock()
	defer c.bigMu.Unlock()
	if c.taken == len(c.big) {
		return append(dst, cmd)
	}
	held := c.big[c.taken]
	c.big[c.taken] = stoodIn{}
	if c.taken++; c.taken == len(c.big) {
		c.big, c.taken = c.big[:0], 0
	}
	return held.split(dst)
}

// usualArgs is how many arguments most commands have at most.
const usualArgs = 4

// split appends the commands to dst, as parts of raw.
func (h stoodIn) split(dst []redcon.Command) []redcon.Command {
	var args [][]byte // of all of them; where it grows, those before keep the old one
	for i := 0; i < len(h.raw); {
		if h.raw[i] == '\n' { // in the place of an empty array
			i++
			continue
		}
		start := i
		end := i + bytes.IndexByte(h.raw[i:], '\n') + 1
		count, _ := parseLength(h.raw[i+1 : end-2])
		if args == nil {
			args = make([][]byte, 0, max(int(count), usualArgs*h.commands))
		}
		first := len(args)
		for i = end; count > 0; count-- {
			body := i + bytes.IndexByte(h.raw[i:], '\n') + 1
			n, _ := parseLength(h.raw[i+1 : body-2])
			args = append(args, h.raw[body:body+int(n):body+int(n)])
			i = body + int(n) + 2
		}
		dst = append(dst, redcon.Command{Raw: h.raw[start:i:i], Args: args[first:len(args):len(args)]})
	}
	return dst
}
