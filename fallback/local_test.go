package fallback

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/command"
	"holdfast/backend/redistest"
	"holdfast/fallback/record"
)

func refused(t *testing.T, reply string) {
	t.Helper()
	require.True(t, strings.HasPrefix(reply, "-UPSTREAMDOWN "), reply)
	require.NotContains(t, reply, "ECONNREFUSED")
}

func TestUnknownKeysAreNeverMadeUp(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:a", "1")
	r.loaded()
	r.lost()
	require.Equal(t, "$-1\r\n", r.do("GET", "m:absent"), "absent under a mirrored prefix is nil")
	for _, c := range []string{"GET x", "INCR x", "DEL x", "EXISTS m:a x", "UNLINK m:a x", "MGET m:a x", "SETNX x 1", "SET x 1 XX",
		"SET x 1 KEEPTTL", "RENAME m:a x", "SUNIONSTORE m:d m:a x", "KEYS *", "KEYS x*", "SCAN 0", "DBSIZE", "RANDOMKEY", "SCAN 0 MATCH *a",
		"BLPOP m:l 0", "PUBLISH ch x", "FLUSHALL", "XACK m:s g 1-1", "COPY m:a x", "COPY m:a m:b DB 1", "MOVE m:a 1", "CONFIG GET x"} {
		refused(t, r.do(strings.Fields(c)...))
	}
	require.Equal(t, "$1\r\n1\r\n", r.do("GET", "m:a"), "nothing of a refused command was done")
	require.Zero(t, r.store.Status().QueuedWrites)
	require.Equal(t, "*1\r\n$3\r\nm:a\r\n", r.do("KEYS", "m:*"))
	require.Contains(t, r.do("SCAN", "0", "MATCH", "m:*", "COUNT", "10"), "m:a")
	require.Equal(t, ":1\r\n", r.do("COPY", "m:a", "m:b"))
	require.Equal(t, "+OK\r\n", r.do("SET", "x", "5"), "needs no old state")
	require.Equal(t, ":6\r\n", r.do("INCR", "x"), "and is known from then on")
	require.Equal(t, "*2\r\n+OK\r\n:2\r\n", r.unit("SET y 1", "INCR y"))
	refused(t, r.unit("SET z 1", "INCR unknown"))
	refused(t, r.do("GET", "z"))
}

func TestScriptsSeeOnlyWhatIsHeld(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:a", "1")
	r.loaded()
	r.lost()
	refused(t, r.do("EVAL", "redis.call('incr', 'm:a') return redis.call('get', 'elsewhere')", "0"))
	refused(t, r.do("EVAL", "redis.call('incr', 'm:a') local v = redis.pcall('get', KEYS[1]) return 'made up'", "1", "elsewhere"))
	refused(t, r.do("EVAL", "return redis.call('set', KEYS[1], 'x', 'NX', 'PX', 1000)", "1", "m:lock"))
	require.Equal(t, "$1\r\n1\r\n", r.do("GET", "m:a"))
	require.Zero(t, r.store.Status().QueuedWrites)
	require.Equal(t, ":2\r\n", r.do("EVAL", "return redis.call('incr', 'm:a')", "0"), "undeclared, but held")
	require.Equal(t, ":8\r\n", r.do("EVAL", "redis.call('set', KEYS[1], 7) return redis.call('incr', KEYS[1])", "1", "new"))
	require.Equal(t, "$1\r\n8\r\n", r.do("GET", "new"))
	r.online()
	require.Equal(t, []any{"2", "8"}, r.redis("MGET", "m:a", "new"))
}

