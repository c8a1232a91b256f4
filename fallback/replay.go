package fallback

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/fallback/datadir"
	"holdfast/fallback/deadletter"
	"holdfast/fallback/fetch"
	"holdfast/fallback/record"
)

// Bounds of one replay batch: one MULTI/EXEC with the fence.
const (
	replayRecords = 2048
	replayBytes   = 1 << 20
	cutOverTail   = 256 // queued writes few enough to be replayed while clients wait
	guardTries    = 10
	cutOverRounds = 50 // then the cut-over happens whatever is left
)

// FencePrefix begins the key that holds the sequence number of the last
// journaled write applied to a Redis; the stream id follows it.
const FencePrefix = "{holdfast}:fence:"

// cutOverTimeout bounds how long clients wait while the last writes are replayed.
const cutOverTimeout = 500 * time.Millisecond

// errGuard says that the fence was not where it was left: another connection of
// ours, older than this one, was still executed. The replay starts over from it.
var errGuard = errors.New("fence moved under the replay")

// replayState is what the replays did, for status. Guarded by the store's lock,
// but for the mark and what belongs to the replay.
type replayState struct {
	markMu         sync.Mutex // taken last
	mark           datadir.Checkpoint
	markFailed     bool // said that it cannot be written. Belongs to the replay
	replayed       uint64
	conflicts      uint64
	overwritten    uint64
	deadLetters    uint64
	lastTook       time.Duration
	conflictsWhole bool                                 // conflicts.jsonl ends with a whole line. Belongs to the replay
	noRoom         bool                                 // conflicts do not fit on the disk: said once. Belongs to the replay
	stubborn       stubborn                             // belongs to the replay, too
	unrefreshed    int                                  // cut-overs given up in a row, see refresh. Belongs to the replay
	sent           uint64                               // no later record can be at Redis: the last at Open, or sent since. As well
	changed        map[record.KeyID]deadletter.Conflict // keys found changed at Redis in this outage; nil: not looked up yet. Belongs to the replay
}

// Server is what the store needs to know of the Redis it is about to replay to.
type Server struct {
	RunID string
	Time  time.Time // its clock now; zero when it does not tell: that of this machine
	// NoPXAT: it is older than Redis 6.2, and refuses SET with an absolute expiry.
	NoPXAT bool
}

// Connected brings Redis up to date and hands service over to it: it replays
// the journal, pauses local service for the last batch, and switches to Online.
// An error leaves the store Offline with the journal as far as it got; calling
// it again goes on from there. It must not run twice at the same time.
func (s *Store) Connected(ctx context.Context, srv Server) error {
	if srv.Time.IsZero() {
		srv.Time = s.cfg.Now()
	}
	s.SetServerTime(srv.Time)
	s.mu.Lock()
	s.happened(linkUp)
	s.mu.Unlock()
	err := s.replayAll(ctx, srv)
	for tries := 0; errors.Is(err, errGuard) && tries < guardTries; tries++ {
		s.log.Warn("fence moved under the replay: an earlier connection was still executed; reading it again")
		err = s.replayAll(ctx, srv)
	}
	if err != nil {
		s.mu.Lock()
		s.happened(replayFailed)
		s.mu.Unlock()
		return fmt.Errorf("replay journal: %w", err)
	}
	return nil
}

func (s *Store) replayAll(ctx context.Context, srv Server) error {
	client := s.cfg.NewClient(s.cfg.BaseDB)
	defer client.Close()
	conn := client.Conn()
	defer conn.Close()
	src := fetch.New(s.cfg.NewClient)
	defer src.Close()
	r := &replayer{s: s, conn: conn, src: src, server: srv, started: s.clock.Steady()}
	if err := r.loadChanged(); err != nil {
		return err
	}
	if last := s.mark().OnlineRun; last != "" {
		s.mirror.suspect(last != srv.RunID)
	}
	err := r.takeOver(ctx)
	s.noteVerdict(err)
	if err == nil {
		err = r.readBeat(ctx)
	}
	if err != nil {
		return err
	}
	for round := 0; ; round++ {
		if err := s.syncJournal(); err != nil {
			return err
		}
		if err := r.run(ctx); err != nil {
			return err
		}
		if s.jr.Count(r.done) <= cutOverTail || round >= cutOverRounds {
			break
		}
	}
	return s.cutOver(ctx, r)
}

