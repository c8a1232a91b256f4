package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
	"holdfast/fallback/deadletter"
)

// replicated is a master with a replica and a Sentinel. Holdfast logs in as "app" and
// the replica as "repl", so that each can be kept away without the others noticing.
type replicated struct {
	t               *testing.T
	master, replica *redistest.Server
	m, r            *redis.Client
	url             string
}

func startReplicated(t *testing.T) *replicated {
	ctx := context.Background()
	p := &replicated{t: t, master: redistest.Start(t), replica: redistest.Start(t, "--masteruser", "repl", "--masterauth", "secret")}
	p.m, p.r = directClient(t, p.master), directClient(t, p.replica)
	for _, c := range []*redis.Client{p.m, p.r} {
		require.NoError(t, c.Do(ctx, "ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all").Err())
	}
	require.NoError(t, p.m.Do(ctx, "ACL", "SETUSER", "repl", "on", ">secret", "+psync", "+replconf", "+ping").Err())
	host, port, _ := strings.Cut(p.master.Addr(), ":")
	require.NoError(t, p.r.Do(ctx, "REPLICAOF", host, port).Err())
	sentinel := redistest.Sentinel(t, p.master, 2000)
	s := redis.NewSentinelClient(&redis.Options{Addr: sentinel})
	defer s.Close()
	redistest.Eventually(t, patience, "the sentinel knows the replica", func() bool {
		found, err := s.Replicas(ctx, "mymaster").Result()
		return err == nil && len(found) == 1 && found[0]["master-link-status"] == "ok"
	})
	p.url = "redis-sentinel://app:secret@" + sentinel + "/mymaster"
	return p
}

// awaitReplica waits until the replica has everything that the master has now.
func (p *replicated) awaitReplica() {
	p.t.Helper()
	redistest.Eventually(p.t, patience, "the replica has it all", func() bool {
		return infoField(p.t, p.m, "master_repl_offset") == infoField(p.t, p.r, "slave_repl_offset")
	})
}

func infoField(t *testing.T, c *redis.Client, name string) string {
	text, err := c.Info(context.Background(), "replication").Result()
	require.NoError(t, err)
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// shut keeps a user out of the master, and opens it to it again.
func (p *replicated) shut(user string) {
	ctx := context.Background()
	require.NoError(p.t, p.m.Do(ctx, "ACL", "SETUSER", user, "off").Err())
	require.NoError(p.t, p.m.Do(ctx, "CLIENT", "KILL", "USER", user).Err())
}

func (p *replicated) open(user string) {
	require.NoError(p.t, p.m.Do(context.Background(), "ACL", "SETUSER", user, "on").Err())
}

// tally is what clients were told.
type tally struct {
	t    *testing.T
	c    *redis.Client
	n    int
	list []string
	last int
}

// write increments, pushes and sets times times, each acknowledged.
func (a *tally) write(phase string, times int) {
	a.t.Helper()
	ctx := context.Background()
	for i := range times {
		n, err := a.c.Incr(ctx, "aiclient:n").Result()
		require.NoError(a.t, err)
		a.n++
		require.EqualValues(a.t, a.n, n)
		v := fmt.Sprint(phase, i)
		require.NoError(a.t, a.c.RPush(ctx, "aiclient:l", v).Err())
		a.list = append(a.list, v)
		a.last++
		require.NoError(a.t, a.c.Set(ctx, "aiclient:s", a.last, 0).Err())
	}
}

func (a *tally) holds(c *redis.Client, why string) {
	a.t.Helper()
	ctx := context.Background()
	assert.Equal(a.t, fmt.Sprint(a.n), c.Get(ctx, "aiclient:n").Val(), why)
	assert.Equal(a.t, a.list, c.LRange(ctx, "aiclient:l", 0, -1).Val(), why)
	assert.Equal(a.t, fmt.Sprint(a.last), c.Get(ctx, "aiclient:s").Val(), why)
}

// The replica that Sentinel promotes missed what was replayed to the old master
// just before it died. What Redis had acknowledged is kept for a while and
// applied again, once. That needs no fence at the replica from an earlier replay:
// here the first replay ever is the one that it missed.
func TestSentinelFailoverToAReplicaThatMissedTheReplay(t *testing.T) {
	for _, conflict := range []deadletter.Conflict{deadletter.Ours, deadletter.Theirs, deadletter.ToLetter} {
		t.Run(string(conflict), func(t *testing.T) {
			t.Parallel()
			p := startReplicated(t)
			proxy := startProxy(t, p.url, func(s *proxySettings) { s.conflict = conflict })
			proxy.awaitMode(fallback.Online)
			a := &tally{t: t, c: proxy.client()}
			a.write("online", 5)
			proxy.awaitMirror()
			p.awaitReplica()
			p.shut("repl") // from here on the replica misses everything

			p.shut("app")
			proxy.awaitMode(fallback.Offline)
			a.write("first", 20)
			p.open("app")
			proxy.awaitMode(fallback.Online)
			a.holds(p.m, "replayed to the old master")
			proxy.awaitMirror()

			p.master.Kill()
			a.write("second", 20)
			redistest.Eventually(t, 2*patience, "the replica is promoted", func() bool { return infoField(t, p.r, "role") == "master" })
			proxy.awaitMode(fallback.Online)
			a.holds(p.r, "the new master")
			a.holds(proxy.client(), "through the proxy")
			assert.Zero(t, proxy.st.store.Status().DeadLetters)
			assert.Zero(t, proxy.st.store.Status().Conflicts)
			a.write("after", 2)
			a.holds(p.r, "and it goes on")
		})
	}
}
