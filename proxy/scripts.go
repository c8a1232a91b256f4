package proxy

import (
	"sync"

	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// scriptMemory hands each script's body to the local state once.
type scriptMemory struct {
	mu   sync.Mutex
	seen map[string]bool // body → by SCRIPT LOAD
	size int             // bytes of the bodies
}

// These bound the memory of bodies seen; beyond them the set starts anew, which
// only costs telling the local state again.
const (
	maxScripts     = 4096
	maxScriptBytes = 8 << 20
)

// note is called for each command about scripts that is sent to Redis.
func (m *scriptMemory) note(local Local, cmd *command.Command, argv [][]byte) {
	switch {
	case cmd.Name == "script|flush":
		m.mu.Lock()
		defer m.mu.Unlock()
		m.seen, m.size = nil, 0
		local.ForgetScripts()
	case len(argv) >= 2 && (cmd.Name == "eval" || cmd.Name == "eval_ro"):
		m.noteBody(local, argv[1], false)
	case len(argv) == 3 && cmd.Name == "script|load":
		m.noteBody(local, argv[2], true)
	}
}

func (m *scriptMemory) noteBody(local Local, body []byte, loaded bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if was, ok := m.seen[string(body)]; ok && (was || !loaded) {
		return
	}
	if m.seen == nil || len(m.seen) >= maxScripts || m.size > maxScriptBytes {
		m.seen, m.size = map[string]bool{}, 0
	}
	m.size += len(body)
	m.seen[string(body)] = loaded
	local.RememberScript(body, loaded)
}

// aboutScripts notes SCRIPT LOAD and SCRIPT FLUSH, which are no writes.
func (s *Server) aboutScripts(cmd *command.Command, argv [][]byte) {
	if cmd.Flags&(command.MayReplicate|command.Dangerous) != 0 {
		s.scripts.note(s.cfg.Local, cmd, argv)
	}
}

// appendFenced appends a command as it goes into a fenced unit: EVALSHA as EVAL,
// since where Redis has forgotten the script, EVALSHA does nothing inside EXEC, but
// the fence moves: that would then prove that a lost write was executed. digest: it
// stays EVALSHA, as nobody here knows the script, and its fence proves nothing.
func (s *Server) appendFenced(dst []byte, argv [][]byte, raw []byte) (_ []byte, digest bool) {
	if cmd, ok := command.Lookup(argv); ok && cmd.Flags&command.ByDigest != 0 && len(argv) > 2 {
		if body, known := s.cfg.Local.Script(string(argv[1])); known {
			dst = resp.AppendArrayLen(dst, len(argv))
			dst = resp.AppendBulkString(dst, "EVAL")
			dst = resp.AppendBulkString(dst, body)
			for _, a := range argv[2:] {
				dst = resp.AppendBulk(dst, a)
			}
			return dst, false
		}
		digest = true
	}
	if raw != nil {
		return append(dst, raw...), digest
	}
	return resp.AppendCommand(dst, argv...), digest
}
