package proxy

import (
	"slices"

	"holdfast/backend/command"
)

// lacksMemory refuses a command that needs memory while an embedded store has none left.
// What is queued in MULTI needs some, whatever it is; EXEC needs what its unit does.
func (c *client) lacksMemory(cmd *command.Command) bool {
	if !c.s.cfg.Local.OutOfMemory() {
		return false
	}
	needs := cmd.Flags&command.DenyOOM != 0 || c.multi != nil && !endsUnit(cmd) && cmd.Name != "unwatch"
	if cmd.Name == "exec" && c.multi != nil {
		needs = slices.ContainsFunc(c.multi.unit, func(argv [][]byte) bool {
			queued, ok := command.Lookup(argv)
			return ok && queued.Flags&command.DenyOOM != 0
		})
	}
	if needs {
		c.refuse(cmd, "OOM command not allowed when used memory > 'maxmemory'.")
	}
	return needs
}
