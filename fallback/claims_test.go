package fallback

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// What libraries send for locks, by the calls that it consists of.
var lockForms = map[string][]string{
	"SETNX":         {"SETNX", "m:l", "token-1"},
	"SETNX of one":  {"SETNX", "m:l", "1"}, // SETNX and EXPIRE: the oldest form
	"SETNX of time": {"SETNX", "m:l", "1790000000"},
	"SET NX":        {"SET", "m:l", "token-1", "NX"},
	"SET 1 NX EX":   {"SET", "m:l", "1", "NX", "EX", "30"},
	"SET NX GET":    {"SET", "m:l", "token-1", "NX", "GET", "PX", "30000"},
	"MSETNX":        {"MSETNX", "m:l", "token-1", "m:l2", "token-1"},
	"script: SET NX PX": {"EVAL", "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])",
		"1", "m:l", "token-1", "30000"},
	"script: SET NX EX, then the task": {"EVAL", `if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) then return -1 end
		redis.call('HSET', KEYS[2], 'msg', ARGV[3]) redis.call('LPUSH', KEYS[3], ARGV[1]) return 1`,
		"3", "m:l", "m:task", "m:queue", "id-1", "30", "body"},
	"script: SETNX, EXPIRE": {"EVAL", "if redis.call('SETNX', KEYS[1], ARGV[1]) == 1 then return redis.call('EXPIRE', KEYS[1], 30) end return 0",
		"1", "m:l", "token-1"},
	"script: EXISTS, SET PX": {"EVAL", `for _, k in ipairs(KEYS) do if redis.call('EXISTS', k) == 1 then return 0 end end
		for _, k in ipairs(KEYS) do redis.call('SET', k, ARGV[1], 'PX', ARGV[2]) end return #KEYS`,
		"2", "m:l", "m:l2", "3d4a8fb2c09e4a5f", "30000"},
	"script: EXISTS, SETEX": {"EVAL", "return redis.call('EXISTS', KEYS[1]) < 1 and redis.call('SETEX', KEYS[1], ARGV[2], ARGV[1])",
		"1", "m:l", "b:1;", "30"},
	"script: GET, SET, PEXPIRE": {"EVAL", `if redis.call('GET', KEYS[1]) then return 0 end
		redis.call('SET', KEYS[1], ARGV[1]) return redis.call('PEXPIRE', KEYS[1], 30000)`,
		"1", "m:l", "host-1:4711"},
	"script: MGET, SET EX of the first that is free": {"EVAL", `for i, v in pairs(redis.call('MGET', unpack(KEYS))) do
		if not v then redis.call('SET', KEYS[i], ARGV[1], 'EX', 30) return i end end return false`,
		"2", "m:l", "m:full", "Zk3mQ9"},
	"script: EXISTS or HEXISTS, HINCRBY, PEXPIRE": {"EVAL", `if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 then
		redis.call('HINCRBY', KEYS[1], ARGV[2], 1) redis.call('PEXPIRE', KEYS[1], ARGV[1]) return nil end return redis.call('PTTL', KEYS[1])`,
		"1", "m:h", "30000", "8743c9c0-0795-4907-87fd-6c719a6b4586:42"},
	"script: HGET, HSET mode, PEXPIRE": {"EVAL", `if redis.call('HGET', KEYS[1], 'mode') then return redis.call('PTTL', KEYS[1]) end
		redis.call('HSET', KEYS[1], 'mode', 'read') redis.call('PEXPIRE', KEYS[1], 30000) return nil`, "1", "m:h"},
	"script: a job is taken and locked": {"EVAL", `if redis.call('EXISTS', KEYS[3]) == 1 then return {} end
		local id = redis.call('RPOPLPUSH', KEYS[1], KEYS[2]) redis.call('SET', 'm:l', ARGV[1], 'PX', 30000) return id`,
		"3", "m:wait", "m:active", "m:l", "5f1c-token:0"},
}

