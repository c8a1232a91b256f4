package fallback

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Bounds of one replay batch: one MULTI/EXEC with the fence.
const (
	replayRecords = 512
	replayBytes   = 1 << 20
	cutOverTail   = 256 // queued writes few enough to be replayed while clients wait
	cutOverRounds = 50  // then the cut-over happens whatever is left
)

// FencePrefix begins the key that holds the sequence number of the last
// journaled write applied to a Redis; the stream id follows it.
const FencePrefix = "{holdfast}:fence:"

// replayState is what the last replay did, for status. Guarded by the store's lock.
type replayState struct {
	mark        replayMark
	replayed    uint64
	conflicts   uint64
	deadLetters uint64
	lastTook    time.Duration
}

// Server is what the store needs to know of the Redis it is about to replay to.
type Server struct {
	RunID       string
	ClockOffset time.Duration // server clock minus local clock
}

// Connected brings Redis up to date and hands service over to it: it replays
// the journal, pauses local service for the last batch, and switches to Online.
// An error leaves the store Offline with the journal as far as it got; calling
// it again goes on from there. It must not run twice at the same time.
func (s *Store) Connected(ctx context.Context, srv Server) error {
	s.offset.Store(int64(srv.ClockOffset))
	s.mu.Lock()
	s.setMode(Replaying)
	s.mu.Unlock()
	err := s.replayAll(ctx, srv)
	if err != nil {
		s.mu.Lock()
		s.setMode(Offline)
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
	r := &replayer{s: s, conn: conn, server: srv, started: s.cfg.Now()}
	if err := r.takeOver(ctx); err != nil {
		return err
	}
	for round := 0; ; round++ {
		if err := s.jr.Sync(); err != nil {
			return err
		}
		if err := r.run(ctx); err != nil {
			return err
		}
		if s.jr.Stats().LastSeq-r.done <= cutOverTail || round >= cutOverRounds {
			break
		}
	}
	// Cut-over: clients' commands wait for the lock while the tail is replayed.
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.jr.Sync(); err != nil {
		return err
	}
	r.locked = true
	if err := r.run(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.total > 0 {
		s.replay.lastTook = s.cfg.Now().Sub(r.started)
		s.log.Info("replay finished", "writes", r.total, "dead_letters", r.failed, "took", s.replay.lastTook)
	}
	s.staleAt = time.Time{}
	s.setMode(Online)
	s.mirror.startLoad()
	return nil
}

// replayer sends journaled writes to one Redis over one connection.
type replayer struct {
	s       *Store
	conn    *redis.Conn
	server  Server
	started time.Time
	done    uint64 // sequence number of the last write known to be settled
	total   int
	failed  int
	locked  bool // the store's lock is held by the caller

	origins map[originID]originState

	batch []Record
	size  int
}

func (r *replayer) fenceKey() string { return FencePrefix + r.s.StreamID() }

// takeOver closes the way for late batches of earlier connections, then reads
// how far Redis got.
func (r *replayer) takeOver(ctx context.Context) error {
	if err := killNamesakes(ctx, r.conn, "holdfast-replay-"+r.s.StreamID()); err != nil {
		return err
	}
	fence, err := r.conn.Get(ctx, r.fenceKey()).Uint64()
	switch {
	case errors.Is(err, redis.Nil):
		return r.missingFence(ctx)
	case err != nil:
		return fmt.Errorf("read fence: %w", err)
	}
	st := r.s.jr.Stats()
	if fence > st.LastSeq {
		return r.foreignFence(ctx, fence, st.LastSeq)
	}
	return r.settle(max(fence, st.TruncatedTo))
}

// foreignFence handles a fence beyond everything this journal ever held: the
// data directory was set back to an older copy. What it holds was applied by
// then; the fence is set back too, or new writes would be taken for applied.
func (r *replayer) foreignFence(ctx context.Context, fence, last uint64) error {
	r.s.log.Error("fence at redis is ahead of the journal: the data directory is an older copy; its queued writes were applied before",
		"fence", fence, "last", last)
	if err := r.conn.Set(ctx, r.fenceKey(), last, 0).Err(); err != nil {
		return fmt.Errorf("set back fence: %w", err)
	}
	return r.settle(last)
}

// killNamesakes names this connection and closes all others of the same name:
// a batch of an earlier connection, even of a killed process, that Redis has not
// executed by now never will be, so the fence read next is final.
func killNamesakes(ctx context.Context, conn *redis.Conn, name string) error {
	if err := conn.ClientSetName(ctx, name).Err(); err != nil {
		return fmt.Errorf("name replay connection: %w", err)
	}
	self, err := conn.ClientID(ctx).Result()
	if err != nil {
		return fmt.Errorf("read own client id: %w", err)
	}
	list, err := conn.ClientList(ctx).Result()
	if err != nil {
		return fmt.Errorf("list clients (the ACL user needs CLIENT LIST and CLIENT KILL): %w", err)
	}
	for _, line := range strings.Split(list, "\n") {
		id, named := clientLine(line, name)
		if !named || id == self {
			continue
		}
		// 0 killed is fine: it closed by itself meanwhile.
		if err := conn.ClientKillByFilter(ctx, "ID", strconv.FormatInt(id, 10)).Err(); err != nil {
			return fmt.Errorf("kill earlier connection: %w", err)
		}
	}
	return nil
}

// clientLine reads the id of a CLIENT LIST line and whether it bears the name.
func clientLine(line, name string) (id int64, named bool) {
	for _, f := range strings.Fields(line) {
		if v, ok := strings.CutPrefix(f, "id="); ok {
			id, _ = strconv.ParseInt(v, 10, 64)
		}
		named = named || f == "name="+name
	}
	return id, named && id != 0
}

// run replays every durable record after done.
func (r *replayer) run(ctx context.Context) error {
	err := r.s.jr.Read(ctx, r.done, func(seq uint64, payload []byte) error {
		rec, err := DecodeRecord(seq, append([]byte(nil), payload...))
		if err != nil {
			return err
		}
		if err := r.resolve(ctx, &rec); err != nil {
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
	batch := r.batch
	r.batch, r.size = r.batch[:0], 0
	if len(batch) == 0 {
		return nil
	}
	if err := r.s.saveReplayMark(replayMark{RunID: r.server.RunID, From: batch[0].Seq, To: batch[len(batch)-1].Seq, FenceSeen: true}); err != nil {
		return err
	}
	err := r.send(ctx, batch)
	if errors.Is(err, errAborted) {
		err = r.oneByOne(ctx, batch)
	}
	if err != nil {
		return err
	}
	return r.settle(batch[len(batch)-1].Seq)
}

// settle forgets records that Redis has for certain.
func (r *replayer) settle(upTo uint64) error {
	if upTo < r.done {
		return nil
	}
	r.done = upTo
	return r.s.jr.Truncate(min(upTo, r.s.jr.Stats().LastSeq))
}

func (r *replayer) count(records, failed int) {
	r.total += records
	r.failed += failed
	if !r.locked {
		r.s.mu.Lock()
		defer r.s.mu.Unlock()
	}
	r.s.replay.replayed += uint64(records)
	r.s.replay.deadLetters += uint64(failed)
}
