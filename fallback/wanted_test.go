package fallback

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"holdfast/backend/command"
	"holdfast/fallback/fetch"
	"holdfast/fallback/record"
)

// ack executes a command on Redis and tells the store by the way of single
// commands, as the proxy does.
func (r *rig) ack(db int, args ...any) {
	r.t.Helper()
	argv := words(stringsOf(args)...)
	c, ok := command.Lookup(argv)
	require.True(r.t, ok)
	direct := redis.NewClient(&redis.Options{Addr: r.srv.Addr(), DB: db, DisableIdentity: true})
	defer direct.Close()
	require.NoError(r.t, direct.Do(context.Background(), args...).Err())
	r.store.AckedOne(db, c, argv, c.WriteKeys(nil, argv), []byte(":1\r\n"))
}

// What was written through the proxy beside the mirrored prefixes is held, by
// whatever command and in whatever database, though nobody ever read it.
func TestKeysThatWereOnlyWrittenAreHeld(t *testing.T) {
	r := newRig(t)
	r.loaded()
	write := func() {
		r.ack(0, "INCR", "visits")
		r.ack(0, "LPUSH", "list", "a")
		r.ack(0, "HSET", "hash", "f", "v")
		r.ack(0, "SADD", "set", "a")
		r.ack(0, "ZINCRBY", "zset", "2", "a")
		r.ack(0, "APPEND", "string", "x")
		r.ack(0, "XADD", "stream", "MAXLEN", "100", "*", "f", "v")
		r.ack(0, "EVAL", "return redis.call('incr', KEYS[1])", 1, "script")
		r.ack(1, "INCR", "visits")
		r.redis("INCR", "u")
		r.store.Acked(0, [][][]byte{words("INCR", "u")}, []byte("*1\r\n:1\r\n"), true)
	}
	write()
	r.settle()
	write()
	r.settle()
	r.lost()
	require.Equal(t, ":3\r\n", r.do("INCR", "visits"))
	require.Equal(t, ":3\r\n", r.do("LPUSH", "list", "a"))
	require.Equal(t, "$1\r\nv\r\n", r.do("HGET", "hash", "f"))
	require.Equal(t, ":1\r\n", r.do("SCARD", "set"))
	require.Equal(t, "$1\r\n6\r\n", r.do("ZINCRBY", "zset", "2", "a"))
	require.Equal(t, ":3\r\n", r.do("APPEND", "string", "x"))
	require.Equal(t, ":2\r\n", r.do("XLEN", "stream"))
	require.Equal(t, ":3\r\n", r.do("EVAL", "return redis.call('incr', KEYS[1])", "1", "script"))
	require.Equal(t, ":3\r\n", r.request(Request{DB: 1, Proto: 2, Commands: [][][]byte{words("INCR", "visits")}}))
	require.Equal(t, "$1\r\n2\r\n", r.do("GET", "u"))
	refused(t, r.do("INCR", "never-written"))
}

// A write was on its way whenever the key was fetched: it is wanted until it was not.
func TestAKeyThatIsWrittenAllTheTimeIsHeldInItsFirstPause(t *testing.T) {
	r := newRig(t)
	r.loaded()
	m := r.store.mirror
	r.store.Sending(0, []byte("hot"))
	r.ack(0, "INCR", "hot")
	src := fetch.New(r.cfg.NewClient)
	defer src.Close()
	r.stop()
	r.stop = nil
	m.s.mu.Lock()
	m.drainLocked()
	m.s.mu.Unlock()
	m.fetchDue(context.Background(), src)
	require.Contains(t, m.wrote.keys, record.KeyID{DB: 0, Key: "hot"})
	r.store.Sent(0, []byte("hot"))
	m.fetchDue(context.Background(), src)
	require.Empty(t, m.wrote.keys)
	r.lost()
	require.Equal(t, ":2\r\n", r.do("INCR", "hot"))
}

// A write to a held key that was more than is followed makes it unknown: it is
// held again once there is time.
func TestAHeldKeyWithAWriteBeyondTheBudgetIsHeldAgain(t *testing.T) {
	r := newRig(t)
	r.loaded()
	r.ack(0, "INCR", "visits")
	r.settle()
	r.store.mirror.budget.Store(-1 << 20)
	r.ack(0, "INCR", "visits")
	r.settle()
	r.lost()
	require.Equal(t, ":3\r\n", r.do("INCR", "visits"))
}

