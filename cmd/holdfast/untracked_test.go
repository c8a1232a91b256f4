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

// Where Redis announces no changes, a reply is served for a second and a half, whatever
// --max-age says.
func TestWithoutTrackingRepliesAreShortLived(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	d := directClient(t, srv)
	require.NoError(t, d.Do(ctx, "ACL", "SETUSER", "old", "on", ">pw", "~*", "&*", "+@all", "-client|tracking").Err())
	p := startProxy(t, "redis://old:pw@"+srv.Addr(), func(s *proxySettings) { s.maxAge = 5 * time.Minute })
	p.awaitMode(fallback.Online)
	require.False(t, p.st.server.Status().Cache.Coherent)
	c := p.client()
	require.NoError(t, d.Set(ctx, "k", "old", 0).Err())
	require.NoError(t, d.HSet(ctx, "h", "f", "old").Err())
	read := func() [3]string {
		return [3]string{c.Get(ctx, "k").Val(), c.HGet(ctx, "h", "f").Val(), c.Get(ctx, "none").Val()}
	}
	require.Equal(t, [3]string{"old", "old", ""}, read())
	require.Equal(t, [3]string{"old", "old", ""}, read())
	hits := p.st.server.Status().Cache.Hits
	assert.Positive(t, hits, "it is a cache all the same")
	_, err := d.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, "k", "new", 0)
		pipe.HSet(ctx, "h", "f", "new")
		pipe.Set(ctx, "none", "new", 0)
		return nil
	})
	require.NoError(t, err)
	time.Sleep(1500 * time.Millisecond) // the promise is about time
	assert.Equal(t, [3]string{"new", "new", "new"}, read())
}
