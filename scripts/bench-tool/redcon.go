package main

import (
	"strconv"
	"sync"

	"github.com/tidwall/redcon"
)

// bareServer is the least that a RESP server on redcon does: the floor for
// anything built on it. It keeps strings and hashes in maps.
type bareServer struct {
	mu      sync.RWMutex
	strings map[string][]byte
	hashes  map[string][][]byte // field, value, field, value …
}

func serveRedcon(addr string) error {
	s := &bareServer{strings: map[string][]byte{}, hashes: map[string][][]byte{}}
	accept := func(redcon.Conn) bool { return true }
	return redcon.ListenAndServe(addr, s.handle, accept, func(redcon.Conn, error) {})
}

func (s *bareServer) handle(conn redcon.Conn, cmd redcon.Command) {
	switch name := string(cmd.Args[0]); {
	case name == "GET" && len(cmd.Args) == 2:
		s.mu.RLock()
		v, ok := s.strings[string(cmd.Args[1])]
		s.mu.RUnlock()
		writeValue(conn, v, ok)
	case name == "MGET":
		conn.WriteArray(len(cmd.Args) - 1)
		s.mu.RLock()
		for _, key := range cmd.Args[1:] {
			v, ok := s.strings[string(key)]
			writeValue(conn, v, ok)
		}
		s.mu.RUnlock()
	case name == "SET" && len(cmd.Args) == 3:
		v := append([]byte(nil), cmd.Args[2]...)
		s.mu.Lock()
		s.strings[string(cmd.Args[1])] = v
		s.mu.Unlock()
		conn.WriteString("OK")
	case name == "INCR" && len(cmd.Args) == 2:
		s.mu.Lock()
		n, _ := strconv.ParseInt(string(s.strings[string(cmd.Args[1])]), 10, 64)
		n++
		s.strings[string(cmd.Args[1])] = strconv.AppendInt(nil, n, 10)
		s.mu.Unlock()
		conn.WriteInt64(n)
	case name == "HSET" && len(cmd.Args) > 3:
		var pairs [][]byte
		for _, arg := range cmd.Args[2:] {
			pairs = append(pairs, append([]byte(nil), arg...))
		}
		s.mu.Lock()
		s.hashes[string(cmd.Args[1])] = pairs
		s.mu.Unlock()
		conn.WriteInt(len(pairs) / 2)
	case name == "HGETALL" && len(cmd.Args) == 2:
		s.mu.RLock()
		pairs := s.hashes[string(cmd.Args[1])]
		s.mu.RUnlock()
		conn.WriteArray(len(pairs))
		for _, v := range pairs {
			conn.WriteBulk(v)
		}
	default:
		conn.WriteError("ERR unknown command")
	}
}

func writeValue(conn redcon.Conn, v []byte, ok bool) {
	if ok {
		conn.WriteBulk(v)
	} else {
		conn.WriteNull()
	}
}
