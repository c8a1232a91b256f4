package fallback

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback/deadletter"
)

// server connects as to a server process that bears this name.
func (r *rig) server(run string) {
	r.t.Helper()
	require.NoError(r.t, r.store.Connected(context.Background(), Server{RunID: run}))
}

// beaten waits until Redis has a beat behind all that the mirror saw.
func (r *rig) beaten() {
	r.t.Helper()
	redistest.Eventually(r.t, bound, "the beat is written", func() bool {
		r.store.mu.Lock()
		defer r.store.mu.Unlock()
		n, _ := r.direct.Get(context.Background(), r.store.beatKey()).Uint64()
		return !r.store.changes.due && n == r.store.changes.next-1
	})
}

var durableRedis = []string{"--appendonly", "yes", "--appendfsync", "always"}

// Redis is killed and restarted in the outage, and others write to it before the replay:
// the policy that was given is followed, whatever Redis kept over the restart, and what
// gives way is counted.
func TestForeignWritesAtARestartedRedis(t *testing.T) {
	for policy, want := range map[deadletter.Conflict]string{deadletter.Ours: "101", deadletter.Theirs: "100", deadletter.ToLetter: "100"} {
		for name, c := range map[string]struct {
			args    []string
			restart bool // of the proxy as well
		}{
			"append-only file":                    {durableRedis, false},
			"append-only file, proxy restarted":   {durableRedis, true},
			"no persistence":                      {nil, false},
			"no persistence, and proxy restarted": {nil, true},
		} {
			t.Run(string(policy)+", "+name, func(t *testing.T) {
				r := newRigOn(t, redistest.Start(t, c.args...), func(cfg *Config) { cfg.Conflict = policy })
				r.run()
				r.server("first")
				r.redis("MSET", "m:k", "1", "m:calm", "1", "m:deleted", "1")
				for _, k := range []string{"m:k", "m:calm", "m:deleted"} {
					r.store.Invalidate([][]byte{[]byte(k)})
				}
				r.settle()
				r.beaten()
				r.lost()
				r.srv.Kill()
				r.do("SET", "m:calm", "2")
				r.do("INCRBY", "m:k", "0")
				if c.restart {
					require.NoError(t, r.store.saveSnapshot())
					r.crash()
				}
				r.do("INCR", "m:k")
				r.srv.Start()
				r.redis("SET", "m:k", "100") // somebody else
				r.server("second")
				require.Equal(t, want, r.redis("GET", "m:k"))
				require.Equal(t, "2", r.redis("GET", "m:calm"))
				st := r.store.Status()
				require.EqualValues(t, 1, st.Conflicts)
				for _, found := range conflictsOf(t, r) {
					require.True(t, string(found.Key) != "m:k" || !found.Unsure)
				}
				if policy == deadletter.Ours {
					require.EqualValues(t, 1, st.Overwritten)
				} else {
					require.Zero(t, st.Overwritten)
				}
			})
		}
	}
}

// A Redis that comes back without the last acknowledged writes: the difference is not
// somebody else's, and our writes are applied. Keys that changed earlier are certain.
func TestLostTailAtARestartedRedis(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Conflict = deadletter.Theirs })
	r.redis("MSET", "m:late", "1", "m:early", "1")
	r.run()
	r.server("first")
	r.settle()
	r.beaten()
	r.stop() // no beat comes after what is lost
	r.stop = nil
	kept := r.redis("GET", r.store.beatKey())
	r.via("SET", "m:late", "5")
	r.lost()
	r.do("INCR", "m:late")
	r.do("INCR", "m:early")
	r.redis("MSET", "m:late", "1", r.store.beatKey(), kept) // as the copy without the tail has it
	r.redis("SET", "m:early", "50")                         // somebody else
	r.server("second")
	require.Equal(t, "2", r.redis("GET", "m:late"))
	require.Equal(t, "50", r.redis("GET", "m:early"))
	st := r.store.Status()
	require.EqualValues(t, 1, st.Conflicts)
	require.EqualValues(t, 1, st.Overwritten, "what gave way is counted, though nobody else wrote it")
}

