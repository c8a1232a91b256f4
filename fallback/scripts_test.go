package fallback

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

const (
	endless  = "while true do end"
	busyEval = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"
	busyFn   = "-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.\r\n"
	spinLib  = "#!lua name=spin\nredis.register_function('spin', function() while true do end end) redis.register_function('one', function(k) return redis.call('INCR', k[1]) end)"
)

// begin executes a request in the background, and waits until its script has had the
// state for long.
func (r *rig) begin(args ...string) (reply chan string) {
	r.t.Helper()
	reply = make(chan string, 1)
	go func() {
		b, _, err := r.store.Do(Request{Proto: 2, Commands: [][][]byte{words(args...)}})
		if err != nil {
			b = []byte(err.Error())
		}
		reply <- string(b)
	}()
	redistest.Eventually(r.t, bound, "others are told that it is busy", func() bool {
		b, _, err := r.store.Do(Request{Proto: 2, Commands: [][][]byte{words("GET", "k")}})
		return err == nil && strings.HasPrefix(string(b), "-BUSY")
	})
	return reply
}

// As in Redis: others are told, reads and writes and units and WATCH, and SCRIPT KILL
// ends it, from wherever it is.
func TestABusyScriptIsKilled(t *testing.T) {
	r := newRig(t, embedded)
	r.store.eng.SetBusyAfter(10 * time.Millisecond)
	r.do("SET", "k", "v")
	for _, body := range []string{endless, "while true do pcall(function() while true do redis.call('PING') end end) end", "local function f() return f() end return f()",
		"repeat coroutine.wrap(function() while true do end end)() until false", "return string.find(string.rep('a', 40), string.rep('a?', 40) .. string.rep('a', 40) .. 'b')"} {
		reply := r.begin("EVAL", body, "0")
		require.Equal(t, busyEval, r.do("SET", "k", "w"))
		require.Equal(t, busyEval, r.unit("GET k", "SET k w"))
		require.Equal(t, busyEval, r.do("EVAL", "return 1", "0"))
		_, err := r.store.Watch(0, words("k"))
		require.ErrorAs(t, err, &BusyError{})
		require.Equal(t, "embedded", r.store.Status().Mode)
		require.Equal(t, busyEval, r.do("FUNCTION", "KILL"))
		require.Equal(t, busyEval, r.do("FUNCTION", "STATS"))
		require.Equal(t, "+OK\r\n", r.do("SCRIPT", "KILL"))
		require.Contains(t, <-reply, "-ERR Script killed by user with SCRIPT KILL... script: ")
		require.Equal(t, "$1\r\nv\r\n", r.do("GET", "k"))
		require.Equal(t, "-NOTBUSY No scripts in execution right now.\r\n", r.do("SCRIPT", "KILL"))
	}
}

func TestABusyFunctionIsKilledByItsOwnCommand(t *testing.T) {
	r := newRig(t, embedded)
	r.store.eng.SetBusyAfter(10 * time.Millisecond)
	require.Equal(t, "$4\r\nspin\r\n", r.do("FUNCTION", "LOAD", spinLib))
	reply := r.begin("FCALL", "spin", "0")
	require.Equal(t, busyFn, r.do("GET", "k"))
	require.Equal(t, busyFn, r.do("SCRIPT", "KILL"))
	require.Contains(t, r.do("FUNCTION", "STATS"), "$4\r\nname\r\n$4\r\nspin\r\n$7\r\ncommand\r\n*3\r\n$5\r\nFCALL\r\n$4\r\nspin\r\n$1\r\n0\r\n")
	require.Equal(t, "+OK\r\n", r.do("FUNCTION", "KILL"))
	require.Contains(t, <-reply, "-ERR Script killed by user with SCRIPT KILL... script: spin, on @user_function:")
}

// One that has written cannot be killed. It ends when the store is closed, and then
// nothing of it is left.
func TestAScriptThatHasWrittenEndsWithTheStore(t *testing.T) {
	for name, end := range map[string]func(r *rig){
		"Run ends": func(r *rig) { r.stop(); r.stop = nil },
		"closed":   func(r *rig) { r.close() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, embedded)
			r.run()
			r.store.eng.SetBusyAfter(10 * time.Millisecond)
			r.do("SET", "k", "v")
			reply := r.begin("EVAL", "redis.call('SET', 'k', 'w') "+endless, "0")
			require.Contains(t, r.do("SCRIPT", "KILL"), "-UNKILLABLE ")
			end(r)
			require.Equal(t, "-ERR the server shuts down\r\n", <-reply)
			r.close()
			r.open()
			require.Equal(t, "$1\r\nv\r\n", r.do("GET", "k"))
		})
	}
}

