package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"holdfast/backend/redistest"
	"holdfast/gateway/store"
)

// Redis dies while the refresh token is with the provider, which has spent it
// then: the new one must not get lost, and no other gateway may use the old one.
func TestRedisDiesDuringARefresh(t *testing.T) {
	for _, lease := range []string{"the lease is still there", "the lease has run out"} {
		t.Run(lease, func(t *testing.T) {
			f, a := newFixture(t), newAuthority(t)
			f.signedIn(a, "u", past())
			quick := func(c *Config) { c.ConnectTimeout, c.CommandTimeout = 500*time.Millisecond, 300*time.Millisecond }
			first, second := f.start(quick), f.start(quick)
			a.set(func(http.ResponseWriter, *http.Request) bool {
				if lease == "the lease has run out" {
					require.NoError(t, f.client.Del(t.Context(), "aiclient:token-lock:"+qwen+":u").Err())
				}
				f.server.Kill()
				return false
			})
			status, out, _ := first.asks(t)
			require.Equal(t, 200, status, out)
			a.set(nil)
			redistest.Eventually(t, patience, "status tells of the token", func() bool {
				st := first.status(t)
				return st.Get("stats.unsavedTokens").Int() == 1 && st.Get("queuedWrites").Int() >= 1
			})
			_, out, _ = first.do(t, http.MethodGet, "/metrics", "")
			require.Contains(t, out, "holdfast_gateway_tokens_unsaved 1")
			status, out, _ = first.asks(t)
			require.Equal(t, 200, status, out)
			status, out, head := second.asks(t)
			require.Equal(t, 503, status)
			require.Equal(t, "token_refresh_needs_redis", gjson.Get(out, "error.code").String(), out)
			require.NotEmpty(t, head.Get("Retry-After"))

			f.server.Start()
			redistest.Eventually(t, patience, "the other gateway uses the new token", func() bool {
				status, _, _ := second.asks(t)
				return status == 200
			})
			asked, revoked := a.grants()
			require.Equal(t, []any{1, false}, []any{asked, revoked})
			require.Contains(t, f.stored("u"), `"refresh_token" : "secret-refresh-1"`)
			require.Zero(t, first.status(t).Get("stats.unsavedTokens").Int())
			redistest.Eventually(t, patience, "the lease is given back", func() bool {
				return f.client.Exists(t.Context(), "aiclient:token-lock:"+qwen+":u").Val() == 0
			})
			f.counted(qwen, "u", "refreshCount", "1")
			f.noSecrets(first)
		})
	}
}

// Another gateway may hold a renewed token that Redis does not have: when Redis
// returns, it gets a moment to save it.
func TestNothingIsRenewedAsSoonAsRedisReturns(t *testing.T) {
	f, a := newFixture(t), newAuthority(t)
	f.signedIn(a, "u", past())
	g := f.start(func(c *Config) {
		c.ConnectTimeout, c.CommandTimeout, c.RefreshInterval = 500*time.Millisecond, 300*time.Millisecond, 700*time.Millisecond
	})
	f.server.Kill()
	status, out, _ := g.asks(t)
	require.Equal(t, "token_refresh_needs_redis", gjson.Get(out, "error.code").String(), out)
	require.Equal(t, 503, status)
	var asked time.Time
	a.set(func(http.ResponseWriter, *http.Request) bool { asked = time.Now(); return false })
	returned := time.Now()
	f.server.Start()
	redistest.Eventually(t, patience, "the token is renewed", func() bool {
		status, _, _ := g.asks(t)
		return status == 200
	})
	require.GreaterOrEqual(t, asked.Sub(returned), g.tokens.grace)
	require.Equal(t, 1, strings.Count(f.logs.String(), "redis not connected"), "and its return is believed")
}

// The answer to taking the lease is lost, but Redis had the command: it is ours,
// and nobody should wait for its end.
func TestALeaseInDoubtIsGivenBack(t *testing.T) {
	f, a := newFixture(t), newAuthority(t)
	f.signedIn(a, "u", past())
	g := f.start(func(c *Config) { c.ConnectTimeout, c.CommandTimeout = 500*time.Millisecond, 300*time.Millisecond })
	began := time.Now()
	f.server.Hang()
	status, out, _ := g.asks(t)
	require.Equal(t, 503, status, out)
	f.server.Resume()
	redistest.Eventually(t, patience, "the token is renewed", func() bool {
		status, _, _ := g.asks(t)
		return status == 200
	})
	require.Less(t, time.Since(began), store.LockLife)
	asked, _ := a.grants()
	require.Equal(t, 1, asked)
}

