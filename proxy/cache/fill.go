package cache

import (
	"bytes"
	"slices"
	"time"
)

// fill is one read on its way to the server, or one that waits for its turn: a
// killed read of the same id is still on the way. Fields but reply are guarded by
// its shard's mu; reply is set before done is closed.
type fill struct {
	s        *shard
	hash     uint64
	id       []byte
	began    int64 // before the read was sent: the reply is not older
	gen      uint64
	storable bool // no write was on the way when it began
	killed   bool // an invalidation or write came since
	ended    bool
	done     chan struct{} // made by the first follower
	reply    []byte        // nil: the leader failed

	next    *fill         // for those who came after this one was killed; waits for its end
	waiting bool          // not begun: nobody leads it yet
	turn    chan struct{} // one slot, full once it may begin: whoever takes it leads
	joined  int           // followers who have not left a waiting read
}

// Fill is a caller's part in a read: the leader sends it and calls Done or Fail
// exactly once (more do nothing), followers call Wait.
type Fill struct {
	f      *fill
	leader bool
}

// Begin is called after a miss, before the read is sent. leader=true: send it.
// Otherwise Wait has the reply of the same read, which is on the way with no
// invalidation and no write to the key since it began; or which is to be sent
// once the one on the way is back, as that has been overtaken, or somebody was
// told of the key by another reply (or the caller was: later), or it may be older.
func (c *Cache) Begin(db int, key []byte, proto int, cmd []byte, later bool) (_ Fill, leader bool) {
	var buf [192]byte
	id := appendIdentity(buf[:0], db, key, proto, cmd)
	hash := c.hash(key)
	s := c.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &fill{s: s, hash: hash}
	if _, never := s.never.Get(hash); never || c.noCache(key) {
		return Fill{f, true}, true // alone: locks are read by each for himself
	}
	r := s.state(hash).find(id)
	if r != nil && !r.waiting && c.cfg.Now()-r.began >= int64(c.cfg.FillTimeout) {
		r.killed = true // its leader is lost
		s.leave(r)
		r = s.state(hash).find(id)
	}
	switch {
	case r == nil:
		f.id = bytes.Clone(id)
		st := s.state(hash)
		st.reads = append(st.reads, f)
		f.begin(st)
		return Fill{f, true}, true
	case r.waiting && r.takeTurn():
		return Fill{r, true}, true
	case !r.waiting && (r.killed || later || s.behind(hash) > 0):
		if r.next == nil {
			f.id, f.waiting, f.turn = r.id, true, make(chan struct{}, 1)
			r.next = f
		}
		r = r.next
	}
	r.joined++
	if r.done == nil {
		r.done = make(chan struct{})
	}
	return Fill{f: r}, false
}

// begin notes what must not change until the reply of f may be stored.
func (f *fill) begin(st *keyState) {
	f.began, f.gen, f.waiting = f.s.c.cfg.Now(), f.s.c.gen.Load(), false
	f.storable = st.writers == 0 && f.s.flushing == 0
}

// takeTurn makes the caller the leader of a read whose turn has come, unless
// another was faster.
func (f *fill) takeTurn() bool {
	select {
	case <-f.turn:
		f.begin(f.s.state(f.hash))
		return true
	default:
		return false
	}
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
	if f.id != nil {
		s.noteOrder(f.hash, keyOf(f.id), f.id)
	}
	if cacheable && len(reply) > 0 && reply[0] != '-' {
		if s.keep(f, reply, ttl) {
			s.fills++
		} else {
			s.rejected++
			s.discard(f)
		}
	} else {
		s.discard(f)
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
		return s.store(f.hash, f.id, reply, noExpiry)
	}
	tick := s.c.tickAt(f.began + int64(life)) // rounded down: never served past its end
	if tick <= s.c.tick() {
		return false
	}
	return s.store(f.hash, f.id, reply, tick)
}

// discard drops an older reply of the same read, which the new one, though it
// was not stored, has made too old.
func (s *shard) discard(f *fill) {
	if f.id == nil {
		return
	}
	g := s.group(f.hash)
	if slot, prev, r, _ := s.find(g, f.id); r != 0 {
		s.unlink(g, slot, prev, r)
	}
}

// end takes f off the list of reads and wakes its followers.
func (s *shard) end(f *fill) {
	f.ended = true
	s.leave(f)
	if f.done != nil {
		close(f.done)
	}
}

// leave takes f off the list of reads. If another read waits for that, it takes
// the place of f, and one of those who wait for it gets the turn to send it.
func (s *shard) leave(f *fill) {
	st := s.inflight[f.hash]
	if st == nil {
		return
	}
	for i, r := range st.reads {
		if r != f {
			continue
		}
		if f.next != nil && f.next.joined > 0 {
			st.reads[i] = f.next
			f.next.turn <- struct{}{}
		} else {
			st.reads = slices.Delete(st.reads, i, i+1)
			s.forget(f.hash, st)
		}
		f.next = nil
		return
	}
}

// Outcome is how a Wait ended.
type Outcome int

const (
	Failed   Outcome = iota // the leader failed, or the deadline came: send an own read and do not store it
	Answered                // the reply is there
	Leads                   // the caller has become the leader: send the read, then call Done or Fail
)

// Wait waits for the leader's reply, to be read only, or until the caller is to
// lead. A leader must not Wait for another read before it has called Done or
// Fail: then nobody ever waits for someone who waits.
func (l *Fill) Wait(deadline time.Time) (reply []byte, _ Outcome) {
	if l.leader {
		return nil, Failed
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-l.f.done:
	case <-l.f.turn:
		l.lead()
		return nil, Leads
	case <-timer.C:
		l.Leave()
		return nil, Failed
	}
	if l.f.reply == nil {
		return nil, Failed
	}
	return l.f.reply, Answered
}

// TryLead is Wait for the turn alone, without waiting.
func (l *Fill) TryLead() bool {
	if l.leader {
		return false
	}
	select {
	case <-l.f.turn:
		l.lead()
		return true
	default:
		return false
	}
}

func (l *Fill) lead() {
	s := l.f.s
	s.mu.Lock()
	l.f.begin(s.state(l.f.hash))
	s.mu.Unlock()
	l.leader = true
}

// Leave is for a follower that does not wait any more; a read that nobody waits
// for is not sent.
func (l *Fill) Leave() {
	f, s := l.f, l.f.s
	s.mu.Lock()
	defer s.mu.Unlock()
	f.joined--
	if !f.waiting || f.joined > 0 {
		return
	}
	select {
	case <-f.turn:
		s.end(f)
	default: // its turn has not come, or somebody has just taken it
	}
}

// Cacheable reports whether replies about key may be stored at all: a cache
// without room and no-cache prefixes say no. Reads of such keys need no fill.
func (c *Cache) Cacheable(key []byte) bool { return c.cfg.MaxBytes > 0 && !c.noCache(key) }