func TestPolicies(t *testing.T) {
	now := time.Now()
	for _, p := range []struct {
		policy             Policy
		get, set, incr     string
		script, lock, unit string
	}{
		{Speculative, "$1\r\n1\r\n", "+OK\r\n", ":2\r\n", ":3\r\n", "$-1\r\n", "*1\r\n+OK\r\n"},
		{Strict, "$1\r\n1\r\n", "+OK\r\n", "-UPSTREAMDOWN", "-UPSTREAMDOWN", "$-1\r\n", "*1\r\n+OK\r\n"},
		{ReadOnly, "$1\r\n1\r\n", "-UPSTREAMDOWN", "-UPSTREAMDOWN", "-UPSTREAMDOWN", "$-1\r\n", "-UPSTREAMDOWN"},
		{Refuse, "-UPSTREAMDOWN", "-UPSTREAMDOWN", "-UPSTREAMDOWN", "-UPSTREAMDOWN", "-UPSTREAMDOWN", "-UPSTREAMDOWN"},
	} {
		t.Run(string(p.policy), func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Policy = p.policy })
			r.redis("SET", "m:n", "1")
			r.loaded()
			r.lost()
			for _, c := range []struct{ want, got string }{
				{p.get, r.do("GET", "m:n")}, {p.set, r.do("SET", "m:s", "x")}, {p.incr, r.do("INCR", "m:n")},
				{p.script, r.do("EVAL", "return redis.call('incr', KEYS[1])", "1", "m:n")},
				{p.lock, r.do("SET", "unknown:lock", "me", "NX", "EX", "30")}, {p.unit, r.unit("SET m:s y")},
			} {
				require.True(t, strings.HasPrefix(c.got, c.want), "%q, want %q", c.got, c.want)
			}
		})
	}
	t.Run("max stale", func(t *testing.T) {
		at := now
		r := newRig(t, func(c *Config) { c.MaxStale = time.Minute; c.goBy(func() time.Time { return at }) })
		r.redis("SET", "m:n", "1")
		r.online()
		r.lost()
		require.Equal(t, "+OK\r\n", r.do("SET", "k", "v"))
		require.Equal(t, "$1\r\nv\r\n", r.do("GET", "k"))
		at = now.Add(2 * time.Minute)
		require.True(t, strings.HasPrefix(r.do("GET", "k"), "-STALE "))
		require.Equal(t, "+OK\r\n", r.do("SET", "k", "w"))
		queued := r.store.Status().QueuedWrites
		for _, line := range []string{
			"INCR k", "APPEND k x", "DEL k", "SET k v GET", "SETNX k v", "SET k v XX", "HSET h f v", "EXPIRE k 10", "GETDEL k",
			"EVAL return(redis.call('incr','k')) 0", "EVAL return(redis.call('set',KEYS[1],'v')) 1 k", "SPOP s", "COPY k l",
		} {
			require.True(t, strings.HasPrefix(r.do(strings.Fields(line)...), "-STALE "), line)
		}
		require.True(t, strings.HasPrefix(r.unit("SET other 1", "INCR k"), "-STALE "))
		require.Equal(t, queued, r.store.Status().QueuedWrites)
		require.Equal(t, "*2\r\n+OK\r\n:2\r\n", r.unit("SET other 1", "INCR other"), "of what it sets itself")
		require.Equal(t, "+OK\r\n", r.do("MSET", "k", "1", "l", "2"))
	})
}

func TestWatchWhileAway(t *testing.T) {
	r := newRig(t)
	r.do("SET", "a", "1")
	w, err := r.store.Watch(0, words("a"))
	require.NoError(t, err)
	req := unitOf("SET a 2")
	req.Watch = append(req.Watch, w)
	require.Equal(t, "*1\r\n+OK\r\n", r.request(req))
	require.Equal(t, "*-1\r\n", r.request(req), "changed by the first")
	require.EqualValues(t, 2, r.store.Status().QueuedWrites)
}

