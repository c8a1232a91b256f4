package fallback

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

// Expire deletes what is due, so that those who wait for its events need not wait for the
// next command.
func (s *Store) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.Serving() {
		s.eng.Expire()
	}
}

func (s *Store) notifyWrite(req Request) {
	if fn := s.onWrite.Load(); fn != nil {
		(*fn)(req.DB, req.Client, req.Commands)
	}
}
