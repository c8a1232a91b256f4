package fallback

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A large collection beside the mirror is not read at all, whether it has many
// elements or large ones; a small one is.
func TestLargeCollectionsAreNotFetched(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MirrorBytes = 1 << 20 })
	ctx := context.Background()
	payload := strings.Repeat("j", 40<<10)
	for i := range 100 {
		require.NoError(t, r.direct.RPush(ctx, "few", payload+strconv.Itoa(i)).Err())
	}
	for i := 0; i < 30_000; i += 1000 {
		p := r.direct.Pipeline()
		for j := i; j < i+1000; j++ {
			m := fmt.Sprintf("%s-%d", strings.Repeat("j", 90), j)
			p.RPush(ctx, "list", m)
			p.SAdd(ctx, "set", m)
			p.Do(ctx, "ZADD", "zset", j, m)
			p.HSet(ctx, "hash", m, "v")
			p.Do(ctx, "XADD", "stream", "*", "f", m)
		}
		_, err := p.Exec(ctx)
		require.NoError(t, err)
	}
	r.redis("RPUSH", "small", "a", "b")
	r.loaded()
	large := []string{"few", "list", "set", "zset", "hash", "stream"}
	before := r.sent()
	for range 3 {
		for _, k := range append(large, "small") {
			r.store.Read(0, []byte(k))
		}
		r.settle()
		r.redis("RPUSH", "list", "one more")
		r.store.Invalidate(words("list"))
		r.settle()
	}
	require.Less(t, r.sent()-before, int64(64<<10), "bytes that Redis sent")
	r.lost()
	for _, k := range large {
		refused(t, r.do("TYPE", k))
	}
	require.Equal(t, ":2\r\n", r.do("LLEN", "small"))
}

// A user who may not ask for the memory is bounded by the number of elements.
func TestLargeCollectionsAreCountedWithoutMemoryUsage(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MirrorBytes = 1 << 20 })
	for i := 0; i < 20_000; i += 1000 {
		args := []any{"RPUSH", "jobs"}
		for j := range 1000 {
			args = append(args, i+j)
		}
		r.redis(args...)
	}
	r.redis("RPUSH", "small", "a", "b")
	r.redis("ACL", "SETUSER", "default", "-memory")
	r.loaded()
	before := r.sent()
	r.store.Read(0, []byte("jobs"))
	r.store.Read(0, []byte("small"))
	r.settle()
	require.Less(t, r.sent()-before, int64(64<<10), "bytes that Redis sent")
	r.lost()
	refused(t, r.do("LLEN", "jobs"))
	require.Equal(t, ":2\r\n", r.do("LLEN", "small"))
}

// sent is how many bytes Redis has sent so far.
func (r *rig) sent() int64 {
	for _, l := range strings.Split(r.direct.Info(context.Background(), "stats").Val(), "\r\n") {
		if v, ok := strings.CutPrefix(l, "total_net_output_bytes:"); ok {
			n, _ := strconv.ParseInt(v, 10, 64)
			return n
		}
	}
	return 0
}
