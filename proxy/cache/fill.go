package cache

import (
	"bytes"
	"time"
)

// fill is one read on its way to the server. Fields but reply are guarded by
// its shard's mu; reply is set before done is closed.
type fill struct {
	s        *shard
	hash     uint64
	key      []byte
	id       []byte
	began    int64 // before the read was sent: the reply is not older
	gen      uint64
	storable bool // no write was on the way when it began
	killed   bool // an invalidation or write came since
	ended    bool
	done     chan struct{} // made by the first follower
	reply    []byte        // nil: the leader failed
}

// Fill is a caller's part in a read: the leader sends it and calls Done or Fail
// exactly once (more do nothing), followers call Wait.
type Fill struct {
	f      *fill
	leader bool
}

// Begin is called after a miss, before the read is sent. leader=true: send it.
// Otherwise the same read is on the way, no invalidation and no write to the
// key has come since it began, and its reply is had by Wait.
func (c *Cache) Begin(db int, key []byte, proto int, cmd []byte) (_ Fill, leader bool) {
	var buf [192]byte
	id := appendIdentity(buf[:0], db, key, proto, cmd)
	hash := c.hash(key)
	s := c.shardOf(hash)
	now, gen := c.cfg.Now(), c.gen.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &fill{s: s, hash: hash, began: now, gen: gen}
	if _, never := s.never.Get(hash); never || c.noCache(key) {
		return Fill{f, true}, true // alone: locks are read by each for himself
	}
	st := s.state(key)
	for i, r := range st.reads {
		if !bytes.Equal(r.id, id) {
			continue
		}
		if now-r.began < int64(c.cfg.FillTimeout) {
			if r.done == nil {
				r.done = make(chan struct{})
			}
			return Fill{f: r}, false
		}
		r.killed = true // its leader is lost; this caller leads
		st.reads = append(st.reads[:i], st.reads[i+1:]...)
		break
	}
	f.storable = st.writers == 0 && s.flushing == 0
	f.key, f.id = bytes.Clone(key), bytes.Clone(id)
	st.reads = append(st.reads, f)
	return Fill{f, true}, true
}

func (c *Cache) noCache(key []byte) bool {
	for _, p := range c.cfg.NoCache {
		if bytes.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// Done hands out the leader's reply (copied) to the followers, and stores it if
// it is cacheable and nothing has overtaken it. ttl is the key's remaining life
// as the server told it with the same read; <0: none. Errors are never stored.
func (l Fill) Done(reply []byte, ttl time.Duration, cacheable bool) {
	if !l.leader {
		return
	}
	f, s := l.f, l.f.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.ended {
		return
	}
	if cacheable && len(reply) > 0 && reply[0] != '-' {
		if s.keep(f, reply, ttl) {
			s.fills++
		} else {
			s.rejected++
		}
	}
	if f.done != nil && len(reply) > 0 {
		f.reply = bytes.Clone(reply)
	}
	s.end(f)
}

// Fail ends a read without a reply: followers' Wait returns false.
func (l Fill) Fail(error) {
	if !l.leader {
		return
	}
	l.f.s.mu.Lock()
	defer l.f.s.mu.Unlock()
	if !l.f.ended {
		l.f.s.end(l.f)
	}
}

// keep stores the reply of f unless it may be old.
func (s *shard) keep(f *fill, reply []byte, ttl time.Duration) bool {
	if !f.storable || f.killed || f.gen != s.c.gen.Load() {
		return false
	}
	life := s.c.cfg.MaxAge
	if ttl >= 0 && (life <= 0 || ttl < life) {
		life = ttl
	} else if life <= 0 {
		return s.store(uint32(f.hash), f.id, reply, noExpiry)
	}
	tick := s.c.tickAt(f.began + int64(life)) // rounded down: never served past its end
	if tick <= s.c.tick() {
		return false
	}
	return s.store(uint32(f.hash), f.id, reply, tick)
}

// end takes f off the list of reads and wakes its followers.
func (s *shard) end(f *fill) {
	f.ended = true
	if st := s.inflight[string(f.key)]; st != nil {
		for i, r := range st.reads {
			if r == f {
				st.reads = append(st.reads[:i], st.reads[i+1:]...)
				s.forget(f.key, st)
				break
			}
		}
	}
	if f.done != nil {
		close(f.done)
	}
}

// Wait returns the leader's reply, to be read only. ok is false when the leader
// failed or the deadline came first: the caller then sends its own read, and
// does not store the reply.
func (l Fill) Wait(deadline time.Time) (reply []byte, ok bool) {
	if l.leader {
		return nil, false
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-l.f.done:
		return l.f.reply, l.f.reply != nil
	case <-timer.C:
		return nil, false
	}
}

// Cacheable reports whether replies about key may be stored at all: a cache
// without room and no-cache prefixes say no. Reads of such keys need no fill.
func (c *Cache) Cacheable(key []byte) bool { return c.cfg.MaxBytes > 0 && !c.noCache(key) }
