package fallback

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback/fetch"
	"holdfast/fallback/record"
)

func TestMirrorLoadsFollowsAndInvalidates(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:s", "v", "EX", 1000)
	r.redis("HSET", "m:h", "f", "1")
	r.redis("RPUSH", "m:l", "a", "b")
	r.redis("SADD", "m:set", "a", "b")
	r.redis("ZADD", "m:z", "1.5", "a")
	r.redis("XADD", "m:x", "1-1", "f", "v")
	for i := range 600 {
		r.redis("SET", fmt.Sprint("m:k", i), i)
	}
	r.redis("SET", "other", "v")
	r.redis("SET", "gone", "v")
	r.loaded()
	r.store.Read(0, []byte("other"))
	r.store.Read(0, []byte("gone"))
	r.settle()
	// Foreign changes, announced.
	r.redis("HSET", "m:h", "f", "2")
	r.redis("DEL", "m:l")
	r.redis("SET", "gone", "w")
	r.store.Invalidate(words("m:h", "m:l", "gone"))
	r.settle()
	r.lost()
	require.Equal(t, "$1\r\n2\r\n", r.do("HGET", "m:h", "f"))
	require.Equal(t, ":0\r\n", r.do("LLEN", "m:l"))
	require.Equal(t, ":2\r\n", r.do("SCARD", "m:set"))
	require.Equal(t, "$3\r\n1.5\r\n", r.do("ZSCORE", "m:z", "a"))
	require.Equal(t, ":1\r\n", r.do("XLEN", "m:x"))
	require.Equal(t, "$3\r\n599\r\n", r.do("GET", "m:k599"))
	require.Equal(t, "$1\r\nv\r\n", r.do("GET", "other"))
	require.Equal(t, "$1\r\nw\r\n", r.do("GET", "gone"))
	require.NotEqual(t, ":-1\r\n", r.do("TTL", "m:s"))
	// A cold start without Redis has all of it.
	require.NoError(t, r.store.saveSnapshot())
	r.srv.Kill()
	r.crash()
	require.Equal(t, "$3\r\n599\r\n", r.do("GET", "m:k599"))
	require.Equal(t, "$-1\r\n", r.do("GET", "m:absent"))
	require.Equal(t, "$1\r\nv\r\n", r.do("GET", "other"))
	require.Equal(t, "*2\r\n$1\r\nf\r\n$1\r\n2\r\n", r.do("HGETALL", "m:h"))
}

// What Redis acknowledged is visible the moment it dies, told by its reply.
func TestAcknowledgedWritesAreVisibleInTheOutage(t *testing.T) {
	r := newRig(t)
	r.redis("SADD", "m:set", "a", "b", "c")
	r.redis("SET", "m:n", "1")
	r.loaded()
	r.wire.limit("hang", 0, 0) // no refetch may help
	r.via("INCR", "m:n")
	r.via("SET", "m:n2", "x", "NX")
	r.via("SET", "m:n2", "y", "NX")
	r.via("SET", "m:n", "9", "XX", "GET")
	r.via("SETNX", "m:n3", "1")
	r.via("SETNX", "m:n3", "2")
	r.via("SPOP", "m:set", 2)
	r.via("XADD", "m:x", "*", "f", "v")
	r.via("SET", "elsewhere", "1")
	r.via("INCR", "elsewhere")
	r.via("INCR", "never-seen")
	r.via("EVAL", "return redis.call('incr', KEYS[1])", 1, "m:script")
	r.via("EVAL", "redis.call('set', KEYS[1], redis.call('time')[2])", 1, "m:clock")
	unit := "*3\r\n:2\r\n$-1\r\n-ERR no\r\n"
	r.redis("INCRBY", "m:script", 1)
	r.store.Acked(0, [][][]byte{words("INCR", "m:script"), words("SET", "m:n2", "z", "NX"), words("LPUSH", "m:n", "x")}, []byte(unit), true)
	r.lost()
	last := r.direct.XRange(context.Background(), "m:x", "-", "+").Val()[0].ID
	left := r.direct.SMembers(context.Background(), "m:set").Val()[0]
	require.Equal(t, "$1\r\n9\r\n", r.do("GET", "m:n"))
	require.Equal(t, "$1\r\nx\r\n", r.do("GET", "m:n2"))
	require.Equal(t, "$1\r\n1\r\n", r.do("GET", "m:n3"))
	require.Equal(t, "*1\r\n$1\r\n"+left+"\r\n", r.do("SMEMBERS", "m:set"))
	require.Contains(t, r.do("XRANGE", "m:x", "-", "+"), last)
	require.Equal(t, "$1\r\n2\r\n", r.do("GET", "elsewhere"))
	require.Equal(t, "$1\r\n2\r\n", r.do("GET", "m:script"))
	refused(t, r.do("GET", "never-seen"))
	refused(t, r.do("GET", "m:clock"))
	refused(t, r.do("KEYS", "m:*")) // one of them is in doubt
	// An answer of Redis that comes in after a later local write does not undo it.
	require.Equal(t, "+OK\r\n", r.do("SET", "m:n3", "later"))
	r.store.Acked(0, [][][]byte{words("SET", "m:n3", "earlier")}, []byte("+OK\r\n"), false)
	require.Equal(t, "$5\r\nlater\r\n", r.do("GET", "m:n3"))
	// Doubt survives a restart.
	require.NoError(t, r.store.saveSnapshot())
	r.crash()
	refused(t, r.do("GET", "m:clock"))
	require.Equal(t, "$5\r\nlater\r\n", r.do("GET", "m:n3"))
}

