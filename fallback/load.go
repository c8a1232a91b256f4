package fallback

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"holdfast/fallback/datadir"
	"holdfast/fallback/engine"
	"holdfast/fallback/record"
)

// Loading what is on disk is the time between a crash and the first answer. One
// goroutine reads, checks, decodes and notes what was written; the other applies.
// Memory does not grow with the number of records: a few chunks go round between
// the two.
const (
	loadChunks  = 4
	loadOps     = 256       // records in one chunk
	loadBytes   = 256 << 10 // or about so many bytes
	keptPayload = 4 << 20   // the largest chunk that is used again
)

// loadOp is a journaled write or a frame of a snapshot, decoded.
type loadOp struct {
	record.Record
	// plain: it is a SET of key that asks for nothing, with a deadline in Unix ms or
	// none, and needs not be executed as a command.
	plain      bool
	key, value string
	deadline   int64
}

// loadChunk is a number of records on their way to being applied.
type loadChunk struct {
	ops []loadOp
	buf []byte // their payloads, which they alias
}

func (c *loadChunk) reset() {
	if cap(c.buf) > keptPayload {
		*c = loadChunk{}
	}
	c.ops, c.buf = c.ops[:0], c.buf[:0]
}

// add decodes a record; payload may change after it.
func (c *loadChunk) add(seq uint64, payload []byte) error {
	begin := len(c.buf)
	c.buf = append(c.buf, payload...)
	if c.ops == nil {
		c.ops = make([]loadOp, 0, loadOps)
	}
	c.ops = c.ops[:len(c.ops)+1]
	op := &c.ops[len(c.ops)-1]
	if err := op.Decode(seq, c.buf[begin:]); err != nil {
		return err
	}
	op.plain = false
	if len(op.Commands) == 1 {
		op.plainSet(op.Commands[0])
	}
	return nil
}

func (c *loadChunk) full() bool { return len(c.ops) == cap(c.ops) || len(c.buf) >= loadBytes }

// plainSet recognises "SET key value" and "SET key value PXAT deadline".
func (op *loadOp) plainSet(argv [][]byte) {
	if len(argv) != 3 && len(argv) != 5 || !record.IsWord(argv[0], "SET") {
		return
	}
	op.deadline = 0
	if len(argv) == 5 {
		at, err := strconv.ParseInt(string(argv[4]), 10, 64)
		if err != nil || at <= 0 || !record.IsWord(argv[3], "PXAT") {
			return
		}
		op.deadline = at
	}
	op.plain, op.key, op.value = true, string(argv[1]), string(argv[2])
}

// loadAhead applies the records that read adds, in order, while read goes on.
// It ends with the first error of either; what apply gets is valid during the call.
// note, unless nil, sees each record before apply does: it is called by the
// goroutine that reads, which has ended when loadAhead returns.
func loadAhead(read func(add func(seq uint64, payload []byte) error) error, note func(op *loadOp), apply func(op *loadOp) error) error {
	full, free := make(chan *loadChunk, loadChunks), make(chan *loadChunk, loadChunks)
	for range loadChunks {
		free <- new(loadChunk)
	}
	var readErr error
	go func() {
		defer close(full)
		c := <-free
		readErr = read(func(seq uint64, payload []byte) error {
			if err := c.add(seq, payload); err != nil {
				return err
			}
			if note != nil {
				note(&c.ops[len(c.ops)-1])
			}
			if c.full() {
				full <- c
				c = <-free
				c.reset()
			}
			return nil
		})
		if readErr == nil {
			full <- c
		}
	}()
	var err error
	for c := range full {
		for i := 0; i < len(c.ops) && err == nil; i++ {
			err = apply(&c.ops[i])
		}
		free <- c // even after an error, so that the reader ends
	}
	if err != nil {
		return err
	}
	return readErr
}

// loadString takes over a plain SET. false: it has to be executed as a command.
func (s *Store) loadString(op *loadOp) bool {
	if !op.plain || !s.eng.LoadString(op.DB, op.key, op.value, op.deadline) {
		return false
	}
	s.res.learn(record.KeyID{DB: op.DB, Key: op.key}, record.ArgvBytes(op.Commands[0]))
	s.dirtyGen++
	return true
}

// numberJump is skipped where the journal is older than the rest of the directory:
// the last number that was used, and that Redis may know, cannot be proved.
const numberJump = 1 << 32

