package cache

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is an injected time that only moves when told to.
type clock struct{ ns int64 }

func (c *clock) now() int64              { return c.ns }
func (c *clock) advance(d time.Duration) { c.ns += int64(d) }

func command(args ...string) []byte {
	s := fmt.Sprintf("*%d\r\n", len(args))
	for _, a := range args {
		s += fmt.Sprintf("$%d\r\n%s\r\n", len(a), a)
	}
	return []byte(s)
}

func bulk(s string) []byte { return fmt.Appendf(nil, "$%d\r\n%s\r\n", len(s), s) }

func fillGet(t testing.TB, c *Cache, key, val string, ttl time.Duration) {
	t.Helper()
	f, leader := c.Begin(0, []byte(key), 2, command("GET", key), false)
	require.True(t, leader)
	f.Done(bulk(val), ttl, true)
}

func get(c *Cache, key string) (string, bool) {
	b, ok, _ := c.Get(nil, 0, []byte(key), 2, command("GET", key))
	return string(b), ok
}

func has(c *Cache, key string) bool { _, ok := get(c, key); return ok }

func TestHitAppendsTheReply(t *testing.T) {
	c := New(Config{MaxBytes: 1 << 20})
	fillGet(t, c, "k", "v", -1)
	b, ok, _ := c.Get([]byte("before "), 0, []byte("k"), 2, command("GET", "k"))
	require.True(t, ok)
	require.Equal(t, "before $1\r\nv\r\n", string(b))
	st := c.Stats()
	require.Equal(t, int64(1), st.Entries)
	require.Equal(t, uint64(1), st.Hits)
	require.Equal(t, uint64(1), st.Fills)
}