// A lock is never granted while Redis is away, whatever it looks like; that one is
// held is said where it is known.
func TestNoFormOfALockIsGranted(t *testing.T) {
	r := newRig(t)
	r.redis("RPUSH", "m:wait", "job-1")
	r.redis("SET", "m:full", "x")
	r.loaded()
	r.lost()
	before := r.do("KEYS", "*")
	for name, argv := range lockForms {
		require.True(t, strings.HasPrefix(r.do(argv...), "-UPSTREAMDOWN "), name)
	}
	require.Equal(t, "$-1\r\n", r.do("SET", "m:l", "token-1", "NX", "EX", "30"), "by itself: not granted")
	require.True(t, strings.HasPrefix(r.unit("SET m:l token-1 NX EX 30", "INCR m:count"), "-UPSTREAMDOWN "))
	require.True(t, strings.HasPrefix(r.unit("DEL m:full", "SET m:full token-1 NX EX 30"), "-UPSTREAMDOWN "))
	require.Equal(t, before, r.do("KEYS", "*"), "nothing was set")
	r.online()
	require.Equal(t, int64(0), r.redis("EXISTS", "m:l", "m:l2", "m:h", "m:task", "m:count"))
}

func TestALockThatIsHeldSaysSo(t *testing.T) {
	want := map[string]string{
		"SETNX": ":0", "SETNX of one": ":0", "SETNX of time": ":0", "SET NX GET": "$5\r\nother", "MSETNX": ":0",
		"script: SET NX EX, then the task": ":-1", "script: SETNX, EXPIRE": ":0", "script: EXISTS, SET PX": ":0",
		"script: GET, SET, PEXPIRE": ":0", "script: EXISTS or HEXISTS, HINCRBY, PEXPIRE": ":", "script: HGET, HSET mode, PEXPIRE": ":",
		"script: a job is taken and locked": "*0",
	}
	r := newRig(t)
	r.redis("SET", "m:l", "other", "PX", 600_000)
	r.redis("SET", "m:full", "x")
	r.redis("HSET", "m:h", "mode", "write", "0f0f0f0f-aaaa-4907-87fd-6c719a6b4586:1", "1")
	r.redis("PEXPIRE", "m:h", 600_000)
	r.loaded()
	r.lost()
	for name, argv := range lockForms {
		w := want[name]
		if w == "" {
			w = "$-1\r\n"
		}
		got := r.do(argv...)
		require.True(t, strings.HasPrefix(got, w), "%s: %q", name, got)
	}
	require.Equal(t, "*2\r\n$-1\r\n:1\r\n", r.unit("SET m:l token-1 NX EX 30", "INCR m:count"), "the same pair in a unit")
	require.Equal(t, "$-1\r\n", r.do("SET", "m:l", "0", "NX", "EX", "30"))
	// Its holder goes on: renewing and giving back ask for nothing new.
	require.Equal(t, ":1\r\n", r.do("EVAL", "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[1], 'PX', 90000) return 1 end return 0",
		"1", "m:l", "other"))
	require.Equal(t, ":1\r\n", r.do("EVAL", "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0", "1", "m:l", "other"))
}

