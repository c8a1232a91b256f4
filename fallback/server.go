package fallback

import (
	"time"

	"holdfast/fallback/engine"
)

// OutOfMemory reports whether an embedded store refuses what needs memory; see
// engine.OutOfMemory.
func (s *Store) OutOfMemory() bool { return s.cfg.Embedded && s.eng.OutOfMemory() }

// SlowAfter is engine.SlowAfter.
func (s *Store) SlowAfter() int64 { return s.eng.SlowAfter() }

// LogSlow notes a command of an embedded store that the proxy has answered itself.
func (s *Store) LogSlow(argv [][]byte, took time.Duration, who func() (addr, name string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = &scope{who: who}
	s.eng.LogSlow(argv, took)
	s.running = nil
}

// whoAsks is who sent the request that runs.
func (s *Store) whoAsks() (addr, name string) {
	if s.running == nil || s.running.who == nil {
		return "", ""
	}
	return s.running.who()
}

// OnlyReads reports whether the call of a script or function is of one that has declared
// that it does not write.
func (s *Store) OnlyReads(argv [][]byte) bool {
	if s.mu.LockOrBusy() != nil {
		return false
	}
	defer s.mu.Unlock()
	return s.eng.OnlyReads(argv)
}

// OnPublish sets a function that delivers what scripts of an embedded store publish, and
// counts who got it. It is called as that of OnWrite is.
func (s *Store) OnPublish(fn func(sharded bool, channel, message string) int64) { s.onTell.Store(&fn) }

func (s *Store) publish(sharded bool, channel, message string) int64 {
	fn := s.onTell.Load()
	if fn == nil || !s.cfg.Embedded {
		return 0
	}
	return (*fn)(sharded, channel, message)
}

// CommandStats is engine.CommandStats.
func (s *Store) CommandStats(more map[string]engine.CommandStat) map[string]engine.CommandStat {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.eng.CommandStats(more)
}
