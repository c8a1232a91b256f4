package fallback

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// A hash with more than largeHash fields is read in pieces of scanCount: one
// HGETALL of 100,000 accounts keeps Redis, and so everybody, waiting for a second.
const largeHash = 5000

// fetchLarge reads those of keys that are large hashes. One that changed
// meanwhile, or that may not be read this way, is not in the result.
func (f *source) fetchLarge(ctx context.Context, c *redis.Client, keys []string, types []*redis.StatusCmd, now func() time.Time) (map[string]value, error) {
	lens := map[string]*redis.IntCmd{}
	for i, k := range keys {
		if types[i].Val() == "hash" {
			lens[k] = nil
		}
	}
	if len(lens) == 0 {
		return nil, nil
	}
	if _, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for k := range lens {
			lens[k] = p.HLen(ctx, k)
		}
		return nil
	}); err != nil && !isReply(err) {
		return nil, fmt.Errorf("fetch lengths: %w", err)
	}
	out := map[string]value{}
	for k, n := range lens {
		if n.Val() <= largeHash {
			continue
		}
		v, whole, err := readLarge(ctx, c, k, now)
		if err != nil && !isReply(err) {
			return nil, fmt.Errorf("fetch a large hash: %w", err)
		}
		if whole {
			out[k] = v
		}
	}
	return out, nil
}

// readLarge reads one hash by HSCAN. The key is watched, so that the EXEC at the
// end answers nil if it changed since the beginning: the pieces are of one value
// then, or they are thrown away.
func readLarge(ctx context.Context, c *redis.Client, key string, now func() time.Time) (v value, whole bool, err error) {
	conn := c.Conn()
	defer conn.Close()
	if err := conn.Do(ctx, "WATCH", key).Err(); err != nil {
		return value{}, false, err
	}
	defer conn.Do(ctx, "UNWATCH")
	b := builder{key: key}
	for cursor := uint64(0); ; {
		fields, next, err := conn.HScan(ctx, key, cursor, "", scanCount).Result()
		if err != nil {
			return value{}, false, err
		}
		b.chunks("HSET", fields) // one that comes twice has the same value
		if cursor = next; cursor == 0 {
			break
		}
	}
	asked := now()
	cmds, err := conn.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.PTTL(ctx, key)
		return nil
	})
	if err != nil || len(cmds) != 1 { // redis.Nil: it changed
		return value{}, false, err
	}
	left, err := cmds[0].(*redis.DurationCmd).Result()
	if err != nil || left == -2 {
		return value{}, false, err
	}
	if left >= 0 {
		at := strconv.FormatInt(asked.Add(left).UnixMilli(), 10)
		b.out = append(b.out, argvOf("PEXPIREAT", key, at))
	}
	return value{commands: b.out, size: b.size}, true, nil
}
