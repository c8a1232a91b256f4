package fallback

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/datadir"
	"holdfast/fallback/record"
	"holdfast/fallback/snapshot"
)

// lapse waits until the deadlines that begin is followed by have passed at Redis too.
func lapse(begin time.Time, d time.Duration) { time.Sleep(time.Until(begin.Add(d))) }

// TestWritesOutliveTheDeadlineOfTheirKeys: what ran offline while a key lived is told
// to a Redis where it has expired meanwhile.
func TestWritesOutliveTheDeadlineOfTheirKeys(t *testing.T) {
	const ttl = 600 * time.Millisecond
	for name, tc := range map[string]struct {
		before []string // in Redis; these keys then get the deadline
		run    []string
		want   map[string]string // by command: Redis's answer after the replay
	}{
		"counter": {[]string{"SET m:k 5"}, []string{"INCR m:k"}, map[string]string{"EXISTS m:k": "0"}},
		"field":   {[]string{"HSET m:k f 1"}, []string{"HINCRBY m:k f 1"}, map[string]string{"EXISTS m:k": "0"}},
		"keepttl": {[]string{"SET m:k 5"}, []string{"SET m:k 6 KEEPTTL"}, map[string]string{"EXISTS m:k": "0"}},
		"limiter": {nil, []string{"INCR m:new", "PEXPIRE m:new 400", "INCR m:new"}, map[string]string{"EXISTS m:new": "0"}},
		"session": {[]string{"HSET m:k user alice token secret"}, []string{"HSET m:k seen now", "EXPIRE m:k 1800"},
			map[string]string{"HMGET m:k user token seen": "[alice secret now]"}},
		"session, again and again": {[]string{"HSET m:k user alice"}, []string{"HSET m:k n 1", "PEXPIRE m:k 620", "HINCRBY m:k n 1", "PEXPIRE m:k 640", "HINCRBY m:k n 1", "PEXPIRE m:k 100000"},
			map[string]string{"HMGET m:k user n": "[alice 3]"}},
		"getex":   {[]string{"SET m:k data"}, []string{"GETEX m:k EX 1000"}, map[string]string{"GET m:k": "data"}},
		"persist": {[]string{"SET m:k data"}, []string{"PERSIST m:k"}, map[string]string{"GET m:k": "data", "PTTL m:k": "-1"}},
		"append":  {[]string{"SET m:k data"}, []string{"APPEND m:k +", "PEXPIRE m:k 600000"}, map[string]string{"GET m:k": "data+"}},
		"script": {[]string{"SET m:k me"}, []string{"EVAL if(redis.call('GET',KEYS[1])==ARGV[1])then(redis.call)('RPUSH',KEYS[2],'entry')end 2 m:k m:log me"},
			map[string]string{"LRANGE m:log 0 -1": "[entry]"}},
		"smove":      {[]string{"SADD m:k x y"}, []string{"SMOVE m:k m:to x"}, map[string]string{"SMEMBERS m:to": "[x]", "EXISTS m:k": "0"}},
		"rpoplpush":  {[]string{"RPUSH m:k x y"}, []string{"RPOPLPUSH m:k m:to"}, map[string]string{"LRANGE m:to 0 -1": "[y]", "EXISTS m:k": "0"}},
		"store":      {[]string{"SADD m:k x"}, []string{"SUNIONSTORE m:to m:k"}, map[string]string{"SMEMBERS m:to": "[x]"}},
		"copy":       {[]string{"SET m:k data"}, []string{"COPY m:k m:to", "PERSIST m:to"}, map[string]string{"GET m:to": "data"}},
		"rename":     {[]string{"SET m:k data"}, []string{"RENAME m:k m:dst"}, map[string]string{"EXISTS m:dst": "0"}},
		"lset":       {[]string{"RPUSH m:k x"}, []string{"LSET m:k 0 y"}, map[string]string{"EXISTS m:k": "0"}},
		"large list": {[]string{"RPUSH m:k " + strings.Repeat("item ", 2000)}, []string{"RPUSH m:k a", "PEXPIRE m:k 100000", "RPUSH m:k b", "PEXPIRE m:k 100001"}, map[string]string{"LRANGE m:k -2 -1": "[a b]", "LLEN m:k": "2002"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			for _, line := range tc.before {
				r.redis(anyOf(strings.Fields(line))...)
				r.redis("PEXPIRE", "m:k", ttl.Milliseconds())
			}
			r.redis("SET", "m:dst", "old")
			begin := time.Now()
			r.loaded()
			r.lost()
			for _, line := range tc.run {
				reply := r.do(strings.Fields(line)...)
				require.NotEqual(t, byte('-'), reply[0], "%s: %s", line, reply)
				require.NotEqual(t, ":0\r\n", reply, line)
			}
			lapse(begin, ttl+100*time.Millisecond)
			r.online()
			for line, want := range tc.want {
				require.Equal(t, want, fmt.Sprint(r.redis(anyOf(strings.Fields(line))...)), line)
			}
			require.Zero(t, r.store.Status().DeadLetters)
			require.Zero(t, r.store.Status().Conflicts)
		})
	}
}

