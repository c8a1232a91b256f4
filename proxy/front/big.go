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

// standIn is the command redcon sees instead of a large one. Its name holds the
// listener's random token, so that no client can send it.
func standIn(token []byte) []byte { return appendArray(nil, [][]byte{token, nil}) }

// Batch appends first and the rest of its pipeline to dst, large commands in
// place of their stand-ins. dst may be reused once its commands are done with.
func Batch(dst []redcon.Command, conn redcon.Conn, first redcon.Command) []redcon.Command {
	c, _ := conn.NetConn().(*Conn)
	dst = append(dst, resolve(c, first))
	for _, cmd := range conn.ReadPipeline() {
		dst = append(dst, resolve(c, cmd))
	}
	return dst
}

// Resolve returns the command that cmd, as read from conn, stands for: cmd
// itself unless it is a stand-in. Each command is to be resolved once, in order.
func Resolve(conn net.Conn, cmd redcon.Command) redcon.Command {
	c, _ := conn.(*Conn)
	return resolve(c, cmd)
}

func resolve(c *Conn, cmd redcon.Command) redcon.Command {
	if c == nil || len(cmd.Args) != 2 || !bytes.Equal(cmd.Args[0], c.l.token) {
		return cmd
	}
	c.bigMu.Lock()
	defer c.bigMu.Unlock()
	if c.taken == len(c.big) {
		return cmd
	}
	raw := c.big[c.taken]
	c.big[c.taken] = nil
	if c.taken++; c.taken == len(c.big) {
		c.big, c.taken = c.big[:0], 0
	}
	return redcon.Command{Raw: raw, Args: splitArray(raw)}
}

// splitArray returns the arguments of a well-formed RESP array as parts of raw.
func splitArray(raw []byte) [][]byte {
	i := bytes.IndexByte(raw, '\n') + 1
	count, _ := parseLength(raw[1 : i-2])
	args := make([][]byte, 0, count)
	for i < len(raw) {
		start := i + bytes.IndexByte(raw[i:], '\n') + 1
		n, _ := parseLength(raw[i+1 : start-2])
		end := start + int(n)
		args = append(args, raw[start:end:end])
		i = end + 2
	}
	return args
}
