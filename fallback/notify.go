package fallback

import (
	"strconv"
	"sync/atomic"
	"time"

	"holdfast/fallback/engine"
)

// OnWrite sets a function that is told of every write executed on the local
// state, in order, and of the client that it came from. It is called with the store's lock held: it must be quick and
// must not call the store. The commands are valid only during the call.
func (s *Store) OnWrite(fn func(db int, by int64, commands [][][]byte)) { s.onWrite.Store(&fn) }

// OnExpire sets a function that is told of each key of the local state that expires while
// it serves, also of one that loses fields. It is called as that of OnWrite is.
func (s *Store) OnExpire(fn func(db int, key string)) { s.onExpire.Store(&fn) }

func (s *Store) notifyExpired(db int, key string) {
	if fn := s.onExpire.Load(); fn != nil && s.Serving() {
		(*fn)(db, key)
	}
}

// OnEvent sets a function that is told of the keyspace events on the local state that
// notify-keyspace-events asks for, after the command that caused them: as messages on
// the channels that Redis has for them. It is called as that of OnWrite is.
func (s *Store) OnEvent(fn func(channel, message string)) { s.onEvent.Store(&fn) }

// SetEvents is CONFIG SET notify-keyspace-events of the local state.
func (s *Store) SetEvents(classes string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	return s.eng.SetEvents(classes)
}

// event publishes a keyspace event by its key, by its name, or both.
func (s *Store) event(db int, name, key string, byKey, byName bool) {
	fn := s.onEvent.Load()
	if fn == nil || !s.Serving() {
		return
	}
	if byKey {
		(*fn)("__keyspace@"+strconv.Itoa(db)+"__:"+key, name)
	}
	if byName {
		(*fn)("__keyevent@"+strconv.Itoa(db)+"__:"+name, key)
	}
}

// Expire deletes what is due, so that those who wait for its events need not wait for the
// next command.
func (s *Store) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.Serving() {
		s.eng.Expire()
	}
}

// Info is the text of INFO about the local state; see engine.Info.
func (s *Store) Info(sections []string, f engine.Facts) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ""
	}
	f.Persisted = true
	return s.eng.Info(sections, f)
}

func (s *Store) notifyWrite(req Request) {
	if fn := s.onWrite.Load(); fn != nil {
		(*fn)(req.DB, req.Client, req.Commands)
	}
}

// Alone is what a store without a Redis is asked as a server. Safe for concurrent use.
type Alone struct {
	s         *Store
	onPublish atomic.Pointer[func(sharded bool, channel, message string) int64]
}

// Alone is the store as a server; only an embedded one is one.
func (s *Store) Alone() *Alone { return &s.alone }

// Busy is the error for commands that a client gets while a script has run for long; "":
// there is none.
func (a *Alone) Busy() string {
	if r := a.s.mu.busy.Load(); r != nil {
		return r.Busy()
	}
	return ""
}

// OutOfMemory reports whether what needs memory is refused; see engine.OutOfMemory.
func (a *Alone) OutOfMemory() bool { return a.s.cfg.Embedded && a.s.eng.OutOfMemory() }

// SlowAfter is engine.SlowAfter.
func (a *Alone) SlowAfter() int64 { return a.s.eng.SlowAfter() }

// LogSlow notes a command that the proxy has answered itself.
func (a *Alone) LogSlow(argv [][]byte, took time.Duration, who func() (addr, name string)) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.s.running = &scope{who: who}
	a.s.eng.LogSlow(argv, took)
	a.s.running = nil
}

// OnlyReads reports whether the call of a script or function is of one that has declared
// that it does not write.
func (a *Alone) OnlyReads(argv [][]byte) bool {
	if a.s.mu.LockOrBusy() != nil {
		return false
	}
	defer a.s.mu.Unlock()
	return a.s.eng.OnlyReads(argv)
}

// CommandStats is engine.CommandStats.
func (a *Alone) CommandStats(more map[string]engine.CommandStat) map[string]engine.CommandStat {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	return a.s.eng.CommandStats(more)
}

// OnPublish sets a function that delivers what scripts publish, and counts who got it. It
// is called as that of OnWrite is.
func (a *Alone) OnPublish(fn func(sharded bool, channel, message string) int64) {
	a.onPublish.Store(&fn)
}

func (a *Alone) publish(sharded bool, channel, message string) int64 {
	if fn := a.onPublish.Load(); fn != nil && a.s.cfg.Embedded {
		return (*fn)(sharded, channel, message)
	}
	return 0
}

// who sent the request that runs.
func (a *Alone) who() (addr, name string) {
	if a.s.running == nil || a.s.running.who == nil {
		return "", ""
	}
	return a.s.running.who()
}
