package main

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// What a blocking command took is gone in the outage that begins right behind its
// answer: nobody gets the same job twice, and no other one is lost for it.
func TestWhatBlockingCommandsTookIsGone(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	c, w := p.client(), p.client()
	for _, key := range []string{"aiclient:l", "aiclient:r", "aiclient:m", "aiclient:mp"} {
		require.NoError(t, c.RPush(ctx, key, "1", "2", "3", "1").Err())
	}
	require.NoError(t, c.ZAdd(ctx, "aiclient:z", redis.Z{Score: 1, Member: "a"}, redis.Z{Score: 2, Member: "b"}, redis.Z{Score: 3, Member: "c"}).Err())
	p.awaitMirror()
	require.NoError(t, w.BLPop(ctx, time.Second, "aiclient:l").Err())
	require.NoError(t, w.BRPop(ctx, time.Second, "aiclient:r").Err())
	require.NoError(t, w.BLMove(ctx, "aiclient:m", "aiclient:to", "left", "right", time.Second).Err())
	require.NoError(t, w.BLMPop(ctx, time.Second, "right", 2, "none", "aiclient:mp").Err())
	require.NoError(t, w.BZPopMin(ctx, time.Second, "aiclient:z").Err())
	require.NoError(t, w.BZMPop(ctx, time.Second, "max", 1, "aiclient:z").Err())
	srv.Kill()
	p.awaitMode(fallback.Offline)
	list := func(key string) []string { return c.LRange(ctx, key, 0, -1).Val() }
	check := func(when string) {
		assert.Equal(t, []string{"2", "3", "1"}, list("aiclient:l"), when)
		assert.Equal(t, []string{"1", "2", "3"}, list("aiclient:r"), when)
		assert.Equal(t, []string{"2", "3", "1"}, list("aiclient:m"), when)
		assert.Equal(t, []string{"1"}, list("aiclient:to"), when)
		assert.Equal(t, []string{"1", "2"}, list("aiclient:mp"), when)
		assert.Equal(t, []string{"b"}, c.ZRange(ctx, "aiclient:z", 0, -1).Val(), when)
	}
	check("offline")
	srv.Start()
	p.awaitMode(fallback.Online)
	check("at Redis")
}

// A Redis that is out of memory takes what frees memory, as it does without us.
func TestOutOfMemoryLetsQueuesBeDrained(t *testing.T) {
	ctx := context.Background()
	srv, p := online(t)
	c, d := p.client(), directClient(t, srv)
	require.NoError(t, c.RPush(ctx, "aiclient:q", "1", "2", "3").Err())
	require.NoError(t, c.ZAdd(ctx, "aiclient:z", redis.Z{Score: 1, Member: "a"}).Err())
	require.NoError(t, d.ConfigSet(ctx, "maxmemory", "1").Err())
	assert.Equal(t, "1", c.LPop(ctx, "aiclient:q").Val())
	assert.Equal(t, []redis.Z{{Score: 1, Member: "a"}}, c.ZPopMin(ctx, "aiclient:z").Val())
	var popped, pushed *redis.StringCmd
	_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		popped = pipe.LPop(ctx, "aiclient:q")
		pushed = pipe.LPop(ctx, "aiclient:q")
		pipe.RPush(ctx, "aiclient:q", "4")
		return nil
	})
	assert.ErrorContains(t, err, "OOM ", "what needs memory is refused")
	assert.Equal(t, []string{"2", "3"}, []string{popped.Val(), pushed.Val()})
	assert.Empty(t, d.LRange(ctx, "aiclient:q", 0, -1).Val())
}

// What Redis refuses in a pipeline is asked again behind the rest of it. Reads keep
// their place all the same: behind the writes before them, before those behind them.
func TestReadsOfARefusedPipelineKeepTheirPlace(t *testing.T) {
	ctx := context.Background()
	srv, p := online(t)
	c, d := p.client(), directClient(t, srv)
	for range 20 { // whatever is cached meanwhile
		require.NoError(t, d.ConfigSet(ctx, "maxmemory", "0").Err())
		require.NoError(t, d.FlushAll(ctx).Err())
		require.NoError(t, d.RPush(ctx, "aiclient:q", "1", "2", "3").Err())
		require.NoError(t, d.MSet(ctx, "aiclient:a", "1", "aiclient:b", "2", "aiclient:c", "3").Err())
		require.NoError(t, d.ConfigSet(ctx, "maxmemory", "1").Err())
		cmds, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.RPush(ctx, "aiclient:q", "4") // refused, and with it the group
			pipe.LPop(ctx, "aiclient:q")       // so this is asked again
			pipe.Get(ctx, "aiclient:a")
			pipe.Del(ctx, "aiclient:a")
			pipe.LRange(ctx, "aiclient:q", 0, -1)
			pipe.MGet(ctx, "aiclient:a", "aiclient:b")
			pipe.Exists(ctx, "aiclient:q", "aiclient:b", "aiclient:c")
			pipe.Del(ctx, "aiclient:b", "aiclient:q")
			pipe.Keys(ctx, "aiclient:*")
			pipe.Del(ctx, "aiclient:c")
			pipe.Keys(ctx, "aiclient:*")
			return nil
		})
		require.ErrorContains(t, err, "OOM ")
		var got []any
		for _, cmd := range cmds[1:] {
			switch v := cmd.(type) {
			case *redis.StringCmd:
				got = append(got, v.Val())
			case *redis.IntCmd:
				got = append(got, v.Val())
			case *redis.StringSliceCmd:
				got = append(got, v.Val())
			case *redis.SliceCmd:
				got = append(got, v.Val())
			}
		}
		require.Equal(t, []any{"1", "1", int64(1), []string{"2", "3"}, []any{nil, "2"}, int64(3), int64(2), []string{"aiclient:c"}, int64(1), []string{}}, got)
	}
}