// Snapshots, statistics and whoever else needs the state wait for a script that ends by
// itself, and go on then.
func TestOthersGoOnBehindABusyScript(t *testing.T) {
	r := newRig(t, embedded)
	r.store.eng.SetBusyAfter(time.Millisecond)
	reply := r.begin("EVAL", "for i = 1, 3000000 do redis.call('INCR', 'n') if i % 1000 == 0 and redis.call('GET', 'n') == '400000' then return 'done' end end", "0")
	saved := make(chan error)
	go func() { saved <- r.store.saveSnapshot() }()
	require.Equal(t, "$4\r\ndone\r\n", <-reply)
	require.NoError(t, <-saved)
	require.Equal(t, ":400001\r\n", r.do("INCR", "n"))
	r.crash()
	require.Equal(t, "$6\r\n400001\r\n", r.do("GET", "n"))
}

// Libraries outlive a crash, in the journal and in the snapshot, and go to a Redis that
// the store gets; what functions did is journaled as what they did.
func TestLibrariesAreDurable(t *testing.T) {
	r := newRig(t, embedded)
	r.do("FUNCTION", "LOAD", spinLib)
	require.Equal(t, ":1\r\n", r.do("FCALL", "one", "1", "n"))
	r.crash()
	require.Equal(t, ":2\r\n", r.do("FCALL", "one", "1", "n"))
	require.NoError(t, r.store.saveSnapshot())
	r.crash()
	require.Equal(t, ":3\r\n", r.do("FCALL", "one", "1", "n"))
	r.do("FUNCTION", "LOAD", "#!lua name=other\nredis.register_function('other', function() return 7 end)")
	r.do("FUNCTION", "DELETE", "other")
	r.crash()
	require.NotContains(t, r.do("FUNCTION", "LIST"), "other")

	r.close()
	r.cfg.Embedded, r.cfg.NewClient = false, newRigClient(r)
	r.open()
	require.Contains(t, r.do("FCALL", "one", "1", "n"), "-UPSTREAMDOWN ", "libraries are at Redis")
	r.loaded()
	require.EqualValues(t, 4, r.redis("FCALL", "one", "1", "n"))
	require.Zero(t, r.store.Status().DeadLetters)
}

// What a script that Redis acknowledged tried with the Lua world is gone for those that
// are followed, and that run here, after it.
func TestAWorldIsTheSameAfterWhatRedisAcknowledged(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:k", "v")
	r.loaded()
	for _, body := range []string{"pcall(function() redis.call = nil end) return redis.call('SET', KEYS[1], 'a')", "pcall(function() tonumber = function() return 42 end end) return redis.call('SET', KEYS[1], tonumber('7'))",
		"pcall(function() string.upper = nil end) pcall(rawset, _G, 'cjson', nil) return redis.call('SET', KEYS[1], cjson.encode({b=1,a={2},[string.upper('x')]=3}))"} {
		r.via("EVAL", body, 1, "m:k")
	}
	r.settle()
	want := r.redis("GET", "m:k").(string)
	r.lost()
	require.Contains(t, r.do("GET", "m:k"), want)
	require.Contains(t, r.do("EVAL", "return tostring(tonumber('7')) .. string.upper('x')", "0"), "7X")
}

// The lock is lent and taken back in order, however short a script is.
func TestTheStateIsLentAndTakenBack(t *testing.T) {
	r := newRig(t, embedded)
	r.store.eng.SetBusyAfter(time.Microsecond)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = r.store.Status()
			_, _, _ = r.store.Do(Request{Proto: 2, Commands: [][][]byte{words("INCR", "other")}})
		}
	}()
	n := 0
	for n < 300 {
		reply := r.do("EVAL", "for i = 1, 300 do redis.call('INCRBY', KEYS[1], 1) end return 1", "1", "n")
		require.Contains(t, []string{":1\r\n", busyEval}, reply)
		if reply == ":1\r\n" {
			n++
		}
	}
	cancel()
	<-done
	require.Equal(t, "$5\r\n90000\r\n", r.do("GET", "n"))
}
