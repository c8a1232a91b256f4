package fallback

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/fallback/datadir"
	"holdfast/fallback/record"
)

// A Redis that was restarted, or a replica that was promoted, may lack the last writes
// that were acknowledged. Whether it does is the question when a key differs from what the
// mirror last saw: then the difference may be our own doing, and else somebody else's. The
// beat answers it. While Redis is there, its number is raised and written to a key beside
// the fence, a moment after anything that the mirror holds has changed, and each change is
// noted with the number that comes next. What a Redis has is always the beginning of its
// history, by whatever it was saved or replicated: one whose beat is at least the number
// noted for a key had that key as the mirror did, before anybody else changed it.

const (
	beatEvery   = 200 * time.Millisecond
	beatTimeout = time.Second
	changesMax  = 1 << 16 // keys whose last change is noted one by one
)

func (s *Store) beatKey() string { return FencePrefix + s.StreamID() + ":beat" }

// changes are the numbers of the beats that followed the last change of each key. What
// is not noted changed before or with floor. Guarded by the store's lock.
type changes struct {
	next  uint64 // the number of the next beat
	due   bool   // something changed since the last one
	floor uint64
	at    map[uint64]uint64 // by the hash of the key
}

func (c *changes) note(id record.KeyID) {
	if c.at == nil {
		c.at = map[uint64]uint64{}
	}
	if len(c.at) >= changesMax {
		c.all()
	}
	c.at[hashKey(id)], c.due = c.next, true
}

// all notes that any key may have changed.
func (c *changes) all() {
	clear(c.at)
	c.floor, c.due = c.next, true
}

func (c *changes) of(id record.KeyID) uint64 {
	if n, ok := c.at[hashKey(id)]; ok {
		return n
	}
	return c.floor
}

// encode is the note of a snapshot.
func (c *changes) encode() []byte {
	out := binary.BigEndian.AppendUint64(nil, c.next)
	out = binary.BigEndian.AppendUint64(out, c.floor)
	for h, n := range c.at {
		out = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(out, h), n)
	}
	return out
}

func (c *changes) decode(b []byte) {
	if len(b) < 16 || len(b)%16 != 0 {
		return // of another version: no key is noted, and no beat reaches floor
	}
	c.next, c.floor, c.at = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), map[uint64]uint64{}
	for b = b[16:]; len(b) > 0; b = b[16:] {
		c.at[binary.BigEndian.Uint64(b)] = binary.BigEndian.Uint64(b[8:])
	}
}

// noteChange notes that Redis has another value of a key than before, or was asked for
// it. What is loaded from disk is noted there. The store's lock is held.
func (s *Store) noteChange(id record.KeyID) {
	if s.loading == 0 && !s.cfg.Embedded {
		s.changes.note(id)
	}
}

// beatLoop writes the beat until ctx ends.
func (s *Store) beatLoop(ctx context.Context) {
	client := s.cfg.NewClient(s.cfg.BaseDB)
	defer client.Close()
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	forbidden := uint64(0) // the number of takeovers when our user was refused it
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.Mode() != Online || forbidden != 0 && forbidden == s.outage.takeovers.Load() {
			continue
		}
		if err := s.beat(ctx, client); isForbidden(err) {
			forbidden = s.outage.takeovers.Load()
			s.log.Warn("redis does not let this user write the beat: after a restart of redis, changes by others cannot be told from writes that it lost", "key", s.beatKey(), "error", err)
		}
	}
}

// beat writes the next number, if anything changed. The number is taken first: what
// changes from then on is noted with the one after.
func (s *Store) beat(ctx context.Context, client *redis.Client) error {
	s.mu.Lock()
	if !s.changes.due {
		s.mu.Unlock()
		return nil
	}
	n := s.changes.next
	s.changes.next, s.changes.due = n+1, false
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	err := client.Set(ctx, s.beatKey(), n, 0).Err()
	if err != nil {
		s.mu.Lock()
		s.changes.due = true
		s.mu.Unlock()
	}
	return err
}

// readBeat learns how much of what the mirror saw this Redis has. Numbers go on beyond
// all that were used.
func (r *replayer) readBeat(ctx context.Context) error {
	text, err := r.conn.Get(ctx, r.s.beatKey()).Result()
	if err != nil && !errors.Is(err, redis.Nil) && !isForbidden(err) {
		return err
	}
	r.beat, err = strconv.ParseUint(text, 10, 64)
	if r.hasBeat = err == nil; !r.hasBeat && r.fenceGone {
		r.s.noteMark(false, func(m *datadir.Checkpoint) { m.WipedRun = r.server.RunID })
	}
	r.withLock(func() {
		c := &r.s.changes
		c.next = max(c.next, r.beat+1, 1)
	})
	return nil
}
