package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// A Redis that lets the connections live that it has, and takes no new ones, is
// away: writes are journaled, status and one line of the log say why, and when it
// takes connections again they arrive.
func TestRedisThatTakesNoNewConnectionsIsAway(t *testing.T) {
	for name, tc := range map[string]struct{ setting, value, before, cause string }{
		"password":   {"requirepass", "other", "", "refused the credentials"},
		"maxclients": {"maxclients", "1", "10000", "max number of clients"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			srv := redistest.Start(t, durable...)
			p := startProxy(t, srv.URL())
			p.awaitMode(fallback.Online)
			old := p.client(func(o *redis.Options) { o.Protocol = 2 })
			require.NoError(t, old.Set(ctx, "aiclient:n", 1, 0).Err())
			p.awaitMirror()
			admin := directClient(t, srv).Conn() // one connection, which stays
			defer admin.Close()
			require.NoError(t, admin.ConfigSet(ctx, tc.setting, tc.value).Err())

			// RESP3 needs a connection of its own to Redis.
			c := p.client(func(o *redis.Options) { o.Protocol = 3 })
			for i := range 50 {
				n, err := c.Incr(ctx, "aiclient:n").Result()
				require.NoError(t, err)
				require.EqualValues(t, 2+i, n)
			}
			p.awaitMode(fallback.Offline)
			redistest.Eventually(t, patience, "status says why", func() bool {
				st := p.st.server.Status()
				return !st.Connected && strings.Contains(st.LastError, tc.cause)
			})
			require.NoError(t, admin.ConfigSet(ctx, tc.setting, tc.before).Err())
			p.awaitMode(fallback.Online)
			assert.Equal(t, "51", admin.Get(ctx, "aiclient:n").Val())
			logs := p.logs.String()
			assert.LessOrEqual(t, strings.Count(logs, tc.cause), 2, "one line for each cause, not for each attempt or command")
			assert.LessOrEqual(t, strings.Count(logs, "upstream state"), 12)
		})
	}
}

// A Redis with hardly any room: whatever has no connection, clients have answers
// and the log has no line for each try.
func TestRedisWithTooFewConnections(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	old := p.client(func(o *redis.Options) { o.Protocol = 2 })
	require.NoError(t, old.Set(ctx, "aiclient:m", 0, 0).Err())
	p.awaitMirror()
	admin := directClient(t, srv).Conn()
	defer admin.Close()
	require.NoError(t, admin.ConfigSet(ctx, "maxclients", "4").Err())
	c, n := p.client(func(o *redis.Options) { o.Protocol = 3 }), 0
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); n++ {
		require.NoError(t, c.Incr(ctx, "aiclient:n").Err())
		require.NoError(t, old.Incr(ctx, "aiclient:m").Err())
		time.Sleep(5 * time.Millisecond)
	}
	assert.LessOrEqual(t, strings.Count(p.logs.String(), "max number of clients"), 12)
	require.NoError(t, admin.ConfigSet(ctx, "maxclients", "10000").Err())
	p.awaitMode(fallback.Online)
	assert.Equal(t, fmt.Sprint(n), admin.Get(ctx, "aiclient:n").Val())
	assert.Equal(t, fmt.Sprint(n), admin.Get(ctx, "aiclient:m").Val())
}

// A client that asks for a database that is not there is no outage, and fills no log.
func TestDatabaseThatIsNotThereIsTheClientsAffair(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t, "--databases", "2")
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	c := p.client().Conn()
	defer c.Close()
	for range 50 {
		_ = c.Select(ctx, 9).Err()
		_ = c.Set(ctx, "k", 1, 0).Err()
	}
	assert.Equal(t, fallback.Online, p.st.store.Mode())
	assert.NotContains(t, p.logs.String(), "suspect")
}
