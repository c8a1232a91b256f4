package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// An error that a script, or DEBUG ERROR, makes up is not a word of the server: it is
// passed on, the script runs once, and Redis is not away.
func TestAnErrorThatLooksLikeARefusal(t *testing.T) {
	for _, fenced := range []bool{true, false} {
		srv := redistest.Start(t, "--enable-debug-command", "yes")
		p := startProxy(t, srv.URL(), func(s *proxySettings) { s.fenceWrites = fenced })
		p.awaitMode(fallback.Online)
		c, d := p.client(), directClient(t, srv)
		for i, text := range []string{"LOADING no", "READONLY no", "MASTERDOWN no", "CLUSTERDOWN no", "UPSTREAMDOWN no", "BUSY no", "EXECABORT no", "STALE no"} {
			err := c.Do(bg, "EVAL", "redis.call('INCR', KEYS[1]) return redis.error_reply(ARGV[1])", "1", "aiclient:n", text).Err()
			assert.EqualError(t, err, text)
			assert.EqualError(t, c.Do(bg, "EVAL_RO", "return redis.error_reply(ARGV[1])", "0", text).Err(), text)
			assert.EqualError(t, c.Do(bg, "DEBUG", "ERROR", text).Err(), text)
			n, err := d.Get(bg, "aiclient:n").Int()
			require.NoError(t, err)
			assert.Equal(t, i+1, n, "each ran once: %s", text)
		}
		assert.Equal(t, fallback.Online, p.st.store.Mode())
		assert.NotContains(t, p.logs.String(), "upstream lost")
	}
}
