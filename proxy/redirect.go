package proxy

import (
	"bytes"
	"strconv"

	"holdfast/backend/command"
)

// redirected is CLIENT TRACKING … REDIRECT id as Redis has to get it. Clients of
// the proxy know each other by the ids that it gave; at Redis the same number
// may be anybody's connection, so it becomes that of the other client's dedicated
// one, or 0, which Redis says does not exist. wait: the other client is there and
// its connection is not yet.
func (c *client) redirected(argv [][]byte) (out [][]byte, wait bool) {
	cmd, known := command.Lookup(argv)
	if !known || cmd.Name != "client|tracking" {
		return argv, false
	}
	for i := 3; i+1 < len(argv); i++ {
		if !bytes.EqualFold(argv[i], []byte("redirect")) {
			continue
		}
		id, err := strconv.ParseInt(string(argv[i+1]), 10, 64)
		if err != nil {
			return argv, false // Redis has a text for it
		}
		there := c.s.upstreamID(id)
		out = append([][]byte(nil), argv...)
		out[i+1] = strconv.AppendInt(nil, there, 10)
		return out, there == 0 && id != c.id && c.s.hasClient(id)
	}
	return argv, false
}

func (s *Server) hasClient(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if c.id == id {
			return true
		}
	}
	return false
}

// tellsRedirect are the commands whose reply has the id of the connection that a client's
// invalidations go to.
var tellsRedirect = map[string]bool{"client|getredir": true, "client|trackinginfo": true}

// shownRedirect makes the reply to one of them name the other client by the id that it has
// here; nil where nothing is redirected. The lock is held.
func shownRedirect(r *relay) func(whole []byte) []byte {
	if r.tracking == nil {
		return nil
	}
	t, _ := parseTracking(r.tracking, nil, func(int64) bool { return true })
	if t == nil || t.redirect == 0 {
		return nil
	}
	return func(whole []byte) []byte {
		before, at := []byte(nil), bytes.TrimPrefix(whole, []byte(":"))
		if len(at) == len(whole) {
			field := []byte("$8\r\nredirect\r\n:")
			i := bytes.Index(whole, field)
			if i < 0 {
				return whole
			}
			before, at = whole[:i+len(field)], whole[i+len(field):]
		} else {
			before = whole[:1]
		}
		end := bytes.IndexByte(at, '\r')
		if end < 1 || at[0] == '-' {
			return whole // -1: it does not track; an error
		}
		return append(strconv.AppendInt(bytes.Clone(before), t.redirect, 10), at[end:]...)
	}
}