// TestOthersKeepWhatTheyDidMeanwhile: bringing back what expired is not for keys that
// somebody else has kept alive, or made again.
func TestOthersKeepWhatTheyDidMeanwhile(t *testing.T) {
	r := newRig(t)
	for _, k := range []string{"m:kept", "m:again", "m:put"} {
		r.redis("HSET", k, "n", 1)
		r.redis("PEXPIRE", k, 600)
	}
	r.redis("SET", "m:count", 1)
	begin := time.Now()
	r.loaded()
	r.lost()
	r.do("INCR", "m:count")
	r.do("HINCRBY", "m:kept", "n", "1")
	r.do("HINCRBY", "m:again", "n", "1")
	r.do("HSET", "m:put", "n", "2")
	r.do("PEXPIRE", "m:put", "700")
	r.redis("INCR", "m:count")
	r.redis("HINCRBY", "m:kept", "n", 1)
	r.redis("PEXPIRE", "m:kept", 100_000)
	r.redis("PEXPIRE", "m:put", 100_000)
	lapse(begin, 800*time.Millisecond)
	r.redis("HSET", "m:again", "n", 10)
	r.online()
	require.Equal(t, "3", r.redis("GET", "m:count"))
	require.Equal(t, "3", r.redis("HGET", "m:kept", "n"))
	require.Equal(t, "11", r.redis("HGET", "m:again", "n"))
	require.Equal(t, "2", r.redis("HGET", "m:put", "n"))
	require.Greater(t, r.redis("PTTL", "m:kept"), int64(50_000))
	require.Greater(t, r.redis("PTTL", "m:put"), int64(50_000))
	require.Equal(t, int64(-1), r.redis("PTTL", "m:again"))
}