// passUsedNumbers looks for a journal that was replaced or set back to an older
// copy. Its next numbers are then those of writes that the snapshot has, that Redis
// has or that were filed: new writes under them would be taken for these, and be
// lost at the next recovery or replay.
func (s *Store) passUsedNumbers(snapshot uint64) error {
	mark, last := s.mark(), s.jr.Stats().LastSeq
	used := max(snapshot, mark.Settled, mark.To, mark.Since, mark.UnsureFrom, s.filed.Last())
	if used <= last {
		return nil
	}
	s.log.Error("the journal is older than the rest of the data directory: it was replaced or set back; new writes get numbers beyond all that were used",
		"journal", last, "snapshot", snapshot, "replayed", mark.Settled, "used", used)
	if err := s.jr.Advance(used + numberJump); err != nil {
		return err
	}
	s.settled.Store(max(s.settled.Load(), mark.Settled))
	return nil
}

// needSnapshot refuses to open a store that was embedded with a snapshot that is
// missing or older than what its journal has forgotten: what is in neither would be
// gone without a word. The copy of a Redis may be that old: Redis has the rest.
func (s *Store) needSnapshot(snapshot uint64, wasEmbedded bool) error {
	forgotten := s.jr.Stats().TruncatedTo
	served := s.mark().OfRedis() || !s.snap.savedAt.IsZero()
	if forgotten <= snapshot || !wasEmbedded && served {
		return nil
	}
	return fmt.Errorf("embedded store %s: its snapshot has writes up to %d, and its journal only those after %d: one of the two is missing or from another backup; "+
		"put both back from the same one; to go on with what the snapshot has, move %s away ('holdfast journal dump' prints what it holds)",
		s.cfg.Dir, snapshot, forgotten, datadir.Journal(s.cfg.Dir))
}

// reapplyJournal executes the journaled writes after seq on the local state.
func (s *Store) reapplyJournal(after uint64) (n int, err error) {
	notes := &writeNotes{since: s.replay.mark.Since, written: s.written}
	note := notes.add
	if s.cfg.Embedded {
		note = nil // there is no outage
	}
	s.written = keySet{} // the notes have it meanwhile; applying what is past does not ask for it
	err = loadAhead(func(add func(uint64, []byte) error) error {
		return s.jr.Read(context.Background(), after, add)
	}, note, func(op *loadOp) error {
		s.reapply(op)
		n++
		return nil
	})
	s.written = notes.written
	if err == nil && !s.cfg.Embedded {
		s.oldest, err = s.oldestQueued()
	}
	if err != nil {
		return n, fmt.Errorf("read journal: %w", err)
	}
	return n, nil
}

func (s *Store) reapply(op *loadOp) {
	s.loading = op.TimeMs
	if s.loadString(op) {
		return
	}
	for _, argv := range op.Commands {
		// It executed once before it was journaled; if it cannot now, the base it ran
		// on was lost with an older snapshot. Redis still gets it at replay; here its
		// keys are unknown.
		if err := s.replayLocally(s.eng.Do, op.DB, engine.Told(argv)); err != nil {
			s.log.Debug("journaled write does not apply locally", "seq", op.Seq, "error", err)
		}
	}
}

// writeNotes takes up again what was written in the present outage. It shares
// nothing with the store, so that it costs the applying goroutine no time.
type writeNotes struct {
	since   uint64 // the outage began after this record
	written keySet
}

func (n *writeNotes) add(op *loadOp) {
	if op.Seq <= n.since {
		return
	}
	if op.plain {
		n.written.add(record.KeyID{DB: op.DB, Key: op.key})
	} else {
		for _, argv := range op.Commands {
			for _, k := range record.CommandKeys(argv) {
				n.written.add(record.KeyID{DB: op.DB, Key: string(k)})
			}
		}
	}
	for _, b := range op.Bases {
		n.written.add(record.KeyID{DB: op.DB, Key: string(b.Key)})
	}
}

// oldestQueued is the time of the first write that Redis has not got, zero for
// none. It may be older than the snapshot, which is why the load does not see it.
func (s *Store) oldestQueued() (at time.Time, err error) {
	err = s.jr.Read(context.Background(), s.settled.Load(), func(seq uint64, payload []byte) error {
		rec, err := record.Decode(seq, payload)
		if err != nil {
			return err
		}
		at = time.UnixMilli(rec.TimeMs)
		return errStop
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return at, err
}

// errStop ends a reading whose first record is enough.
var errStop = errors.New("stop")
