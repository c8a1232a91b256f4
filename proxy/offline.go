package proxy

import (
	"context"
	"slices"
	"strings"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback"
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
		if c.s.cfg.Upstream == nil {
			c.s.counted.Reset()
		}
		return false // nobody resets what Redis counted
	case "client|caching":
		c.caching(argv)
	case "client|trackinginfo":
		c.trackingInfo()
	case "client|unpause":
		if c.s.cfg.Upstream != nil {
			return c.reach(cmd, argv) // it may be what makes Redis serve again
		}
		c.answer(replyOK)
	case "readonly", "readwrite", "asking":
		if c.clustered() {
			return false
		}
		c.answer(resp.AppendError(nil, "ERR This instance has cluster support disabled"))
	case "client|getredir":
		c.getRedir()
	case "acl|whoami":
		c.answer(resp.AppendBulkString(nil, c.user))
	case "slowlog|get":
		if c.s.cfg.Upstream == nil {
			return false // the engine has a log
		}
		c.answer(resp.AppendArrayLen(nil, 0))
	case "slowlog|len":
		if c.s.cfg.Upstream == nil {
			return false
		}
		c.answer(resp.AppendInt(nil, 0))
	case "module|list", "latency|latest":
		c.answer(resp.AppendArrayLen(nil, 0))
	case "lastsave":
		c.answer(resp.AppendInt(nil, 0))
	case "role":
		c.answer([]byte("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"))
	default:
		if strings.HasPrefix(cmd.Name, "cluster|") && !c.clustered() {
			c.answer(resp.AppendError(nil, "ERR This instance has cluster support disabled"))
			return true
		}
		if help := helpOf(cmd); help != nil {
			c.answer(help)
			return true
		}
		return c.reach(cmd, argv)
	}
	return true
}

// reach has a Redis that cannot serve, as far as it answers at all, execute a command
// that administers it. False: the command is of another kind, or nobody answers.
func (c *client) reach(cmd *command.Command, argv [][]byte) bool {
	const about = command.Admin | command.Dangerous
	if c.s.cfg.Upstream == nil || cmd.Flags&about == 0 || cmd.Flags&(isData|command.Blocking) != 0 || turnsIntoFeed(cmd) {
		return false
	}
	c.flush()
	ctx, cancel := context.WithTimeout(context.Background(), c.s.cfg.CommandTimeout*9/10)
	defer cancel()
	reply, err := c.s.cfg.Upstream.Reach(ctx, c.proto, argv)
	switch answered, sent := outcome(err, 0); {
	case err == nil:
		c.answer(reply)
	case sent && answered == 0:
		c.answer(fallback.ReplyUnknownOutcome(nil))
	default:
		return false
	}
	return true
}

// helpOf is the reply to HELP of a container; nil for any other command.
func helpOf(cmd *command.Command) []byte {
	if container, ok := strings.CutSuffix(cmd.Name, "|help"); ok {
		return command.Help(container)
	}
	return nil
}

// clustered reports whether Redis said that it is part of a cluster.
func (c *client) clustered() bool {
	return c.s.cfg.Upstream != nil && c.s.cfg.Upstream.Status().Info.Parameters["cluster-enabled"].Value == "yes"
}

// turnsIntoFeed reports whether more than one reply may follow: MONITOR, SYNC.
func turnsIntoFeed(cmd *command.Command) bool {
	return cmd.Flags&command.ConnState != 0 && cmd.Flags&command.Dangerous == 0
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
