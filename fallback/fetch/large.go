package fetch

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/fallback/record"
)

// A hash with more than largeHash fields is read in pieces of scanCount: one
// HGETALL of 100,000 accounts keeps Redis, and so everybody, waiting for a second.
const LargeHash = 5000

// heldPiece is how much of a large string that is held is compared at a time.
const heldPiece = 1 << 20

// fetchLarge reads those of keys that are large hashes, and large strings that are
// held already. One that changed meanwhile, or that may not be read this way, is
// not in the result.
func (f *Fetcher) fetchLarge(ctx context.Context, c *redis.Client, db int, keys []string, types []*redis.StatusCmd, now func() time.Time) (map[string]Value, error) {
	out := map[string]Value{}
	var hashes []string
	for i, k := range keys {
		switch types[i].Val() {
		case "hash":
			hashes = append(hashes, k)
		case "string":
			if err := f.compareHeld(ctx, c, record.KeyID{DB: db, Key: k}, now, out); err != nil {
				return nil, err
			}
		}
	}
	f.asked = now()
	if len(hashes) == 0 {
		return out, nil
	}
	looks, err := f.lookAt(ctx, c, hashes)
	if err != nil {
		return nil, err
	}
	var expiring []string
	for k, l := range looks {
		switch {
		case l.length.Val() > LargeHash:
			v, whole, err := f.ReadLarge(ctx, c, k, f.mayExpire(l), now)
			if err != nil && !IsReply(err) {
				return nil, fmt.Errorf("fetch a large hash: %w", err)
			}
			if whole {
				out[k] = v
			} else if f.mayExpire(l) {
				expiring = append(expiring, k)
			}
		case f.mayExpire(l) && (f.Overtaken == nil || !f.Overtaken(k)):
			expiring = append(expiring, k)
		}
	}
	if len(expiring) > 0 {
		err = f.readFields(ctx, c, expiring, out)
	}
	return out, err
}

// ReadLarge reads one hash by HSCAN. The key is watched, so that the EXEC at the
// end answers nil if it changed since the beginning: the pieces are of one value
// then, or they are thrown away.
func (f *Fetcher) ReadLarge(ctx context.Context, c *redis.Client, key string, mayExpire bool, now func() time.Time) (v Value, whole bool, err error) {
	conn := c.Conn()
	defer conn.Close()
	if err := conn.Do(ctx, "WATCH", key).Err(); err != nil {
		return Value{}, false, err
	}
	defer conn.Do(ctx, "UNWATCH")
	b := builder{key: key}
	var deadlines [][][]byte
	for cursor := uint64(0); ; {
		fields, next, err := conn.HScan(ctx, key, cursor, "", ScanCount).Result()
		if err != nil {
			return Value{}, false, err
		}
		b.chunks("HSET", fields) // one that comes twice has the same value
		if names := fieldNames(fields); mayExpire && len(names) > 0 {
			at, err := conn.Do(ctx, askFields(key, names)...).Slice()
			if err != nil {
				return Value{}, false, err
			}
			deadlines = append(deadlines, fieldDeadlines(key, names, at)...)
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	b.out = append(b.out, deadlines...)
	return f.finish(ctx, conn, &b, now)
}

// finish adds the expiry of a key that was read piece by piece. EXEC answers nil if
// the key changed since it was watched.
func (f *Fetcher) finish(ctx context.Context, conn *redis.Conn, b *builder, now func() time.Time) (v Value, whole bool, err error) {
	asked := now()
	expiry := conn.Do(ctx, f.askExpiry(), b.key)
	if f.refusesExpiry(expiry) {
		expiry = conn.Do(ctx, f.askExpiry(), b.key)
	}
	n, err := expiry.Int64()
	if err != nil || n == -2 {
		return Value{}, false, err
	}
	if _, err := conn.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.Exists(ctx, b.key).Err() }); err != nil { // redis.Nil: it changed
		return Value{}, false, err
	}
	b.expireAt(f.deadline(n, asked))
	return Value{Commands: b.out, Size: b.size}, true, nil
}

// compareHeld adds a large string to out if Redis has just what is held of it, as
// behind a write of ours: reading 100 MB once more would take as much memory again
// while a client's next value comes in.
func (f *Fetcher) compareHeld(ctx context.Context, c *redis.Client, id record.KeyID, now func() time.Time, out map[string]Value) error {
	if f.Held == nil {
		return nil
	}
	held := f.Held(id.DB, id.Key)
	if held == nil {
		return nil
	}
	v, same, err := f.CompareLarge(ctx, c, id.Key, held, now)
	if err != nil && !IsReply(err) {
		return fmt.Errorf("compare a large string: %w", err)
	}
	if same {
		out[id.Key] = v
	}
	return nil
}

// CompareLarge compares a string with what is held of it, under WATCH as ReadLarge.
func (f *Fetcher) CompareLarge(ctx context.Context, c *redis.Client, key string, held []byte, now func() time.Time) (v Value, same bool, err error) {
	conn := c.Conn()
	defer conn.Close()
	if err := conn.Do(ctx, "WATCH", key).Err(); err != nil {
		return Value{}, false, err
	}
	defer conn.Do(ctx, "UNWATCH")
	n, err := conn.StrLen(ctx, key).Result()
	if err != nil || n != int64(len(held)) {
		return Value{}, false, err
	}
	buf := make([]byte, heldPiece)
	for at := 0; at < len(held); at += heldPiece {
		want := held[at:min(at+heldPiece, len(held))]
		piece := redis.NewZeroCopyStringCmd(ctx, buf, "GETRANGE", key, at, at+len(want)-1)
		if err := conn.Process(ctx, piece); err != nil {
			return Value{}, false, err
		}
		if !bytes.Equal(piece.Bytes(), want) {
			return Value{}, false, nil
		}
	}
	b := builder{key: key, out: [][][]byte{{[]byte("SET"), []byte(key), held}}, size: n}
	return f.finish(ctx, conn, &b, now)
}