// Pushing onto a list that is too large to be held does not make anybody read it.
func TestALargeListIsNotReadBecauseOfAWrite(t *testing.T) {
	r := newRig(t)
	r.redis("EVAL", "for i = 1, 5 do redis.call('RPUSH', KEYS[1], ARGV[1]) end", 1, "log", strings.Repeat("x", 1<<20))
	r.loaded()
	r.ack(0, "RPUSH", "log", "y")
	r.ack(0, "RPUSH", "short", "y")
	r.settle()
	calls := r.direct.Info(context.Background(), "commandstats").Val()
	require.Contains(t, calls, "cmdstat_lrange:calls=1,")
	r.lost()
	refused(t, r.do("LLEN", "log"))
	require.Equal(t, ":1\r\n", r.do("LLEN", "short"))
}

// Many keys of some size are not read at once, whether written or read.
func TestOneFetchReadsNoMoreThanItsRoom(t *testing.T) {
	r := newRig(t)
	r.loaded()
	half := strings.Repeat("x", fetch.FetchRoom/2)
	for i := range 6 {
		key := fmt.Sprint("k", i)
		r.ack(0, "RPUSH", key, half)
		r.redis("RPUSH", fmt.Sprint("r", i), half)
		r.store.Read(0, []byte(fmt.Sprint("r", i)))
	}
	src := fetch.New(r.cfg.NewClient)
	defer src.Close()
	src.Heavy = true
	got, err := src.Fetch(t.Context(), 0, []string{"k0", "k1", "k2", "none"}, r.store.mirror.longest, r.store.serverNow)
	require.NoError(t, err)
	require.NotEmpty(t, got[0].Commands)
	require.Equal(t, []fetch.Value{{Later: true}, {Later: true}, {}}, got[1:])
	r.settle()
	r.lost()
	for i := range 6 {
		require.Equal(t, ":1\r\n", r.do("LLEN", fmt.Sprint("k", i)))
		require.Equal(t, ":1\r\n", r.do("LLEN", fmt.Sprint("r", i)))
	}
}

// A key that may be written and not read does not keep others from being fetched.
func TestAKeyThatMayNotBeReadFailsAlone(t *testing.T) {
	r := newRig(t)
	r.redis("ACL", "SETUSER", "app", "on", ">pw", "+@all", "~m:*", "%W~w:*")
	r.redis("SET", "m:a", "1")
	r.redis("SET", "w:a", "1")
	src := fetch.New(func(db int) *redis.Client {
		return redis.NewClient(&redis.Options{Addr: r.srv.Addr(), DB: db, Username: "app", Password: "pw", DisableIdentity: true})
	})
	defer src.Close()
	src.Heavy = true
	got, err := src.Fetch(t.Context(), 0, []string{"m:a", "w:a"}, r.store.mirror.longest, r.store.serverNow)
	require.NoError(t, err)
	require.NotEmpty(t, got[0].Commands)
	require.Equal(t, fetch.Value{Busy: true}, got[1])
}

// What waits is bounded, in keys and in the bytes of their values.
func TestFetchesOfWrittenKeysAreBounded(t *testing.T) {
	r := newRig(t)
	r.online()
	m := r.store.mirror
	for i := range 2 * wroteMax {
		m.wantWritten(0, words(fmt.Sprint("k", i), "m:mirrored", strings.Repeat("k", wroteLongest+1)))
	}
	newest := record.KeyID{DB: 0, Key: fmt.Sprint("k", 2*wroteMax-1)}
	require.Len(t, m.wrote.keys, wroteMax)
	require.Contains(t, m.wrote.keys, newest)
	m.mu.Lock()
	defer m.mu.Unlock()
	require.Len(t, m.due()[0], wrotePerTick)
	m.charge(newest, 1<<40)
	require.Empty(t, m.due(), "its bytes are paid for first")
	m.markDirty(record.KeyID{DB: 0, Key: "m:mirrored"})
	require.Len(t, m.due()[0], 1, "those under the prefixes do not wait")
	delete(m.dirty, record.KeyID{DB: 0, Key: "m:mirrored"})
	for range fetchOwed / fetchCredit {
		m.due()
	}
	require.NotEmpty(t, m.due(), "and nobody waits for longer than a second")
	m.wrote.keys = map[record.KeyID]struct{}{}
}