func TestFullJournalRefusesAndDropsNothing(t *testing.T) {
	var log lockedBuffer
	r := newRig(t, func(c *Config) { c.JournalBytes, c.Logger = 1<<20, slog.New(slog.NewTextHandler(&log, nil)) })
	big := strings.Repeat("x", 64<<10)
	n := 0
	for ; ; n++ {
		reply := r.do("SET", fmt.Sprint("k", n), big)
		if reply != "+OK\r\n" {
			require.True(t, strings.HasPrefix(reply, "-JOURNALFULL "), reply)
			break
		}
	}
	require.Greater(t, n, 8)
	require.True(t, r.store.Status().JournalFull)
	refused(t, r.do("GET", fmt.Sprint("k", n)))
	require.Equal(t, "+OK\r\n", r.do("SET", "small", "1"))
	require.True(t, r.store.Status().JournalFull, "a small write that fits makes no room")
	require.Contains(t, r.do("SET", "k", big), "-JOURNALFULL ")
	require.EqualValues(t, 2, r.store.Status().RefusedWrites)
	require.Equal(t, 1, strings.Count(log.String(), "journal is full"))
	require.Zero(t, strings.Count(log.String(), "has room again"))
	r.online()
	require.False(t, r.store.Status().JournalFull, "Redis has everything")
	require.Equal(t, 1, strings.Count(log.String(), "has room again"))
	require.EqualValues(t, n+1, r.redis("DBSIZE").(int64)-1)
	r.lost()
	for i := range n / 2 { // what Redis has makes room
		require.Equal(t, "+OK\r\n", r.do("SET", fmt.Sprint("k", i), big))
	}
	require.False(t, r.store.Status().JournalFull)
}

func TestFailedJournalAcknowledgesNothing(t *testing.T) {
	r := newRig(t)
	r.do("SET", "a", "1")
	require.NoError(t, r.store.jr.Close())
	require.True(t, strings.HasPrefix(r.do("SET", "b", "2"), "-JOURNALFAILED "))
	refused(t, r.do("GET", "b"))
	require.Equal(t, "$1\r\n1\r\n", r.do("GET", "a"))
}

func TestLocks(t *testing.T) {
	const release = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
	for name, free := range map[string][]string{
		"del": {"DEL", "m:lock"}, "unlink with others": {"UNLINK", "m:lock", "m:other"}, "script": {"EVAL", release, "1", "m:lock", "me"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.redis("SET", "m:other", "1")
			r.loaded()
			r.via("SET", "m:lock", "me", "NX", "PX", 600000)
			r.via("SET", "m:lock", "other", "NX", "EX", 1000) // refused: must not count as taken
			r.lost()
			require.NoError(t, r.store.saveSnapshot())
			r.crash()
			require.Equal(t, "$2\r\nme\r\n", r.do("GET", "m:lock"))
			require.Equal(t, "$-1\r\n", r.do("SET", "m:lock", "me", "NX", "EX", "10"))
			require.NotEqual(t, ":0\r\n", r.do(free...))
			require.Equal(t, "$-1\r\n", r.do("GET", "m:lock"))
			r.redis("SET", "m:lock", "somebody else", "PX", 600000)
			r.online()
			require.Equal(t, "somebody else", r.redis("GET", "m:lock"))
			require.Zero(t, r.store.Status().DeadLetters)
		})
	}
	t.Run("still ours", func(t *testing.T) {
		r := newRig(t)
		r.loaded()
		r.via("SET", "m:lock", "me", "NX", "EX", 600)
		r.lost()
		r.do("DEL", "m:lock")
		r.online()
		require.Nil(t, r.redis("GET", "m:lock"))
	})
	t.Run("lease has run out, same value", func(t *testing.T) {
		r := newRig(t)
		r.loaded()
		r.via("SET", "m:lock", "1", "NX", "PX", 600000)
		r.redis("PEXPIRE", "m:lock", 400)
		r.store.Invalidate(words("m:lock"))
		r.settle()
		r.lost()
		require.Equal(t, ":1\r\n", r.do("DEL", "m:lock"))
		redistest.Eventually(t, bound, "the lease is over", func() bool { return r.redis("EXISTS", "m:lock") == int64(0) })
		r.redis("SET", "m:lock", "1")
		r.online()
		require.Equal(t, "1", r.redis("GET", "m:lock"))
	})
}

