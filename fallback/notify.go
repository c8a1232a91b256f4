package fallback

// OnWrite sets a function that is told of every write executed on the local
// state, in order. It is called with the store's lock held: it must be quick and
// must not call the store. The commands are valid only during the call.
func (s *Store) OnWrite(fn func(db int, commands [][][]byte)) { s.onWrite.Store(&fn) }

func (s *Store) notifyWrite(req Request) {
	if fn := s.onWrite.Load(); fn != nil {
		(*fn)(req.DB, req.Commands)
	}
}
