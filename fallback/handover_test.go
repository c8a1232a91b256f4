package fallback

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/deadletter"
)

// embeddedFirst is a rig whose store was embedded while fill ran, and has a Redis now.
func embeddedFirst(t *testing.T, conflict deadletter.Conflict, fill func(r *rig)) *rig {
	r := newRig(t, embedded)
	fill(r)
	r.close()
	r.cfg.Embedded, r.cfg.NewClient, r.cfg.Conflict = false, newRigClient(r), conflict
	return r
}

// What an embedded store brings to a Redis is created where Redis has nothing. Where
// it has another value, that one stays unless a policy was given; both are recorded.
func TestHandOverToARedisThatHasOtherValues(t *testing.T) {
	for policy, want := range map[deadletter.Conflict][]any{
		"":                  {"theirs", "same", "new"},
		deadletter.Ours:     {"mine", "same", "new"},
		deadletter.Theirs:   {"theirs", "same", "new"},
		deadletter.ToLetter: {"theirs", "same", "new"},
	} {
		t.Run("policy "+string(policy), func(t *testing.T) {
			r := embeddedFirst(t, policy, func(r *rig) {
				for _, kv := range [][2]string{{"m:k", "mine"}, {"m:same", "same"}, {"m:new", "new"}} {
					r.do("SET", kv[0], kv[1])
				}
				r.do("RPUSH", "other", "mine")
				r.do("HSET", "m:h", "a", "1", "b", "2")
			})
			r.redis("MSET", "m:k", "theirs", "m:same", "same")
			r.redis("HSET", "m:h", "b", "2", "a", "1")
			r.redis("SET", "other", "of another type")
			r.open()
			r.loaded()
			require.Equal(t, want, r.redis("MGET", "m:k", "m:same", "m:new"))
			require.EqualValues(t, 2, r.store.Status().Conflicts)
			found := map[string]deadletter.ConflictRecord{}
			filed := 0
			for _, c := range conflictsOf(t, r) {
				if c.Key == nil {
					filed++
					continue
				}
				found[string(c.Key)] = c
			}
			require.Len(t, found, 2)
			require.Equal(t, [][][]byte{words("SET", "m:k", "mine")}, found["m:k"].Ours)
			require.Equal(t, [][][]byte{words("SET", "m:k", "theirs")}, found["m:k"].Theirs)
			require.False(t, found["m:k"].Unsure)
			if policy == "" || policy == deadletter.Theirs {
				require.Equal(t, 2, filed, "what was not applied is kept whole")
			}
			if policy == deadletter.ToLetter {
				require.Equal(t, 2, r.store.Status().DeadLetters)
			}
			r.lost()
			require.Contains(t, r.do("GET", "m:k"), want[0], "the local state is as Redis has it")
			if want[0] == "mine" {
				require.Equal(t, []any{"mine"}, r.redis("LRANGE", "other", 0, -1))
			}
		})
	}
}

// The same at every cut of the connection and with a kill after each: nothing is
// decided twice or differently.
func TestHandOverIsInterrupted(t *testing.T) {
	for _, cut := range []int64{300, 700, 1000, 1300, 1600, 2000, 2400} {
		r := embeddedFirst(t, "", func(r *rig) {
			r.do("RPUSH", "m:list", "a", "b")
			r.do("SET", "m:k", "mine")
			r.do("SET", "m:n", "1")
		})
		r.redis("SET", "m:k", "theirs")
		r.open()
		r.do("INCR", "m:n")        // of a client, after the hand-over began
		r.do("APPEND", "m:k", "+") // on a key that Redis has another value of: as in any outage
		r.wire.limit("close", cut, -1)
		_ = r.connect()
		r.wire.heal()
		r.crash()
		r.online()
		require.Equal(t, []any{"theirs+", "2"}, r.redis("MGET", "m:k", "m:n"), "cut after %d", cut)
		require.Equal(t, []any{"a", "b"}, r.redis("LRANGE", "m:list", 0, -1), "cut after %d", cut)
		r.close()
	}
}

// A directory that had a Redis before it was detached finds an older fence there:
// that is no Redis that lost anything.
func TestHandOverToTheRedisOfBefore(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:n", "1")
	with := r.cfg
	r.loaded()
	r.lost()
	r.do("INCR", "m:n")
	r.online()
	r.close()
	r.cfg.Embedded, r.cfg.NewClient, r.cfg.Detach = true, nil, true
	r.open()
	r.do("SET", "m:new", "1")
	r.do("INCR", "m:n")
	r.close()
	r.redis("INCRBY", "m:n", "10")
	r.cfg = with
	r.open()
	r.loaded()
	require.Equal(t, []any{"12", "1"}, r.redis("MGET", "m:n", "m:new"))
	require.EqualValues(t, 1, r.store.Status().Conflicts)
	r.lost()
	r.do("INCR", "m:n")
	r.online()
	require.Equal(t, "13", r.redis("GET", "m:n"), "and goes on as any other")
}