// The process ends while the only good refresh token is in its memory.
func TestEndWaitsForARefreshAndSavesIt(t *testing.T) {
	f, a := newFixture(t), newAuthority(t)
	f.signedIn(a, "u", time.Now().Add(time.Minute))
	taken, goOn := make(chan struct{}), make(chan struct{})
	a.set(func(http.ResponseWriter, *http.Request) bool { close(taken); <-goOn; return false })
	g := f.start(func(c *Config) { c.ConnectTimeout, c.CommandTimeout = 500*time.Millisecond, 300*time.Millisecond })
	status, out, _ := g.asks(t) // with the old token; the new one is on its way
	require.Equal(t, 200, status, out)
	<-taken
	done := make(chan error, 1)
	go func() { done <- g.stop() }()
	redistest.Eventually(t, patience, "draining", func() bool { return strings.Contains(f.logs.String(), "gateway draining") })
	f.server.Kill()
	close(goOn)
	redistest.Eventually(t, patience, "the token waits for Redis", func() bool { return g.tokens.unsavedTokens() == 1 })
	f.server.Start()
	require.NoError(t, <-done)
	require.Contains(t, f.stored("u"), "secret-refresh-1")
	require.Equal(t, "1", f.counter(qwen, "u", "refreshCount"))
}

func TestEndTellsOfATokenThatIsLost(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { // go-redis notices after a second that its pool was closed while it dialed
		redistest.Eventually(t, patience, "the dialing ends", func() bool { return goleak.Find(before) == nil })
	})
	f, a := newFixture(t), newAuthority(t)
	f.signedIn(a, "u", past())
	a.set(func(http.ResponseWriter, *http.Request) bool { f.server.Kill(); return false })
	g := f.start(func(c *Config) {
		c.ConnectTimeout, c.CommandTimeout, c.DrainTimeout = 200*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	})
	status, out, _ := g.asks(t)
	require.Equal(t, 200, status, out)
	require.ErrorContains(t, g.stop(), "save renewed tokens: 1 are lost")
	require.NotContains(t, f.logs.String(), "secret-")
}

// Redis comes back without any data: what is in use stays in use.
func TestAWipedRedisTakesNoTokenAway(t *testing.T) {
	f, a := newFixture(t), newAuthority(t)
	f.signedIn(a, "u", time.Now().Add(time.Minute)) // near its end: renewals are tried
	var g *started
	id := accountID{qwen, "u"}
	a.set(func(http.ResponseWriter, *http.Request) bool {
		require.NoError(t, f.client.FlushAll(t.Context()).Err())
		_, err := g.link.loader.tokens(t.Context(), g.link.snapshot())
		require.Error(t, err, "a poll that found accounts does not believe that all tokens are gone")
		g.tokens.adopt(map[accountID]string{id: ""}, g.tokens.renewals()) // and if it did
		return false
	})
	g = f.start()
	for range 3 {
		status, out, _ := g.asks(t)
		require.Equal(t, 200, status, out)
	}
	redistest.Eventually(t, patience, "the renewed token is used and kept", func() bool {
		status, _, _ := g.asks(t)
		a.mu.Lock()
		defer a.mu.Unlock()
		return status == 200 && a.used == "Bearer secret-access-1" && g.tokens.unsavedTokens() == 1
	})
	g.tokens.adopt(map[accountID]string{id: `{"access_token":"old"}`}, g.tokens.renewals())
	status, out, _ := g.asks(t)
	require.Equal(t, 200, status, "what is not saved is newer than what a poll finds: %s", out)
	f.token(qwen, "u", `{"access_token":"secret-access-1","refresh_token":"secret-refresh-1"}`)
	redistest.Eventually(t, patience, "what is stored now counts", func() bool { return g.tokens.unsavedTokens() == 0 })
}
