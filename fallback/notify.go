package fallback

import (
	"strconv"

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
