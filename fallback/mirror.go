package fallback

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/engine"
	"holdfast/fallback/fetch"
	"holdfast/fallback/record"
)

// Bounds of the mirror's queues. What does not fit is not lost, only unknown:
// the key is forgotten and an outage answers UPSTREAMDOWN for it.
const (
	followBytes   = 8 << 20               // acknowledged writes waiting to be executed locally
	followBehind  = followBytes / 4       // beyond it, writes to keys outside the mirror are shed
	dirtyMax      = 1 << 16               // keys waiting for a refetch
	wantMax       = 1 << 12               // keys outside the mirror waiting for their first fetch
	fetchBatch    = 128                   // keys in one round trip
	fetchInterval = 20 * time.Millisecond // coalesces invalidations of hot keys
	followPerTick = 16                    // writes outside the mirror executed locally for good: 800 a second
	followBurst   = 2048                  // and at once, after a pause
	followUnit    = 4 << 10               // bytes that count as another write
	wantPerTick   = 64                    // bounds what the working set costs Redis: 3,200 keys a second
)

// mirror follows the real Redis while it is there: acknowledged writes are
// executed locally in order, and invalidated keys are fetched again.
//
// A fetched value replaces the local one only if no write of this proxy to the
// key was on its way or acknowledged between the fetch's start and its end;
// otherwise it is fetched again. Every followed write makes its key dirty, so that the last
// fetch always starts after the last write and the mirror converges.
type mirror struct {
	s    *Store
	wake chan struct{}

	flight      *inflight
	interrupted string       // the last error of a load; reload's own
	budget      atomic.Int64 // writes outside the mirror that may still be followed
	behind      atomic.Bool  // too much waits to be followed

	mu     sync.Mutex // guards the rest; taken after the store's lock, never before
	follow []ackedWrite
	// Keys of writes that were acknowledged and not followed, by database.
	unknown map[int]map[string]struct{}
	changed map[string]struct{} // keys that the server announced, database unknown
	bytes   int
	large   int64                     // bytes of large values followed or fetched since the last fetch
	seq     uint64                    // acknowledged writes so far
	last    map[record.KeyID]uint64   // key being fetched → seq of the last write to it
	again   map[record.KeyID]struct{} // those of them that changed since, by whomever
	dirty   map[record.KeyID]int      // keys to fetch again → failed tries
	room    int                       // how many of them at most
	want    map[record.KeyID]struct{}
	wrote   wrote
	hot     map[record.KeyID]hotKey   // keys that are written all the time
	urgent  map[record.KeyID]struct{} // keys that a write waits for
	flush   bool                      // everything is dirty

	fetchedOne chan struct{} // closed and replaced after each exclusive fetch
	stats      mirrorStats

	vanished vanished
}

type ackedWrite struct {
	db       int
	commands [][][]byte
	size     int
}

type mirrorStats struct {
	loaded      bool
	refreshedAt time.Time
	fetches     uint64
	shed        uint64
}

func newMirror(s *Store) *mirror {
	m := &mirror{
		s: s, wake: make(chan struct{}, 1), flight: new(inflight), room: dirtyMax,
		changed: map[string]struct{}{}, unknown: map[int]map[string]struct{}{},
		last: map[record.KeyID]uint64{}, again: map[record.KeyID]struct{}{}, dirty: map[record.KeyID]int{}, want: map[record.KeyID]struct{}{},
		wrote: wrote{keys: map[record.KeyID]struct{}{}},
		hot:   map[record.KeyID]hotKey{}, urgent: map[record.KeyID]struct{}{}, fetchedOne: make(chan struct{}),
	}
	m.budget.Store(followBurst)
	return m
}

func (m *mirror) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Read tells the mirror that a key outside the mirrored prefixes was read: it
// joins the working set when there is room in the budget.
func (s *Store) Read(db int, key []byte) {
	m := s.mirror
	m.mu.Lock()
	if len(m.want) < wantMax {
		m.want[record.KeyID{DB: db, Key: string(key)}] = struct{}{}
	}
	m.mu.Unlock()
}

