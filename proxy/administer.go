package proxy

import "holdfast/backend/command"

// administers prepares for what a command does to the proxy's own use of Redis: it is
// silent for a while, or wants another password.
func (c *client) administers(cmd *command.Command, argv [][]byte) {
	if c.s.cfg.Upstream == nil || !c.authed.Load() {
		return
	}
	if d := command.Silence(argv, cmd); d > 0 && c.online() && c.multi == nil {
		c.s.cfg.Upstream.ExpectSilence(d)
	}
	if user, password, ok := command.NewPassword(argv, cmd); ok {
		c.s.cfg.Upstream.OfferPassword(user, password)
	}
}