// A fetch that was under way when Redis died must not undo a local write.
func TestFetchOfAnEarlierLinkIsDropped(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:a", "old")
	r.online()
	m := r.store.mirror
	m.mu.Lock()
	m.last[record.KeyID{DB: 0, Key: "m:a"}] = 0
	m.mu.Unlock()
	src := fetch.New(r.cfg.NewClient)
	defer src.Close()
	r.srv.Hang()
	done := make(chan error, 1)
	go func() { done <- m.fetchKeys(context.Background(), src, 0, []string{"m:a"}) }()
	redistest.Eventually(t, bound, "the fetch is under way", func() bool {
		r.wire.mu.Lock()
		defer r.wire.mu.Unlock()
		return len(r.wire.open) > 0
	})
	r.lost()
	r.do("SET", "m:a", "new")
	r.srv.Resume()
	require.NoError(t, <-done)
	require.Equal(t, "$3\r\nnew\r\n", r.do("GET", "m:a"))
}

func TestMoreResidentKeysThanTheQueueHolds(t *testing.T) {
	r := newRig(t)
	s := r.store
	const room = 300
	s.mirror.room = room
	s.mu.Lock()
	for i := range room + 100 {
		id := record.KeyID{DB: 0, Key: fmt.Sprint("w", i)}
		require.NoError(t, s.eng.Apply(0, words("SET", id.Key, "v")))
		s.res.learn(id, 1)
	}
	s.mu.Unlock()
	r.loaded() // and does not start over for ever
	require.LessOrEqual(t, s.Status().Keys, room)
}

// A large hash is read in pieces, which are of one value or not used.
func TestLargeHashIsReadInPieces(t *testing.T) {
	r := newRig(t)
	args := []any{"HSET", "m:large"}
	for i := range fetch.LargeHash + 1000 {
		args = append(args, fmt.Sprint("f", i), i)
	}
	r.redis(args...)
	r.redis("PEXPIRE", "m:large", 1_000_000)
	r.loaded()
	calls := r.direct.Info(context.Background(), "commandstats").Val()
	require.Contains(t, calls, "cmdstat_hscan")
	require.NotContains(t, calls, "cmdstat_hgetall")
	r.redis("HSET", "m:large", "f7", "new")
	r.redis("HDEL", "m:large", "f8")
	r.store.Invalidate(words("m:large"))
	r.settle()
	r.lost()
	require.Equal(t, ":5999\r\n", r.do("HLEN", "m:large"))
	require.Equal(t, "$3\r\nnew\r\n", r.do("HGET", "m:large", "f7"))
	require.NotEqual(t, ":-1\r\n", r.do("TTL", "m:large"))
}

