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

// A server that was made a replica refuses a script at its first write, and answers
// reads. That is a refusal: the script is executed locally, and replayed.
func TestScriptAtARedisThatWasDemoted(t *testing.T) {
	for _, fenced := range []bool{true, false} {
		srv := redistest.Start(t)
		p := startProxy(t, srv.URL(), func(s *proxySettings) { s.fenceWrites = fenced })
		p.awaitMode(fallback.Online)
		c, d := p.client(), directClient(t, srv)
		const script = "return redis.call('INCRBY', KEYS[1], ARGV[1])"
		want := 0
		for range 10 {
			want++
			require.NoError(t, c.Eval(bg, script, []string{"aiclient:n"}, 1).Err())
			require.NoError(t, d.ReplicaOf(bg, "127.0.0.1", "1").Err())
			want++
			n, err := c.Eval(bg, script, []string{"aiclient:n"}, 1).Int()
			require.NoError(t, err, "fences %v", fenced)
			assert.Equal(t, want, n)
			require.NoError(t, d.ReplicaOf(bg, "NO", "ONE").Err())
			p.awaitMode(fallback.Online)
			n, err = d.Get(bg, "aiclient:n").Int()
			require.NoError(t, err)
			assert.Equal(t, want, n)
		}
	}
}