func TestExpiryIsInServerTime(t *testing.T) {
	at := time.Now().Add(-time.Hour) // the local clock is wrong
	r := newRig(t, func(c *Config) { c.goBy(func() time.Time { return at }) })
	r.onlineAt(at.Add(time.Hour))
	r.lost()
	r.do("SET", "k", "v", "EX", "100")
	require.Equal(t, ":100\r\n", r.do("TTL", "k"))
	r.onlineAt(at.Add(time.Hour))
	require.InDelta(t, 100, r.redis("TTL", "k"), 20)
	r.lost()
	r.do("SET", "k", "w", "PX", "1000")
	at = at.Add(-50 * time.Minute) // the deadline passes at Redis long before
	r.do("SET", "past", "w", "PXAT", strconv.FormatInt(at.UnixMilli(), 10))
	r.onlineAt(at.Add(time.Hour))
	require.Nil(t, r.redis("GET", "past"))
}

func (r *rig) onlineAt(server time.Time) {
	r.t.Helper()
	require.NoError(r.t, r.store.Connected(r.t.Context(), Server{RunID: "run", Time: server}))
}

func TestFewKeysHoldsWhatWasAdded(t *testing.T) {
	var set fewKeys
	ids := []record.KeyID{{DB: 0, Key: ""}, {DB: 0, Key: "a"}, {DB: 1, Key: "a"}, {DB: 0, Key: "b"}, {DB: 0, Key: ""}, {DB: 0, Key: "a"}}
	for i, id := range ids {
		for _, other := range ids {
			require.Equal(t, slices.Contains(ids[:i], other), set.has(other), "%v after %d", other, i)
		}
		set.add(id)
	}
	require.Len(t, set.rest, 3, "each is held once")
}

// TestPlainReadsTakeTheShortWay: request compares every answer of it with Do's.
func TestPlainReadsTakeTheShortWay(t *testing.T) {
	began := time.Now()
	var more atomic.Int64
	r := newRig(t, func(c *Config) {
		c.MaxStale = time.Minute
		c.Elapsed = func() time.Duration { return time.Since(began) + time.Duration(more.Load()) }
	})
	r.redis("MSET", "m:a", "1", "m:gone", "2", "m:empty", "")
	r.redis("PEXPIRE", "m:gone", "20000")
	r.redis("HSET", "m:h", "f", "1", "g", "", "h", "3")
	r.loaded()
	r.lost()
	short := func(line string) bool {
		argv := words(strings.Fields(line)...)
		c, _ := command.Lookup(argv)
		for _, proto := range []int{2, 3} {
			r.request(Request{Proto: proto, Commands: [][][]byte{argv}})
		}
		dst, ok := r.store.ReadHeld([]byte("before"), 0, 2, c, argv)
		require.True(t, strings.HasPrefix(string(dst), "before"))
		require.Equal(t, ok, len(dst) > len("before"), line)
		return ok
	}
	for _, line := range []string{"GET m:a", "get m:absent", "GET m:empty", "MGET m:a m:absent m:h m:gone", "HGET m:h f", "HGETALL m:h", "HGETALL m:absent"} {
		require.True(t, short(line), line)
	}
	for _, line := range []string{"GET x", "GET m:h", "GET", "MGET m:a x", "HGET m:a f", "HGETALL m:a", "HGETALL x", "SET m:a 1", "LRANGE m:l 0 1"} {
		require.False(t, short(line), line)
	}
	require.Equal(t, "$1\r\n2\r\n", r.do("GET", "m:gone"))
	more.Add(int64(30 * time.Second))
	require.Equal(t, "$-1\r\n", r.do("GET", "m:gone"), "expired")
	require.True(t, short("GET m:gone"))
	more.Add(int64(time.Minute))
	require.False(t, short("GET m:a"), "too stale")
	r.online()
	require.False(t, r.store.Serving())
	c, _ := command.Lookup(words("GET", "m:a"))
	_, ok := r.store.ReadHeld(nil, 0, 2, c, words("GET", "m:a"))
	require.False(t, ok, "Redis has the answer")
}
