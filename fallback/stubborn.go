package fallback

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"holdfast/fallback/record"
)

// stubbornTries is how often the link has to die under the same batch, and then
// under one record alone, before that is taken for the record's doing.
const stubbornTries = 3

// stubborn remembers under what the link died. A server closes the connection over
// what its limits do not allow (proto-max-bulk-len, client-query-buffer-limit)
// instead of answering with an error: nothing behind such a write would ever be replayed.
type stubborn struct {
	from    uint64 // the record that the link died under, or the first of the batch
	alone   bool
	deaths  int
	singles uint64 // records up to here are sent one by one
}

// died is told of every batch whose replies did not come. It counts only if the
// server is there and well right after the link died, and has not got the batch: a
// new connection reads the fence where it was and moves it to where it is, which
// also keeps what the old connection may still hold from being executed.
func (r *replayer) died(ctx context.Context, batch []record.Record, cause error) error {
	if len(batch) == 0 || ctx.Err() != nil || isTimeout(cause) {
		return nil
	}
	from, to := batch[0].Seq, batch[len(batch)-1].Seq
	if well, err := r.isWell(ctx, from); !well || err != nil {
		return nil // an ordinary loss: whoever connects again finds out
	}
	st := &r.s.replay.stubborn
	if alone := len(batch) == 1; st.from != from || st.alone != alone {
		*st = stubborn{from: from, alone: alone, singles: st.singles}
	}
	st.deaths++
	r.s.log.Warn("the link died under a batch, and redis is well", "from", from, "to", to, "times", st.deaths, "error", cause)
	if st.deaths < stubbornTries {
		return nil
	}
	if !st.alone {
		st.singles = to
		return nil
	}
	size := int64(0)
	for _, argv := range batch[0].Commands {
		size += record.ArgvBytes(argv)
	}
	reason := fmt.Sprintf("redis closed the connection %d times on this write alone (%d bytes): beyond proto-max-bulk-len or client-query-buffer-limit?", st.deaths, size)
	r.s.dead.Add(batch[0], reason, r.s.cfg.Now())
	if err := r.s.dead.Flush(); err != nil {
		return err
	}
	r.s.log.Error("journaled write closes the connection to redis: kept as a dead letter", "seq", from, "bytes", size, "error", cause)
	r.count(0, 1)
	*st = stubborn{singles: st.singles}
	return nil
}

// isWell reports whether Redis answers and takes writes, and its fence is before
// the record.
func (r *replayer) isWell(ctx context.Context, before uint64) (bool, error) {
	client := r.s.cfg.NewClient(r.s.cfg.BaseDB)
	defer client.Close()
	conn := client.Conn()
	defer conn.Close()
	probe := &replayer{s: r.s, conn: conn, server: r.server, locked: r.locked}
	fence, there, err := probe.watchFence(ctx)
	if err != nil || !there || fence >= before {
		return false, err
	}
	err = probe.send(ctx, nil, fence)
	return err == nil, err
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}
