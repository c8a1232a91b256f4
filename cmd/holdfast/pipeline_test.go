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

// A Redis that was made a replica refuses the write of a pipeline and would
// answer the read behind it: the client must not see the one without the other.
func TestReadBehindARefusedWriteSeesIt(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	c, d := p.client(), directClient(t, srv)
	require.NoError(t, c.RPush(ctx, "aiclient:l", "a").Err())
	require.NoError(t, c.Set(ctx, "aiclient:s", "a", 0).Err())
	p.awaitMirror()
	require.NoError(t, d.ReplicaOf(ctx, "127.0.0.1", "1").Err())
	var list *redis.StringSliceCmd
	var str *redis.StringCmd
	unit := redis.NewCmd(ctx, "EXEC")
	_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.RPush(ctx, "aiclient:l", "b")
		list = pipe.LRange(ctx, "aiclient:l", 0, -1)
		pipe.Set(ctx, "aiclient:s", "b", 0)
		str = pipe.Get(ctx, "aiclient:s")
		pipe.Do(ctx, "MULTI")
		pipe.Do(ctx, "GET", "aiclient:s")
		pipe.Do(ctx, "LLEN", "aiclient:l")
		return pipe.Process(ctx, unit)
	})
	require.NoError(t, err)
	assert.Equal(t, []any{"b", int64(2)}, unit.Val(), "a unit that only reads")
	assert.Equal(t, []string{"a", "b"}, list.Val())
	assert.Equal(t, "b", str.Val())
	require.NoError(t, d.ReplicaOf(ctx, "NO", "ONE").Err())
	p.awaitMode(fallback.Online)
	assert.Equal(t, []string{"a", "b"}, d.LRange(ctx, "aiclient:l", 0, -1).Val())
}

// A Redis that is made a master again in the middle of a pipeline refuses what came
// before and takes what comes behind: the first must not be made up for at the end.
func TestRefusedWriteDoesNotLandBehindALaterOne(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	c, d := p.client(), directClient(t, srv)
	require.NoError(t, c.Set(ctx, "aiclient:k", "before", 0).Err())
	p.awaitMirror()
	require.NoError(t, d.ReplicaOf(ctx, "127.0.0.1", "1").Err())
	var first, second *redis.StatusCmd
	_, _ = c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		first = pipe.Set(ctx, "aiclient:k", "first", 0)
		pipe.Do(ctx, "REPLICAOF", "NO", "ONE")
		second = pipe.Set(ctx, "aiclient:k", "second", 0)
		return nil
	})
	require.NoError(t, second.Err())
	assert.ErrorContains(t, first.Err(), "READONLY")
	p.awaitMode(fallback.Online)
	assert.Equal(t, "second", d.Get(ctx, "aiclient:k").Val())
	assert.Equal(t, "second", c.Get(ctx, "aiclient:k").Val())
}

// Every WATCH adds to the ones before it.
func TestSecondWatchKeepsTheFirst(t *testing.T) {
	ctx := context.Background()
	p := startProxy(t, "")
	c, other := p.client(func(o *redis.Options) { o.PoolSize = 1 }), p.client()
	conn := c.Conn()
	defer conn.Close()
	require.NoError(t, conn.Do(ctx, "WATCH", "a").Err())
	require.NoError(t, conn.Do(ctx, "WATCH", "b").Err())
	require.NoError(t, other.Set(ctx, "a", 99, 0).Err())
	require.NoError(t, conn.Do(ctx, "MULTI").Err())
	require.NoError(t, conn.Do(ctx, "SET", "c", 1).Err())
	assert.ErrorIs(t, conn.Do(ctx, "EXEC").Err(), redis.Nil)
	assert.ErrorIs(t, other.Get(ctx, "c").Err(), redis.Nil)
}
