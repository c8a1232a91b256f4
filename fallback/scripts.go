package fallback

import (
	"strings"
	"time"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/engine"
)

// scriptBound ends a script where nobody said how long it may take.
const scriptBound = 5 * time.Second

// scriptDeadline is when a script that begins now is ended. In an embedded store it
// never is: as in Redis, others are told that it is busy. What is loaded from the journal
// has run before, in time.
func (s *Store) scriptDeadline() time.Time {
	switch {
	case s.cfg.Embedded || s.loading != 0:
		return time.Time{}
	case s.scripts.until.IsZero():
		return time.Now().Add(scriptBound)
	}
	return s.scripts.until
}

// scriptBegins lets others know of a script that runs for long, in an embedded store.
func (s *Store) scriptBegins(r *engine.Running) (ended func()) {
	if !s.cfg.Embedded || s.loading != 0 {
		return func() {}
	}
	if s.closing.Load() {
		r.Abort()
	}
	after := s.eng.BusyAfter()
	if after <= 0 {
		return func() {} // as in Redis, 0 is never
	}
	return s.mu.lend(r, after)
}

// endScripts ends the script that runs, and any later one, in an embedded store: it
// might run for ever.
func (s *Store) endScripts() {
	s.closing.Store(true)
	if r := s.eng.Running(); r != nil && s.cfg.Embedded {
		r.Abort()
	}
}

// besides answers what has to be answered while a script has the state, nil for
// everything else.
func (s *Store) besides(req Request) []byte {
	if !s.cfg.Embedded || req.Unit || len(req.Commands) != 1 || len(req.Commands[0]) != 2 {
		return nil
	}
	c, ok := command.Lookup(req.Commands[0])
	if !ok {
		return nil
	}
	switch c.Name {
	case "script|kill", "function|kill":
		if text := s.eng.Kill(strings.HasPrefix(c.Name, "function")); text != "" {
			return resp.AppendError(nil, text)
		}
		return []byte("+OK\r\n")
	case "function|stats":
		return s.eng.FunctionStats(req.Proto)
	}
	return nil
}

// Script returns the body of a script that was loaded or run through this
// proxy, by its SHA-1 in any case, so that EVALSHA works whoever serves it.
func (s *Store) Script(sha string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.eng.Script(sha)
}

// RememberScript keeps a script's body for later EVALSHA calls while Redis is away:
// for good if it was loaded by SCRIPT LOAD, else while it is among the last run.
func (s *Store) RememberScript(body []byte, loaded bool) {
	s.eng.Prepare([][][]byte{{[]byte("EVAL"), body, []byte("0")}}) // nobody waits for its being compiled
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eng.RememberScript(body, loaded)
}

// ForgetScripts is SCRIPT FLUSH.
func (s *Store) ForgetScripts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eng.ForgetScripts()
}
