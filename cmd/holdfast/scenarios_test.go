package main

import (
	"context"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
	"holdfast/fallback/deadletter"
)

// Redis is there and will not serve, for one reason after the other. Clients go
// on, and what they wrote arrives once when the reason has gone.
func TestRedisThatWillNotServe(t *testing.T) {
	ctx := context.Background()
	for name, s := range map[string]struct {
		away, back func(t *testing.T, srv *redistest.Server, d *redis.Client)
		says       string // in the last error of the upstream
	}{
		"password changed": {
			away: func(t *testing.T, _ *redistest.Server, d *redis.Client) {
				require.NoError(t, d.Do(ctx, "ACL", "SETUSER", "app", "resetpass", ">other").Err())
				require.NoError(t, d.Do(ctx, "CLIENT", "KILL", "USER", "app").Err())
			},
			back: func(t *testing.T, _ *redistest.Server, d *redis.Client) {
				require.NoError(t, d.Do(ctx, "ACL", "SETUSER", "app", "resetpass", ">secret").Err())
			},
			says: "credentials",
		},
		"master down": {
			away: func(t *testing.T, _ *redistest.Server, d *redis.Client) {
				require.NoError(t, d.ConfigSet(ctx, "replica-serve-stale-data", "no").Err())
				host, port, _ := strings.Cut(redistest.Reserve(t).Addr(), ":")
				require.NoError(t, d.Do(ctx, "REPLICAOF", host, port).Err())
			},
			back: func(t *testing.T, _ *redistest.Server, d *redis.Client) {
				require.NoError(t, d.Do(ctx, "REPLICAOF", "NO", "ONE").Err())
			},
			says: "MASTERDOWN",
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := redistest.Start(t)
			d := directClient(t, srv)
			require.NoError(t, d.Do(ctx, "ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all").Err())
			p := startProxy(t, "redis://app:secret@"+srv.Addr())
			p.awaitMode(fallback.Online)
			a := &tally{t: t, c: p.client()}
			a.write("online", 3)
			p.awaitMirror()
			s.away(t, srv, d)
			p.awaitMode(fallback.Offline)
			a.write("away", 20)
			redistest.Eventually(t, patience, "the reason shows", func() bool {
				return strings.Contains(p.st.upstream.Status().LastError, s.says)
			})
			s.back(t, srv, d)
			p.awaitMode(fallback.Online)
			a.write("back", 3)
			a.holds(d, "everything once")
			assert.NotContains(t, p.logs.String(), "secret")
			assert.Zero(t, p.st.store.Status().DeadLetters)
		})
	}
}

// Another, empty Redis answers at the address. What was never sent is applied to
// it; what the old one had is not made up.
func TestRedisReplacedByAnother(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	p := startProxy(t, srv.URL(), func(s *proxySettings) { s.conflict = deadletter.Theirs })
	p.awaitMode(fallback.Online)
	c := p.client()
	require.NoError(t, c.Set(ctx, "aiclient:old", 1, 0).Err())
	p.awaitMirror()
	srv.Kill() // without persistence: it comes back empty, under another run id
	p.awaitMode(fallback.Offline)
	require.NoError(t, c.Set(ctx, "aiclient:new", 2, 0).Err())
	require.NoError(t, c.Set(ctx, "aiclient:old", 3, 0).Err())
	srv.Start()
	p.awaitMode(fallback.Online)
	d := directClient(t, srv)
	assert.Equal(t, []any{"3", "2"}, d.MGet(ctx, "aiclient:old", "aiclient:new").Val())
	assert.Zero(t, p.st.store.Status().DeadLetters)
	assert.Zero(t, p.st.store.Status().Conflicts, "nobody changed it: it is another server")
}
