package proxy

import (
	"holdfast/backend/command"
)

// awaitReady lets the mirror fetch the item's keys first, where it has to. What was
// collected before goes to Redis meanwhile, or the fetch would wait for it.
func (c *client) awaitReady(it *item) {
	var keys [][]byte
	c.eachWrite(it, func(_ *command.Command, _ [][]byte) {
		if !c.s.cfg.Local.Ready(c.db, c.keys) {
			keys = append(keys, c.keys...)
		}
	})
	if keys != nil {
		c.flush()
		c.s.cfg.Local.AwaitReady(c.db, keys)
	}
}

// awaitReady does the same for a command on the dedicated connection.
func (r *relay) awaitReady(cmd *command.Command, argv [][]byte) {
	r.mu.Lock()
	db := r.db
	r.mu.Unlock()
	local := r.c.s.cfg.Local
	if keys := cmd.WriteKeys(nil, argv); !local.Ready(db, keys) {
		local.AwaitReady(db, keys)
	}
}

// reachesAll reports whether the write may change keys that it does not name:
// FLUSHALL and SWAPDB, and scripts that declare no keys. c.keys are its keys.
func (c *client) reachesAll(cmd *command.Command) bool {
	if cmd.Flags&command.Script != 0 {
		return len(c.keys) == 0 && cmd.Flags&command.MayReplicate != 0
	}
	return cmd.Flags&command.Dangerous != 0
}

// eachWrite calls fn for each write of the item, with its keys in c.keys.
func (c *client) eachWrite(it *item, fn func(cmd *command.Command, argv [][]byte)) {
	if it.unit == nil {
		c.keys = it.cmd.WriteKeys(c.keys[:0], it.argv)
		fn(it.cmd, it.argv)
		return
	}
	for _, argv := range it.unit {
		cmd, ok := command.Lookup(argv)
		if !ok || cmd.Flags&(command.Write|command.Script) == 0 {
			continue
		}
		c.keys = cmd.WriteKeys(c.keys[:0], argv)
		fn(cmd, argv)
	}
}
