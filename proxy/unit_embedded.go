package proxy

import (
	"errors"
	"slices"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback"
)

// answeredHere reports whether the proxy of an embedded store answers the command, and not
// the engine: in a unit, too.
func answeredHere(cmd *command.Command) bool {
	switch cmd.Name {
	case "ping", "echo", "select", "config|get", "config|resetstat", "slowlog|get", "slowlog|len":
		return false // the engine has them
	case "auth", "hello", "quit", "reset", "client|tracking", "client|reply":
		return false // they change how the replies of the unit would have to look
	}
	return localCommands[cmd.Name] != nil || embeddedCommands[cmd.Name] != nil ||
		cmd.Flags&(isData|command.Blocking) == 0 && cmd.Flags&command.PubSub != 0 && !isSubscribing(cmd)
}

// execMixed executes a unit of an embedded store in which some commands are the proxy's.
// Those are carried out behind the others, at once, since they neither see nor change data.
// False: there are none.
func execMixed(c *client, it *item, watch []*fallback.Watch) bool {
	if c.s.cfg.Upstream != nil {
		return false
	}
	ours := make([]bool, len(it.unit))
	data := [][][]byte{}
	for i, argv := range it.unit {
		if cmd, ok := command.Lookup(argv); ok && answeredHere(cmd) {
			ours[i] = true
		} else {
			data = append(data, argv)
		}
	}
	if !slices.Contains(ours, true) {
		return false
	}
	c.flush()
	req := c.request(it)
	req.Commands, req.Watch = data, watch
	reply, pending, err := c.s.cfg.Local.Do(req)
	switch elems := splitArray(reply, len(data)); {
	case errors.Is(err, fallback.ErrWatchLost):
		c.answer(watchedLost)
	case err != nil:
		c.answer(resp.AppendError(nil, "ERR "+err.Error()))
	case elems == nil:
		c.appendDurable(reply, pending) // refused, or a watched key has changed
	default:
		c.appendDurable(mix(c, it.unit, ours, elems), pending)
	}
	return true
}

// mix puts the replies of the proxy's commands between those of the engine.
func mix(c *client, unit [][][]byte, ours []bool, elems [][]byte) []byte {
	out := resp.AppendArrayLen(nil, len(unit))
	for i, argv := range unit {
		if !ours[i] {
			out, elems = append(out, elems[0]...), elems[1:]
			continue
		}
		cmd, _ := command.Lookup(argv)
		at := len(c.batch.out)
		if cmd.Flags&command.PubSub != 0 {
			c.localPubSub(cmd, argv)
		} else {
			c.local(cmd, argv)
		}
		out = append(out, c.batch.out[at:]...)
		c.batch.out = c.batch.out[:at]
	}
	return out
}