// TestExpiryDuringASnapshot: a key that expires while a snapshot is being written is
// in it, for what was derived from it is in the journal only.
func TestExpiryDuringASnapshot(t *testing.T) {
	now := time.Now()
	r := newRig(t, func(c *Config) {
		c.Embedded, c.NewClient = true, nil
		c.Now = func() time.Time { return now }
	})
	r.do("SET", "src", "precious", "PX", "1000")
	r.do("HSET", "hash", "f", "precious", "g", "stays")
	r.do("HPEXPIRE", "hash", "1000", "FIELDS", "1", "f")
	s := r.store
	tmp, err := os.OpenFile(datadir.Snapshot(r.dir)+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	d := &dump{w: snapshot.NewWriter(tmp), early: map[record.KeyID]struct{}{}}
	seq, _, needed, err := s.beginDump(d, true)
	require.NoError(t, err)
	require.True(t, needed)
	r.do("EVAL", "return redis.call('SET', KEYS[2], redis.call('GET', KEYS[1]))", "2", "src", "dst")
	r.do("EVAL", "return redis.call('SET', KEYS[2], redis.call('HGET', KEYS[1], 'f'))", "2", "hash", "dst2")
	now = now.Add(2 * time.Second)
	finished, err := s.dumpSlice(d, 100)
	require.NoError(t, err)
	require.True(t, finished)
	require.NoError(t, datadir.Commit(tmp, datadir.Snapshot(r.dir), d.w.Finish()))
	require.NoError(t, s.jr.Truncate(seq))
	r.crash()
	require.Equal(t, "*2\r\n$8\r\nprecious\r\n$8\r\nprecious\r\n", r.do("MGET", "dst", "dst2"))
	require.Equal(t, "*3\r\n$-1\r\n$5\r\nstays\r\n$-1\r\n", r.do("HMGET", "hash", "f", "g", "x"))
}

// TestScriptsThatGoThroughTables: the order of pairs is another one in Redis.
func TestScriptsThatGoThroughTables(t *testing.T) {
	r := newRig(t)
	r.loaded()
	r.lost()
	r.do("EVAL", `for k in pairs(cjson.decode(ARGV[1])) do redis.call('RPUSH', KEYS[1], k) end`, "1", "m:l", `{"zeta":1,"alpha":2,"mid":3,"omega":4,"beta":5}`)
	r.do("EVAL", `local t,k = cjson.decode(ARGV[1]) repeat k = next(t, k) if k then redis.call('RPUSH', KEYS[1], k) end until not k`, "1", "m:l", `{"zeta":1,"alpha":2,"mid":3,"omega":4,"beta":5}`)
	local := r.do("LRANGE", "m:l", "0", "-1")
	r.online()
	require.Equal(t, local, string(rawReply(t, r.srv.Addr(), "LRANGE", "m:l", "0", "-1")))
}

// TestRandomDeadlines: random writes to keys with deadlines, some of which pass while
// Redis is away, with a restart in between; then Redis has what was here.
func TestRandomDeadlines(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewSource(seed))
	r := newRig(t)
	keys := []string{"m:a", "m:b", "m:c", "m:d", "m:e", "m:f"}
	lines := []string{"INCR $", "APPEND $ 1", "HINCRBY $ n 1", "HSET $ f v", "RPUSH $ x", "LPOP $", "SADD $ x y", "SMOVE $ $ x", "LSET $ 0 y", "DEL $",
		"PEXPIRE $ #", "PEXPIRE $ #", "PEXPIRE $ #", "PERSIST $", "GETEX $ PX #", "SET $ 1 PX #", "SET $ 2 KEEPTTL", "COPY $ $", "RENAME $ $", "RPOPLPUSH $ $",
		"EVAL if(redis.call('INCR',KEYS[1])==1)then(redis.call)('PEXPIRE',KEYS[1],ARGV[1])end 1 $ #"}
	line := func() []string {
		args := strings.Fields(lines[rng.Intn(len(lines))])
		for i, a := range args {
			switch a {
			case "$":
				args[i] = keys[rng.Intn(len(keys))]
			case "#":
				args[i] = fmt.Sprint([]int{50, 200, 400, 100_000, 200_000}[rng.Intn(5)])
			}
		}
		return args
	}
	local := func(args ...string) string { return r.do(args...) }
	atRedis := func(args ...string) string { return string(rawReply(t, r.srv.Addr(), anyOf(args)...)) }
	for round := range 8 {
		for range 15 {
			_ = r.direct.Do(context.Background(), anyOf(line())...).Err() // some find another type
		}
		for here, there := []string{"?"}, []string(nil); fmt.Sprint(here) != fmt.Sprint(there); {
			r.loaded() // nobody invalidates what the test itself did, so it may need another look
			r.lost()
			here, there = holds(keys, local), holds(keys, atRedis)
		}
		var log []string
		for i := range 40 {
			args := line()
			log = append(log, fmt.Sprintf("%q: %q", args, r.do(args...)))
			time.Sleep(time.Duration(rng.Intn(10)) * time.Millisecond)
			if i == 20 && round%2 == 1 {
				crashRun(r)
			}
		}
		time.Sleep(500 * time.Millisecond) // past the short deadlines
		r.do("GET", "m:a")
		want := holds(keys, local)
		r.online()
		require.Equal(t, want, holds(keys, atRedis), strings.Join(log, "\n"))
		require.Zero(t, r.store.Status().DeadLetters, strings.Join(log, "\n"))
		require.Zero(t, r.store.Status().Conflicts)
		r.settle()
	}
}

// holds is what one side has of the keys.
func holds(keys []string, ask func(args ...string) string) (out []string) {
	for _, k := range keys {
		kind := strings.TrimSpace(ask("TYPE", k))[1:]
		read := map[string][]string{"string": {"GET", k}, "hash": {"HMGET", k, "n", "f"}, "list": {"LRANGE", k, "0", "-1"}, "set": {"SMEMBERS", k}}[kind]
		if read != nil {
			elements := strings.Split(ask(read...), "\r\n")
			if kind == "set" {
				sort.Strings(elements)
			}
			out = append(out, fmt.Sprintf("%s %q until %s", k, elements, ask("PEXPIRETIME", k)))
		}
	}
	return out
}