// What the sample put there and nobody changed is never brought to a Redis.
func TestTheSampleStaysAtHome(t *testing.T) {
	sample := [][][]byte{words("SET", "m:config", "sample"), words("HSET", "m:pool", "a", "1", "b", "2"), words("SET", "m:edited", "sample"), words("SET", "m:there", "sample")}
	r := embeddedFirst(t, deadletter.Ours, func(r *rig) {
		require.NoError(t, r.store.LoadSample(0, sample))
		r.do("SET", "m:edited", "by me")
		r.do("SET", "m:mine", "1")
		r.crash()
	})
	r.redis("SET", "m:there", "production")
	r.open()
	require.EqualValues(t, 2, r.store.Status().QueuedWrites)
	require.Contains(t, r.do("GET", "m:config"), "UPSTREAMDOWN", "and it is nothing that Redis has")
	r.crash()
	r.loaded()
	require.Equal(t, []any{nil, "by me", "production", "1"}, r.redis("MGET", "m:config", "m:edited", "m:there", "m:mine"))
	require.EqualValues(t, 0, r.redis("EXISTS", "m:pool"))
	require.Zero(t, r.store.Status().Conflicts)
	_, err := os.Stat(samplePath(r.dir))
	require.ErrorIs(t, err, os.ErrNotExist, "the note has done its work")
}

// A crash between the note and the keys leaves a note of keys that are not there;
// the next start loads the sample again, with other secrets.
func TestTheNoteOfTheSampleComesFirst(t *testing.T) {
	r := newRig(t, embedded)
	raw, err := json.Marshal(sampleNote{Keys: map[string]string{"m:config": "00"}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(samplePath(r.dir), raw, 0o600))
	require.NoError(t, r.store.LoadSample(0, [][][]byte{words("SET", "m:config", "second")}))
	r.close()
	r.cfg.Embedded, r.cfg.NewClient = false, newRigClient(r)
	r.open()
	require.Zero(t, r.store.Status().QueuedWrites)
}

// A store that was killed has writes that no snapshot has; streams with groups are
// recreated by commands that do not begin with the key.
func TestHandOverAfterACrash(t *testing.T) {
	r := newRig(t, embedded)
	client := newRigClient(r)
	r.do("SET", "s", "1")
	r.do("INCR", "n")
	r.do("HSET", "h", "f", "v")
	r.do("XADD", "st", "1-1", "f", "v")
	r.do("XGROUP", "CREATE", "st", "g", "0")
	r.do("XREADGROUP", "GROUP", "g", "c", "STREAMS", "st", ">")
	r.do("EXPIRE", "st", "1000")
	r.do("EVAL", "return redis.call('RPUSH', KEYS[1], 'a')", "1", "l")
	r.crash()
	r.cfg.Embedded, r.cfg.NewClient = false, client
	r.close()
	r.open()
	r.online()
	require.Equal(t, []any{"1", "1"}, r.redis("MGET", "s", "n"))
	require.Equal(t, "v", r.redis("HGET", "h", "f"))
	require.Equal(t, []any{"a"}, r.redis("LRANGE", "l", 0, -1))
	require.EqualValues(t, 1, r.redis("XLEN", "st"))
	require.EqualValues(t, 1, r.redis("XPENDING", "st", "g").([]any)[0])
	require.EqualValues(t, 0, r.redis("EXISTS", "CREATE"))
	require.Zero(t, r.store.Status().DeadLetters)
}

// A directory was put back from a backup and detached. Its Redis has the fence of what
// it was before, beyond what is handed over: that says nothing, also after a restart.
func TestHandOverToTheRedisOfANewerLife(t *testing.T) {
	for _, restart := range []bool{false, true} {
		r := newRig(t)
		r.do("SET", "m:a", "1")
		r.online()
		r.lost()
		r.close()
		backup := filepath.Join(t.TempDir(), "data")
		require.NoError(t, os.CopyFS(backup, os.DirFS(r.dir)))
		r.open()
		for range 12 {
			r.do("SET", "m:before", "1")
		}
		r.online()
		require.Equal(t, "13", r.redis("GET", r.fence()))
		r.close()

		r.dir, r.cfg.Embedded, r.cfg.NewClient, r.cfg.Detach = backup, true, nil, true
		r.open()
		for i := range 7 {
			r.do("SET", fmt.Sprint("m:", i), "mine")
		}
		r.do("SET", "m:n", "0")
		r.close()
		r.cfg.Embedded, r.cfg.NewClient, r.cfg.Detach = false, newRigClient(r), false
		r.open() // the fence is amid the numbers that its keys get
		require.Equal(t, ":1\r\n", r.do("INCR", "m:n"))
		if restart {
			r.crash()
		}
		r.online()
		require.Equal(t, []any{"1", "mine", "mine", "mine", "mine", "mine", "mine", "mine"},
			r.redis("MGET", "m:n", "m:0", "m:1", "m:2", "m:3", "m:4", "m:5", "m:6"))
		r.lost()
		r.crash()
		require.Equal(t, ":2\r\n", r.do("INCR", "m:n"))
		r.online()
		require.Equal(t, "2", r.redis("GET", "m:n"))
		r.close()
	}
}

// The first batch after a hand-over is the one that waits for the mark to be on disk.
func TestHandOverWaitsForItsMark(t *testing.T) {
	r := embeddedFirst(t, "", func(r *rig) { r.do("SET", "m:k", "mine") })
	r.open()
	mark := r.store.markFile
	readOnly, err := os.Open(mark.Name())
	require.NoError(t, err)
	defer readOnly.Close()
	r.store.markFile = readOnly
	for range 2 {
		require.ErrorContains(t, r.connect(), "hand-over")
	}
	require.Nil(t, r.redis("GET", "m:k"))
	r.store.markFile = mark
	r.online()
	require.Equal(t, "mine", r.redis("GET", "m:k"))
}
