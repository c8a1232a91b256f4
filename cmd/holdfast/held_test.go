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

// A counter that nobody ever reads goes on counting when Redis is away: in the
// base database, in another one, and inside MULTI.
func TestKeysThatAreOnlyWrittenGoOnInAnOutage(t *testing.T) {
	ctx := context.Background()
	srv, p := online(t)
	c := p.client()
	one := p.client(func(o *redis.Options) { o.DB = 1 })
	require.NoError(t, c.Incr(ctx, "visits").Err())
	require.NoError(t, one.Incr(ctx, "visits").Err())
	require.NoError(t, c.LPush(ctx, "queue", "a").Err())
	_, err := c.TxPipelined(ctx, func(tx redis.Pipeliner) error { return tx.HIncrBy(ctx, "hash", "f", 5).Err() })
	require.NoError(t, err)
	keys := func() int { return p.st.store.Status().Keys }
	redistest.Eventually(t, patience, "what was written is held", func() bool { return keys() >= 4 })

	srv.Kill()
	p.awaitMode(fallback.Offline)
	assert.EqualValues(t, 2, c.Incr(ctx, "visits").Val())
	assert.EqualValues(t, 2, one.Incr(ctx, "visits").Val())
	assert.EqualValues(t, 2, c.LPush(ctx, "queue", "b").Val())
	assert.EqualValues(t, 6, c.HIncrBy(ctx, "hash", "f", 1).Val())

	srv.Start()
	p.awaitMode(fallback.Online)
	assert.Equal(t, "2", directClient(t, srv).Get(ctx, "visits").Val())
}
