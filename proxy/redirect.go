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
