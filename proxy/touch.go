package proxy

import (
	"bytes"
	"context"
	"strings"
	"time"

	"holdfast/backend"
	"holdfast/backend/resp"
)

// A key that is read from the cache is not read at Redis, which takes it for idle: with
// an LRU or LFU policy the hottest keys would be evicted first. So Redis is told of them
// by TOUCH now and then.

// touchAtOnce is how many keys one TOUCH names.
const touchAtOnce = 100

func (s *Server) touchLoop(ctx context.Context) {
	tick := time.NewTicker(s.cfg.TouchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.cfg.Upstream.Up() && !s.cfg.Local.Serving() {
			s.touch(s.evictsByUse())
		}
	}
}

// evictsByUse reports whether Redis evicts keys by how lately or often they were used.
// It is asked each time: CONFIG SET can change it.
func (s *Server) evictsByUse() bool {
	v, ok := s.ask(s.baseDB(), "INFO", "memory")
	if !ok {
		return false
	}
	limit := infoField(v.Str, "maxmemory")
	policy := infoField(v.Str, "maxmemory_policy")
	return limit != "" && limit != "0" && (strings.HasSuffix(policy, "-lru") || strings.HasSuffix(policy, "-lfu"))
}

func infoField(info []byte, name string) string {
	_, rest, ok := bytes.Cut(info, []byte("\n"+name+":"))
	if !ok {
		return ""
	}
	value, _, _ := bytes.Cut(rest, []byte("\r"))
	return string(value)
}

// touch names the keys that were read from the cache since the last call.
func (s *Server) touch(on bool) {
	keys := map[[2]int][][]byte{} // by protocol and database: over the connection that is there
	s.cache.CollectHot(on, func(db, proto int, key []byte) {
		at := [2]int{proto, db}
		if keys[at] = append(keys[at], key); len(keys[at]) == touchAtOnce {
			s.sendTouch(at, keys[at])
			keys[at] = nil
		}
	})
	for at, some := range keys {
		if len(some) > 0 {
			s.sendTouch(at, some)
		}
	}
}

func (s *Server) sendTouch(at [2]int, keys [][]byte) {
	argv := append([][]byte{[]byte("TOUCH")}, keys...)
	call := &backend.Call{Payload: resp.AppendCommand(nil, argv...), N: 1, Deadline: time.Now().Add(s.cfg.CommandTimeout)}
	_ = s.cfg.Upstream.Do(at[0], at[1], call) // one that is lost costs nothing but time in the cache
}
