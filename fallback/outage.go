package fallback

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// event is what changes the mode.
type event uint8

const (
	linkUp      event = iota // Redis is there, and its fence can be read
	linkLost                 // or Redis does not serve
	replayEnded              // everything queued took effect there: Redis takes over
	replayFailed
)

// next is the mode behind an event. It depends on nothing else.
func (m Mode) next(e event) Mode {
	switch {
	case m == Embedded:
		return Embedded // there is no Redis
	case e == linkLost, e == replayFailed && m == Replaying:
		return Offline
	case e == linkUp:
		return Replaying
	case e == replayEnded && m == Replaying:
		return Online
	}
	return m // it came too late
}

// outage is where the store stands with its Redis. The atomics are read without a lock
// and changed under the store's; the rest needs the lock.
type outage struct {
	mode      atomic.Int32
	epoch     atomic.Uint64 // counts changes of mode
	takeovers atomic.Uint64 // those to Online

	since   time.Time // of the current mode; Offline lasts through replays that fail
	away    time.Time // when Redis was lost, or the store opened
	failed  bool      // a replay has failed since then
	staleAt time.Time // when local data stopped being coherent, by the steady clock; zero while online
}

func (o *outage) now() Mode { return Mode(o.mode.Load()) }

// begin is the state of a store that was opened.
func (o *outage) begin(m Mode, now time.Time) {
	o.mode.Store(int32(m))
	o.since, o.away = now, now
}

// step takes an event. changed: the mode is another one. quiet: nobody needs to be told,
// for it goes back and forth while Redis fails to take over.
func (o *outage) step(e event, now, steady time.Time) (from, to Mode, changed, quiet bool) {
	from = o.now()
	if to = from.next(e); to == from {
		return from, to, false, false
	}
	o.mode.Store(int32(to))
	o.epoch.Add(1)
	o.since = now
	switch {
	case from == Online:
		o.away, o.failed, o.staleAt = now, false, steady
	case to == Online:
		o.takeovers.Add(1)
		o.staleAt = time.Time{}
	case to == Offline:
		o.since, o.failed, quiet = o.away, true, true // whoever connected tells why
	default:
		quiet = o.failed
	}
	return from, to, true, quiet
}

// Mode is what the store does now. It may change right after the call.
func (s *Store) Mode() Mode { return s.outage.now() }

// Serving reports whether Do answers commands (every mode but Online).
func (s *Store) Serving() bool { return s.Mode() != Online }

// Changed returns a channel that is closed at the next change of mode.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// happened changes the mode and wakes who waits for that. The lock is held.
func (s *Store) happened(e event) {
	from, to, changed, quiet := s.outage.step(e, s.cfg.Now(), s.clock.Steady())
	if !changed {
		return
	}
	switch {
	case to == Online:
		s.eng.OutageOver()
	case from == Online:
		s.dirtyGen++ // a snapshot from here on is what was last seen of Redis
	}
	level := slog.LevelInfo
	if quiet {
		level = slog.LevelDebug
	}
	close(s.changed)
	s.changed = make(chan struct{})
	s.log.Log(context.Background(), level, "mode changed", "from", from.String(), "to", to.String())
}

// Lost begins an outage: what was acknowledged but not yet seen in the mirror
// is applied, then the store answers. Safe to call in any mode.
func (s *Store) Lost(cause error) {
	if s.cfg.Embedded {
		return
	}
	s.mu.Lock()
	s.mirror.drainLocked()
	s.happened(linkLost)
	s.mirror.drainLocked() // what came in between the two
	s.mu.Unlock()
	s.snap.request()
}
