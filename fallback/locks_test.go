package fallback

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// A key that was a lock once and is something else by now is deleted like any
// other: the acknowledged DEL reaches Redis.
func TestALockThatBecameAValueIsDeleted(t *testing.T) {
	for name, c := range map[string]struct{ online, offline func(r *rig) }{
		"overwritten while Redis was there": {online: func(r *rig) { r.via("SET", "m:job", "final") }},
		"by somebody else": {online: func(r *rig) {
			r.redis("SET", "m:job", "final", "EX", 600)
			r.store.Invalidate(words("m:job"))
		}},
		"made permanent": {online: func(r *rig) { r.via("PERSIST", "m:job") }},
		"overwritten in the outage": {offline: func(r *rig) {
			require.Equal(r.t, "+OK\r\n", r.do("SET", "m:job", "final", "EX", "600"))
		}},
		"in one unit": {offline: func(r *rig) {
			require.Equal(r.t, "*4\r\n+OK\r\n:1\r\n+OK\r\n:1\r\n", r.unit("SET m:job final", "DEL m:job", "SET m:job more", "DEL m:job"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.loaded()
			r.via("SET", "m:job", "init", "NX", "EX", 600)
			if c.online != nil {
				c.online(r)
			}
			r.settle()
			r.lost()
			if c.offline != nil {
				c.offline(r)
			}
			r.do("DEL", "m:job")
			require.Equal(t, "$-1\r\n", r.do("GET", "m:job"))
			r.online()
			require.Nil(t, r.redis("GET", "m:job"))
		})
	}
}

// A script that gives a lock back does the rest of its work at Redis, too.
func TestAScriptThatReleasesDoesTheRest(t *testing.T) {
	for _, others := range []bool{false, true} {
		r := newRig(t)
		r.loaded()
		r.via("SET", "m:lock", "me", "NX", "EX", 600)
		r.lost()
		require.Equal(t, ":1\r\n", r.do("EVAL", "redis.call('DEL', KEYS[1]) return redis.call('INCR', 'm:done')", "1", "m:lock"))
		if others {
			r.redis("SET", "m:lock", "somebody else", "EX", 600)
		}
		r.online()
		require.Equal(t, "1", r.redis("GET", "m:done"))
		if others {
			require.Equal(t, "somebody else", r.redis("GET", "m:lock"))
		} else {
			require.Nil(t, r.redis("GET", "m:lock"))
		}
		require.Zero(t, r.store.Status().DeadLetters)
	}
}

// The lease that counts is the renewed one.
func TestARenewedLockIsReleased(t *testing.T) {
	for _, offline := range []bool{false, true} {
		r := newRig(t)
		r.loaded()
		r.via("SET", "m:lock", "me", "NX", "PX", 600)
		r.redis("SET", "m:clock", "x", "PX", 700)
		if !offline {
			r.via("PEXPIRE", "m:lock", 600_000)
			r.settle()
		}
		r.lost()
		if offline {
			require.Equal(t, ":1\r\n", r.do("PEXPIRE", "m:lock", "600000"))
			r.redis("PEXPIRE", "m:lock", 600_000) // as another proxy might have
		}
		redistest.Eventually(t, bound, "the first lease is over", func() bool { return r.redis("EXISTS", "m:clock") == int64(0) })
		require.Equal(t, ":1\r\n", r.do("EVAL", "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0", "1", "m:lock", "me"))
		r.online()
		require.Nil(t, r.redis("GET", "m:lock"))
		require.Zero(t, r.store.Status().DeadLetters)
	}
}

// A lock is renewed by a script that compares first. Redis compares again: by then
// it may be somebody else's.
func TestARenewedLockIsComparedAgain(t *testing.T) {
	const renew = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
	for holder, most := range map[string]int64{"me": 900_000, "other": 5_000} {
		r := newRig(t)
		r.loaded()
		r.via("SET", "m:lock", "me", "NX", "PX", "60000")
		r.settle()
		r.lost()
		require.Equal(t, ":1\r\n", r.do("EVAL", renew, "1", "m:lock", "me", "900000"))
		if holder == "other" {
			r.redis("SET", "m:lock", holder, "PX", "5000")
		}
		r.online()
		require.Equal(t, holder, r.redis("GET", "m:lock"))
		ttl := r.redis("PTTL", "m:lock").(int64)
		require.LessOrEqual(t, ttl, most)
		require.Greater(t, ttl, most/2, "and where it is, it is renewed")
	}
}

// A unit that renews a lock and gives it back leaves somebody else's alone.
func TestALockThatIsRenewedAndReleasedAtOnce(t *testing.T) {
	r := newRig(t)
	r.loaded()
	r.via("SET", "m:lock", "me", "NX", "EX", 600)
	r.settle()
	r.lost()
	require.Equal(t, "*2\r\n:1\r\n:1\r\n", r.unit("EXPIRE m:lock 700", "DEL m:lock"))
	r.redis("SET", "m:lock", "somebody else", "EX", 600)
	r.online()
	require.Equal(t, "somebody else", r.redis("GET", "m:lock"))
}

// Tokens that are set once and live for a day are locks like any other: many of them
// must not make each further one look at all.
func TestManyLocksAreNotLookedAtEachTime(t *testing.T) {
	now := time.Now()
	r := newRig(t, func(c *Config) { c.goBy(func() time.Time { return now }) })
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	note := func(from, n int) {
		for i := from; i < from+n; i++ {
			r.store.noteLock(0, words("SET", "x:once:"+strconv.Itoa(i), "1", "NX", "EX", "86400"))
		}
	}
	note(0, maxLocks)
	note(maxLocks, 1) // looks at all
	for id := range r.store.locks {
		r.store.locks[id] = lock{value: "1"} // long over
	}
	note(maxLocks, 1000)
	require.Len(t, r.store.locks, maxLocks, "nobody looked at them in the same second")
	now = now.Add(time.Second)
	note(maxLocks, 1)
	require.Len(t, r.store.locks, 1, "the old ones make room")
}
