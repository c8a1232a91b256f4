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

// A client pauses Redis through the proxy for longer than a command may take. That
// is an outage like any other: the others are answered meanwhile, and each of their
// writes takes effect once, also the one that Redis had kept waiting.
func TestClientPauseIsAnOutage(t *testing.T) {
	for _, mode := range []string{"WRITE", "ALL"} {
		t.Run(mode, func(t *testing.T) {
			ctx := context.Background()
			srv := redistest.Start(t)
			p := startProxy(t, srv.URL())
			p.awaitMode(fallback.Online)
			p.awaitMirror()
			c := p.client()
			require.NoError(t, c.Incr(ctx, "aiclient:n").Err())
			pause := 3 * p.st.settings.commandTimeout
			require.NoError(t, c.Do(ctx, "CLIENT", "PAUSE", pause.Milliseconds(), mode).Err())
			for want := int64(2); want <= 6; want++ {
				got, err := c.Incr(ctx, "aiclient:n").Result()
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
			p.awaitMode(fallback.Online)
			direct := redis.NewClient(&redis.Options{Addr: srv.Addr(), ReadTimeout: time.Minute})
			defer direct.Close()
			assert.Equal(t, "6", direct.Get(ctx, "aiclient:n").Val())
			assert.Zero(t, p.st.store.Status().QueuedWrites)
			assert.Zero(t, p.st.store.Status().DeadLetters)
		})
	}
}
