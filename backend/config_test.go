package backend

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

func TestMalformedURLsNeverShowThePassword(t *testing.T) {
	for _, raw := range []string{
		"", "localhost:6379", "http://user:s3cret@h/0", "redis://user:s3c/s3cret@h:6379/0", "redis://user/s3cret@h", "redis://:s3cret@h/x",
		"redis://:s3cret@h:port/0", "redis://h/0?password=s3cret&nope=1", "redis://:s3cret%zz@h/0", "redis-sentinel://:s3cret@h:1",
		"redis-sentinel://:s3cret%zz@h:1/m", "redis-sentinel://:s3cret@h:1/m?db=x", "redis://:s3cret@h/-1", "redis://user@h/0", "s3cret",
		"redis://:s3cret@h/0/1",
	} {
		_, err := Open(Config{URL: raw})
		require.Error(t, err, raw)
		require.NotContains(t, err.Error(), "s3c", raw)
	}
	_, err := Open(Config{URL: "redis://localhost/x"})
	require.ErrorContains(t, err, "invalid database number", "without credentials the reason is told")
}

func TestURLs(t *testing.T) {
	for raw, want := range map[string]string{
		"redis://user:s3cret@h:1234/3":                     "redis://h:1234/3",
		"redis://h":                                        "redis://h:6379/0",
		"rediss://:s3cret@h/1":                             "rediss://h:6379/1",
		"unix:///run/redis.sock?db=2":                      "unix:///run/redis.sock?db=2",
		"redis-sentinel://u:s3%40cret@a:1,b/mymaster?db=4": "redis-sentinel://a:1,b:26379/mymaster?db=4",
		"redis-sentinel://u:s3%40cret@a:1,b/mymaster/5":    "redis-sentinel://a:1,b:26379/mymaster?db=5",
	} {
		u, err := Open(Config{URL: raw})
		require.NoError(t, err, raw)
		require.Equal(t, want, u.SafeURL())
	}
	u, err := Open(Config{URL: "redis-sentinel://u:s3%40cret@a:1,b/mymaster?db=4"})
	require.NoError(t, err)
	require.Equal(t, []any{"u", "s3@cret", 4, "mymaster"}, []any{u.target.user, u.target.password, u.DB(), u.target.master})
	u, err = Open(Config{URL: "redis://a:b@h", Username: "c", Password: "d"})
	require.NoError(t, err)
	require.Equal(t, "c", u.target.user)
	require.Equal(t, "d", u.target.password)
}

func TestBadConfig(t *testing.T) {
	_, err := Open(Config{URL: "redis://h", PingInterval: -time.Second})
	require.ErrorContains(t, err, "PingInterval")
	_, err = Open(Config{URL: "redis://h", TrackPrefixes: []string{"a", "ab"}})
	require.ErrorContains(t, err, "overlap")
}

func TestCredentials(t *testing.T) {
	srv := redistest.Start(t, "--requirepass", "s3cret")
	for _, cfg := range []Config{{}, {Password: "wr0ng"}, {Username: "nobody", Password: "s3cret"}} {
		cfg.URL = srv.URL()
		ev := &recorder{}
		u := run(t, cfg, ev)
		redistest.Eventually(t, bound, "the refusal shows", func() bool { return u.Status().LastError != "" })
		require.Contains(t, u.Status().LastError, ErrAuth.Error())
		for _, secret := range []string{"s3cret", "wr0ng", "nobody"} {
			require.NotContains(t, u.Status().LastError, secret)
		}
		require.False(t, u.Up())
		require.Zero(t, ev.connected.Load())
	}
	u := runUp(t, Config{URL: srv.URL(), Password: "s3cret"}, &recorder{})
	require.Equal(t, "+PONG\r\n", do(t, u, "PING"))
	s, err := u.OpenSession(context.Background(), 3, 2)
	require.NoError(t, err)
	require.NotZero(t, s.ID())
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
}

func TestServerWithoutHello(t *testing.T) {
	srv := redistest.Start(t, "--requirepass", "s3cret", "--rename-command", "HELLO", "")
	u := runUp(t, Config{URL: srv.URL(), Password: "s3cret"}, &recorder{})
	require.False(t, u.Status().Info.Coherent, "no RESP3, no pushes")
	require.Equal(t, "+PONG\r\n", do(t, u, "PING"))
	require.ErrorIs(t, u.Do(3, 0, call("PING")), ErrProto)
	require.Equal(t, "+PONG\r\n", do(t, u, "PING"), "the client's wish for RESP3 is no outage")
}
