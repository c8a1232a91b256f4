package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// flushBytes is how much is sent to Redis at once.
const flushBytes = 1 << 20

// errUnknown says that the link broke after EXEC was sent.
var errUnknown = errors.New("the link broke at the end of the unit: it was applied as a whole or not at all; run again to see and complete")

// unit is one MULTI … EXEC that is sent while it is being made, so that its size
// is not held here. Nothing is applied before commit; a process that dies
// before leaves nothing behind, because the server drops the queue with the
// connection.
type unit struct {
	conn  *redis.Conn
	pipe  redis.Pipeliner
	bytes int
	open  bool
}

func newUnit(rdb redis.UniversalClient) (*unit, error) {
	c, ok := rdb.(interface{ Conn() *redis.Conn })
	if !ok {
		return nil, errors.New("begin a unit: this kind of Redis (a cluster) has no single connection to do it on")
	}
	conn := c.Conn()
	return &unit{conn: conn, pipe: conn.Pipeline()}, nil
}

// do adds one command.
func (u *unit) do(ctx context.Context, args ...any) error {
	if !u.open {
		u.pipe.Do(ctx, "MULTI")
		u.open = true
	}
	u.pipe.Do(ctx, args...)
	for _, a := range args {
		switch v := a.(type) {
		case []byte:
			u.bytes += len(v)
		case string:
			u.bytes += len(v)
		}
	}
	if u.bytes < flushBytes {
		return nil
	}
	return u.flush(ctx)
}

func (u *unit) flush(ctx context.Context) error {
	u.bytes = 0
	if u.pipe.Len() == 0 {
		return nil
	}
	if _, err := u.pipe.Exec(ctx); err != nil {
		return fmt.Errorf("queue a unit: %w", err)
	}
	return nil
}

// commit applies the unit and checks each command's answer.
func (u *unit) commit(ctx context.Context) error {
	if !u.open {
		return nil
	}
	if err := u.flush(ctx); err != nil {
		return err
	}
	u.open = false
	res, err := u.conn.Do(ctx, "EXEC").Slice()
	var refused redis.Error
	if err != nil && !errors.As(err, &refused) {
		return fmt.Errorf("%w (%w)", errUnknown, err)
	}
	if err != nil {
		return fmt.Errorf("commit a unit: %w", err)
	}
	for _, r := range res {
		if err, bad := r.(error); bad {
			return fmt.Errorf("commit a unit: %w", err)
		}
	}
	return nil
}

// close gives the connection back, without the commands of a unit that was not
// committed.
func (u *unit) close() {
	if u.open {
		_ = u.conn.Do(context.Background(), "DISCARD").Err()
	}
	_ = u.conn.Close()
}