var errLostMeanwhile = errors.New("redis was lost again meanwhile")

// cutOver replays the tail while clients' commands wait for the lock, and hands
// service to Redis. A Redis that hangs here costs them cutOverTimeout; then they
// are served locally again.
func (s *Store) cutOver(ctx context.Context, r *replayer) error {
	ctx, cancel := context.WithTimeout(ctx, cutOverTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	r.locked = true
	if s.Mode() != Replaying {
		return errLostMeanwhile // its queue is longer by now
	}
	if err := s.syncJournal(); err != nil {
		return err
	}
	s.undoRefused()
	if err := r.run(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := r.refresh(ctx); err != nil {
		return err
	}
	s.changes.all() // the load looks at everything anew
	s.followFrom(r.server, r.done)
	if err := s.noteUpstream(); err != nil {
		s.log.Warn("cannot note which redis this directory belongs to", "error", err)
	}
	if r.total > 0 {
		s.replay.lastTook = s.clock.Steady().Sub(r.started)
		s.log.Info("replay finished", "writes", r.total, "dead_letters", r.failed, "took", s.replay.lastTook)
	}
	s.oldest = time.Time{}
	s.lookForRoom()
	s.written, s.unsure, s.inDoubt = keySet{}, keySet{}, map[record.KeyID]struct{}{}
	clear(s.unclaimed)
	clear(s.undo.rebase)
	s.replay.changed = map[record.KeyID]deadletter.Conflict{}
	s.happened(replayEnded)
	s.mirror.startLoad()
	return nil
}

// replayer sends journaled writes to one Redis over one connection.
type replayer struct {
	s       *Store
	conn    *redis.Conn
	src     *fetch.Fetcher // for looking at keys; other connections
	server  Server
	started time.Time
	done    uint64 // sequence number of the last write known to be settled
	total   int
	failed  int
	locked  bool // the store's lock is held by the caller

	origins   map[originID]originState
	dbs       map[int]bool // which databases Redis has, as far as it was asked
	noScripts bool         // see refusesScripts
	setBack   bool         // Redis lost writes of ours that it had acknowledged
	first     bool         // no Redis ever had anything of ours
	fenceGone bool         // Redis had a fence of ours, and has none now
	beat      uint64       // of this Redis, see beat.go
	hasBeat   bool

	batch []record.Record
	size  int
}

func (r *replayer) fenceKey() string { return FencePrefix + r.s.StreamID() }

func (r *replayer) withLock(fn func()) {
	if !r.locked {
		r.s.mu.Lock()
		defer r.s.mu.Unlock()
	}
	fn()
}

// takeOver reads how far Redis got. The fence is watched from here on: each
// batch is executed only if no other connection moved it, so a late batch of an
// earlier connection, even of a killed process, cannot land behind this look.
func (r *replayer) takeOver(ctx context.Context) error {
	// The fence is past some of the letters that could not be written, and nothing
	// but memory has them: they come first.
	if err := r.s.dead.Flush(); err != nil {
		return err
	}
	fence, there, err := r.watchFence(ctx)
	st, settled := r.s.jr.Stats(), r.s.settled.Load()
	if isForbidden(err) {
		return r.withoutFence(ctx, err, st.LastSeq)
	}
	if err != nil {
		return err
	}
	switch {
	case !there:
		if err := r.checkUpstream(); err != nil {
			return err
		}
		before := r.s.mark()
		r.fenceGone, r.first = before.FenceSeen, !before.FenceSeen && before.OnlineRun == ""
		r.s.mirror.suspect(r.s.mark().FenceSeen)
		return r.missingFence(ctx)
	case fence > r.s.replay.sent:
		return r.foreignFence(ctx, fence, r.s.replay.sent)
	case fence < settled && settled == r.s.mark().HandedOver:
		r.done = settled // an earlier Redis of ours, before we were embedded
		return nil
	case fence < settled:
		r.tailMissing(fence, st.TruncatedTo, settled)
		return nil
	case fence > settled && r.s.mark().To > settled:
		if err := r.repliesLost(ctx, settled, fence); err != nil {
			return err
		}
	}
	r.advance(max(fence, st.TruncatedTo), 0)
	return nil
}

// run replays every durable record after done.
func (r *replayer) run(ctx context.Context) error {
	err := r.s.jr.Read(ctx, r.done, func(seq uint64, payload []byte) error {
		rec, err := record.Decode(seq, append([]byte(nil), payload...))
		if err != nil {
			return err
		}
		if r.s.filed.Has(seq) {
			rec.Commands, rec.Bases = nil, nil // never applied and filed: only its place is settled
		} else if err := r.needsDatabase(ctx, &rec); err != nil {
			return err
		} else if err := r.resolve(ctx, &rec); err != nil {
			return err
		}
		r.batch = append(r.batch, rec)
		r.size += len(payload)
		if len(r.batch) < replayRecords && r.size < replayBytes {
			return nil
		}
		return r.flush(ctx)
	})
	if err != nil {
		r.batch, r.size = nil, 0
		return err
	}
	return r.flush(ctx)
}

// flush sends the batch as one unit with the fence and settles it.
func (r *replayer) flush(ctx context.Context) error {
	batch, size := r.batch, r.size
	r.batch, r.size = r.batch[:0], 0
	if len(batch) == 0 {
		return nil
	}
	first, last := batch[0].Seq, batch[len(batch)-1].Seq
	if err := r.checkBases(ctx, batch); err != nil {
		return err
	}
	apply, err := r.setAsideConflicted(batch)
	if err != nil {
		return err
	}
	if err := r.s.dead.Flush(); err != nil {
		return err
	}
	before := r.s.mark()
	r.s.noteMark(before.NothingSent(), func(m *datadir.Checkpoint) {
		m.RunID, m.From, m.To, m.FenceSeen, m.Settled = r.server.RunID, first, last, true, r.done
		m.FailedFrom, m.FailedTo = 0, 0
	})
	if before.NothingSent() && r.s.replay.markFailed { // a restart would take the fence of this batch for another life's
		r.s.noteMark(false, func(m *datadir.Checkpoint) { m.To = before.To })
		return errors.New("the first batch after a hand-over needs the replay mark on disk")
	}
	r.s.replay.sent = max(r.s.replay.sent, last)
	err = errAborted
	if first > r.s.replay.stubborn.singles {
		err = r.send(ctx, apply, last)
	}
	if errors.Is(err, errAborted) {
		err = r.oneByOne(ctx, apply, last)
	}
	if errors.Is(err, errRefused) || errors.Is(err, errGuard) { // it counts as never sent, should the fence be gone at the next try
		r.s.noteMark(false, func(m *datadir.Checkpoint) { m.To = max(before.To, r.done) })
	}
	if err != nil {
		return err
	}
	r.advance(last, int64(size))
	return nil
}

// advance notes that Redis has everything up to a sequence number for certain.
func (r *replayer) advance(upTo uint64, bytes int64) {
	r.done = max(r.done, upTo)
	r.s.settle(min(r.done, r.s.jr.Stats().LastSeq), bytes, r.locked)
}

func (r *replayer) count(records, failed int) {
	r.total += records
	r.failed += failed
	r.withLock(func() {
		r.s.replay.replayed += uint64(records)
		r.s.replay.deadLetters += uint64(failed)
	})
}
