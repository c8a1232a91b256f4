package fallback

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"holdfast/fallback/record"

	"github.com/redis/go-redis/v9"

	"holdfast/backend/resp"
)

// A hash with more than largeHash fields is read in pieces of scanCount: one
// HGETALL of 100,000 accounts keeps Redis, and so everybody, waiting for a second.
const largeHash = 5000

// heldPiece is how much of a large string that is held is compared at a time.
const heldPiece = 1 << 20

// fetchLarge reads those of keys that are large hashes, and large strings that are
// held already. One that changed meanwhile, or that may not be read this way, is
// not in the result.
func (f *source) fetchLarge(ctx context.Context, c *redis.Client, db int, keys []string, types []*redis.StatusCmd, now func() time.Time) (map[string]value, error) {
	out := map[string]value{}
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
		case l.length.Val() > largeHash:
			v, whole, err := f.readLarge(ctx, c, k, f.mayExpire(l), now)
			if err != nil && !isReply(err) {
				return nil, fmt.Errorf("fetch a large hash: %w", err)
			}
			if whole {
				out[k] = v
			} else if f.mayExpire(l) {
				expiring = append(expiring, k)
			}
		case f.mayExpire(l) && (f.overtaken == nil || !f.overtaken(k)):
			expiring = append(expiring, k)
		}
	}
	if len(expiring) > 0 {
		err = f.readFields(ctx, c, expiring, out)
	}
	return out, err
}

// readLarge reads one hash by HSCAN. The key is watched, so that the EXEC at the
// end answers nil if it changed since the beginning: the pieces are of one value
// then, or they are thrown away.
func (f *source) readLarge(ctx context.Context, c *redis.Client, key string, mayExpire bool, now func() time.Time) (v value, whole bool, err error) {
	conn := c.Conn()
	defer conn.Close()
	if err := conn.Do(ctx, "WATCH", key).Err(); err != nil {
		return value{}, false, err
	}
	defer conn.Do(ctx, "UNWATCH")
	b := builder{key: key}
	var deadlines [][][]byte
	for cursor := uint64(0); ; {
		fields, next, err := conn.HScan(ctx, key, cursor, "", scanCount).Result()
		if err != nil {
			return value{}, false, err
		}
		b.chunks("HSET", fields) // one that comes twice has the same value
		if names := fieldNames(fields); mayExpire && len(names) > 0 {
			at, err := conn.Do(ctx, askFields(key, names)...).Slice()
			if err != nil {
				return value{}, false, err
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
func (f *source) finish(ctx context.Context, conn *redis.Conn, b *builder, now func() time.Time) (v value, whole bool, err error) {
	asked := now()
	expiry := conn.Do(ctx, f.askExpiry(), b.key)
	if f.refusesExpiry(expiry) {
		expiry = conn.Do(ctx, f.askExpiry(), b.key)
	}
	n, err := expiry.Int64()
	if err != nil || n == -2 {
		return value{}, false, err
	}
	if _, err := conn.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.Exists(ctx, b.key).Err() }); err != nil { // redis.Nil: it changed
		return value{}, false, err
	}
	b.expireAt(f.deadline(n, asked))
	return value{commands: b.out, size: b.size}, true, nil
}

// compareHeld adds a large string to out if Redis has just what is held of it, as
// behind a write of ours: reading 100 MB once more would take as much memory again
// while a client's next value comes in.
func (f *source) compareHeld(ctx context.Context, c *redis.Client, id record.KeyID, now func() time.Time, out map[string]value) error {
	if f.held == nil {
		return nil
	}
	held := f.held(id.DB, id.Key)
	if held == nil {
		return nil
	}
	v, same, err := f.compareLarge(ctx, c, id.Key, held, now)
	if err != nil && !isReply(err) {
		return fmt.Errorf("compare a large string: %w", err)
	}
	if same {
		out[id.Key] = v
	}
	return nil
}

// compareLarge compares a string with what is held of it, under WATCH as readLarge.
func (f *source) compareLarge(ctx context.Context, c *redis.Client, key string, held []byte, now func() time.Time) (v value, same bool, err error) {
	conn := c.Conn()
	defer conn.Close()
	if err := conn.Do(ctx, "WATCH", key).Err(); err != nil {
		return value{}, false, err
	}
	defer conn.Do(ctx, "UNWATCH")
	n, err := conn.StrLen(ctx, key).Result()
	if err != nil || n != int64(len(held)) {
		return value{}, false, err
	}
	buf := make([]byte, heldPiece)
	for at := 0; at < len(held); at += heldPiece {
		want := held[at:min(at+heldPiece, len(held))]
		piece := redis.NewZeroCopyStringCmd(ctx, buf, "GETRANGE", key, at, at+len(want)-1)
		if err := conn.Process(ctx, piece); err != nil {
			return value{}, false, err
		}
		if !bytes.Equal(piece.Bytes(), want) {
			return value{}, false, nil
		}
	}
	b := builder{key: key, out: [][][]byte{{[]byte("SET"), []byte(key), held}}, size: n}
	return f.finish(ctx, conn, &b, now)
}

// heldLarge is the large string that is held of a key; nobody writes to it. One
// that is longer than is held beside the mirror is none: it is found too long.
func (s *Store) heldLarge(db int, key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.eng.LongString(db, []byte(key), resp.Large)
	if most := s.mirror.longest(key); most > 0 && int64(len(v)) > most {
		return nil
	}
	return v
}
