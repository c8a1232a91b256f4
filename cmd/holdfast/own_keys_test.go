package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// startFenced runs a Redis with the fences of two proxies in databases 0 and 3, and
// gives the second one. The first is idle since before the second came.
func startFenced(t *testing.T) (*redistest.Server, *running) {
	t.Helper()
	ctx := context.Background()
	srv := redistest.Start(t, "--notify-keyspace-events", "KEA")
	fence := func(p *running) {
		p.awaitMode(fallback.Online)
		for _, db := range []int{0, 3} {
			for _, proto := range []int{2, 3} {
				c := p.client(func(o *redis.Options) { o.DB, o.Protocol = db, proto })
				require.NoError(t, c.Incr(ctx, "n").Err())
				require.NoError(t, c.Set(ctx, "other", "x", 0).Err())
			}
		}
	}
	fence(startProxy(t, srv.URL()))
	p := startProxy(t, srv.URL())
	fence(p)
	own, err := directClient(t, srv).Keys(ctx, "{holdfast}:*").Result()
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(own), 4, "the fences that are to be hidden")
	return srv, p
}

// Our own keys are nobody's business: what shows the keyspace shows that of the clients.
func TestOwnKeysAreNotShown(t *testing.T) {
	ctx := context.Background()
	srv, p := startFenced(t)
	for _, proto := range []int{2, 3} {
		for _, db := range []int{0, 3} {
			c := p.client(func(o *redis.Options) { o.DB, o.Protocol = db, proto })
			size, err := c.DBSize(ctx).Result()
			require.NoError(t, err)
			assert.EqualValues(t, 2, size)
			keys, err := c.Keys(ctx, "*").Result()
			require.NoError(t, err)
			assert.ElementsMatch(t, []string{"n", "other"}, keys)
			assert.Empty(t, c.Keys(ctx, "{holdfast}*").Val())
			assert.ElementsMatch(t, []string{"n", "other"}, scanAll(t, c))
			for range 100 {
				assert.Contains(t, []string{"n", "other"}, c.RandomKey(ctx).Val())
			}
			info := c.Info(ctx, "keyspace").Val()
			assert.Contains(t, info, "db0:keys=2,")
			assert.Contains(t, info, "db3:keys=2,")
		}
	}
	assert.Positive(t, p.st.server.Status().OwnKeys)

	c := p.client()
	own := directClient(t, srv).Keys(ctx, "{holdfast}:*").Val()
	for _, key := range own {
		assert.Zero(t, c.Exists(ctx, key).Val())
		assert.EqualValues(t, 1, c.Exists(ctx, key, "n").Val())
		assert.Equal(t, "none", c.Type(ctx, key).Val())
		assert.Equal(t, redis.Nil, c.Get(ctx, key).Err())
		assert.Equal(t, redis.Nil, c.ObjectEncoding(ctx, key).Err())
		assert.ErrorContains(t, c.Set(ctx, key, 1, 0).Err(), "Holdfast")
		assert.ErrorContains(t, c.Del(ctx, "n", key).Err(), "Holdfast")
		assert.NoError(t, c.Set(ctx, "other", key, 0).Err(), "as a value it is like any other")
	}
	require.NoError(t, c.FlushDB(ctx).Err())
	assert.Zero(t, c.DBSize(ctx).Val())
	assert.Equal(t, redis.Nil, c.RandomKey(ctx).Err())
	assert.NotContains(t, c.Info(ctx, "keyspace").Val(), "db0:")
	require.NoError(t, c.Incr(ctx, "one").Err())
	assert.EqualValues(t, 1, c.DBSize(ctx).Val())
	for range 30 {
		assert.Equal(t, "one", c.RandomKey(ctx).Val(), "never nil while there is a key")
	}
	require.NoError(t, c.FlushAll(ctx).Err())
	assert.NotContains(t, c.Info(ctx, "keyspace").Val(), "db")
	assert.Equal(t, "1", directClient(t, srv).Do(ctx, "DBSIZE").String()[len("DBSIZE: "):], "the fence is set with the flush")
}

func scanAll(t *testing.T, c *redis.Client) (found []string) {
	it := c.Scan(context.Background(), 0, "", 2).Iterator()
	for it.Next(context.Background()) {
		found = append(found, it.Val())
	}
	require.NoError(t, it.Err())
	return found
}

