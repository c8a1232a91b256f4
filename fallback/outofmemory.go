package fallback

// OutOfMemory reports whether an embedded store refuses what needs memory; see
// engine.OutOfMemory.
func (s *Store) OutOfMemory() bool { return s.cfg.Embedded && s.eng.OutOfMemory() }