func TestIdentityIsExact(t *testing.T) {
	type id struct {
		db    int
		key   string
		proto int
		cmd   string
	}
	ids := []id{
		{0, "k", 2, string(command("GET", "k"))}, {1, "k", 2, string(command("GET", "k"))}, {0, "k", 3, string(command("GET", "k"))},
		{0, "k", 2, string(command("STRLEN", "k"))}, {0, "k", 2, string(command("HGET", "k", "f"))}, {0, "k", 2, string(command("HGET", "k", "g"))},
		{0, "k", 2, string(command("HGET", "k", "k"))}, {0, "k", 2, string(command("HMGET", "k", "f", "g"))}, {0, "k", 2, string(command("HMGET", "k", "fg"))},
		{0, "k", 2, string(command("HGET", "k", ""))}, {0, "k", 2, string(command("k", "HGET"))}, {0, "", 2, string(command("GET", ""))},
		{0, "k", 2, "GET k"}, {0, "k", 2, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n+"}, {0, "k", 2, "*3\r\n$3\r\nGET\r\n$1\r\nk\r\n"}, {0, "k", 2, "*9\r\n"}, {0, "k", 2, ""},
		{0, "GET", 2, string(command("GET", "GET"))}, {300, "k", 2, string(command("GET", "k"))},
	}
	c := New(Config{MaxBytes: 1 << 20})
	for i, x := range ids {
		_, ok, _ := c.Get(nil, x.db, []byte(x.key), x.proto, []byte(x.cmd))
		require.False(t, ok, "%d is taken for another", i)
		f, leader := c.Begin(x.db, []byte(x.key), x.proto, []byte(x.cmd), false)
		require.True(t, leader)
		f.Done(bulk(fmt.Sprint(i)), -1, true)
	}
	for i, x := range ids {
		b, ok, _ := c.Get(nil, x.db, []byte(x.key), x.proto, []byte(x.cmd))
		require.True(t, ok)
		require.Equal(t, string(bulk(fmt.Sprint(i))), string(b))
	}
}

func TestRepliesComeBackAsTheyWere(t *testing.T) {
	c := New(Config{MaxBytes: 4 << 20})
	for i, reply := range []string{
		"$0\r\n\r\n", "$5\r\nhello\r\n", "$-1\r\n", "_\r\n", "$00\r\n\r\n", "$05\r\nhello\r\n", "$5\r\nhelloXY", "$5\r\nhell", "$5\rXhello\r\n",
		"$\r\n\r\n", "$", "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "+OK\r\n", ":1\r\n", "$1\r\na\r\n$1\r\nb\r\n", "%1\r\n+a\r\n:1\r\n",
	} {
		key := fmt.Sprint(i)
		f, _ := c.Begin(0, []byte(key), 3, command("GET", key), false)
		f.Done([]byte(reply), -1, true)
		b, ok, _ := c.Get(nil, 0, []byte(key), 3, command("GET", key))
		require.True(t, ok)
		require.Equal(t, reply, string(b))
	}
}

func TestLife(t *testing.T) {
	clk := &clock{ns: 12345}
	c := New(Config{MaxBytes: 1 << 20, MaxAge: time.Minute, Now: clk.now})
	fillGet(t, c, "aged", "v", -1)
	fillGet(t, c, "short", "v", 10*time.Second)
	fillGet(t, c, "long", "v", time.Hour)
	fillGet(t, c, "gone", "v", 0)
	require.False(t, has(c, "gone"))
	clk.advance(9 * time.Second)
	require.True(t, has(c, "short"))
	clk.advance(time.Second)
	require.False(t, has(c, "short"), "served at the instant the server expires it")
	clk.advance(49 * time.Second)
	require.True(t, has(c, "aged"))
	require.True(t, has(c, "long"))
	clk.advance(time.Second)
	require.False(t, has(c, "aged"))
	require.False(t, has(c, "long"), "older than the maximum age")
	require.Zero(t, c.Stats().Entries)
}

func TestLifeCountsFromBeforeTheRead(t *testing.T) {
	clk := &clock{}
	c := New(Config{MaxBytes: 1 << 20, Now: clk.now})
	f, _ := c.Begin(0, []byte("k"), 2, command("GET", "k"), false)
	clk.advance(3 * time.Second)
	f.Done(bulk("v"), 5*time.Second, true)
	require.True(t, has(c, "k"))
	clk.advance(2 * time.Second)
	require.False(t, has(c, "k"))

	f, _ = c.Begin(0, []byte("k"), 2, command("GET", "k"), false)
	clk.advance(3 * time.Second)
	f.Done(bulk("v"), 3*time.Second, true)
	require.False(t, has(c, "k"), "its life was over when the reply came")
}

func TestOvertakenReadIsNotStored(t *testing.T) {
	key := []byte("k")
	for name, overtake := range map[string]func(c *Cache){
		"invalidation":     func(c *Cache) { c.Invalidate([][]byte{key}) },
		"null push":        func(c *Cache) { c.Invalidate(nil) },
		"generation":       func(c *Cache) { c.NextGeneration() },
		"whole write":      func(c *Cache) { c.WriteBegin(0, key); c.WriteEnd(0, key) },
		"write on the way": func(c *Cache) { c.WriteBegin(3, key) },
		"flush":            func(c *Cache) { c.FlushBegin(); c.FlushEnd() },
		"lock":             func(c *Cache) { c.NeverCache(0, key) },
		"purge":            func(c *Cache) { c.Purge(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			c := New(Config{MaxBytes: 1 << 20})
			fillGet(t, c, "other", "v", -1)
			f, leader := c.Begin(0, key, 2, command("GET", "k"), false)
			require.True(t, leader)
			follower, leads := c.Begin(0, key, 2, command("GET", "k"), false)
			require.False(t, leads)
			overtake(c)
			late, leads := c.Begin(0, key, 2, command("GET", "k"), false)
			require.Equal(t, name == "lock", leads)
			require.False(t, late.TryLead(), "its turn comes when the old read is back")
			f.Done(bulk("old"), -1, true)
			require.False(t, has(c, "k"))
			reply, how := follower.Wait(time.Now().Add(time.Minute))
			require.Equal(t, Answered, how)
			require.Equal(t, string(bulk("old")), string(reply))
			if !leads {
				_, how = late.Wait(time.Now().Add(time.Minute))
				require.Equal(t, Leads, how, "a caller who came after it joined the old read")
			}
			late.Fail(nil)
			require.Equal(t, uint64(1), c.Stats().Rejected)
		})
	}
}

func TestWritesOnTheWay(t *testing.T) {
	c := New(Config{MaxBytes: 1 << 20})
	fillGet(t, c, "k", "1", -1)
	c.WriteBegin(0, []byte("k"))
	require.False(t, has(c, "k"))
	c.WriteBegin(0, []byte("k"))
	c.WriteEnd(0, []byte("k"))
	fillGet(t, c, "k", "1", -1)
	require.False(t, has(c, "k"), "the other write has not ended")
	begun, _ := c.Begin(0, []byte("k"), 2, command("GET", "k"), false)
	c.WriteEnd(0, []byte("k"))
	begun.Done(bulk("1"), -1, true)
	require.False(t, has(c, "k"), "a read begun during the write")
	fillGet(t, c, "k", "2", -1)
	require.True(t, has(c, "k"))
	c.WriteEnd(0, []byte("k")) // one too many
	fillGet(t, c, "k", "3", -1)
	require.True(t, has(c, "k"))
	for _, s := range c.shards {
		require.Empty(t, s.inflight)
	}
}

func TestFlushOnTheWay(t *testing.T) {
	c := New(Config{MaxBytes: 4 << 20})
	c.FlushBegin()
	fillGet(t, c, "k", "1", -1)
	require.False(t, has(c, "k"))
	c.FlushEnd()
	fillGet(t, c, "k", "1", -1)
	require.True(t, has(c, "k"))
}

func TestSingleFlight(t *testing.T) {
	c := New(Config{MaxBytes: 1 << 20})
	f, leader := c.Begin(0, []byte("k"), 2, command("GET", "k"), false)
	require.True(t, leader)
	_, other := c.Begin(0, []byte("k"), 3, command("GET", "k"), false)
	require.True(t, other, "another protocol is another read")
	replies := make(chan string, 10)
	for range cap(replies) {
		fo, leader := c.Begin(0, []byte("k"), 2, command("GET", "k"), false)
		require.False(t, leader)
		go func() {
			b, _ := fo.Wait(time.Now().Add(time.Minute))
			replies <- string(b)
		}()
	}
	reply := bulk("v")
	f.Done(reply, -1, true)
	copy(reply, "XXXXXXX") // the reply belongs to the caller again
	for range cap(replies) {
		require.Equal(t, "$1\r\nv\r\n", <-replies)
	}
	f.Done(bulk("again"), -1, true)
	v, _ := get(c, "k")
	require.Equal(t, "$1\r\nv\r\n", v)
}

func TestFollowersOfALostLeader(t *testing.T) {
	clk := &clock{}
	c := New(Config{MaxBytes: 1 << 20, Now: clk.now, FillTimeout: time.Second})
	f, _ := c.Begin(0, []byte("k"), 2, command("GET", "k"), false)
	fo, _ := c.Begin(0, []byte("k"), 2, command("GET", "k"), false)
	_, how := fo.Wait(time.Now())
	require.Equal(t, Failed, how, "deadline")
	f.Fail(errors.New("link lost"))
	_, how = fo.Wait(time.Now().Add(time.Minute))
	require.Equal(t, Failed, how, "leader failed")

	lost, _ := c.Begin(0, []byte("k"), 2, command("GET", "k"), false)
	clk.advance(time.Second)
	_, leader := c.Begin(0, []byte("k"), 2, command("GET", "k"), false)
	require.True(t, leader, "nobody joins a read that old")
	lost.Done(bulk("late"), -1, true)
	require.False(t, has(c, "k"))
}

func TestNotCached(t *testing.T) {
	c := New(Config{MaxBytes: 1 << 20, NoCache: [][]byte{[]byte("lock:"), []byte("tmp")}})
	fillGet(t, c, "lock:a", "v", -1)
	fillGet(t, c, "tmp", "v", -1)
	require.False(t, has(c, "lock:a"))
	require.False(t, has(c, "tmp"))
	_, leader := c.Begin(0, []byte("tmp"), 2, command("GET", "tmp"), false)
	require.True(t, leader)
	_, leader = c.Begin(0, []byte("tmp"), 2, command("GET", "tmp"), false)
	require.True(t, leader, "no sharing for them either")

	fillGet(t, c, "mutex", "v", -1)
	require.True(t, has(c, "mutex"))
	c.NeverCache(0, []byte("mutex"))
	require.False(t, has(c, "mutex"))
	fillGet(t, c, "mutex", "v", -1)
	require.False(t, has(c, "mutex"))

	f, _ := c.Begin(0, []byte("e"), 2, command("GET", "e"), false)
	f.Done([]byte("-WRONGTYPE x\r\n"), -1, true)
	require.False(t, has(c, "e"))
	f, _ = c.Begin(0, []byte("e"), 2, command("GET", "e"), false)
	f.Done(bulk("v"), -1, false)
	require.False(t, has(c, "e"))
	f, _ = c.Begin(0, []byte("e"), 2, command("GET", "e"), false)
	f.Done(bulk(strings.Repeat("x", 1<<20)), -1, true)
	require.False(t, has(c, "e"), "larger than the cache")
	f, _ = c.Begin(0, []byte("nil"), 2, command("GET", "nil"), false)
	f.Done([]byte("$-1\r\n"), -1, true)
	require.True(t, has(c, "nil"), "nil replies are cached")
}

func TestNeverCacheIsBounded(t *testing.T) {
	c := New(Config{MaxBytes: 1 << 20, NeverKeys: 10, Shards: 1})
	for i := range 100 {
		c.NeverCache(0, fmt.Appendf(nil, "lock%d", i))
	}
	require.Equal(t, 10, c.shards[0].never.Len())
	fillGet(t, c, "lock99", "v", -1)
	require.False(t, has(c, "lock99"))
}

func TestWithoutRoomNothingIsStored(t *testing.T) {
	c := New(Config{})
	fillGet(t, c, "k", "v", -1)
	require.False(t, has(c, "k"))
	require.Zero(t, c.Stats().Bytes)
}

func TestInvalidateTakesAllRepliesOfAKey(t *testing.T) {
	c := New(Config{MaxBytes: 1 << 20})
	for db := range 3 {
		for i := range 10 {
			cmd := command("HGET", "h", fmt.Sprint(i))
			f, _ := c.Begin(db, []byte("h"), 2, cmd, false)
			f.Done(bulk("v"), -1, true)
		}
	}
	fillGet(t, c, "k", "v", -1)
	require.Equal(t, int64(31), c.Stats().Entries)
	c.Invalidate([][]byte{[]byte("h"), []byte("absent")})
	require.Equal(t, int64(1), c.Stats().Entries)
	c.Invalidate([][]byte{})
	require.True(t, has(c, "k"))
}

func TestPurge(t *testing.T) {
	c := New(Config{MaxBytes: 4 << 20})
	for i := range 100 {
		fillGet(t, c, fmt.Sprintf("a:%d", i), "v", -1)
		fillGet(t, c, fmt.Sprintf("b:%d", i), "v", -1)
	}
	require.Equal(t, 100, c.Purge([]byte("a:")))
	require.False(t, has(c, "a:5"))
	require.True(t, has(c, "b:5"))
	require.Equal(t, 100, c.Purge(nil))
	require.Zero(t, c.Stats().Entries)
}

func TestRepliesOfOneKeyAreBounded(t *testing.T) {
	c := New(Config{MaxBytes: 1 << 20})
	field := func(i int) []byte { return command("HGET", "h", fmt.Sprint(i)) }
	for i := range 10 * maxChain {
		f, _ := c.Begin(0, []byte("h"), 2, field(i), false)
		f.Done(bulk("v"), -1, true)
		_, ok, _ := c.Get(nil, 0, []byte("h"), 2, field(0))
		require.True(t, ok, "the reply in use was dropped")
	}
	require.Equal(t, int64(maxChain), c.Stats().Entries)
}

func TestGetDoesNotAllocate(t *testing.T) {
	c := New(Config{MaxBytes: 1 << 20, MaxAge: time.Minute})
	key, cmd := []byte("key:000000000001"), command("GET", "key:000000000001")
	fillGet(t, c, string(key), strings.Repeat("v", 64), -1)
	dst := make([]byte, 0, 256)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if b, ok, _ := c.Get(dst, 0, key, 2, cmd); !ok || len(b) != 71 {
			t.Error("no hit")
		}
	}))
}

func TestIdentityKeepsTheKey(t *testing.T) {
	for _, cmd := range [][]byte{command("GET", "some key"), []byte("odd"), nil} {
		id := appendIdentity(nil, 12345, []byte("some key"), 3, cmd)
		require.True(t, bytes.Equal([]byte("some key"), keyOf(id)))
	}
}