func TestLargeHashThatChangesIsNotUsedInPieces(t *testing.T) {
	r, ctx := newRig(t), context.Background()
	args := []any{"HSET", "m:large"}
	for i := range fetch.LargeHash + 1000 {
		args = append(args, fmt.Sprint("f", i), i)
	}
	r.redis(args...)
	once := false
	now := func() time.Time { // asked between the last piece and the end
		if !once {
			once = true
			r.redis("HSET", "m:large", "f1", "changed")
		}
		return time.Now()
	}
	_, whole, err := new(fetch.Fetcher).ReadLarge(ctx, r.direct, "m:large", false, now)
	require.ErrorIs(t, err, redis.TxFailedErr)
	require.False(t, whole)
	f := fetch.New(func(int) *redis.Client { return r.direct })
	once = false
	vs, err := f.Fetch(ctx, 0, []string{"m:large", "m:none"}, fetch.AnyLength, now)
	require.NoError(t, err)
	require.NotEmpty(t, vs[0].Commands, "all at once instead")
	require.Empty(t, vs[1].Commands)
}

// A change that is announced while its key is being fetched is fetched again.
func TestChangeDuringAFetchIsNotForgotten(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:a", "old")
	r.loaded()
	m := r.store.mirror
	id := record.KeyID{DB: 0, Key: "m:a"}
	m.mu.Lock()
	m.markDirty(id)
	m.fetching(id)
	m.mu.Unlock()
	r.store.Invalidate(words("m:a"))
	m.s.mu.Lock()
	m.mu.Lock()
	m.takeOver(id, &fetch.Value{Commands: [][][]byte{words("SET", "m:a", "old")}}, false)
	_, dirty := m.dirty[id]
	m.fetched(id)
	m.mu.Unlock()
	m.s.mu.Unlock()
	require.True(t, dirty)
	r.settle()
}

// Redis is back and has executed a write that nobody knew of. What it
// acknowledges before everything was fetched is not computed from the old value.
func TestNothingIsComputedFromAnOldValue(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:unsure", "1")
	r.redis("SET", "m:changed", "1")
	r.redis("SET", "m:other", "1")
	r.loaded()
	require.NoError(t, r.store.saveSnapshot())
	r.crash() // no mirror runs from here on: nothing is fetched by it
	r.redis("INCR", "m:unsure")
	r.redis("INCR", "m:changed")
	r.do("INCR", "m:changed")
	r.online()
	for _, k := range []string{"m:unsure", "m:changed", "m:other"} {
		r.via("INCR", k)
	}
	r.lost()
	require.Equal(t, "$1\r\n3\r\n", r.do("GET", "m:unsure"))
	require.Equal(t, "$1\r\n4\r\n", r.do("GET", "m:changed"))
	require.Equal(t, "$1\r\n2\r\n", r.do("GET", "m:other"))
}

// afterExec calls f behind a pipeline that ends with EXEC, once.
type afterExec struct{ f *func() }

func (h afterExec) DialHook(n redis.DialHook) redis.DialHook          { return n }
func (h afterExec) ProcessHook(n redis.ProcessHook) redis.ProcessHook { return n }
func (h afterExec) ProcessPipelineHook(n redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, c []redis.Cmder) error {
		err := n(ctx, c)
		if f := *h.f; f != nil && c[len(c)-1].Name() == "exec" {
			*h.f = nil
			f()
		}
		return err
	}
}

// A key that has changed and was just read is due for two reasons, and changes
// again while it is fetched: it is fetched once, and once more for the change.
func TestAKeyDueTwiceIsFetchedOnce(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:k", "zero")
	r.online()
	var during func()
	src := fetch.New(func(db int) *redis.Client {
		c := r.cfg.NewClient(db)
		c.AddHook(afterExec{&during})
		return c
	})
	defer src.Close()
	ctx := context.Background()
	r.store.mirror.fetchDue(ctx, src) // the load
	change := func(value string) {
		r.redis("SET", "m:k", value)
		r.store.Invalidate(words("m:k"))
	}
	change("one")
	r.store.Read(0, []byte("m:k"))
	during = func() { change("two") }
	for range 3 {
		r.store.mirror.fetchDue(ctx, src)
	}
	r.lost()
	require.Equal(t, "$3\r\ntwo\r\n", r.do("GET", "m:k"))
}