// Before the first Redis nothing there can be ours.
func TestForeignValuesAtTheFirstRedis(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Conflict = deadletter.Theirs })
	require.NoError(t, r.store.Warm(0, [][][]byte{words("SET", "m:k", "file")}, true))
	r.do("APPEND", "m:k", "!")
	r.redis("SET", "m:k", "theirs")
	r.online()
	require.Equal(t, "theirs", r.redis("GET", "m:k"))
	require.EqualValues(t, 1, r.store.Status().Conflicts)
}

// otherRedis points the rig's directory at another server.
func (r *rig) otherRedis(srv *redistest.Server, address string) {
	r.close()
	r.wire.heal()
	r.srv = srv
	_ = r.direct.Close()
	r.direct = redis.NewClient(&redis.Options{Addr: srv.Addr(), MaxRetries: -1, DisableIdentity: true})
	r.cfg.Upstream = address
	r.open()
}

// meet connects to the server that is there now.
func (r *rig) meet() error {
	return r.store.Connected(context.Background(), Server{RunID: "of " + r.srv.Addr()})
}

// What waits for one Redis is not written to another.
func TestQueuedWritesAreForOneRedis(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Upstream = "redis://a/0" })
	first, other := r.srv, redistest.Start(t)
	r.run()
	require.NoError(t, r.meet())
	r.lost()
	r.do("SET", "m:k", "for a")
	r.otherRedis(other, "redis://b/0")
	err := r.meet()
	require.ErrorIs(t, err, ErrOtherRedis)
	require.ErrorIs(t, r.store.Refused(), ErrOtherRedis)
	for _, text := range []string{"--adopt-upstream", "redis://a/0", "redis://b/0", r.dir, "1 writes"} {
		require.ErrorContains(t, err, text)
	}
	require.Equal(t, Offline, r.store.Mode())
	require.Contains(t, r.store.Status().Troubles[0], "--adopt-upstream")
	require.Empty(t, r.redis("KEYS", "*"))
	require.Equal(t, "$5\r\nfor a\r\n", r.do("GET", "m:k"), "it is served on")

	r.otherRedis(first, "redis://renamed/0") // its fence proves it
	require.NoError(t, r.meet())
	require.Equal(t, "for a", r.redis("GET", "m:k"))
	require.Empty(t, r.store.Status().Troubles)

	r.otherRedis(other, "redis://b/0") // nothing waits: the directory moves on
	require.NoError(t, r.meet())
	r.lost()
	r.do("SET", "m:k", "for b")
	r.otherRedis(redistest.Start(t), "redis://b/0") // the same address, without its data
	require.NoError(t, r.meet())
	require.Equal(t, "for b", r.redis("GET", "m:k"))
	r.lost()
	r.do("SET", "m:k", "for whom it may concern")
	r.cfg.AdoptUpstream = true
	r.otherRedis(redistest.Start(t), "redis://c/0")
	require.NoError(t, r.meet())
	require.Equal(t, "for whom it may concern", r.redis("GET", "m:k"))
	r.lost()
	r.do("SET", "m:k", "for c")
	r.cfg.AdoptUpstream = false
	r.otherRedis(r.srv, "redis://c/0") // it was adopted for good
	require.NoError(t, r.meet())
	require.Equal(t, "for c", r.redis("GET", "m:k"))
}

// Writes that were queued before any Redis was there are for the one that was named then.
func TestQueuedWritesBeforeTheFirstRedis(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Upstream = "redis://a/0" })
	r.do("SET", "m:k", "for a")
	r.otherRedis(r.srv, "redis://b/0")
	require.ErrorIs(t, r.meet(), ErrOtherRedis)
	r.otherRedis(r.srv, "redis://a/0")
	require.NoError(t, r.meet())
	require.Equal(t, "for a", r.redis("GET", "m:k"))
	require.FileExists(t, filepath.Join(r.dir, "upstream.json"))
}