// What limiters send: each goes on while Redis is away and keeps its expiry.
var limiterForms = map[string][][]string{
	"SET 0 NX EX, INCR": {{"SET", "m:r", "0", "EX", "600", "NX"}, {"INCR", "m:r"}},
	"INCR, EXPIRE":      {{"INCR", "m:r"}, {"EXPIRE", "m:r", "600"}},
	"SETNX 0, EXPIRE":   {{"SETNX", "m:r", "0"}, {"EXPIRE", "m:r", "600"}, {"INCR", "m:r"}},
	"script: SET 0 EX NX, INCRBY, PTTL": {{"EVAL", `redis.call('SET', KEYS[1], 0, 'EX', ARGV[2], 'NX')
		return {redis.call('INCRBY', KEYS[1], ARGV[1]), redis.call('PTTL', KEYS[1])}`, "1", "m:r", "1", "600"}},
	"script: INCR, PEXPIRE at the first": {{"EVAL", `local n = redis.call('INCR', KEYS[1]) local left = redis.call('PTTL', KEYS[1])
		if n == 1 or left < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end return n`, "1", "m:r", "600000"}},
	"script: GET, SET of a time EX": {{"EVAL", `local t = redis.call('TIME') local tat = redis.call('GET', KEYS[1])
		tat = tat and tonumber(tat) or (t[1] - 1483228800) + t[2] / 1000000
		redis.call('SET', KEYS[1], tat + 0.5, 'EX', 600) return 1`, "1", "m:r"}},
	"script: window and counter": {{"EVAL", `if not redis.call('GET', KEYS[1]) then redis.call('SET', KEYS[1], ARGV[1]) redis.call('SET', KEYS[2], 1)
		redis.call('EXPIRE', KEYS[1], 600) redis.call('EXPIRE', KEYS[2], 600) return {ARGV[1], 1} end return redis.call('INCR', KEYS[2])`,
		"2", "m:w", "m:r", "1790000000.25"}},
	"script: a bucket in a hash": {{"EVAL", `local b = redis.call('HMGET', KEYS[1], 'tokens', 'ts')
		redis.call('HMSET', KEYS[1], 'tokens', (tonumber(b[1]) or 10) - 1, 'ts', ARGV[1]) redis.call('EXPIRE', KEYS[1], 600) return 1`,
		"1", "m:r", "1790000000"}},
	"script: EXISTS, a window in a hash": {{"EVAL", `if redis.call('EXISTS', KEYS[1]) == 0 then
		redis.call('HMSET', KEYS[1], 'start', ARGV[1], 'end', ARGV[1] + 60, 'count', 1) return redis.call('EXPIRE', KEYS[1], 600) end return 0`,
		"1", "m:r", "1790000000"}},
	"script: EXISTS, SETEX of a number": {{"EVAL", "return redis.call('EXISTS', KEYS[1]) < 1 and redis.call('SETEX', KEYS[1], ARGV[2], ARGV[1])", "1", "m:r", "0", "600"}, {"INCR", "m:r"}},
	"script: a log in a sorted set": {{"EVAL", `redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, ARGV[1] - 60) if redis.call('ZCARD', KEYS[1]) < 5 then
		redis.call('ZADD', KEYS[1], ARGV[1], ARGV[1]) end return redis.call('EXPIRE', KEYS[1], 600)`, "1", "m:r", "1790000000"}},
}

func TestALimiterKeepsItsExpiry(t *testing.T) {
	for name, calls := range limiterForms {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.loaded()
			r.lost()
			for range 2 {
				for _, argv := range calls {
					require.NotContains(t, r.do(argv...), "UPSTREAMDOWN", argv)
				}
			}
			require.NotEqual(t, ":-1\r\n", r.do("PTTL", "m:r"))
			require.NotEqual(t, ":-2\r\n", r.do("PTTL", "m:r"))
			r.online()
			require.Greater(t, r.redis("PTTL", "m:r"), int64(500_000))
			require.Zero(t, r.store.Status().DeadLetters)
		})
	}
}

// Two hosts that count on the same key in one outage add up, and the expiry stays.
func TestALimiterThatAnotherHostStartedToo(t *testing.T) {
	r := newRig(t)
	r.loaded()
	r.lost()
	require.Equal(t, "+OK\r\n", r.do("SET", "m:r", "0", "EX", "600", "NX"))
	require.Equal(t, ":1\r\n", r.do("INCR", "m:r"))
	r.redis("SET", "m:r", "4", "EX", 600)
	r.online()
	require.Equal(t, "5", r.redis("GET", "m:r"))
	require.Greater(t, r.redis("PTTL", "m:r"), int64(500_000))
}

// A limiter whose deadline has passed when Redis is back is not there, for ever even.
func TestALimiterThatIsOverAtTheReplay(t *testing.T) {
	r := newRig(t)
	r.loaded()
	r.redis("SET", "m:clock", "x", "PX", 500)
	r.lost()
	require.Equal(t, "+OK\r\n", r.do("SET", "m:r", "0", "PX", "400", "NX"))
	require.Equal(t, ":1\r\n", r.do("INCR", "m:r"))
	redistest.Eventually(t, bound, "its deadline has passed", func() bool { return r.redis("EXISTS", "m:clock") == int64(0) })
	r.online()
	require.Equal(t, int64(0), r.redis("EXISTS", "m:r"))
}

