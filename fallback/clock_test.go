package fallback

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// stepRig is a store whose wall clock can be set; its time goes on as it does.
type stepRig struct {
	*rig
	off  atomic.Int64 // of the wall clock
	keys []lifetime
}

// lifetime is a key that was given a time to live at a moment after since.
type lifetime struct {
	key   string
	ttl   time.Duration
	since time.Time
}

func newStepRig(t *testing.T) *stepRig {
	s := &stepRig{}
	srv := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	s.rig = newRigOn(t, srv, func(c *Config) {
		c.MaxStale = time.Hour
		c.Now = func() time.Time { return time.Now().Round(0).Add(time.Duration(s.off.Load())) }
	})
	return s
}

func (s *stepRig) setWall(off time.Duration) { s.off.Store(int64(off)) }

// back connects to Redis, whose clock is that of this machine as it is.
func (s *stepRig) back() {
	s.t.Helper()
	s.onlineAt(time.Now())
}

func (s *stepRig) lives(key string, ttl time.Duration, since time.Time) {
	s.keys = append(s.keys, lifetime{key, ttl, since})
}

// checkAll compares what is left of each key's life with the time that has passed.
// What the mirror fetched may have lost as long as the fetch took, which was in
// that time.
func (s *stepRig) checkAll(where string, pttl func(key string) int64) {
	s.t.Helper()
	for _, l := range s.keys {
		left := time.Duration(pttl(l.key)) * time.Millisecond
		spent := time.Since(l.since)
		what := fmt.Sprintf("%s at %s, %v after it was to live %v", l.key, where, spent, l.ttl)
		require.LessOrEqual(s.t, left, l.ttl, what)
		require.GreaterOrEqual(s.t, left, l.ttl-2*spent-10*time.Millisecond, what)
	}
}

func (s *stepRig) checkHere() {
	s.t.Helper()
	s.checkAll("the local state", func(key string) int64 {
		ms, err := strconv.ParseInt(strings.Trim(s.do("PTTL", key), ":\r\n"), 10, 64)
		require.NoError(s.t, err)
		return ms
	})
}

func (s *stepRig) checkAtRedis() {
	s.t.Helper()
	s.checkAll("redis", func(key string) int64 { return s.redis("PTTL", key).(int64) })
}

// The wall clock is set while Redis is there and again while it is away, by hours
// and in both directions: every deadline stays where it was, here and at Redis.
func TestWallClockIsSet(t *testing.T) {
	for _, step := range []time.Duration{3 * time.Hour, -3 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			s := newStepRig(t)
			begin := time.Now()
			s.redis("SET", "m:mirrored", "v", "PX", 600_000)
			s.redis("SET", "m:brief", "v", "PX", 1500)
			s.redis("SET", "m:n", "1")
			s.run()
			s.back()
			s.settle()
			s.setWall(-step)
			s.via("SET", "m:followed", "v", "EX", 500)
			s.via("SET", "m:lock", "me", "NX", "PX", 600_000)
			s.lives("m:mirrored", 600*time.Second, begin)
			s.lives("m:followed", 500*time.Second, begin)

			s.lost()
			s.srv.Kill()
			s.setWall(step)
			since := time.Now()
			for i, argv := range [][]string{{"SET", "m:ex", "v", "EX", "100"}, {"EXPIRE", "m:n", "200"}, {"SET", "other", "v", "PX", "300000"}} {
				require.NotContains(t, s.do(argv...), "-", "it is no error")
				s.lives(argv[1], time.Duration(i+1)*100*time.Second, since)
			}
			require.Equal(t, "$2\r\nme\r\n", s.do("GET", "m:lock"), "the lease goes on")
			require.Equal(t, ":1\r\n", s.do("DEL", "m:lock"))
			s.checkHere()
			redistest.Eventually(t, bound, "a key expires on time", func() bool { return s.do("EXISTS", "m:brief") == ":0\r\n" })
			require.GreaterOrEqual(t, 2*time.Since(begin), 1500*time.Millisecond, "but not before")
			s.setWall(-step)
			s.checkHere()
			require.Equal(t, ":2\r\n", s.do("INCR", "m:n"), "it is not stale either")

			s.srv.Start()
			s.back()
			s.checkAtRedis()
			require.Nil(t, s.redis("GET", "m:lock"), "the lease was still running when it was released")
			require.Zero(t, s.store.Status().DeadLetters)
			require.NoError(t, s.store.saveSnapshot())
			s.setWall(step)
			require.NoError(t, s.store.giveUpKept())
			require.Zero(t, s.store.jr.Stats().TruncatedTo, "what was replayed is kept as long as promised")
		})
	}
}

// A restart has the wall clock alone. Its distance from the server's is saved,
// again when it was set; what was set after that is limited by the journal.
func TestWallClockIsSetBeforeARestart(t *testing.T) {
	s := newStepRig(t)
	begin := time.Now()
	s.redis("SET", "m:mirrored", "v", "PX", 600_000)
	s.run()
	s.back()
	s.settle()
	s.lives("m:mirrored", 600*time.Second, begin)
	s.lost()
	s.srv.Kill()
	require.NoError(t, s.store.saveSnapshot())
	for _, off := range []time.Duration{3 * time.Hour, -3 * time.Hour} {
		s.setWall(off)
		require.NoError(t, s.store.saveSnapshot(), "nothing but the clock has changed")
		s.crash()
		s.checkHere()
	}
	s.do("SET", "m:ex", "v", "EX", "100")
	s.lives("m:ex", 100*time.Second, begin)
	s.setWall(-40 * 365 * 24 * time.Hour) // a machine that does not know the time
	s.crash()
	s.checkHere()
	s.srv.Start()
	s.back()
	s.checkAtRedis()
}
