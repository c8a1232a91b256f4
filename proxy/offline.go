package proxy

import (
	"slices"
	"strings"

	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// answerOffline answers commands about the server while there is none, as a
// server without anything special would. False: it has no answer.
func (c *client) answerOffline(cmd *command.Command, argv [][]byte) bool {
	if c.online() {
		return false
	}
	switch cmd.Name {
	case "config|get":
		return c.configGet(argv[2:])
	case "config|resetstat":
		if c.s.cfg.Upstream != nil {
			return false // nobody resets what Redis counted
		}
		c.answer(replyOK)
	case "client|unpause", "client|caching":
		c.answer(replyOK)
	case "client|getredir":
		c.answer(resp.AppendInt(nil, -1))
	case "acl|whoami":
		c.answer(resp.AppendBulkString(nil, c.user))
	case "module|list", "slowlog|get", "latency|latest":
		c.answer(resp.AppendArrayLen(nil, 0))
	case "slowlog|len", "lastsave":
		c.answer(resp.AppendInt(nil, 0))
	case "role":
		c.answer([]byte("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"))
	default:
		return false
	}
	return true
}

// configGet answers CONFIG GET while Redis is away with what it said itself at the
// last connect. Of what was not learned then there is no answer, and neither to
// patterns: nobody knows all that match.
func (c *client) configGet(patterns [][]byte) bool {
	if c.s.cfg.Upstream == nil {
		return false // the store has a configuration of its own
	}
	learned := c.s.cfg.Upstream.Status().Info.Parameters
	var found [][2]string
	for _, p := range patterns {
		v, ok := learned[strings.ToLower(string(p))]
		named := func(kv [2]string) bool { return strings.EqualFold(kv[0], string(p)) }
		switch {
		case !ok:
			return false
		case v.Set && !slices.ContainsFunc(found, named):
			found = append(found, [2]string{string(p), v.Value}) // Redis echoes the name, too
		}
	}
	c.answer(configReply(c.proto, found))
	return true
}

func configReply(proto int, found [][2]string) []byte {
	out := resp.AppendMapLen(nil, proto, len(found))
	for _, kv := range found {
		out = resp.AppendBulkString(resp.AppendBulkString(out, kv[0]), kv[1])
	}
	return out
}