// What starts a key with its expiry was refused, or answered as a lock: what comes
// behind it in the pipeline does not create the key without.
func TestWhatIsNotStartedIsNotCountedOn(t *testing.T) {
	for _, start := range [][]string{
		{"SET", "m:r", "1", "EX", "600", "NX"}, {"SET", "m:r", "100", "EX", "600", "NX"}, {"SET", "m:r", "first", "EX", "600", "NX"},
		{"SETNX", "m:r", "1"}, {"SET", "m:r", "1", "NX"},
	} {
		now := time.Now()
		var later atomic.Int64
		r := newRig(t, func(c *Config) { c.goBy(func() time.Time { return now.Add(time.Duration(later.Load())) }) })
		r.loaded()
		r.lost()
		require.NotEqual(t, "+OK\r\n", r.do(start...))
		for _, count := range []string{"INCR m:r", "DECR m:r", "INCRBYFLOAT m:r 1", "APPEND m:r x", "HINCRBY m:r f 1", "RPUSH m:r x", "SETRANGE m:r 1 x"} {
			require.True(t, strings.HasPrefix(r.do(strings.Fields(count)...), "-UPSTREAMDOWN "), "%v, then %s", start, count)
		}
		require.Equal(t, ":0\r\n", r.do("EXISTS", "m:r"))
		require.Equal(t, "+OK\r\n", r.do("SET", "m:r", "5", "EX", "600"), "with an expiry it may be created")
		require.Equal(t, ":6\r\n", r.do("INCR", "m:r"))
		require.Equal(t, ":1\r\n", r.do("DEL", "m:r"))
		later.Store(int64(time.Hour)) // the start would be over by now
		require.Equal(t, ":1\r\n", r.do("INCR", "m:r"))
	}
}

// Of a key that is not held nobody knows whether it is there.
func TestAClaimOfAnUnknownKey(t *testing.T) {
	r := newRig(t)
	r.loaded()
	r.lost()
	for _, argv := range [][]string{{"SET", "k", "0", "NX", "EX", "5"}, {"SETNX", "k", "0"}, {"SETNX", "k", "x"}, {"SET", "k", "x", "NX"}, {"INCR", "k"}} {
		require.True(t, strings.HasPrefix(r.do(argv...), "-UPSTREAMDOWN "), argv)
	}
	require.Equal(t, "$-1\r\n", r.do("SET", "k", "token", "NX", "EX", "5"))
	require.Equal(t, "-ERR syntax error\r\n", r.do("SET", "m:k", "token", "NX", "XX", "EX", "5"))
}

// Scripts that set data, or set it whatever is there, are no locks.
func TestDataIsNoLock(t *testing.T) {
	r := newRig(t)
	r.loaded()
	r.lost()
	require.Equal(t, "+OK\r\n", r.do("EVAL", "return redis.call('SETEX', KEYS[1], 60, ARGV[1])", "1", "m:s", "word"))
	require.Equal(t, "+OK\r\n", r.do("EVAL", "if not redis.call('GET', KEYS[1]) then return redis.call('SETEX', KEYS[1], 60, ARGV[1]) end", "1", "m:tok", `{"refreshToken":"x"}`))
	require.Equal(t, "+OK\r\n", r.do("EVAL", "if not redis.call('GET', KEYS[1]) then return redis.call('SET', KEYS[1], ARGV[1]) end", "1", "m:plain", "word"))
}

// A lock that a script took before the outage is given back like any other: only if it
// still is the same.
func TestALockThatAScriptTookIsComparedAgain(t *testing.T) {
	take := append([]any{}, "EVAL", lockForms["script: EXISTS, SET PX"][1], "1", "m:l", "tok", "600000")
	for _, others := range []bool{false, true} {
		r := newRig(t)
		r.loaded()
		r.via(take...)
		r.settle()
		r.lost()
		require.Equal(t, ":1\r\n", r.do("EVAL", "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0", "1", "m:l", "tok"))
		if others {
			r.redis("SET", "m:l", "somebody else", "PX", 600_000)
		}
		r.online()
		if others {
			require.Equal(t, "somebody else", r.redis("GET", "m:l"))
		} else {
			require.Nil(t, r.redis("GET", "m:l"))
		}
	}
}

// A lock by WATCH, as clients did before there were scripts.
func TestALockUnderWatch(t *testing.T) {
	r := newRig(t)
	r.loaded()
	r.lost()
	w, err := r.store.Watch(0, words("m:l"))
	require.NoError(t, err)
	got := r.request(Request{Proto: 2, Unit: true, Watch: []*Watch{w}, Commands: [][][]byte{words("SET", "m:l", "token", "EX", "30")}})
	require.True(t, strings.HasPrefix(got, "-UPSTREAMDOWN "), got)
}
