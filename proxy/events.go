package proxy

import (
	"context"
	"time"
)

// expiryPause is how long an event of an expired key may be late: Redis looks for
// them ten times in a second, too.
const expiryPause = 100 * time.Millisecond

// notifier is a local state that has keyspace events.
type notifier interface {
	OnEvent(fn func(channel, message string))
	SetEvents(classes string) error
	Expire()
}

// watchEvents publishes the keyspace events of the local state to those who have
// subscribed to them here, until ctx ends: all clients of an embedded store, and those
// of a Redis while it is away, in the classes that it was configured for. While somebody
// listens or tracks keys, what is due is deleted without a command that comes by.
func (s *Server) watchEvents(ctx context.Context) {
	local, ok := s.cfg.Local.(notifier)
	if !ok {
		return
	}
	local.OnEvent(func(channel, message string) { s.hub.publish(0, []byte(channel), []byte(message)) })
	tick := time.NewTicker(expiryPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !s.hub.listening() && !s.hub.tracks() || !s.cfg.Local.Serving() {
			continue
		}
		if s.cfg.Upstream != nil {
			learned := s.cfg.Upstream.Status().Info.Parameters["notify-keyspace-events"]
			if err := local.SetEvents(learned.Value); err != nil {
				s.log.Debug("keyspace events", "error", err)
			}
		}
		local.Expire()
	}
}

// listening reports whether anybody is subscribed to anything.
func (h *hub) listening() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.members {
		r.mu.Lock()
		any := r.subs.any()
		r.mu.Unlock()
		if any {
			return true
		}
	}
	return false
}