// Invalidate tells the mirror which keys changed at the server, by whomever;
// nil means all. Tracking names no database, so every mirrored one is meant.
func (s *Store) Invalidate(keys [][]byte) {
	m := s.mirror
	if keys == nil {
		m.mu.Lock()
		m.flush = true
		m.mu.Unlock()
		m.signal()
		return
	}
	// Only the mirror's own lock: the caller reads the heartbeat, too, and must
	// not wait while the store takes over a large value.
	m.mu.Lock()
	for _, k := range keys {
		if s.cfg.mirroredKey(k) {
			m.markDirty(record.KeyID{DB: s.cfg.BaseDB, Key: string(k)})
		}
		if s.res.interest.in(k) {
			m.noteChanged(k)
		}
	}
	m.mu.Unlock()
}

// noteChanged remembers that a key changed in some database. m.mu is held.
func (m *mirror) noteChanged(key []byte) {
	if len(m.changed) >= dirtyMax {
		m.flush = true
		return
	}
	if _, ok := m.changed[string(key)]; !ok {
		m.changed[string(key)] = struct{}{}
		m.signal()
	}
}

// askChanged asks for the new values of changed keys that are resident beside
// the mirrored ones. The store's lock is held.
func (m *mirror) askChanged() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.changed) == 0 {
		return
	}
	changed := m.changed
	m.changed = map[string]struct{}{}
	s := m.s
	if s.Mode() != Online {
		return
	}
	dbs := s.res.dbs()
	for k := range changed {
		for db := range dbs {
			id := record.KeyID{DB: db, Key: k}
			if (db != s.cfg.BaseDB || !s.cfg.mirrored(k)) && s.res.resident(id) {
				m.markDirty(id)
			}
		}
	}
}

// markDirty queues the key for a fetch. Beyond the bound everything is dirty.
func (m *mirror) markDirty(id record.KeyID) {
	if _, ok := m.last[id]; ok {
		m.again[id] = struct{}{} // the value under way may be older than this change
	}
	if len(m.dirty) >= m.room {
		m.flush = true
		return
	}
	if _, ok := m.dirty[id]; !ok {
		m.dirty[id] = 0
	}
	m.signal()
}

// drainLocked executes all acknowledged writes that wait. The store's lock is held.
func (m *mirror) drainLocked() {
	m.followQueued()
	m.askChanged()
	m.forgetUnknown() // after the queue: a key in both ends up unknown
}

func (m *mirror) followQueued() {
	m.mu.Lock()
	if len(m.follow) == 0 {
		m.mu.Unlock()
		return
	}
	writes, behind := m.follow, m.bytes > followBehind
	m.follow, m.bytes = nil, 0
	m.behind.Store(false)
	m.mu.Unlock()
	if m.s.Mode() != Online {
		behind = false
	}
	for _, w := range writes {
		m.followWrite(w, behind)
		m.awaited(w, -1)
	}
	m.s.outdateSnapshots()
}

// followWrite executes one acknowledged write on the local state, where that
// can tell its result: all its keys are known, or it sets them whole. Otherwise
// its keys become unknown, and those beside the mirrored prefixes are wanted.
func (m *mirror) followWrite(w ackedWrite, behind bool) {
	var buf [8][]byte
	for _, argv := range w.commands {
		c, ok := command.Lookup(argv)
		if !ok || c.Flags&(command.Write|command.Script) == 0 {
			continue
		}
		keys := c.Keys(buf[:0], argv)
		m.s.noteLock(w.db, argv)
		switch {
		case c.Flags&command.Dangerous != 0:
			m.forgetAll()
		case m.overtaken(w.db, keys): // a later write is here already
			m.unlearn(w.db, m.notWritten(w.db, keys)) // and not to these
		case behind && m.sheds(keys), !m.apply(w.db, c, argv):
			m.unlearn(w.db, keys)
			m.wantWritten(w.db, keys)
		}
	}
	if m.s.Mode() == Online { // an answer that came in late must not drive out what was written since
		m.s.res.trim()
	}
}

// overtaken reports whether a key was written locally since Redis went away: an
// answer of Redis that comes in after that is older.
func (m *mirror) overtaken(db int, keys [][]byte) bool {
	for _, k := range keys {
		if m.s.written.holds(record.KeyID{DB: db, Key: string(k)}) {
			return true
		}
	}
	return false
}