// In a unit, with and without watched keys, in a pipeline, and on a connection that has
// state at Redis.
func TestOwnKeysAreNotShownInUnits(t *testing.T) {
	_, p := startFenced(t)
	raw := dialRaw(t, p.addr())
	unit := func(first ...string) string {
		if len(first) > 0 {
			require.Equal(t, "+OK\r\n", raw.do(first...))
		}
		require.Equal(t, "+OK\r\n", raw.do("MULTI"))
		for _, cmd := range [][]string{{"INCR", "n2"}, {"DBSIZE"}, {"RANDOMKEY"}, {"GET", "other"}, {"KEYS", "*"}, {"DEL", "n", "n2", "other"},
			{"DBSIZE"}, {"SCAN", "0", "COUNT", "100"}, {"SET", "other", "x"}, {"SET", "n", "1"}} {
			require.Equal(t, "+QUEUED\r\n", raw.do(cmd...))
		}
		return raw.do("EXEC")
	}
	for _, first := range [][]string{nil, {"WATCH", "n"}} {
		got := unit(first...)
		assert.True(t, strings.HasPrefix(got, "*10\r\n:1\r\n:3\r\n$"), got)
		assert.Contains(t, got, "\r\n:3\r\n:0\r\n*2\r\n$1\r\n0\r\n*0\r\n+OK\r\n+OK\r\n", got)
		assert.NotContains(t, got, "holdfast")
	}
	raw.send("SET", "n", "5")
	raw.send("DBSIZE")
	raw.send("RANDOMKEY")
	raw.send("INCR", "n")
	raw.send("KEYS", "n*")
	assert.Equal(t, "+OK\r\n", string(raw.next()))
	assert.Equal(t, ":2\r\n", string(raw.next()))
	assert.NotContains(t, string(raw.next()), "holdfast")
	assert.Equal(t, ":6\r\n", string(raw.next()))
	assert.Equal(t, "*1\r\n$1\r\nn\r\n", string(raw.next()))

	tracking := dialRaw(t, p.addr())
	tracking.do("HELLO", "3")
	require.Equal(t, "+OK\r\n", tracking.do("CLIENT", "TRACKING", "ON"))
	assert.Equal(t, ":2\r\n", tracking.do("DBSIZE"))
	assert.NotContains(t, tracking.do("KEYS", "*"), "holdfast")
	assert.Contains(t, tracking.do("INFO", "keyspace"), "db0:keys=2,")
}

// Keyspace events, invalidations and MONITOR's feed do not tell of our keys either.
func TestOwnKeysAreNotPushed(t *testing.T) {
	ctx := context.Background()
	srv, p := startFenced(t)
	w := p.client()
	for _, proto := range []string{"2", "3"} {
		events := dialRaw(t, p.addr())
		events.do("HELLO", proto)
		events.send("PSUBSCRIBE", "__key*@0__:*", "none")
		events.send("SUBSCRIBE", "__keyevent@0__:incrby", "__keyevent@0__:set")
		for range 4 {
			events.next()
		}
		require.NoError(t, w.Incr(ctx, "n").Err())
		require.NoError(t, w.Incr(ctx, "last").Err())
		var got strings.Builder
		for !strings.Contains(got.String(), "$4\r\nlast\r\n") {
			got.Write(events.next())
		}
		assert.Contains(t, got.String(), "__keyspace@0__:n\r\n")
		assert.NotContains(t, got.String(), "holdfast")
	}

	bcast := dialRaw(t, p.addr())
	bcast.do("HELLO", "3")
	require.Equal(t, "+OK\r\n", bcast.do("CLIENT", "TRACKING", "ON", "BCAST"))
	require.NoError(t, w.Incr(ctx, "n").Err())
	assert.Equal(t, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nn\r\n", string(bcast.next()))
	require.NoError(t, directClient(t, srv).Set(ctx, "z", "1", 0).Err())
	assert.Equal(t, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nz\r\n", string(bcast.next()))

	monitor := dialRaw(t, p.addr())
	require.Equal(t, "+OK\r\n", monitor.do("MONITOR"))
	require.NoError(t, w.Incr(ctx, "n").Err())
	require.NoError(t, w.Set(ctx, "end", "1", 0).Err())
	var feed strings.Builder
	for deadline := time.Now().Add(patience); !strings.Contains(feed.String(), `"end"`) && time.Now().Before(deadline); {
		feed.Write(monitor.next())
	}
	assert.Contains(t, feed.String(), `"incr" "n"`)
	assert.NotContains(t, feed.String(), "holdfast")
}

// A mirror of everything is one of what clients have: KEYS is answered while Redis is away.
func TestAMirrorOfEverythingHasNoneOfOurKeys(t *testing.T) {
	srv := redistest.Start(t)
	p := startProxy(t, srv.URL(), func(s *proxySettings) { s.mirror = []string{""} })
	p.awaitMode(fallback.Online)
	c := dialRaw(t, p.addr())
	require.Equal(t, ":1\r\n", c.do("INCR", "k"))
	p.awaitMirror()
	srv.Kill()
	p.awaitMode(fallback.Offline)
	assert.Equal(t, "*1\r\n$1\r\nk\r\n", c.do("KEYS", "*"))
	assert.Equal(t, ":1\r\n", c.do("DBSIZE"))
	assert.Equal(t, ":2\r\n", c.do("INCR", "k"))
}
