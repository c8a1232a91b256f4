package main

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// A pipeline goes to a Redis that hangs and executes it later: writes that may
// be repeated must not be replayed over those that may not.
func TestRepeatableWriteIsNotReplayedOverALaterOne(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	c := p.client()
	require.NoError(t, c.Incr(ctx, "aiclient:other").Err())
	require.NoError(t, c.MSet(ctx, "aiclient:k", 1, "aiclient:b", 0).Err())
	require.NoError(t, c.RPush(ctx, "aiclient:l", "old").Err())
	p.awaitMirror()
	srv.Hang()
	var n *redis.IntCmd
	_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, "aiclient:k", 10, 0)
		n = pipe.Incr(ctx, "aiclient:k")
		pipe.Del(ctx, "aiclient:l")
		pipe.RPush(ctx, "aiclient:l", "x", "y")
		return nil
	})
	require.NoError(t, err)
	assert.EqualValues(t, 11, n.Val())
	srv.Resume()
	p.awaitMode(fallback.Online)
	d := directClient(t, srv)
	assert.Equal(t, "11", d.Get(ctx, "aiclient:k").Val())
	assert.Equal(t, []string{"x", "y"}, d.LRange(ctx, "aiclient:l", 0, -1).Val())
}

// The first fenced write of a protocol never reached Redis: the fence is not
// there because it was never made, not because somebody removed it.
func TestFirstWriteOfAProtocolIsReplayed(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	two := p.client(func(o *redis.Options) { o.Protocol = 2 })
	three := p.client(func(o *redis.Options) { o.Protocol = 3 })
	require.NoError(t, two.Set(ctx, "aiclient:b", 0, 0).Err())
	require.NoError(t, two.Incr(ctx, "aiclient:a").Err())
	require.NoError(t, three.Get(ctx, "aiclient:b").Err())
	p.awaitMirror()
	srv.Hang()
	n, err := three.Incr(ctx, "aiclient:b").Result()
	require.NoError(t, err)
	assert.EqualValues(t, 1, n)
	srv.Kill()
	srv.Start()
	p.awaitMode(fallback.Online)
	assert.Equal(t, "1", directClient(t, srv).Get(ctx, "aiclient:b").Val())
}