// notWritten are those of keys that were not written locally since Redis went away.
func (m *mirror) notWritten(db int, keys [][]byte) (out [][]byte) {
	for _, k := range keys {
		if !m.s.written.holds(record.KeyID{DB: db, Key: string(k)}) {
			out = append(out, k)
		}
	}
	return out
}

// sheds reports whether a write may be dropped because the mirror is behind.
func (m *mirror) sheds(keys [][]byte) bool {
	for _, k := range keys {
		if !m.s.cfg.mirrored(string(k)) {
			m.stats.shed++
			return true
		}
	}
	return false
}

// apply executes an acknowledged command; false: its result is not known.
func (m *mirror) apply(db int, c *command.Command, argv [][]byte) bool {
	s := m.s
	if !s.eng.Supports(c.Name) {
		return false
	}
	if _, _, lock := command.TakesLock(argv); lock {
		argv = actualSet(argv, resp.Value{Kind: resp.KindSimple}) // it was granted
	}
	do := s.eng.DoKept // queue has made them ours
	if c.Flags&command.Script != 0 {
		if s.scripts.slow(argv, followTwice) {
			s.unfollowable.note(argv, true)
			return false
		}
		do = s.scripts.followed(do)
	}
	err := s.replayLocally(do, db, argv)
	if err != nil && err != errNotHeld && c.Flags&command.Script != 0 {
		s.unfollowable.note(argv, true)
	}
	return err == nil
}

// replayLocally executes a write of the past on the local state: one that Redis
// acknowledged, or one out of the journal. An error means that its result is
// not known here; what it would have changed is unknown then.
// do is one of the engine's.
func (s *Store) replayLocally(do func(db, proto int, argv [][]byte) engine.Result, db int, argv [][]byte) error {
	c, ok := command.Lookup(argv)
	if !ok {
		return s.eng.Apply(db, argv)
	}
	sc := &scope{}
	err := errNotHeld
	if s.admit(sc, db, c, argv) == "" {
		s.running = sc
		res := do(db, 2, argv)
		s.running = nil
		err = outcomeOf(c, res)
	}
	s.dirtyGen++
	if err != nil && s.cfg.Embedded {
		return err // there is no better value to wait for
	}
	if err != nil {
		for _, t := range sc.writes {
			s.mirror.unlearn(t.id.DB, [][]byte{[]byte(t.id.Key)})
		}
		s.mirror.unlearn(db, c.WriteKeys(nil, argv)) // it may have ended before it came to them
		return err
	}
	s.learnScope(sc)
	for _, t := range sc.writes {
		s.mirror.touched(t.id)
		s.noteChange(t.id)
	}
	return nil
}

var errNotHeld = errors.New("depends on keys that are not held")

// outcomeOf tells whether a write had the effect here that it had before: no
// error, and no script that asked for time or chance.
func outcomeOf(c *command.Command, res engine.Result) error {
	if len(res.Reply) > 0 && res.Reply[0] == '-' {
		return errors.New(strings.TrimSpace(string(res.Reply[1:])))
	}
	if c.Flags&command.Script != 0 && len(res.Effects) > 0 && !record.IsWord(res.Effects[0][0], "EVAL") {
		return errors.New("the script depends on time or chance")
	}
	return nil
}

// touched notes a followed write: a fetch under way for the key is void, and
// the key is fetched once more to be sure: somebody else's write may have come
// between ours and the local execution of it.
func (m *mirror) touched(id record.KeyID) {
	m.mu.Lock()
	m.voidFetch(id)
	if m.s.Mode() == Online || m.s.cfg.mirrored(id.Key) {
		m.markDirty(id)
	}
	m.mu.Unlock()
}

// voidFetch makes a fetch under way for the key worthless. m.mu is held.
func (m *mirror) voidFetch(id record.KeyID) {
	if _, ok := m.last[id]; ok {
		m.last[id] = max(m.seq, 1) // 0 is not void
	}
}

// run follows and fetches until ctx ends. One goroutine.
func (m *mirror) run(ctx context.Context, src *fetch.Fetcher) {
	tick := time.NewTicker(fetchInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
			m.fetchAwaited(ctx, src)
		case <-tick.C:
			m.refill()
			m.fetchDue(ctx, src)
		}
		m.s.mu.Lock()
		m.drainLocked()
		m.s.mu.Unlock()
	}
}
