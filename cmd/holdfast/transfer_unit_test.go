package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// A unit that Redis needs longer for than the command time-out is no outage.
func TestALargeUnitIsNoOutage(t *testing.T) {
	const commands = 20_000
	ctx, srv := context.Background(), redistest.Start(t)
	p := startProxy(t, srv.URL(), func(s *proxySettings) { s.commandTimeout = 300 * time.Millisecond })
	p.awaitMode(fallback.Online)
	up := p.st.upstream.Status()
	c := p.client(func(o *redis.Options) { o.ReadTimeout = 2 * time.Minute })
	cmds, err := c.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		for i := range commands {
			tx.HSet(ctx, "aiclient:pools:big", fmt.Sprint("u", i), `{"uuid":"x"}`)
		}
		// Redis is silent to everybody for 0.6 s, whatever the machine.
		tx.Eval(ctx, `local t = redis.call('TIME') local e = t[1] * 1000000 + t[2] + 600000
			repeat t = redis.call('TIME') until t[1] * 1000000 + t[2] > e return 1`, nil)
		return nil
	})
	require.NoError(t, err)
	require.Len(t, cmds, commands+1)
	require.EqualValues(t, commands, directClient(t, srv).HLen(ctx, "aiclient:pools:big").Val())
	now := p.st.upstream.Status()
	require.Zero(t, now.Reconnects, now.LastError)
	require.Equal(t, up.LastConnectedAt, now.LastConnectedAt)
	require.NotContains(t, p.logs.String(), "upstream lost")
}
